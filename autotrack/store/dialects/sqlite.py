"""SQLite: one file, many readers, one writer."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, Text, event, func, literal_column
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from autotrack.store import dialects
from autotrack.store.dialects.base import READING, Dialect, Numbers, Row, insert_into
from autotrack.store.location import sqlite_file

_ROWS = 100
"""How many rows of numbers are given at once."""

_PARAMETERS = 999
"""How many the oldest SQLites take."""

_UPDATES_FROM = sqlite3.sqlite_version_info >= (3, 33)
"""Whether an UPDATE may take its values from a list of rows."""


class SQLite(Dialect):
    """One file, many readers, one writer."""

    scheme = "sqlite"
    is_file = True
    walk = 800
    transient_codes = frozenset(("database is locked", "database table is locked", "database or disk is full"))

    def engine_url(self, url: str) -> URL:
        """A path may hold what means something in a URL."""
        return URL.create("sqlite", database=str(sqlite_file(url)))

    def back_up(self, url: str, revision: str) -> Path | None:
        """Beside the file; SQLite copies page by page, whoever reads or writes meanwhile."""
        file = sqlite_file(url)
        if file is None:
            return None
        copy = file.with_name(f"{file.name}.backup-{revision}-{time.strftime('%Y%m%dT%H%M%S')}")
        with contextlib.closing(sqlite3.connect(file)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        return copy

    def engine_options(self) -> dict[str, Any]:
        """Connections travel between threads, one at a time."""
        arguments = {"check_same_thread": False, "timeout": dialects.BUSY_MS / 1000}
        return {"connect_args": arguments, "poolclass": QueuePool, "pool_size": 5, "max_overflow": 20}

    def configure(self, engine: Engine) -> None:
        """Transactions are begun by hand: the driver's own come too late, and never lock for writing first."""

        @event.listens_for(engine, "connect")
        def connect(connection: Any, _: Any) -> None:
            connection.isolation_level = None
            connection.create_function("autotrack_lower", 1, _lower, deterministic=True)
            waiting = f"busy_timeout={dialects.BUSY_MS}"
            for pragma in ("foreign_keys=ON", "synchronous=NORMAL", waiting, "cache_size=-16000"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            reading = connection.get_execution_options().get(READING)
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    def prepare(self, engine: Engine) -> None:
        """Switch to WAL, which stays with the file; SQLite does not wait for locks here, so this does."""
        deadline = time.monotonic() + dialects.BUSY_MS / 1000
        connection = engine.raw_connection()
        try:
            while not self._use_wal(connection.cursor(), time.monotonic() > deadline):
                time.sleep(0.01)
        finally:
            connection.close()

    def _use_wal(self, cursor: Any, last_try: bool) -> bool:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if last_try or "locked" not in str(error):
                raise
            return False
        return True

    def insert(self, table: Table) -> Any:
        """SQLite's INSERT."""
        from sqlalchemy.dialects.sqlite import insert

        return insert(table)

    def insert_rows(
        self, connection: Connection, table: Table, keys: Sequence[str], rows: Sequence[Row], replace: bool
    ) -> None:
        """Many rows a statement: for each of its steps the driver lets go of the interpreter, and wakes up whoever
        waits for it, the training first of all.
        """
        quote = connection.dialect.identifier_preparer.quote
        begin = f"INSERT INTO {table.name} ({', '.join(map(quote, rows[0]))}) VALUES "
        others = [quote(column.name) for column in table.columns if column.name not in (*keys, "id")]
        update = f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in others)}"
        end = f" ON CONFLICT ({', '.join(map(quote, keys))}) DO {update if replace else 'NOTHING'}"
        _execute_grouped(connection, begin, end, rows)

    def update_rows(self, connection: Connection, table: Table, key: str, rows: Sequence[Row]) -> None:
        """Many rows a statement, as they are inserted."""
        if not _UPDATES_FROM:
            return super().update_rows(connection, table, key, rows)
        quote = connection.dialect.identifier_preparer.quote
        columns = {name: f"new.column{number}" for number, name in enumerate(rows[0], 1)}
        where = f"{table.name}.{quote(key)} = {columns.pop(key)}"
        begin = f"UPDATE {table.name} SET {', '.join(f'{quote(name)} = {new}' for name, new in columns.items())} FROM ("
        return _execute_grouped(connection, f"{begin}VALUES ", f") AS new WHERE {where}", rows)

    def insert_numbers(self, connection: Connection, table: Table, columns: Numbers) -> None:
        """Many rows a statement: to begin one costs SQLite as much as a row does."""
        marks = f"({', '.join('?' * len(columns))})"
        flat = chain.from_iterable(zip(*columns, strict=True))
        groups = [tuple(islice(flat, _ROWS * len(columns))) for _ in range(0, len(columns[0]), _ROWS)]
        whole = len(columns[0]) // _ROWS
        for some in filter(None, (groups[:whole], groups[whole:])):
            rows = ", ".join([marks] * (len(some[0]) // len(columns)))
            connection.exec_driver_sql(f"{insert_into(connection, table)} VALUES {rows}", some)

    def like(self, value: ColumnElement[Any], pattern: str, fold: bool) -> ColumnElement[bool]:
        """SQLite's LIKE folds the case of ASCII letters alone, so GLOB stands in where case counts.

        It plans a statement anew for each pattern, in case the beginning is to be sought in an index. That takes as
        long as a small search; where no index helps, the pattern is an expression, which it does not look at.
        """
        nothing = literal_column("''", Text())
        if not fold:
            specials = {"*": "[*]", "?": "[?]", "[": "[[]", "%": "*", "_": "?"}
            glob = "".join(specials.get(char, char) for char in pattern)
            return value.op("GLOB", is_comparison=True)(nothing + glob if glob.startswith(("*", "?", "[")) else glob)
        if not pattern.isascii():
            value, pattern = func.autotrack_lower(value), _lower(pattern)
        return value.like(nothing + pattern.replace("!", "!!"), escape="!")

    def damage(self, connection: Connection) -> str:
        """SQLite's own check, without the comparison of each index with its table."""
        if foreign := _foreign_format(connection):
            return foreign
        found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check(10)")]
        return "" if found == ["ok"] else "; ".join(found)

    def faults(self, connection: Connection, tables: Sequence[str]) -> list[str]:
        """SQLite's whole check: each index is compared with its table."""
        del tables
        found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(100)")]
        foreign = _foreign_format(connection)
        return ([foreign] if foreign else []) + ([] if found == ["ok"] else found)

    def code(self, error: DBAPIError) -> str:
        """SQLite's message: its codes have names from Python 3.11 on only."""
        return str(error.orig)


def _execute_grouped(connection: Connection, begin: str, end: str, rows: Sequence[Row]) -> None:
    """Execute a statement with a list of many rows in it. Sizes are powers of two: SQLite keeps what it has parsed."""
    names = list(rows[0])
    marks = f"({', '.join('?' * len(names))})"
    size = 1 << (_PARAMETERS // len(names)).bit_length() - 1
    start = 0
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        values = [row[name] for row in rows[start : start + size] for name in names]
        connection.exec_driver_sql(f"{begin}{', '.join([marks] * size)}{end}", tuple(values))
        start += size


def _foreign_format(connection: Connection) -> str:
    """Why SQLite takes a file for one of a later version, which it only reads; empty where it does not."""
    try:
        with open(str(connection.engine.url.database), "rb") as file:
            versions = file.read(20)[18:]
    except OSError:
        return ""
    return "" if versions in (b"\1\1", b"\2\2") else f"its header names the formats {list(versions)}, not [2, 2]"


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
