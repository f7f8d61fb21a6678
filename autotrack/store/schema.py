"""The tables. SQLAlchemy Core metadata; `migrations/` holds the way here from every earlier revision.

Times are integer milliseconds since the epoch, UTC. Inside the database rows refer to each other by integer keys; the
ids that users see (`run_id`, `session_id`, ...) are unique columns beside them.

A float that SQL cannot hold or compare is a pair of columns: `value` and `special`. `special` is NULL for a finite
number, else one of `NAN`, `INFINITY`, `MINUS_INFINITY`; `value` is then NULL for NaN, and the largest finite float of
that sign for an infinity, so that comparing and ordering work the same on all engines.
"""

from __future__ import annotations

import sys
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

REVISIONS = ("0001", "0002")
"""Every schema revision there ever was, oldest first."""

SCHEMA_REVISION = REVISIONS[-1]
"""The revision that this module describes."""

KEY_LENGTH = 500
"""Longest key (of a parameter, metric, tag, ...) in characters; longer ones are clipped with a mark and a hash."""

NAN = 1
INFINITY = 2
MINUS_INFINITY = 3
LARGEST = sys.float_info.max

DEFAULT_EXPERIMENT = "Default"
DEFAULT_EXPERIMENT_ID = 0

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_BigKey = BigInteger().with_variant(Integer(), "sqlite")
_LongText = Text().with_variant(Text(2**32 - 1), "mysql", "mariadb")
_Key = String(KEY_LENGTH)
_Id = String(64)
_Word = String(32)


def _table(name: str, *items: Column[Any] | Index | UniqueConstraint, **options: Any) -> Table:
    """A table; text in it compares by code point on every engine (see `Dialect.tables`)."""
    return Table(name, metadata, *items, **options)


def _primary() -> Column[Any]:
    return Column("id", _BigKey, primary_key=True, autoincrement=True)


def _column(name: str, kind: TypeEngine[Any], nullable: bool = False) -> Column[Any]:
    return Column(name, kind, nullable=nullable)


def _reference(name: str, target: str, nullable: bool = False, primary_key: bool = False) -> Column[Any]:
    """A foreign key to the `id` of `target`; what refers to a deleted row goes with it."""
    link = ForeignKey(f"{target}.id", ondelete="CASCADE")
    return Column(name, _BigKey, link, nullable=nullable, primary_key=primary_key, autoincrement=False)


def _key(name: str, kind: TypeEngine[Any] = _Key) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False)


experiments = _table(
    "experiments",
    _primary(),
    _column("name", _Key),
    _column("artifact_location", _LongText),
    _column("lifecycle", _Word),
    _column("creation_time", BigInteger()),
    _column("last_update_time", BigInteger()),
    UniqueConstraint("name"),
    sqlite_autoincrement=True,
)

experiment_tags = _table(
    "experiment_tags",
    _reference("experiment", "experiments", primary_key=True),
    _key("key"),
    _column("value", _LongText),
)

environments = _table(
    "environments", _primary(), _column("digest", _Id), _column("content", _LongText), UniqueConstraint("digest")
)

sessions = _table(
    "sessions",
    _primary(),
    _column("session_id", _Id),
    _column("start_time", BigInteger()),
    _column("host", _LongText),
    _column("pid", BigInteger()),
    _column("user_id", _LongText),
    _column("program", _LongText),
    _column("argv", _LongText),
    _column("cwd", _LongText),
    _column("parent_session_id", _Id, nullable=True),
    _reference("environment", "environments", nullable=True),
    UniqueConstraint("session_id"),
    Index(None, "environment"),
)

runs = _table(
    "runs",
    _primary(),
    _column("run_id", _Id),
    _reference("experiment", "experiments"),
    _reference("session", "sessions", nullable=True),
    _column("parent_run_id", _Id, nullable=True),
    _column("name", _LongText),
    _column("status", _Word),
    _column("status_time", BigInteger()),
    _column("start_time", BigInteger()),
    _column("end_time", BigInteger(), nullable=True),
    _column("user_id", _LongText),
    _column("source", _LongText),
    _column("lifecycle", _Word),
    _column("deleted_time", BigInteger(), nullable=True),
    _column("description", _LongText),
    _column("degraded", _LongText),
    _column("error_type", _LongText, nullable=True),
    _column("error_message", _LongText, nullable=True),
    _column("error_traceback", _LongText, nullable=True),
    _column("error_frame", _LongText, nullable=True),
    _column("journal_id", _Id, nullable=True),
    UniqueConstraint("run_id"),
    Index(None, "experiment", "start_time"),
    Index(None, "start_time"),
    Index(None, "session"),
    Index(None, "parent_run_id"),
    Index(None, "status", "journal_id"),
)
"""`status_time` is when `status` was last set, `journal_id` the journal of the process that has the run open."""

params = _table(
    "params",
    _reference("run", "runs", primary_key=True),
    _key("key"),
    _column("text", _LongText),
    _column("json", _LongText, nullable=True),
    _column("number", Double(), nullable=True),
    Index(None, "key", "number", "run"),
)
"""`number` is the value where its JSON is a number, for `params.C > 0.5`."""

tags = _table(
    "tags",
    _reference("run", "runs", primary_key=True),
    _key("key"),
    _column("value", _LongText),
    Index(None, "key", "run"),
)

metric_series = _table(
    "metric_series",
    _primary(),
    _reference("run", "runs"),
    _column("key", _Key),
    _column("count", BigInteger()),
    _column("last", Double(), nullable=True),
    _column("last_special", SmallInteger(), nullable=True),
    _column("last_step", BigInteger()),
    _column("last_time", BigInteger()),
    _column("min", Double(), nullable=True),
    _column("min_special", SmallInteger(), nullable=True),
    _column("min_step", BigInteger()),
    _column("max", Double(), nullable=True),
    _column("max_special", SmallInteger(), nullable=True),
    _column("max_step", BigInteger()),
    UniqueConstraint("run", "key"),
    Index(None, "key", "last", "run"),
    Index(None, "key", "min", "run"),
    Index(None, "key", "max", "run"),
)
"""One curve; `last` is the value at the highest step (of several there, the newest)."""

metric_points = _table(
    "metric_points",
    _reference("series", "metric_series", primary_key=True),
    _key("idx", _BigKey),
    _column("step", BigInteger()),
    _column("timestamp", BigInteger()),
    _column("value", Double(), nullable=True),
    _column("special", SmallInteger(), nullable=True),
    sqlite_with_rowid=False,
)
"""`idx` counts the points of a series from 0 in the order in which they were logged."""

trials = _table(
    "trials",
    _reference("run", "runs", primary_key=True),
    _key("number", BigInteger()),
    _column("fit_id", _Id, nullable=True),
    _column("state", _LongText),
    _column("rank", BigInteger(), nullable=True),
    _column("mean", Double(), nullable=True),
    _column("content", _LongText),
)
"""`content` is the whole `TrialInfo` as JSON, the columns beside it are for queries."""

datasets = _table(
    "datasets",
    _primary(),
    _column("identity", _Id),
    _column("name", _Key),
    _column("digest", _Key),
    _column("source_type", _LongText),
    _column("source", _LongText),
    _column("schema", _LongText),
    _column("profile", _LongText),
    UniqueConstraint("identity"),
    Index(None, "name"),
    Index(None, "digest"),
)
"""`identity` is a hash over all that is known of the dataset: equal ones are stored once."""

inputs = _table(
    "inputs",
    _reference("run", "runs", primary_key=True),
    _reference("dataset", "datasets", primary_key=True),
    _key("context", String(100)),
    _column("tags", _LongText),
    _column("fit_id", _Id, nullable=True),
    Index(None, "dataset"),
)

fits = _table(
    "fits",
    _primary(),
    _column("fit_id", _Id),
    _reference("session", "sessions"),
    _reference("run", "runs", nullable=True),
    _column("number", BigInteger()),
    _column("kind", _Word),
    _column("estimator", _LongText),
    _column("method", _LongText),
    _column("status", _Word),
    _column("start_time", BigInteger()),
    _column("duration", Double(), nullable=True),
    _column("error", _LongText, nullable=True),
    _column("caller", _LongText),
    _column("details", _LongText),
    UniqueConstraint("fit_id"),
    Index(None, "run"),
    Index(None, "session"),
)

models = _table(
    "models",
    _primary(),
    _column("model_id", _Id),
    _reference("run", "runs"),
    _column("name", _LongText),
    _column("uri", _LongText),
    _column("path", _LongText),
    _column("flavors", _LongText),
    _column("size", BigInteger()),
    _column("digest", _Id),
    _column("signature", _LongText),
    _column("model_type", _LongText),
    _column("metadata", _LongText),
    _column("step", BigInteger()),
    _column("creation_time", BigInteger()),
    UniqueConstraint("model_id"),
    Index(None, "run"),
    Index(None, "digest"),
)

artifacts = _table(
    "artifacts",
    _reference("run", "runs", primary_key=True),
    _key("key"),
    _column("path", _LongText),
    _column("size", BigInteger()),
    _column("digest", _Id),
    _column("time", BigInteger()),
)
"""`key` is `path`, clipped where it is long."""

journals = _table(
    "journals",
    _key("journal_id", _Id),
    _column("session_id", _Id),
    _column("offset", BigInteger()),
    _column("host", _LongText),
    _column("boot_id", _LongText),
    _column("pid", BigInteger()),
    _column("process_started", BigInteger()),
    _column("opened", BigInteger()),
    _column("heartbeat", BigInteger()),
    _column("closed", BigInteger(), nullable=True),
)
"""`offset` is how many bytes of the journal are in these tables."""

registered_models = _table(
    "registered_models",
    _primary(),
    _column("name", _Key),
    _column("description", _LongText),
    _column("creation_time", BigInteger()),
    _column("last_update_time", BigInteger()),
    Column("last_version", Integer(), nullable=False, server_default="0"),
    UniqueConstraint("name"),
)
"""`last_version` is the highest version that the model ever had: no number is given twice."""

registered_model_tags = _table(
    "registered_model_tags",
    _reference("model", "registered_models", primary_key=True),
    _key("key"),
    _column("value", _LongText),
)

model_versions = _table(
    "model_versions",
    _primary(),
    _reference("model", "registered_models"),
    _column("version", Integer()),
    _column("source", _LongText),
    _column("run_id", _Id, nullable=True),
    _column("model_id", _Id, nullable=True),
    _column("status", _Word),
    _column("description", _LongText),
    _column("user_id", _LongText),
    _column("creation_time", BigInteger()),
    _column("last_update_time", BigInteger()),
    _column("run_link", _LongText, nullable=True),
    _column("status_message", _LongText, nullable=True),
    _column("digest", _Id, nullable=True),
    _column("signature", _LongText, nullable=True),
    UniqueConstraint("model", "version"),
    Index(None, "run_id"),
    Index(None, "model_id"),
)

model_version_tags = _table(
    "model_version_tags",
    _reference("version", "model_versions", primary_key=True),
    _key("key"),
    _column("value", _LongText),
)

registered_model_aliases = _table(
    "registered_model_aliases",
    _reference("model", "registered_models", primary_key=True),
    _key("alias"),
    _column("version", Integer()),
)

alembic_version = _table("alembic_version", _key("version_num", _Word))
"""Alembic's own table; here so that a new database can be stamped without importing alembic."""
