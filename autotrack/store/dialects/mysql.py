"""MariaDB and MySQL by PyMySQL."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, MetaData, Table, bindparam, event, func, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.sql.dml import Insert

from autotrack.store.dialects.base import READ_TIMEOUT, READING, Dialect, Numbers, insert_into

_ROWS = 5_000
"""How many rows of numbers are given at once: far below the smallest `max_allowed_packet`, 1 MiB."""

_TEXT = 7_000_000
"""Longest text in a statement, in bytes: two of them (a parameter and its JSON) fit into 16 MiB."""

_ESCAPED = re.compile(r"[\0\n\r\x1a\"'\\]")
"""What the driver writes as two characters."""
_EXACT = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin")
"""Collations by code point for which "a" and "a " differ: MariaDB's and MySQL's."""


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
        if value.__class__ is str and len(value) > _TEXT // 4:
            size = len(value.encode("utf-8", "replace")) + len(_ESCAPED.findall(value))
            if size > _TEXT:
                return f"{value[: _TEXT // 4]}… (cut: {len(value)} characters are more than the server takes)"
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
        while some := "), (".join(islice(rows, _ROWS)):
            connection.exec_driver_sql(f"{insert_into(connection, table)} VALUES ({some})")

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


def _literals(column: Sequence[float | None]) -> Iterator[str]:
    """Numbers as SQL; to MySQL what has no exponent is a decimal, not a float."""
    for value in column:
        text = "NULL" if value is None else repr(value)
        yield f"{text}e0" if "." in text and "e" not in text else text
