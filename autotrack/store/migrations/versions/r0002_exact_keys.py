"""Text that differs in blanks at its end is different on MariaDB and MySQL too; the registry's columns are complete."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from autotrack.store.migrations.steps import LONG_TEXT, add_column, add_index

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = (
    "artifacts", "datasets", "environments", "experiment_tags", "experiments", "fits", "inputs", "journals",
    "metric_points", "metric_series", "model_version_tags", "model_versions", "models", "params",
    "registered_model_aliases", "registered_model_tags", "registered_models", "runs", "sessions", "tags", "trials",
)  # fmt: skip
"""Those of 0001."""

EXACT = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin")
"""Collations by code point that count blanks at the end: MariaDB's and MySQL's (from 8.0.17)."""


def upgrade() -> None:
    """From 0001 to 0002."""
    if op.get_bind().dialect.name == "mysql":
        _compare_exactly()
    add_column("model_versions", sa.Column("run_link", LONG_TEXT, nullable=True))
    add_column("model_versions", sa.Column("status_message", LONG_TEXT, nullable=True))
    add_column("model_versions", sa.Column("digest", sa.String(64), nullable=True))
    add_column("model_versions", sa.Column("signature", LONG_TEXT, nullable=True))
    add_column("registered_models", sa.Column("last_version", sa.Integer(), nullable=False, server_default="0"))
    highest = "SELECT COALESCE(MAX(version), 0) FROM model_versions WHERE model = registered_models.id"
    op.execute(f"UPDATE registered_models SET last_version = ({highest})")
    add_index("ix_model_versions_model_id", "model_versions", ["model_id"])
    add_index("ix_sessions_environment", "sessions", ["environment"])


def _compare_exactly() -> None:
    known = "SELECT collation_name FROM information_schema.collations WHERE collation_name IN ('{}', '{}')"
    collation = op.get_bind().exec_driver_sql(known.format(*EXACT)).scalar()
    for table in TABLES if collation else ():
        op.execute(f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}")
