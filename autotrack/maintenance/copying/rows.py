"""Rows into the other store, and whether they are all there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, select
from sqlalchemy.sql.elements import ColumnElement

from autotrack.errors import StoreError
from autotrack.maintenance.copying.paging import Page, Row
from autotrack.store import schema
from autotrack.store.curves import chunks
from autotrack.store.engine import Store, retried

_SUM = 2**128

_IDENTITIES = (
    (schema.runs, "run_id"),
    (schema.sessions, "session_id"),
    (schema.experiments, "name"),
    (schema.registered_models, "name"),
)
"""Tables whose rows tell one store from another."""


class Sum:
    """How many rows a table has, and a checksum that does not depend on their order."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, rows: Iterable[Row]) -> None:
        """Count rows in."""
        for row in rows:
            plain = tuple(value + 0.0 if value.__class__ is float else value for value in row)  # -0.0 is 0.0
            digest = hashlib.blake2b(repr(plain).encode("utf-8", "surrogatepass"), digest_size=16).digest()
            self._sum = (self._sum + int.from_bytes(digest, "big")) % _SUM
            self.count += 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sum) and (self.count, self._sum) == (other.count, other._sum)

    __hash__ = None  # type: ignore[assignment]


def refuse_strangers(source: Connection, target: Store, source_url: str) -> None:
    """Make sure that all that the target holds is from the source.

    Raises:
        StoreError: It holds something else.
    """
    for table, name in _IDENTITIES:
        after = 0 if table is schema.experiments else -1  # the default experiment is in every store
        while True:
            query = select(table.c.id, table.c[name]).where(table.c.id > after).order_by(table.c.id).limit(500)
            with target.reading() as connection:
                rows = {row[0]: row[1] for row in connection.execute(query)}
            if not rows:
                break
            known: dict[int, str] = {}
            for some in chunks(sorted(rows)):
                found = source.execute(select(table.c.id, table.c[name]).where(table.c.id.in_(some)))
                known |= {row[0]: row[1] for row in found}
            strange = next((key for key in rows if known.get(key) != rows[key]), None)
            if strange is not None:
                reason = f"it holds what is not from {source_url} ({table.name}: {rows[strange]!r})"
                hint = "copy into a new database, or carry runs over: autotrack export, autotrack import"
                raise StoreError(target.safe_url, reason, hint)
            after = max(rows)


@retried
def write_page(store: Store, page: Page, rows: Sequence[Row]) -> int:
    """Make a range of the store's table hold these rows and no others, in one transaction.

    Returns:
        How many rows were changed.
    """
    table = page.table
    keys = [list(table.columns.keys()).index(column.name) for column in table.primary_key.columns]
    wanted = {tuple(row[index] for index in keys): row for row in rows}
    there = _there(store, table, page.within, keys)
    extra = [key for key in there if key not in wanted]
    changed = [row for key, row in wanted.items() if key in there and there[key] != row]
    missing = [row for key, row in wanted.items() if key not in there]
    if not (extra or changed or missing):
        return 0
    with store.transaction() as connection:
        _delete(connection, table, extra)
        _update(connection, table, changed)
        _insert(store, connection, table, missing)
    return len(extra) + len(changed) + len(missing)


def _there(store: Store, table: Table, within: ColumnElement[bool], keys: list[int]) -> dict[Row, Row]:
    with store.reading() as connection:
        rows = [tuple(row) for row in connection.execute(select(table).where(within))]
    return {tuple(row[index] for index in keys): row for row in rows}


def _delete(connection: Connection, table: Table, keys: list[Row]) -> None:
    if keys:
        columns = list(table.primary_key.columns)
        statement = table.delete()
        for number, column in enumerate(columns):
            statement = statement.where(column == bindparam(f"key_{number}"))
        connection.execute(statement, [{f"key_{number}": value for number, value in enumerate(key)} for key in keys])


def _update(connection: Connection, table: Table, rows: list[Row]) -> None:
    names = list(table.columns.keys())
    keys = {column.name for column in table.primary_key.columns}
    others = [name for name in names if name not in keys]
    if not rows or not others:
        return
    statement = table.update().values({name: bindparam(f"new_{name}") for name in others})
    for name in keys:
        statement = statement.where(table.c[name] == bindparam(f"key_{name}"))
    values = []
    for row in rows:
        by_name: dict[str, Any] = dict(zip(names, row, strict=True))
        values.append({(f"key_{name}" if name in keys else f"new_{name}"): value for name, value in by_name.items()})
    connection.execute(statement, values)


def _insert(store: Store, connection: Connection, table: Table, rows: list[Row]) -> None:
    if not rows:
        return
    if table is schema.metric_points:
        store.dialect.insert_numbers(connection, table, list(zip(*rows, strict=True)))
        return
    names = list(table.columns.keys())
    for some in chunks(rows):
        connection.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in some])


@retried
def advance_keys(store: Store, tables: Iterable[Table]) -> None:
    """See to it that the next row gets a new key."""
    with store.transaction() as connection:
        for table in tables:
            if "id" in table.columns:
                store.dialect.advance_key(connection, table)


def sum_of(store: Store, table: Table, pages: Iterable[Page]) -> Sum:
    """The checksum of a table, read anew by the ranges of the source's pages."""
    found = Sum()
    for page in pages:
        with store.reading() as connection:
            found.add(tuple(row) for row in connection.execute(select(table).where(page.within)))
    return found
