"""What the model registry holds, as records: by name, by version, by alias, and by search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, literal, select

from autotrack import records
from autotrack.errors import NotFoundError
from autotrack.store import schema
from autotrack.store.curves import chunks
from autotrack.store.engine import Store
from autotrack.store.filters import Field, Vocabulary, tag
from autotrack.store.location import Location
from autotrack.store.ordering import Part, Search
from autotrack.store.places import full_uri

_models, _versions, _aliases = schema.registered_models, schema.model_versions, schema.registered_model_aliases

_TIMES = {"creation_time": "creation_timestamp", "last_update_time": "last_updated_timestamp"}
_VERSION_ALIASES = {**_TIMES, "version": "version_number", "source": "source_path"}


def model(store: Store, name: str) -> records.RegisteredModel:
    """A registered model, with its newest version.

    Raises:
        NotFoundError: There is none of that name.
        StoreError: The store cannot be read.
    """
    with store.reading() as connection:
        return _load_models(connection, store.location, [_model_key(connection, name)])[0]


def version(store: Store, name: str, number: int) -> records.ModelVersion:
    """A version of a registered model.

    Raises:
        NotFoundError: There is no such model, or no such version of it.
        StoreError: The store cannot be read.
    """
    with store.reading() as connection:
        key = _model_key(connection, name)
        found = _one(connection, store.location, (_versions.c.model == key) & (_versions.c.version == number))
        if found is None:
            numbers = select(_versions.c.version).where(_versions.c.model == key).order_by(_versions.c.version.desc())
            newest = ", ".join(str(one) for one in connection.execute(numbers.limit(5)).scalars())
            hint = f"the newest are: {newest}" if newest else "it has none"
            raise NotFoundError(f"version of the registered model {name!r}", str(number), hint)
        return found


def latest(store: Store, name: str) -> records.ModelVersion | None:
    """The newest version of a registered model; None where it has none.

    Raises:
        NotFoundError: There is no such model.
        StoreError: The store cannot be read.
    """
    with store.reading() as connection:
        key = _model_key(connection, name)
        highest = select(func.max(_versions.c.version)).where(_versions.c.model == key).scalar_subquery()
        return _one(connection, store.location, (_versions.c.model == key) & (_versions.c.version == highest))


def aliased(store: Store, name: str, alias: str) -> records.ModelVersion:
    """The version that an alias of a registered model points at.

    Raises:
        NotFoundError: There is no such model, or no such alias of it.
        StoreError: The store cannot be read.
    """
    with store.reading() as connection:
        key = _model_key(connection, name)
        query = select(_aliases.c.alias, _aliases.c.version).where(_aliases.c.model == key).order_by(_aliases.c.alias)
        numbers = {row.alias: row.version for row in connection.execute(query)}
        condition = (_versions.c.model == key) & (_versions.c.version == numbers.get(alias))
        found = _one(connection, store.location, condition) if alias in numbers else None
        if found is None:
            hint = f"it has: {', '.join(numbers)}" if numbers else "it has none"
            raise NotFoundError(f"alias of the registered model {name!r}", alias, hint)
        return found


def search_models(
    store: Store, filter_string: str, max_results: int, order_by: Sequence[str], page_token: str | None
) -> records.Page[records.RegisteredModel]:
    """Registered models that a filter matches; arguments and errors as for `Reader.search_runs`, by name by default."""
    search = Search(filter_string, tuple(order_by), max_results, page_token, "registered models")
    with store.reading() as connection:
        default = (Part(store.dialect.sortable(_models.c.name)), Part(_models.c.id))
        keys, token = search.find(connection, store.dialect, model_vocabulary(), default, ())
        return records.Page(_load_models(connection, store.location, keys), token)


def search_versions(
    store: Store, filter_string: str, max_results: int, order_by: Sequence[str], page_token: str | None
) -> records.Page[records.ModelVersion]:
    """Versions that a filter matches, last changed first by default; the rest is as for `Reader.search_runs`."""
    search = Search(filter_string, tuple(order_by), max_results, page_token, "model versions")
    with store.reading() as connection:
        default = (
            Part(_versions.c.last_update_time, True),
            Part(store.dialect.sortable(_name_of_version())),
            Part(_versions.c.version, True),
            Part(_versions.c.id),
        )
        keys, token = search.find(connection, store.dialect, version_vocabulary(store.location), default, ())
        return records.Page(_load_versions(connection, store.location, keys), token)


def model_vocabulary() -> Vocabulary:
    """What filters of registered models can name."""
    fields = {
        "name": Field(_models.c.name),
        "description": Field(_models.c.description),
        "creation_timestamp": Field(_models.c.creation_time, is_number=True),
        "last_updated_timestamp": Field(_models.c.last_update_time, is_number=True),
    }
    aliases = {**_TIMES, "timestamp": "last_updated_timestamp"}
    return Vocabulary(_models.c.id, fields, aliases, {"tags": tag}, schema.registered_model_tags)


def version_vocabulary(location: Location) -> Vocabulary:
    """What filters of versions can name.

    Args:
        location: The store's, below whose artifact root files may be.
    """
    columns = _versions.c
    below = literal(location.artifact_root) + func.substr(columns.source, 2)
    source = case((columns.source.like("./%"), below), else_=columns.source)
    fields = {
        "name": Field(_name_of_version()),
        "version_number": Field(columns.version, is_number=True),
        "run_id": Field(columns.run_id, nullable=True),
        "model_id": Field(columns.model_id, nullable=True),
        "source_path": Field(source),
        "status": Field(columns.status),
        "user_id": Field(columns.user_id),
        "description": Field(columns.description),
        "digest": Field(columns.digest, nullable=True),
        "creation_timestamp": Field(columns.creation_time, is_number=True),
        "last_updated_timestamp": Field(columns.last_update_time, is_number=True),
    }
    return Vocabulary(columns.id, fields, _VERSION_ALIASES, {"tags": tag}, schema.model_version_tags)


def _name_of_version() -> ColumnElement[str]:
    return select(_models.c.name).where(_models.c.id == _versions.c.model).scalar_subquery()


def _model_key(connection: Connection, name: str) -> int:
    found = connection.execute(select(_models.c.id).where(_models.c.name == name)).scalar()
    if found is None:
        raise NotFoundError("registered model", name)
    return int(found)


def _one(connection: Connection, location: Location, condition: ColumnElement[bool]) -> records.ModelVersion | None:
    key = connection.execute(select(_versions.c.id).where(condition)).scalar()
    return None if key is None else _load_versions(connection, location, [key])[0]


def _load_models(connection: Connection, location: Location, keys: Sequence[int]) -> list[records.RegisteredModel]:
    """Whole registered models, in the order of their primary keys in `keys`."""
    tags = schema.registered_model_tags.c
    rows: dict[int, Any] = {}
    labels: dict[int, dict[str, str]] = {key: {} for key in keys}
    aliases: dict[int, dict[str, str]] = {key: {} for key in keys}
    newest: dict[int, int] = {}
    for some in chunks(list(keys)):
        rows |= {row.id: row for row in connection.execute(select(_models).where(_models.c.id.in_(some)))}
        query = select(tags.model, tags.key, tags.value).where(tags.model.in_(some)).order_by(tags.key)
        for key, name, value in connection.execute(query):
            labels[key][name] = value
        named = select(_aliases).where(_aliases.c.model.in_(some)).order_by(_aliases.c.alias)
        for row in connection.execute(named):
            aliases[row.model][row.alias] = str(row.version)
        newest |= _newest(connection, some)
    versions = dict(zip(newest, _load_versions(connection, location, list(newest.values())), strict=True))
    return [_model(rows[key], labels[key], aliases[key], versions.get(key)) for key in keys]


def _newest(connection: Connection, models: Sequence[int]) -> dict[int, int]:
    """Primary keys of the newest versions of registered models."""
    highest = (
        select(_versions.c.model, func.max(_versions.c.version).label("highest"))
        .where(_versions.c.model.in_(models))
        .group_by(_versions.c.model)
        .subquery("newest")
    )
    same = (highest.c.model == _versions.c.model) & (highest.c.highest == _versions.c.version)
    query = select(_versions.c.model, _versions.c.id).join(highest, same)
    return {row.model: row.id for row in connection.execute(query)}


def _load_versions(connection: Connection, location: Location, keys: Sequence[int]) -> list[records.ModelVersion]:
    """Whole versions, in the order of their primary keys in `keys`."""
    tags = schema.model_version_tags.c
    rows: dict[int, Any] = {}
    labels: dict[int, dict[str, str]] = {key: {} for key in keys}
    aliases: dict[int, list[str]] = {key: [] for key in keys}
    same = (_aliases.c.model == _versions.c.model) & (_aliases.c.version == _versions.c.version)
    for some in chunks(list(keys)):
        query = select(_versions, _models.c.name).join(_models, _models.c.id == _versions.c.model)
        rows |= {row.id: row for row in connection.execute(query.where(_versions.c.id.in_(some)))}
        marks = select(tags.version, tags.key, tags.value).where(tags.version.in_(some)).order_by(tags.key)
        for key, name, value in connection.execute(marks):
            labels[key][name] = value
        named = select(_versions.c.id, _aliases.c.alias).join(_aliases, same).where(_versions.c.id.in_(some))
        for key, alias in connection.execute(named.order_by(_aliases.c.alias)):
            aliases[key].append(alias)
    return [_version(rows[key], location, labels[key], aliases[key]) for key in keys]


def _model(
    row: Any, tags: dict[str, str], aliases: dict[str, str], newest: records.ModelVersion | None
) -> records.RegisteredModel:
    times = (row.creation_time, row.last_update_time)
    return records.RegisteredModel(row.name, *times, row.description, [newest] if newest else [], tags, aliases)


def _version(row: Any, location: Location, tags: dict[str, str], aliases: list[str]) -> records.ModelVersion:
    return records.ModelVersion(
        name=row.name,
        version=str(row.version),
        creation_timestamp=row.creation_time,
        last_updated_timestamp=row.last_update_time,
        description=row.description,
        user_id=row.user_id,
        source=full_uri(location, row.source),
        run_id=row.run_id,
        status=row.status,
        status_message=row.status_message or "",
        tags=tags,
        run_link=row.run_link or "",
        aliases=aliases,
        model_id=row.model_id,
        digest=row.digest or "",
        signature=row.signature or "",
    )
