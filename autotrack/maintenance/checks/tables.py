"""The database: the engine's own check, and rows whose owners are gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import Column, ColumnElement, ForeignKeyConstraint, Row, Table, func, select

from autotrack import events
from autotrack.errors import StoreError
from autotrack.maintenance.checks.findings import REPAIR, RESCUE, Finding
from autotrack.store import schema
from autotrack.store.engine import Store, retried

_JSON = msgspec.json.Decoder()

DOCUMENTS: dict[str, dict[str, msgspec.json.Decoder[Any]]] = {
    "environments": {"content": _JSON},
    "sessions": {"argv": msgspec.json.Decoder(list[str])},
    "trials": {"content": msgspec.json.Decoder(events.TrialInfo)},
    "fits": {"error": msgspec.json.Decoder(events.ErrorInfo), "details": _JSON},
    "models": {"flavors": msgspec.json.Decoder(list[str]), "metadata": _JSON},
}
"""Columns that hold JSON, by table."""

CUT = "(cut:"
"""In the end of a text that was longer than what MySQL takes."""

OWNERS = 100
"""Missing owners whose rows are mended in one transaction."""


def check_engine(store: Store) -> Iterator[Finding]:
    """The engine's own check of its files."""
    names = [table.name for table in schema.metadata.sorted_tables]
    with store.reading() as connection, store.dialect.unhurried(connection):
        faults = store.dialect.faults(connection, names)
    for fault in faults:
        yield Finding("engine", store.safe_url, fault, RESCUE)


def check_rows(store: Store, checked: dict[str, int]) -> Iterator[Finding]:
    """Rows that cannot be read: the engine passes over what stands in them. Points, all numbers, are left out."""
    checked["rows"] = 0
    for table in schema.metadata.sorted_tables:
        if table is schema.metric_points:
            continue
        try:
            for row in _rows(store, table):
                checked["rows"] += 1
                yield from _unreadable(table, row)
        except StoreError as error:
            yield Finding("rows", table.name, f"cannot be read: {error}", RESCUE)


def _rows(store: Store, table: Table) -> Iterator[Row[Any]]:
    options = {"stream_results": True, "yield_per": 500}
    with store.reading() as connection, store.dialect.unhurried(connection):
        yield from connection.execution_options(**options).execute(select(table))


def _unreadable(table: Table, row: Row[Any]) -> Iterator[Finding]:
    """What of a row is no JSON that is to be; a text of some length may be a piece that a server has cut off."""
    for column, decoder in DOCUMENTS.get(table.name, {}).items():
        text = row._mapping[column]
        try:
            if text:
                decoder.decode(text)
        except (msgspec.DecodeError, TypeError) as error:
            if not (isinstance(text, str) and CUT in text[-100:]):
                where = f"{table.name}, row {row[0]}"
                yield Finding("rows", where, f"its {column} is damaged: {error}", RESCUE)


def check_references(store: Store, repair: bool) -> Iterator[Finding]:
    """Rows that refer to a row that is not there."""
    for table in schema.metadata.sorted_tables:
        for constraint in sorted(table.foreign_key_constraints, key=lambda one: one.column_keys[0]):
            column, parent = _ends(constraint)
            count = _orphans(store, column, parent)
            if count:
                nullable = bool(column.nullable)
                if repair:
                    _mend(store, table, column, parent, nullable)
                problem = f"{count} rows refer by {column.name} to rows of {parent.table.name} that are not there"
                done = "the reference is taken out" if nullable else "they are deleted"
                yield Finding("orphans", table.name, problem, f"{REPAIR}: {done}", repaired=repair)


def check_aliases(store: Store, repair: bool) -> Iterator[Finding]:
    """Aliases of registered models that point at no version."""
    aliases, versions, models = (
        schema.registered_model_aliases,
        schema.model_versions.c,
        schema.registered_models.c,
    )
    there = select(versions.id).where(versions.model == aliases.c.model, versions.version == aliases.c.version)
    query = (
        select(aliases.c.model, aliases.c.alias, aliases.c.version, models.name)
        .join(schema.registered_models, models.id == aliases.c.model)
        .where(~there.exists())
        .order_by(aliases.c.model, aliases.c.alias)
    )
    with store.reading() as connection:
        lost = connection.execute(query).all()
    for model, alias, version, name in lost:
        if repair:
            with store.transaction() as connection:
                here = (aliases.c.model == model) & (aliases.c.alias == alias)
                connection.execute(aliases.delete().where(here))
        problem = f"the alias {alias!r} points at version {version}, which is not there"
        yield Finding("registry", name, problem, f"{REPAIR} removes the alias", repaired=repair)


def _ends(constraint: ForeignKeyConstraint) -> tuple[Column[int], Column[int]]:
    element = constraint.elements[0]
    return element.parent, element.column


def _missing(column: Column[int], parent: Column[int]) -> ColumnElement[bool]:
    owner = parent.table.alias("owner")
    there = select(owner.c[parent.name]).where(owner.c[parent.name] == column)
    return column.is_not(None) & ~there.exists()


def _orphans(store: Store, column: Column[int], parent: Column[int]) -> int:
    query = select(func.count()).select_from(column.table).where(_missing(column, parent))
    with store.reading() as connection, store.dialect.unhurried(connection):
        return int(connection.execute(query).scalar() or 0)


def _mend(store: Store, table: Table, column: Column[int], parent: Column[int], nullable: bool) -> None:
    while _mend_some(store, table, column, parent, nullable):
        pass


@retried
def _mend_some(store: Store, table: Table, column: Column[int], parent: Column[int], nullable: bool) -> bool:
    """Take some references that lead nowhere out of the table; False where there was none left."""
    query = select(column).where(_missing(column, parent)).distinct().limit(OWNERS)
    with store.transaction() as connection:
        lost = list(connection.execute(query).scalars())
        here = column.in_(lost)
        if lost:
            emptied = table.update().where(here).values({column.name: None})
            connection.execute(emptied if nullable else table.delete().where(here))
    return bool(lost)
