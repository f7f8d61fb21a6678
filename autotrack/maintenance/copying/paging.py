"""A store's tables, page by page, each page with the range of keys that it covers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Table, select, true

from autotrack.store import schema

ROWS = 1_000
"""Rows of a page, where they have keys of their own."""

OWNERS = 200
"""Owners (runs, experiments, ...) whose rows make one page."""

POINTS = 20_000
"""Points of a page, about."""

Row = tuple[Any, ...]


class Page(NamedTuple):
    """Rows of one table."""

    table: Table
    rows: list[Row]
    within: ColumnElement[bool]
    """The condition on the table that these rows, and no others of a whole copy, fulfil."""
    owners: tuple[int, int | None] | None = None
    """First and last owner, where the page goes by owners; None as the last: all later ones too."""


def tables() -> list[Table]:
    """All tables that are copied, owners before what they own."""
    return [table for table in schema.metadata.sorted_tables if table is not schema.alembic_version]


def pages(connection: Connection, table: Table) -> Iterator[Page]:
    """All rows of a table; the pages' ranges together cover every key that there can be."""
    key = next(iter(table.primary_key.columns))
    if table is schema.metric_points:
        yield from _points(connection)
    elif key.foreign_keys:
        yield from _owned(connection, table, key)
    elif key.name == "id":
        yield from _numbered(connection, table, key)
    else:  # keys that are text sort otherwise on each engine: one page, of a table that is small
        yield Page(table, _rows(connection, table, true()), true())


def _rows(connection: Connection, table: Table, condition: ColumnElement[bool]) -> list[Row]:
    return [tuple(row) for row in connection.execute(select(table).where(condition))]


def _numbered(connection: Connection, table: Table, key: Column[Any]) -> Iterator[Page]:
    after = -1
    while True:
        found = connection.execute(select(table).where(key > after).order_by(key).limit(ROWS))
        rows = [tuple(row) for row in found]
        if len(rows) < ROWS:
            yield Page(table, rows, key > after)
            return
        last = rows[-1][list(table.columns.keys()).index(key.name)]
        yield Page(table, rows, (key > after) & (key <= last))
        after = last


def _owned(connection: Connection, table: Table, key: Column[Any]) -> Iterator[Page]:
    owner = next(iter(key.foreign_keys)).column
    first = -1
    while True:
        ids = list(connection.execute(select(owner).where(owner >= first).order_by(owner).limit(OWNERS)).scalars())
        last = None if len(ids) < OWNERS else int(ids[-1])
        within = key >= first if last is None else (key >= first) & (key <= last)
        yield Page(table, _rows(connection, table, within), within, (first, last))
        if last is None:
            return
        first = last + 1


def _points(connection: Connection) -> Iterator[Page]:
    """Whole curves together, and long ones in pieces."""
    table, series = schema.metric_points, schema.metric_series.c
    key, index = table.c.series, table.c.idx
    query = select(series.id, series["count"]).order_by(series.id)
    first, weight = -1, 0
    for one, count in connection.execute(query).all():
        if weight + count > POINTS and weight:
            within = (key >= first) & (key < one)
            yield Page(table, _rows(connection, table, within), within)
            first, weight = one, 0
        if count > POINTS:
            before = (key >= first) & (key < one)
            yield Page(table, _rows(connection, table, before), before)
            for start in range(0, count, POINTS):
                here = (key == one) & (index >= start)
                if start + POINTS < count:
                    here &= index < start + POINTS
                yield Page(table, _rows(connection, table, here), here)
            first, weight = one + 1, 0
        else:
            weight += count
    yield Page(table, _rows(connection, table, key >= first), key >= first)
