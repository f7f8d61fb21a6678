"""What a database engine is asked for, and what PostgreSQL and SQLite have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, MetaData, Table, bindparam, func
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.sql.dml import Insert

READING = "autotrack_reading"
"""Execution option of a connection that only reads."""

READ_TIMEOUT = 120
"""Seconds without a byte from a server after which it counts as gone; `read_timeout` in the URL says otherwise.

A network that swallows packets, or a server that stands still, keeps a connection open for hours. It is longer than a
server lets a statement wait for locks (50 s by default); statements that may take as long as they like are `unhurried`.
"""

Row = dict[str, Any]
"""Values by column."""

Numbers = Sequence[Sequence[float | None]]
"""Columns of finite numbers and nulls."""

_INT64 = 2**63


class Dialect:
    """One database engine; the base class is what PostgreSQL and SQLite have in common."""

    scheme: str
    """What the engine is called in a URL."""
    is_file: bool = False
    """The database is a file of the store's own: no other tables in it, and it is copied and upgraded unasked."""
    install: str = ""
    """The command that installs the driver."""
    transient_codes: frozenset[str] = frozenset()
    conflict_codes: frozenset[str] = frozenset()
    """Errors after which the whole transaction is worth another try at once: another writer was in its way."""
    walk = 0
    """How many rows of an index to try one by one before a filter is evaluated as a whole. An engine with statistics
    finds out by itself what pays."""

    connect_options: Mapping[str, Any] = {}
    """What a connection is made with, where the URL does not say otherwise."""
    reading_options: Mapping[str, Any] = {READING: True}
    """Execution options of connections that only read: all that one transaction reads is one state of the database."""

    def engine_url(self, url: str) -> URL:
        """A store's URL for `create_engine`."""
        return make_url(url)

    def back_up(self, url: str, revision: str) -> Path | None:
        """Copy the database before it is upgraded, writes that are still in its log included; None for a server."""
        del url, revision
        return None

    def engine_options(self) -> dict[str, Any]:
        """Arguments for `create_engine`; a connection that the server has closed meanwhile is replaced unnoticed."""
        return {"pool_pre_ping": True, "pool_size": 5, "max_overflow": 20, "pool_recycle": 3600}

    def configure(self, engine: Engine) -> None:
        """Attach what each connection needs."""

    def prepare(self, engine: Engine) -> None:
        """Done once, before the tables of a new database are made."""

    def tables(self, connection: Connection, metadata: MetaData) -> MetaData:
        """The tables as this engine is to make them: text in them compares by code point."""
        del connection
        return metadata

    @contextlib.contextmanager
    def creating(self, connection: Connection) -> Iterator[None]:
        """Keep other processes from creating or upgrading the tables meanwhile; inside a writing transaction."""
        yield

    @contextlib.contextmanager
    def unhurried(self, connection: Connection) -> Iterator[None]:
        """Wait for the server's answers however long they take: for statements that go through whole tables."""
        del connection
        yield

    def insert(self, table: Table) -> Any:
        """The engine's own INSERT construct."""
        raise NotImplementedError

    def insert_missing(self, table: Table, keys: Sequence[str]) -> Insert:
        """An INSERT that leaves rows alone that are there already."""
        statement: Insert = self.insert(table).on_conflict_do_nothing(index_elements=list(keys))
        return statement

    def upsert(self, table: Table, keys: Sequence[str]) -> Insert:
        """An INSERT that replaces what a row with these keys holds in the other columns (all but `id`)."""
        insert = self.insert(table)
        others = [column.name for column in table.columns if column.name not in (*keys, "id")]
        statement: Insert = insert.on_conflict_do_update(
            index_elements=list(keys), set_={name: insert.excluded[name] for name in others}
        )
        return statement

    def insert_rows(
        self, connection: Connection, table: Table, keys: Sequence[str], rows: Sequence[Row], replace: bool
    ) -> None:
        """Insert rows.

        Args:
            connection: A transaction.
            table: Where to.
            keys: What is unique to each of its rows.
            rows: Values by column, one row at least, all of the same columns.
            replace: Whether a row that is there gets the new values (by `upsert`), or is left alone.
        """
        connection.execute((self.upsert if replace else self.insert_missing)(table, keys), rows)

    def update_rows(self, connection: Connection, table: Table, key: str, rows: Sequence[Row]) -> None:
        """Change rows.

        Args:
            connection: A transaction.
            table: Where they are.
            key: A unique column.
            rows: Its values, and those of the columns to set; one row at least, all of the same columns, none twice.
        """
        names = [name for name in rows[0] if name != key]
        statement = table.update().where(table.c[key] == bindparam("which"))
        values: Row = {name: bindparam(f"new_{name}") for name in names}
        given = [{"which": row[key], **{f"new_{name}": row[name] for name in names}} for row in rows]
        connection.execute(statement.values(values), given)

    def insert_numbers(self, connection: Connection, table: Table, columns: Numbers) -> None:
        """Insert whole rows of finite numbers, one at least, fast.

        Args:
            connection: A transaction.
            table: Where to.
            columns: Its columns in their order, all of one length.
        """
        raise NotImplementedError

    def storable(self, value: Any) -> Any:
        """A value as a column can hold it: what is logged must never stop the journal that it stands in."""
        if value.__class__ is int and not -_INT64 <= value < _INT64:
            return max(-_INT64, min(_INT64 - 1, value))
        return value

    def like(self, value: ColumnElement[Any], pattern: str, fold: bool) -> ColumnElement[bool]:
        """`value LIKE pattern`, where `%` and `_` are the only special characters; `fold` ignores case."""
        escaped = pattern.replace("!", "!!")
        return value.ilike(escaped, escape="!") if fold else value.like(escaped, escape="!")

    def sortable(self, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """A text that sorts by code point, only its first 200 characters."""
        return func.substr(value, 1, 200)

    def damage(self, connection: Connection) -> str:
        """What is wrong with the database's files, as far as a reader can tell; empty where nothing is."""
        del connection
        return ""

    def advance_key(self, connection: Connection, table: Table) -> None:
        """After inserting rows with keys of their own: have the next key be a higher one, as most engines do anyway."""

    def faults(self, connection: Connection, tables: Sequence[str]) -> list[str]:
        """What the engine's own check of its files finds, however long that takes; empty where it has none."""
        del tables
        damage = self.damage(connection)
        return [damage] if damage else []

    def code(self, error: DBAPIError) -> str:
        """The engine's code or name of an error."""
        return str(getattr(error.orig, "sqlstate", None) or "")

    def is_transient(self, error: Exception) -> bool:
        """Whether the same call may succeed later: locked, busy, full, away."""
        if isinstance(error, DBAPIError):
            code = self.code(error)
            return error.connection_invalidated or any(code.startswith(start) for start in self.transient_codes)
        return isinstance(error, PoolTimeoutError)

    def is_conflict(self, error: Exception) -> bool:
        """Whether the database took the transaction back because of another one that ran beside it."""
        return isinstance(error, DBAPIError) and self.code(error) in self.conflict_codes


def insert_into(connection: Connection, table: Table) -> str:
    """The beginning of an INSERT of whole rows."""
    names = ", ".join(map(connection.dialect.identifier_preparer.quote, table.columns.keys()))
    return f"INSERT INTO {table.name} ({names})"
