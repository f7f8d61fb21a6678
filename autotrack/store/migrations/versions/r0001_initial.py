"""The first schema.

A new database is made from `schema.metadata`; this is the frozen copy that later migrations build on.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_TEXT = sa.Text().with_variant(sa.Text(2**32 - 1), "mysql", "mariadb")
TEXT_BY_CODE_POINT: dict[str, Any] = {
    "mysql_collate": "utf8mb4_bin",
    "mysql_default_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
    "mariadb_default_charset": "utf8mb4",
}


def upgrade() -> None:
    """From nothing to 0001."""
    _datasets()
    _environments()
    _experiments()
    _journals()
    _registered_models()
    _experiment_tags()
    _model_versions()
    _registered_model_aliases()
    _registered_model_tags()
    _sessions()
    _model_version_tags()
    _runs()
    _artifacts()
    _fits()
    _inputs()
    _metric_series()
    _models()
    _params()
    _tags()
    _trials()
    _metric_points()


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], f"fk_{table}_{column}", ondelete="CASCADE")


def _datasets() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("identity", sa.String(64), nullable=False),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("digest", sa.String(500), nullable=False),
        sa.Column("source_type", LONG_TEXT, nullable=False),
        sa.Column("source", LONG_TEXT, nullable=False),
        sa.Column("schema", LONG_TEXT, nullable=False),
        sa.Column("profile", LONG_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
        sa.UniqueConstraint("identity", name="uq_datasets_identity"),
        **TEXT_BY_CODE_POINT,
    )
    op.create_index("ix_datasets_digest", "datasets", ["digest"])
    op.create_index("ix_datasets_name", "datasets", ["name"])


def _environments() -> None:
    op.create_table(
        "environments",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("content", LONG_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_environments"),
        sa.UniqueConstraint("digest", name="uq_environments_digest"),
        **TEXT_BY_CODE_POINT,
    )


def _experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("artifact_location", LONG_TEXT, nullable=False),
        sa.Column("lifecycle", sa.String(32), nullable=False),
        sa.Column("creation_time", sa.BigInteger(), nullable=False),
        sa.Column("last_update_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_experiments"),
        sa.UniqueConstraint("name", name="uq_experiments_name"),
        sqlite_autoincrement=True,
        **TEXT_BY_CODE_POINT,
    )


def _journals() -> None:
    op.create_table(
        "journals",
        sa.Column("journal_id", sa.String(64), autoincrement=False, nullable=False),
        sa.Column("session_id", sa.String(64), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("host", LONG_TEXT, nullable=False),
        sa.Column("boot_id", LONG_TEXT, nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("process_started", sa.BigInteger(), nullable=False),
        sa.Column("opened", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat", sa.BigInteger(), nullable=False),
        sa.Column("closed", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("journal_id", name="pk_journals"),
        **TEXT_BY_CODE_POINT,
    )


def _registered_models() -> None:
    op.create_table(
        "registered_models",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("description", LONG_TEXT, nullable=False),
        sa.Column("creation_time", sa.BigInteger(), nullable=False),
        sa.Column("last_update_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_registered_models"),
        sa.UniqueConstraint("name", name="uq_registered_models_name"),
        **TEXT_BY_CODE_POINT,
    )


def _experiment_tags() -> None:
    op.create_table(
        "experiment_tags",
        sa.Column("experiment", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("key", sa.String(500), autoincrement=False, nullable=False),
        sa.Column("value", LONG_TEXT, nullable=False),
        _reference("experiment_tags", "experiment", "experiments"),
        sa.PrimaryKeyConstraint("experiment", "key", name="pk_experiment_tags"),
        **TEXT_BY_CODE_POINT,
    )


def _model_versions() -> None:
    op.create_table(
        "model_versions",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("model", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("source", LONG_TEXT, nullable=False),
        sa.Column("run_id", sa.String(64), nullable=True),
        sa.Column("model_id", sa.String(64), nullable=True),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("description", LONG_TEXT, nullable=False),
        sa.Column("user_id", LONG_TEXT, nullable=False),
        sa.Column("creation_time", sa.BigInteger(), nullable=False),
        sa.Column("last_update_time", sa.BigInteger(), nullable=False),
        _reference("model_versions", "model", "registered_models"),
        sa.PrimaryKeyConstraint("id", name="pk_model_versions"),
        sa.UniqueConstraint("model", "version", name="uq_model_versions_model_version"),
        **TEXT_BY_CODE_POINT,
    )
    op.create_index("ix_model_versions_run_id", "model_versions", ["run_id"])


def _registered_model_aliases() -> None:
    op.create_table(
        "registered_model_aliases",
        sa.Column("model", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("alias", sa.String(500), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        _reference("registered_model_aliases", "model", "registered_models"),
        sa.PrimaryKeyConstraint("model", "alias", name="pk_registered_model_aliases"),
        **TEXT_BY_CODE_POINT,
    )


def _registered_model_tags() -> None:
    op.create_table(
        "registered_model_tags",
        sa.Column("model", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("key", sa.String(500), autoincrement=False, nullable=False),
        sa.Column("value", LONG_TEXT, nullable=False),
        _reference("registered_model_tags", "model", "registered_models"),
        sa.PrimaryKeyConstraint("model", "key", name="pk_registered_model_tags"),
        **TEXT_BY_CODE_POINT,
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("session_id", sa.String(64), nullable=False),
        sa.Column("start_time", sa.BigInteger(), nullable=False),
        sa.Column("host", LONG_TEXT, nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("user_id", LONG_TEXT, nullable=False),
        sa.Column("program", LONG_TEXT, nullable=False),
        sa.Column("argv", LONG_TEXT, nullable=False),
        sa.Column("cwd", LONG_TEXT, nullable=False),
        sa.Column("parent_session_id", sa.String(64), nullable=True),
        sa.Column("environment", BIG_KEY, autoincrement=False, nullable=True),
        _reference("sessions", "environment", "environments"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("session_id", name="uq_sessions_session_id"),
        **TEXT_BY_CODE_POINT,
    )


def _model_version_tags() -> None:
    op.create_table(
        "model_version_tags",
        sa.Column("version", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("key", sa.String(500), autoincrement=False, nullable=False),
        sa.Column("value", LONG_TEXT, nullable=False),
        _reference("model_version_tags", "version", "model_versions"),
        sa.PrimaryKeyConstraint("version", "key", name="pk_model_version_tags"),
        **TEXT_BY_CODE_POINT,
    )


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("experiment", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("session", BIG_KEY, autoincrement=False, nullable=True),
        sa.Column("parent_run_id", sa.String(64), nullable=True),
        sa.Column("name", LONG_TEXT, nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("status_time", sa.BigInteger(), nullable=False),
        sa.Column("start_time", sa.BigInteger(), nullable=False),
        sa.Column("end_time", sa.BigInteger(), nullable=True),
        sa.Column("user_id", LONG_TEXT, nullable=False),
        sa.Column("source", LONG_TEXT, nullable=False),
        sa.Column("lifecycle", sa.String(32), nullable=False),
        sa.Column("deleted_time", sa.BigInteger(), nullable=True),
        sa.Column("description", LONG_TEXT, nullable=False),
        sa.Column("degraded", LONG_TEXT, nullable=False),
        sa.Column("error_type", LONG_TEXT, nullable=True),
        sa.Column("error_message", LONG_TEXT, nullable=True),
        sa.Column("error_traceback", LONG_TEXT, nullable=True),
        sa.Column("error_frame", LONG_TEXT, nullable=True),
        sa.Column("journal_id", sa.String(64), nullable=True),
        _reference("runs", "experiment", "experiments"),
        _reference("runs", "session", "sessions"),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.UniqueConstraint("run_id", name="uq_runs_run_id"),
        **TEXT_BY_CODE_POINT,
    )
    op.create_index("ix_runs_experiment_start_time", "runs", ["experiment", "start_time"])
    op.create_index("ix_runs_parent_run_id", "runs", ["parent_run_id"])
    op.create_index("ix_runs_session", "runs", ["session"])
    op.create_index("ix_runs_start_time", "runs", ["start_time"])
    op.create_index("ix_runs_status_journal_id", "runs", ["status", "journal_id"])


def _artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("run", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("key", sa.String(500), autoincrement=False, nullable=False),
        sa.Column("path", LONG_TEXT, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        _reference("artifacts", "run", "runs"),
        sa.PrimaryKeyConstraint("run", "key", name="pk_artifacts"),
        **TEXT_BY_CODE_POINT,
    )


def _fits() -> None:
    op.create_table(
        "fits",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("fit_id", sa.String(64), nullable=False),
        sa.Column("session", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("run", BIG_KEY, autoincrement=False, nullable=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("estimator", LONG_TEXT, nullable=False),
        sa.Column("method", LONG_TEXT, nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("start_time", sa.BigInteger(), nullable=False),
        sa.Column("duration", sa.Double(), nullable=True),
        sa.Column("error", LONG_TEXT, nullable=True),
        sa.Column("caller", LONG_TEXT, nullable=False),
        sa.Column("details", LONG_TEXT, nullable=False),
        _reference("fits", "run", "runs"),
        _reference("fits", "session", "sessions"),
        sa.PrimaryKeyConstraint("id", name="pk_fits"),
        sa.UniqueConstraint("fit_id", name="uq_fits_fit_id"),
        **TEXT_BY_CODE_POINT,
    )
    op.create_index("ix_fits_run", "fits", ["run"])
    op.create_index("ix_fits_session", "fits", ["session"])


def _inputs() -> None:
    op.create_table(
        "inputs",
        sa.Column("run", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("dataset", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("context", sa.String(100), autoincrement=False, nullable=False),
        sa.Column("tags", LONG_TEXT, nullable=False),
        sa.Column("fit_id", sa.String(64), nullable=True),
        _reference("inputs", "dataset", "datasets"),
        _reference("inputs", "run", "runs"),
        sa.PrimaryKeyConstraint("run", "dataset", "context", name="pk_inputs"),
        **TEXT_BY_CODE_POINT,
    )
    op.create_index("ix_inputs_dataset", "inputs", ["dataset"])


def _metric_series() -> None:
    op.create_table(
        "metric_series",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("run", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("key", sa.String(500), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.Double(), nullable=True),
        sa.Column("last_special", sa.SmallInteger(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("last_time", sa.BigInteger(), nullable=False),
        sa.Column("min", sa.Double(), nullable=True),
        sa.Column("min_special", sa.SmallInteger(), nullable=True),
        sa.Column("min_step", sa.BigInteger(), nullable=False),
        sa.Column("max", sa.Double(), nullable=True),
        sa.Column("max_special", sa.SmallInteger(), nullable=True),
        sa.Column("max_step", sa.BigInteger(), nullable=False),
        _reference("metric_series", "run", "runs"),
        sa.PrimaryKeyConstraint("id", name="pk_metric_series"),
        sa.UniqueConstraint("run", "key", name="uq_metric_series_run_key"),
        **TEXT_BY_CODE_POINT,
    )
    op.create_index("ix_metric_series_key_last_run", "metric_series", ["key", "last", "run"])
    op.create_index("ix_metric_series_key_max_run", "metric_series", ["key", "max", "run"])
    op.create_index("ix_metric_series_key_min_run", "metric_series", ["key", "min", "run"])


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("model_id", sa.String(64), nullable=False),
        sa.Column("run", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("name", LONG_TEXT, nullable=False),
        sa.Column("uri", LONG_TEXT, nullable=False),
        sa.Column("path", LONG_TEXT, nullable=False),
        sa.Column("flavors", LONG_TEXT, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("signature", LONG_TEXT, nullable=False),
        sa.Column("model_type", LONG_TEXT, nullable=False),
        sa.Column("metadata", LONG_TEXT, nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("creation_time", sa.BigInteger(), nullable=False),
        _reference("models", "run", "runs"),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("model_id", name="uq_models_model_id"),
        **TEXT_BY_CODE_POINT,
    )
    op.create_index("ix_models_digest", "models", ["digest"])
    op.create_index("ix_models_run", "models", ["run"])


def _params() -> None:
    op.create_table(
        "params",
        sa.Column("run", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("key", sa.String(500), autoincrement=False, nullable=False),
        sa.Column("text", LONG_TEXT, nullable=False),
        sa.Column("json", LONG_TEXT, nullable=True),
        sa.Column("number", sa.Double(), nullable=True),
        _reference("params", "run", "runs"),
        sa.PrimaryKeyConstraint("run", "key", name="pk_params"),
        **TEXT_BY_CODE_POINT,
    )
    op.create_index("ix_params_key_number_run", "params", ["key", "number", "run"])


def _tags() -> None:
    op.create_table(
        "tags",
        sa.Column("run", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("key", sa.String(500), autoincrement=False, nullable=False),
        sa.Column("value", LONG_TEXT, nullable=False),
        _reference("tags", "run", "runs"),
        sa.PrimaryKeyConstraint("run", "key", name="pk_tags"),
        **TEXT_BY_CODE_POINT,
    )
    op.create_index("ix_tags_key_run", "tags", ["key", "run"])


def _trials() -> None:
    op.create_table(
        "trials",
        sa.Column("run", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("fit_id", sa.String(64), nullable=True),
        sa.Column("state", LONG_TEXT, nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=True),
        sa.Column("mean", sa.Double(), nullable=True),
        sa.Column("content", LONG_TEXT, nullable=False),
        _reference("trials", "run", "runs"),
        sa.PrimaryKeyConstraint("run", "number", name="pk_trials"),
        **TEXT_BY_CODE_POINT,
    )


def _metric_points() -> None:
    op.create_table(
        "metric_points",
        sa.Column("series", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("idx", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("special", sa.SmallInteger(), nullable=True),
        _reference("metric_points", "series", "metric_series"),
        sa.PrimaryKeyConstraint("series", "idx", name="pk_metric_points"),
        sqlite_with_rowid=False,
        **TEXT_BY_CODE_POINT,
    )
