"""Versions of registered models that a run put out, out of a store and into another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, func, select

from autotrack.store import schema
from autotrack.store.engine import Store
from autotrack.store.folding import clip
from autotrack.store.location import Location
from autotrack.store.places import full_uri, kept_uri
from autotrack.store.replay.items import RegisteredModelState, VersionState

_models, _versions, _aliases = schema.registered_models, schema.model_versions, schema.registered_model_aliases

_PLAIN = ("version", "run_id", "model_id", "status", "creation_time", "last_update_time", "description", "user_id")
_NOTES = ("run_link", "status_message", "digest", "signature")


def versions_of(connection: Connection, run: Any, location: Location) -> Iterator[RegisteredModelState | VersionState]:
    """Versions that are of a run, by its id or that of one of its models; each model before its versions.

    Args:
        connection: A reading transaction.
        run: The run's row.
        location: The store's.
    """
    logged = select(schema.models.c.model_id).where(schema.models.c.run == run.id)
    mine = (_versions.c.run_id == run.run_id) | _versions.c.model_id.in_(logged)
    query = select(_versions).where(mine).order_by(_versions.c.model, _versions.c.version)
    told = None
    for row in connection.execute(query).all():
        model = connection.execute(select(_models).where(_models.c.id == row.model)).one()
        if row.model != told:
            told = row.model
            tags = _tags(connection, schema.registered_model_tags, "model", row.model)
            times = (model.creation_time, model.last_update_time)
            yield RegisteredModelState(model.name, *times, model.description, tags)
        here = (_aliases.c.model == row.model) & (_aliases.c.version == row.version)
        yield VersionState(
            name=model.name,
            source=full_uri(location, row.source),
            tags=_tags(connection, schema.model_version_tags, "version", row.id),
            aliases=list(connection.execute(select(_aliases.c.alias).where(here).order_by(_aliases.c.alias)).scalars()),
            **{name: getattr(row, name) for name in (*_PLAIN, *_NOTES)},
        )


def _tags(connection: Connection, table: Table, owner: str, key: int) -> dict[str, str]:
    query = select(table.c.key, table.c.value).where(table.c[owner] == key).order_by(table.c.key)
    return {row.key: row.value for row in connection.execute(query)}


def write_model(store: Store, connection: Connection, state: RegisteredModelState) -> None:
    """Make a registered model, unless it is there, and tags that it does not have."""
    row = msgspec.structs.asdict(state)
    tags = row.pop("tags")
    connection.execute(store.dialect.insert_missing(_models, ("name",)), [{**row, "last_version": 0}])
    key = connection.execute(select(_models.c.id).where(_models.c.name == state.name)).scalar_one()
    _add_tags(store, connection, schema.registered_model_tags, "model", key, tags)


def write_version(store: Store, connection: Connection, state: VersionState) -> None:
    """Make a version, unless one of the same origin is there; its number is its own where that is free."""
    locked = select(_models.c.id, _models.c.last_version).where(_models.c.name == state.name).with_for_update()
    model = connection.execute(locked).one()
    if _is_there(connection, model.id, state):
        return
    free = _free_number(connection, model.id, model.last_version, state.version)
    row = {name: getattr(state, name) for name in (*_PLAIN, *_NOTES)}
    row |= {"model": model.id, "version": free, "source": kept_uri(store.location, state.source)}
    connection.execute(_versions.insert(), [row])
    highest = max(model.last_version, free)
    connection.execute(_models.update().where(_models.c.id == model.id).values(last_version=highest))
    mine = (_versions.c.model == model.id) & (_versions.c.version == free)
    key = connection.execute(select(_versions.c.id).where(mine)).scalar_one()
    _add_tags(store, connection, schema.model_version_tags, "version", key, state.tags)
    aliases = [{"model": model.id, "alias": clip(alias), "version": free} for alias in state.aliases]
    if aliases:
        connection.execute(store.dialect.insert_missing(_aliases, ("model", "alias")), aliases)


def _is_there(connection: Connection, model: int, state: VersionState) -> bool:
    """Whether there is a version that was made of the same thing at the same time."""
    columns = _versions.c
    same = (columns.model == model) & (columns.creation_time == state.creation_time)
    for name in ("run_id", "model_id"):
        value = getattr(state, name)
        same &= columns[name].is_(None) if value is None else columns[name] == value
    return connection.execute(select(columns.id).where(same)).first() is not None


def _free_number(connection: Connection, model: int, last: int, wanted: int) -> int:
    taken = select(_versions.c.id).where(_versions.c.model == model, _versions.c.version == wanted)
    if wanted > 0 and connection.execute(taken).first() is None:
        return wanted
    highest = select(func.max(_versions.c.version)).where(_versions.c.model == model)
    return max(last, int(connection.execute(highest).scalar() or 0)) + 1


def _add_tags(store: Store, connection: Connection, table: Table, owner: str, key: int, tags: dict[str, str]) -> None:
    rows = [{owner: key, "key": clip(name), "value": value} for name, value in tags.items()]
    if rows:
        connection.execute(store.dialect.insert_missing(table, (owner, "key")), rows)
