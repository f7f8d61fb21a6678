"""The database: the engine's own check, and rows whose owners are gone."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Column, ColumnElement, ForeignKeyConstraint, Table, func, select

from autotrack.maintenance.checks.findings import REPAIR, Finding
from autotrack.store import schema
from autotrack.store.engine import Store, retried

OWNERS = 100
"""Missing owners whose rows are mended in one transaction."""


def check_engine(store: Store) -> Iterator[Finding]:
    """The engine's own check of its files."""
    names = [table.name for table in schema.metadata.sorted_tables]
    with store.reading() as connection, store.dialect.unhurried(connection):
        faults = store.dialect.faults(connection, names)
    for fault in faults:
        remedy = "copy the database before anything else; restore a backup, or copy what can be read: autotrack db copy"
        yield Finding("engine", store.safe_url, fault, remedy)


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
