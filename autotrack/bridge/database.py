"""An MLflow database, spoken to in SQL: opened or made, its tables as they are found there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import Column, Connection, Double, Float, MetaData, Numeric, Table, select

from autotrack import clock
from autotrack.bridge import tables
from autotrack.errors import StoreError
from autotrack.store import schema
from autotrack.store.engine import Store
from autotrack.store.location import locate, sqlite_file

Row = dict[str, Any]

DEFAULT = "Default"
"""The experiment of number 0, which MLflow expects in its database."""


class Database:
    """An MLflow database.

    Args:
        url: `sqlite:///x.db`, `postgresql://...` or `mysql://...`.
        writing: It is made where it is empty, and refused where a newer MLflow than is known has been at it.
        artifact_root: Where runs of a database that is made keep their files: a folder or URL.

    Raises:
        InvalidArgumentError: The URL is of no known kind.
        StoreError: It cannot be opened, is no MLflow database, or one of a revision that is not known.
    """

    def __init__(self, url: str, writing: bool = False, artifact_root: str = "") -> None:
        location = locate(url)
        self.file = sqlite_file(location.url)
        if self.file is not None and not self.file.exists():
            if not writing:
                raise StoreError(location.safe_url, "there is no such file", "name the database that MLflow writes to")
            self.file.parent.mkdir(parents=True, exist_ok=True)
        self.store = Store(location)
        self.url = location.safe_url
        self.is_mysql = self.store.dialect.scheme == "mysql"
        with self.store.transaction() if writing else self.store.reading() as connection:
            if writing:
                self._make(connection, artifact_root)
            self.revision = self._revision(connection)
            self._check(connection, writing)
            self.tables = self._reflected(connection)

    def _make(self, connection: Connection, artifact_root: str) -> None:
        """Make the tables in an empty database."""
        found = set(sqlalchemy.inspect(connection).get_table_names())
        if found & {*tables.metadata.tables, *schema.metadata.tables}:
            return
        with self.store.dialect.creating(connection):
            tables.metadata.create_all(connection)
            connection.execute(tables.alembic_version.insert().values(version_num=tables.MADE_AT))
            experiments = tables.metadata.tables["experiments"]
            now = clock.now()
            row = {"name": DEFAULT, "artifact_location": f"{artifact_root}/0", "lifecycle_stage": "active"}
            connection.execute(experiments.insert().values(**row, creation_time=now, last_update_time=now))
            # MySQL takes an inserted 0 for "next number", hence two steps.
            connection.execute(experiments.update().values(experiment_id=0))

    def _revision(self, connection: Connection) -> str:
        if not sqlalchemy.inspect(connection).has_table("alembic_version"):
            raise StoreError(self.url, "this is no MLflow database: it has no table alembic_version")
        return str(connection.execute(select(tables.alembic_version.c.version_num)).scalar())

    def _check(self, connection: Connection, writing: bool) -> None:
        present = set(sqlalchemy.inspect(connection).get_table_names())
        if self.revision in schema.REVISIONS and "metric_series" in present:
            raise StoreError(self.url, "this is a store of autotrack, not of MLflow", "name another database")
        missing = sorted(set(tables.CORE) - present)
        if missing:
            raise StoreError(self.url, f"this is no MLflow database: it has no table {missing[0]}")
        if self.revision in tables.REVISIONS:
            return
        columns = {column["name"] for column in sqlalchemy.inspect(connection).get_columns("runs")}
        reason = f"its schema is at MLflow's revision {self.revision}, "
        if "deleted_time" not in columns:
            raise StoreError(self.url, reason + "from before MLflow 2.0", "bring it up to date with: mlflow db upgrade")
        if writing:
            hint = "upgrade autotrack, or push to MLflow's server by http; nothing was changed"
            raise StoreError(self.url, reason + f"newer than MLflow {tables.NEWEST_VERSION} as far as is known", hint)

    def _reflected(self, connection: Connection) -> dict[str, Table]:
        """The tables with the columns that they have here."""
        present = set(sqlalchemy.inspect(connection).get_table_names())
        found = MetaData()
        for name in tables.KNOWN:
            if name in present:
                # Without what they refer to: MLflow has dozens of tables that do not matter here.
                table = Table(name, found, autoload_with=connection, resolve_fks=False)
                for column in table.c:
                    if isinstance(column.type, (Numeric, Float)):
                        # MySQL's would come back as decimal numbers, rounded.
                        column.type = Double()
        return dict(found.tables)

    def has(self, name: str) -> bool:
        """Whether MLflow has such a table at this revision."""
        return name in self.tables

    def length(self, table: str, column: str, otherwise: int) -> int:
        """How many characters a column takes."""
        length = getattr(self.tables[table].c[column].type, "length", None)
        return int(length) if length else otherwise

    def insert(self, connection: Connection, table: str, rows: Iterable[Row]) -> int:
        """Insert rows: what of them there are columns for; what else has to have a value gets an empty one.

        Returns:
            How many.
        """
        target = self.tables[table]
        storable = self.store.dialect.storable
        complete = [{key: storable(value) for key, value in _complete(target, row).items()} for row in rows]
        if complete:
            connection.execute(target.insert(), complete)
        return len(complete)

    def sync(
        self, connection: Connection, table: str, scope: Mapping[str, Any], keys: Sequence[str], rows: Iterable[Row]
    ) -> int:
        """Make a table have these rows: insert those that are missing, update those that differ.

        Args:
            connection: A writing transaction.
            table: Its name.
            scope: Columns that all the rows have in common, and their values.
            keys: The columns that tell the rows apart within it.
            rows: What is to be there; what is there besides stays.

        Returns:
            How many rows were changed or inserted.
        """
        target = self.tables[table]
        query = select(target).where(*(target.c[name] == value for name, value in scope.items()))
        present = {tuple(row[key] for key in keys): row for row in connection.execute(query).mappings()}
        missing, changed = [], 0
        for row in rows:
            storable = {name: self.store.dialect.storable(row[name]) for name in row if name in target.c}
            before = present.get(tuple(storable[key] for key in keys))
            if before is None:
                missing.append({**scope, **row})
            elif any(before[name] != value for name, value in storable.items()):
                place = [target.c[name] == value for name, value in scope.items()]
                place += [target.c[key] == storable[key] for key in keys]
                connection.execute(target.update().where(*place).values(storable))
                changed += 1
        return changed + self.insert(connection, table, missing)

    def dispose(self) -> None:
        """Close all connections."""
        self.store.dispose()


def _complete(table: Table, row: Row) -> Row:
    known = {name: value for name, value in row.items() if name in table.c}
    counted = table.autoincrement_column
    empty = (column for column in table.c if column is not counted and _needs_value(column, known))
    return known | {column.name: _empty(column) for column in empty}


def _needs_value(column: Column[Any], row: Row) -> bool:
    return column.name not in row and not column.nullable and column.server_default is None


def _empty(column: Column[Any]) -> Any:
    kind = column.type.python_type
    return kind() if kind in (int, float, str, bool) else ""
