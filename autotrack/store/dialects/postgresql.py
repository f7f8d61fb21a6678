"""PostgreSQL by psycopg 3."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Mapping
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, collate, event, text
from sqlalchemy.exc import DBAPIError

from autotrack.store.dialects.base import READ_TIMEOUT, READING, Dialect, Numbers, insert_into

_LOCK_ID = 0x6175746F74726163


class PostgreSQL(Dialect):
    """PostgreSQL by psycopg 3."""

    scheme = "postgresql"
    install = "pip install 'autotrack[postgres]'"
    transient_codes = frozenset(("08", "40", "53", "55P03", "57P"))
    conflict_codes = frozenset(("40001", "40P01"))
    connect_options: Mapping[str, Any] = {
        "connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 60_000, "read_timeout": READ_TIMEOUT
    }  # fmt: skip
    reading_options: Mapping[str, Any] = {
        READING: True, "isolation_level": "REPEATABLE READ", "postgresql_readonly": True
    }  # fmt: skip

    def configure(self, engine: Engine) -> None:
        """The driver itself waits for an answer for ever."""

        @event.listens_for(engine, "do_connect")
        def connect(dialect: Any, record: Any, arguments: Any, options: dict[str, Any]) -> Any:
            del record
            others = {name: value for name, value in options.items() if name != "read_timeout"}
            connection = dialect.connect(*arguments, **others)
            connection.wait = partial(_wait, connection, connection.wait, float(options["read_timeout"]))
            return connection

    @contextlib.contextmanager
    def unhurried(self, connection: Connection) -> Iterator[None]:
        """With the driver's own way to wait."""
        driver: Any = connection.connection.driver_connection
        limited = vars(driver).pop("wait", None)
        try:
            yield
        finally:
            if limited is not None:
                driver.wait = limited

    @contextlib.contextmanager
    def creating(self, connection: Connection) -> Iterator[None]:
        """An advisory lock that ends with the transaction."""
        connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
        yield

    def insert(self, table: Table) -> Any:
        """PostgreSQL's INSERT."""
        from sqlalchemy.dialects.postgresql import insert

        return insert(table)

    def insert_numbers(self, connection: Connection, table: Table, columns: Numbers) -> None:
        """A column is one parameter, an array as text: the driver then has nothing to do for each value."""
        arrays = ", ".join(f"%s::{column.type.compile(connection.dialect)}[]" for column in table.columns)
        texts = tuple(f"{{{','.join(map(str, column))}}}".replace("None", "NULL") for column in columns)
        connection.exec_driver_sql(f"{insert_into(connection, table)} SELECT * FROM unnest({arrays})", texts)

    def advance_key(self, connection: Connection, table: Table) -> None:
        """A sequence knows only of the keys that it gave itself."""
        advance = f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), max(id)) FROM {table.name}"
        connection.exec_driver_sql(f"{advance} HAVING max(id) > 0")

    def storable(self, value: Any) -> Any:
        """No text with NUL in it."""
        if value.__class__ is str and "\x00" in value:
            return value.replace("\x00", "\ufffd")
        return super().storable(value)

    def sortable(self, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """The database's own order depends on its locale."""
        return collate(super().sortable(value), "C")

    def is_transient(self, error: Exception) -> bool:
        """A server that cannot be reached has no code to give."""
        kinds = type(error.orig).__mro__ if isinstance(error, DBAPIError) and not self.code(error) else ()
        return any(kind.__name__ == "OperationalError" for kind in kinds) or super().is_transient(error)


def _wait(connection: Any, wait: Any, seconds: float, steps: Any, *args: Any, **options: Any) -> Any:
    """psycopg's `Connection.wait`, which gives up when the server has said nothing for so many seconds.

    The version 3.1 does not tell what it waits for of the time that passes; there TCP's own timeout alone counts.
    """
    return wait(_limited(connection, steps, seconds), *args, **options)


def _limited(connection: Any, steps: Any, seconds: float) -> Generator[Any, Any, Any]:
    heard, ready = time.monotonic(), None
    while True:
        try:
            wanted = steps.send(ready)
        except StopIteration as end:
            return end.value
        ready = yield wanted
        if ready:
            heard = time.monotonic()
        elif time.monotonic() - heard > seconds:
            from psycopg import OperationalError

            steps.close()
            connection.close()  # what it may still hear belongs to a statement that nobody waits for
            raise OperationalError(f"timed out: the server has said nothing for {seconds:g} s")
