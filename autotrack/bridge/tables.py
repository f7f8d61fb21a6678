"""MLflow's tables as autotrack makes them in an empty database, and the revisions of MLflow's schema.

They are those of MLflow 2.3 (revision `7f2a7d5fae7d`): 2.0's with the two steps that followed, without which neither
an alias nor a dataset could be kept. Every later MLflow brings them up to date when it opens the database. What MLflow
left without a name has none here either, so that its own migrations find the names that the database makes up.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

MADE_AT = "7f2a7d5fae7d"
"""The revision that a new database is stamped with."""

REVISIONS = (
    "97727af70f4d", "3500859a5d39", "7f2a7d5fae7d", "2d6e25af4d3e", "acf3f17fdcc7", "867495a8f9d4",
    "5b0e9adcef9c", "4465047574b1", "f5a4f2784254", "0584bdc529eb", "400f98739977", "6953534de441",
    "bda7b8c39065", "cbc13b556ace", "770bee3ae1dd", "a1b2c3d4e5f6", "de4033877273", "1a0cddfcaa16",
    "534353b11cbc", "71994744cf8e", "3da73c924c2f", "bf29a5ff90ea", "1bd49d398cd23", "b7c8d9e0f1a2",
    "5d2d30f0abce", "c9d4e5f6a7b8", "2c33131f4dae", "d3e4f5a6b7c8", "d0e1f2a3b4c5", "c8d9e0f1a2b3",
    "1b5f0d9ad7c1", "e1f2a3b4c5d6", "76601a5f987d", "c3d6457b6d8a", "a5b4c3d2e1f0", "ae8bbe7743c9",
    "7d34483879f0", "da6fb0208061", "89d3d66ed43f", "b7e4c1a90f23", "a8b9c0d1e2f3", "c1d2e3f4a5b6",
    "c3d9e7f1a2b4", "6f8d9c3b2a1e", "1971f2d9a75b", "17e22815139b", "b7e2c1a4d9f3", "75868b020152",
    "dc11669786a5",
)  # fmt: skip
"""MLflow's revisions from 2.0 to 3.17, oldest first."""

NEWEST_VERSION = "3.17"
"""The MLflow of the last one."""

CORE = ("experiments", "experiment_tags", "runs", "params", "tags", "metrics", "latest_metrics")
"""Without these it is no MLflow database."""

KNOWN = (
    *CORE, "datasets", "inputs", "input_tags", "logged_models", "logged_model_params", "logged_model_tags",
    "registered_models", "registered_model_tags", "registered_model_aliases", "model_versions", "model_version_tags",
)  # fmt: skip
"""The tables that are read or written; those behind `CORE` where they are there."""

metadata = MetaData()

_KEY = String(250)
_RUN = String(32)
_UUID = String(36)
_NAME = String(256)
_LONG = String(5000)
_VALUE = String(8000)
_NUMBER = Float(53)


def _column(name: str, kind: Any, nullable: bool = True, **options: Any) -> Column[Any]:
    return Column(name, kind, nullable=nullable, **options)


def _must(name: str, kind: Any, **options: Any) -> Column[Any]:
    return Column(name, kind, nullable=False, **options)


def _of_experiment() -> Column[Any]:
    return Column("experiment_id", Integer, ForeignKey("experiments.experiment_id"), nullable=False)


def _of_run() -> Column[Any]:
    return Column("run_uuid", _RUN, ForeignKey("runs.run_uuid"), nullable=False)


Table(
    "experiments",
    metadata,
    _must("experiment_id", Integer, autoincrement=True),
    _must("name", _NAME),
    _column("artifact_location", _NAME),
    _column("lifecycle_stage", String(32)),
    _column("creation_time", BigInteger),
    _column("last_update_time", BigInteger),
    CheckConstraint("lifecycle_stage IN ('active', 'deleted')", name="experiments_lifecycle_stage"),
    PrimaryKeyConstraint("experiment_id", name="experiment_pk"),
    UniqueConstraint("name"),
)

Table(
    "experiment_tags",
    metadata,
    _must("key", _KEY),
    _column("value", _LONG),
    _of_experiment(),
    PrimaryKeyConstraint("key", "experiment_id", name="experiment_tag_pk"),
)

Table(
    "runs",
    metadata,
    _must("run_uuid", _RUN),
    _column("name", _KEY),
    _column("source_type", String(20)),
    _column("source_name", String(500)),
    _column("entry_point_name", String(50)),
    _column("user_id", _NAME),
    _column("status", String(9)),
    _column("start_time", BigInteger),
    _column("end_time", BigInteger),
    _column("source_version", String(50)),
    _column("lifecycle_stage", String(20)),
    _column("artifact_uri", String(200)),
    Column("experiment_id", Integer, ForeignKey("experiments.experiment_id")),
    _column("deleted_time", BigInteger),
    CheckConstraint("source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')", name="source_type"),
    CheckConstraint("lifecycle_stage IN ('active', 'deleted')", name="runs_lifecycle_stage"),
    CheckConstraint("status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED')"),
    PrimaryKeyConstraint("run_uuid", name="run_pk"),
)

Table(
    "params",
    metadata,
    _must("key", _KEY),
    _must("value", _VALUE),
    _of_run(),
    PrimaryKeyConstraint("key", "run_uuid", name="param_pk"),
    Index("index_params_run_uuid", "run_uuid"),
)

Table(
    "tags",
    metadata,
    _must("key", _KEY),
    _column("value", _VALUE),
    _of_run(),
    PrimaryKeyConstraint("key", "run_uuid", name="tag_pk"),
    Index("index_tags_run_uuid", "run_uuid"),
)

Table(
    "metrics",
    metadata,
    _must("key", _KEY),
    _must("value", _NUMBER),
    _must("timestamp", BigInteger),
    _of_run(),
    _must("step", BigInteger, server_default="0"),
    _must("is_nan", Boolean(create_constraint=True), server_default="0"),
    PrimaryKeyConstraint("key", "timestamp", "step", "run_uuid", "value", "is_nan", name="metric_pk"),
    Index("index_metrics_run_uuid", "run_uuid"),
)

Table(
    "latest_metrics",
    metadata,
    _must("key", _KEY),
    _must("value", _NUMBER),
    _column("timestamp", BigInteger),
    _must("step", BigInteger),
    _must("is_nan", Boolean(create_constraint=True)),
    _of_run(),
    PrimaryKeyConstraint("key", "run_uuid", name="latest_metric_pk"),
    Index("index_latest_metrics_run_uuid", "run_uuid"),
)

Table(
    "datasets",
    metadata,
    _must("dataset_uuid", _UUID),
    _of_experiment(),
    _must("name", String(500)),
    _must("digest", _UUID),
    _must("dataset_source_type", _UUID),
    _must("dataset_source", Text),
    _column("dataset_schema", Text().with_variant(Text(2**24 - 1), "mysql")),
    _column("dataset_profile", Text().with_variant(Text(2**24 - 1), "mysql")),
    PrimaryKeyConstraint("experiment_id", "name", "digest", name="dataset_pk"),
    Index("index_datasets_dataset_uuid", "dataset_uuid"),
    Index("index_datasets_experiment_id_dataset_source_type", "experiment_id", "dataset_source_type"),
)

Table(
    "inputs",
    metadata,
    _must("input_uuid", _UUID),
    _must("source_type", _UUID),
    _must("source_id", _UUID),
    _must("destination_type", _UUID),
    _must("destination_id", _UUID),
    PrimaryKeyConstraint("source_type", "source_id", "destination_type", "destination_id", name="inputs_pk"),
    Index("index_inputs_input_uuid", "input_uuid"),
    Index(
        "index_inputs_destination_type_destination_id_source_type", "destination_type", "destination_id", "source_type"
    ),
)

Table(
    "input_tags",
    metadata,
    _must("input_uuid", _UUID),
    _must("name", String(255)),
    _must("value", String(500)),
    PrimaryKeyConstraint("input_uuid", "name", name="input_tags_pk"),
)

Table(
    "registered_models",
    metadata,
    _must("name", _NAME),
    _column("creation_time", BigInteger),
    _column("last_updated_time", BigInteger),
    _column("description", _LONG),
    PrimaryKeyConstraint("name", name="registered_model_pk"),
    UniqueConstraint("name"),
)

Table(
    "registered_model_tags",
    metadata,
    _must("key", _KEY),
    _column("value", _LONG),
    _must("name", _NAME),
    ForeignKeyConstraint(["name"], ["registered_models.name"], onupdate="cascade"),
    PrimaryKeyConstraint("key", "name", name="registered_model_tag_pk"),
)

Table(
    "registered_model_aliases",
    metadata,
    _must("alias", _NAME),
    _must("version", Integer),
    _must("name", _NAME),
    ForeignKeyConstraint(
        ["name"],
        ["registered_models.name"],
        name="registered_model_alias_name_fkey",
        onupdate="cascade",
        ondelete="cascade",
    ),
    PrimaryKeyConstraint("name", "alias", name="registered_model_alias_pk"),
)

Table(
    "model_versions",
    metadata,
    _must("name", _NAME),
    _must("version", Integer, autoincrement=False),
    _column("creation_time", BigInteger),
    _column("last_updated_time", BigInteger),
    _column("description", _LONG),
    _column("user_id", _NAME),
    _column("current_stage", String(20)),
    _column("source", String(500)),
    _column("run_id", _RUN),
    _column("status", String(20)),
    _column("status_message", String(500)),
    _column("run_link", String(500)),
    ForeignKeyConstraint(["name"], ["registered_models.name"], onupdate="cascade"),
    PrimaryKeyConstraint("name", "version", name="model_version_pk"),
)

Table(
    "model_version_tags",
    metadata,
    _must("key", _KEY),
    _column("value", _LONG),
    _must("name", _NAME),
    _must("version", Integer, autoincrement=False),
    ForeignKeyConstraint(["name", "version"], ["model_versions.name", "model_versions.version"], onupdate="cascade"),
    PrimaryKeyConstraint("key", "name", "version", name="model_version_tag_pk"),
)

alembic_version = Table(
    "alembic_version",
    metadata,
    _must("version_num", String(32)),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
