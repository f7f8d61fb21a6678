"""What differs between SQLite, PostgreSQL and MariaDB/MySQL; nothing outside this module asks which one it is."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    Table,
    Text,
    bindparam,
    collate,
    event,
    func,
    literal_column,
    text,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql.dml import Insert

from autotrack.errors import StoreError
from autotrack.store.location import sqlite_file

READING = "autotrack_reading"
"""Execution option of a connection that only reads."""

READ_TIMEOUT = 120
"""Seconds without a byte from a server after which it counts as gone; `read_timeout` in the URL says otherwise.

A network that swallows packets, or a server that stands still, keeps a connection open for hours. It is longer than a
server lets a statement wait for locks (50 s by default); statements that may take as long as they like are `unhurried`.
"""

BUSY_MS = 30_000
"""How long a writer waits for another one."""

Numbers = Sequence[Sequence[float | None]]
"""Columns of finite numbers and nulls."""

_INT64 = 2**63
_LOCK_ID = 0x6175746F74726163
_ROWS = 100
"""How many rows of numbers SQLite is given at once; the oldest ones take 999 parameters."""

_MYSQL_ROWS = 5_000
"""The same for MySQL: far below the smallest `max_allowed_packet`, 1 MiB."""

_MYSQL_TEXT = 7_000_000
"""Longest text in a statement, in bytes: two of them (a parameter and its JSON) fit into 16 MiB."""

_ESCAPED = re.compile(r"[\0\n\r\x1a\"'\\]")
"""What the driver writes as two characters."""
_EXACT = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin")
"""Collations by code point for which "a" and "a " differ: MariaDB's and MySQL's."""


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
        arguments = {"check_same_thread": False, "timeout": BUSY_MS / 1000}
        return {"connect_args": arguments, "poolclass": QueuePool, "pool_size": 5, "max_overflow": 20}

    def configure(self, engine: Engine) -> None:
        """Transactions are begun by hand: the driver's own come too late, and never lock for writing first."""

        @event.listens_for(engine, "connect")
        def connect(connection: Any, _: Any) -> None:
            connection.isolation_level = None
            connection.create_function("autotrack_lower", 1, _lower, deterministic=True)
            for pragma in ("foreign_keys=ON", "synchronous=NORMAL", f"busy_timeout={BUSY_MS}", "cache_size=-16000"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            reading = connection.get_execution_options().get(READING)
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    def prepare(self, engine: Engine) -> None:
        """Switch to WAL, which stays with the file; SQLite does not wait for locks here, so this does."""
        deadline = time.monotonic() + BUSY_MS / 1000
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

    def insert_numbers(self, connection: Connection, table: Table, columns: Numbers) -> None:
        """Many rows a statement: to begin one costs SQLite as much as a row does."""
        marks = f"({', '.join('?' * len(columns))})"
        flat = chain.from_iterable(zip(*columns, strict=True))
        groups = [tuple(islice(flat, _ROWS * len(columns))) for _ in range(0, len(columns[0]), _ROWS)]
        whole = len(columns[0]) // _ROWS
        for some in filter(None, (groups[:whole], groups[whole:])):
            rows = ", ".join([marks] * (len(some[0]) // len(columns)))
            connection.exec_driver_sql(f"{_insert_into(connection, table)} VALUES {rows}", some)

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
        connection.exec_driver_sql(f"{_insert_into(connection, table)} SELECT * FROM unnest({arrays})", texts)

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


class MySQL(Dialect):
    """MariaDB and MySQL by PyMySQL."""

    scheme = "mysql"
    install = "pip install 'autotrack[mysql]'"
    conflict_codes = frozenset(("1020", "1205", "1213", "1305"))
    """1305: a deadlock also ends the transaction's savepoints, and to go back to one is what fails then."""
    transient_codes = conflict_codes | {"1021", "1040", "1114", "2002", "2003", "2006", "2013"}

    connect_options: Mapping[str, Any] = {
        "connect_timeout": 10, "read_timeout": READ_TIMEOUT, "write_timeout": READ_TIMEOUT
    }  # fmt: skip

    @contextlib.contextmanager
    def unhurried(self, connection: Connection) -> Iterator[None]:
        """Without the driver's timeout, which it looks at before each answer."""
        driver: Any = connection.connection.driver_connection
        limit, driver._read_timeout = getattr(driver, "_read_timeout", None), None
        try:
            yield
        finally:
            driver._read_timeout = limit

    def engine_options(self) -> dict[str, Any]:
        """Text of any language; writers lock rows alone, not the gaps between them, where they would deadlock."""
        options = {"connect_args": {"charset": "utf8mb4"}, "isolation_level": "READ COMMITTED"}
        return {**super().engine_options(), **options}

    def configure(self, engine: Engine) -> None:
        """Readers see one state; said for each transaction, so that a connection goes back as it came."""

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            if connection.get_execution_options().get(READING):
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def tables(self, connection: Connection, metadata: MetaData) -> MetaData:
        """With a collation by code point, and where there is one that counts blanks at the end, with that."""
        query = text("SELECT collation_name FROM information_schema.collations WHERE collation_name IN :names")
        exact = connection.execute(query.bindparams(bindparam("names", _EXACT, expanding=True))).scalar()
        copies = MetaData(naming_convention=metadata.naming_convention)
        for table in metadata.sorted_tables:
            options = table.to_metadata(copies).dialect_options["mysql"]
            options.update(default_charset="utf8mb4", collate=exact or "utf8mb4_bin")
        return copies

    @contextlib.contextmanager
    def creating(self, connection: Connection) -> Iterator[None]:
        """A named lock: statements that make tables end the transaction."""
        name = f"autotrack-{connection.engine.url.database}"[:64]
        if connection.execute(text("SELECT GET_LOCK(:name, 60)"), {"name": name}).scalar() != 1:
            raise PoolTimeoutError("another process is making or upgrading the tables")
        try:
            yield
        finally:
            if not connection.invalidated:  # the lock ends with the connection
                connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})

    def insert(self, table: Table) -> Any:
        """MySQL's INSERT."""
        from sqlalchemy.dialects.mysql import insert

        return insert(table)

    def storable(self, value: Any) -> Any:
        """No text that the server takes for an attack: beyond 16 MiB a statement it ends the connection."""
        if value.__class__ is str and len(value) > _MYSQL_TEXT // 4:
            size = len(value.encode("utf-8", "replace")) + len(_ESCAPED.findall(value))
            if size > _MYSQL_TEXT:
                return f"{value[: _MYSQL_TEXT // 4]}… (cut: {len(value)} characters are more than the server takes)"
        return super().storable(value)

    def insert_missing(self, table: Table, keys: Sequence[str]) -> Insert:
        """INSERT IGNORE would hide other errors too: a row that is there gets the value that it has."""
        insert = self.insert(table)
        statement: Insert = insert.on_duplicate_key_update({keys[0]: table.columns[keys[0]]})
        return statement

    def upsert(self, table: Table, keys: Sequence[str]) -> Insert:
        """ON DUPLICATE KEY UPDATE."""
        insert = self.insert(table)
        others = [column.name for column in table.columns if column.name not in (*keys, "id")]
        statement: Insert = insert.on_duplicate_key_update({name: insert.inserted[name] for name in others})
        return statement

    def insert_numbers(self, connection: Connection, table: Table, columns: Numbers) -> None:
        """The numbers stand in the statement: the driver is slow to put them there one by one."""
        rows = map(", ".join, zip(*map(_literals, columns), strict=True))
        while some := "), (".join(islice(rows, _MYSQL_ROWS)):
            connection.exec_driver_sql(f"{_insert_into(connection, table)} VALUES ({some})")

    def like(self, value: ColumnElement[Any], pattern: str, fold: bool) -> ColumnElement[bool]:
        """Columns compare by code point, so folding the case is explicit."""
        if fold:
            value, pattern = func.lower(value), pattern.lower()
        return value.like(pattern.replace("!", "!!"), escape="!")

    def faults(self, connection: Connection, tables: Sequence[str]) -> list[str]:
        """CHECK TABLE; it tells of each table with several lines, the last of which is its verdict."""
        quote = connection.dialect.identifier_preparer.quote
        rows = connection.exec_driver_sql(f"CHECK TABLE {', '.join(map(quote, tables))}")
        return [f"{row[0]}: {row[3]}" for row in rows if str(row[2]).lower() in ("error", "warning")]

    def code(self, error: DBAPIError) -> str:
        """MySQL's error number."""
        arguments = getattr(error.orig, "args", ())
        return str(arguments[0]) if arguments else ""


DIALECTS: dict[str, Dialect] = {
    "sqlite": SQLite(),
    "postgresql": PostgreSQL(),
    "mysql": MySQL(),
}
"""Dialects by the scheme of a URL."""


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


def of(url: str) -> Dialect:
    """The dialect of a store's URL (as in `Location.url`)."""
    return DIALECTS[url.partition("://")[0].partition("+")[0]]


def store_error(dialect: Dialect, url: str, error: Exception, hint: str = "") -> StoreError:
    """What a driver's error means to a user."""
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()
    text = reason[0] if reason else type(error).__name__
    return StoreError(url, text, hint, dialect.is_transient(error), dialect.is_conflict(error))


def _foreign_format(connection: Connection) -> str:
    """Why SQLite takes a file for one of a later version, which it only reads; empty where it does not."""
    try:
        with open(str(connection.engine.url.database), "rb") as file:
            versions = file.read(20)[18:]
    except OSError:
        return ""
    return "" if versions in (b"\1\1", b"\2\2") else f"its header names the formats {list(versions)}, not [2, 2]"


def _insert_into(connection: Connection, table: Table) -> str:
    names = ", ".join(map(connection.dialect.identifier_preparer.quote, table.columns.keys()))
    return f"INSERT INTO {table.name} ({names})"


def _literals(column: Sequence[float | None]) -> Iterator[str]:
    """Numbers as SQL; to MySQL what has no exponent is a decimal, not a float."""
    for value in column:
        text = "NULL" if value is None else repr(value)
        yield f"{text}e0" if "." in text and "e" not in text else text


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
