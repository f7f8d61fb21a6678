"""Changes of the model registry: registered models, their versions, aliases and tags.

Whoever changes anything of a registered model holds its row locked meanwhile. So numbers of versions are given one by
one, without gaps, and never twice, whatever has been deleted; and an alias always points at a version that is there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, select
from sqlalchemy.exc import IntegrityError

from autotrack import clock
from autotrack.errors import AlreadyExistsError, NotFoundError
from autotrack.events import ModelRegistered
from autotrack.store import schema
from autotrack.store.dialects import Dialect
from autotrack.store.engine import Store, retried
from autotrack.store.folding import clip
from autotrack.store.location import Location
from autotrack.store.places import kept_uri

MAX_VERSION = 2**31 - 1

_models, _versions, _aliases = schema.registered_models, schema.model_versions, schema.registered_model_aliases


class NewVersion(NamedTuple):
    """What a version is made of."""

    source: str
    run_id: str | None = None
    model_id: str | None = None
    description: str = ""
    user_id: str = ""
    run_link: str = ""
    digest: str = ""
    signature: str = ""


@retried
def create_model(store: Store, name: str, tags: Mapping[str, str], description: str) -> None:
    """Make a registered model, which has no version yet.

    Raises:
        AlreadyExistsError: There is one of that name.
        StoreError: The store cannot be written.
    """
    row = _new_model(name, clock.now()) | {"description": description}
    with store.transaction() as connection:
        if _key_of(connection, name) is not None:
            raise AlreadyExistsError("registered model", name)
        try:
            connection.execute(_models.insert(), [row])
        except IntegrityError:
            raise AlreadyExistsError("registered model", name) from None
        key = _locked(connection, name)
        _set_tags(connection, store.dialect, schema.registered_model_tags, key, tags)


@retried
def ensure_model(store: Store, name: str) -> None:
    """Make a registered model unless there is one of that name; safe to call from many processes.

    Raises:
        StoreError: The store cannot be written.
    """
    with store.reading() as connection:
        if _key_of(connection, name) is not None:
            return
    with store.transaction() as connection:
        connection.execute(store.dialect.insert_missing(_models, ("name",)), [_new_model(name, clock.now())])


@retried
def rename_model(store: Store, name: str, new_name: str) -> None:
    """Rename a registered model; versions, aliases and tags stay with it.

    Raises:
        NotFoundError: There is no such model.
        AlreadyExistsError: There is one of the new name.
        StoreError: The store cannot be written.
    """
    with store.transaction() as connection:
        key = _locked(connection, name)
        if _key_of(connection, new_name) not in (None, key):
            raise AlreadyExistsError("registered model", new_name)
        try:
            _touch(connection, key, name=new_name)
        except IntegrityError:
            raise AlreadyExistsError("registered model", new_name) from None


@retried
def describe_model(store: Store, name: str, description: str) -> None:
    """Set a registered model's description.

    Raises:
        NotFoundError: There is no such model.
        StoreError: The store cannot be written.
    """
    with store.transaction() as connection:
        _touch(connection, _locked(connection, name), description=description)


@retried
def delete_model(store: Store, name: str) -> None:
    """Delete a registered model with its versions, aliases and tags; the files of the versions stay.

    Raises:
        NotFoundError: There is no such model.
        StoreError: The store cannot be written.
    """
    with store.transaction() as connection:
        connection.execute(_models.delete().where(_models.c.id == _locked(connection, name)))


@retried
def set_model_tag(store: Store, name: str, key: str, value: str) -> None:
    """Set a tag of a registered model.

    Raises:
        NotFoundError: There is no such model.
        StoreError: The store cannot be written.
    """
    with _changing(store, name) as (connection, model):
        _set_tags(connection, store.dialect, schema.registered_model_tags, model, {key: value})


@retried
def delete_model_tag(store: Store, name: str, key: str) -> None:
    """Delete a tag of a registered model; one that is not there is no error.

    Raises:
        NotFoundError: There is no such model.
        StoreError: The store cannot be written.
    """
    with _changing(store, name) as (connection, model):
        _delete_tag(connection, schema.registered_model_tags, model, key)


@retried
def set_alias(store: Store, name: str, alias: str, version: int) -> None:
    """Have an alias of a registered model point at a version from now on.

    Raises:
        NotFoundError: There is no such model, or no such version of it.
        StoreError: The store cannot be written.
    """
    with _changing(store, name) as (connection, model):
        _version_key(connection, model, name, version)
        row = {"model": model, "alias": alias, "version": version}
        connection.execute(store.dialect.upsert(_aliases, ("model", "alias")), [row])


@retried
def delete_alias(store: Store, name: str, alias: str) -> None:
    """Delete an alias of a registered model; one that is not there is no error.

    Raises:
        NotFoundError: There is no such model.
        StoreError: The store cannot be written.
    """
    with _changing(store, name) as (connection, model):
        connection.execute(_aliases.delete().where(_aliases.c.model == model, _aliases.c.alias == alias))


@retried
def create_version(store: Store, name: str, new: NewVersion, tags: Mapping[str, str]) -> int:
    """Make the next version of a registered model.

    Returns:
        Its number.

    Raises:
        NotFoundError: There is no such model.
        StoreError: The store cannot be written.
    """
    with store.transaction() as connection:
        model = _locked(connection, name)
        kept = new._replace(source=kept_uri(store.location, new.source))
        version = _add_version(connection, model, kept, clock.now())
        key = _version_key(connection, model, name, version)
        _set_tags(connection, store.dialect, schema.model_version_tags, key, tags)
        return version


@retried
def describe_version(store: Store, name: str, version: int, description: str) -> None:
    """Set a version's description.

    Raises:
        NotFoundError: There is no such model or version.
        StoreError: The store cannot be written.
    """
    with store.transaction() as connection:
        _touch_version(connection, _version(connection, name, version), description=description)


@retried
def delete_version(store: Store, name: str, version: int) -> None:
    """Delete a version, and the aliases that point at it; its number is not given again, its files stay.

    Raises:
        NotFoundError: There is no such model or version.
        StoreError: The store cannot be written.
    """
    with _changing(store, name) as (connection, model):
        key = _version_key(connection, model, name, version)
        connection.execute(_aliases.delete().where(_aliases.c.model == model, _aliases.c.version == version))
        connection.execute(_versions.delete().where(_versions.c.id == key))


@retried
def set_version_tag(store: Store, name: str, version: int, key: str, value: str) -> None:
    """Set a tag of a version.

    Raises:
        NotFoundError: There is no such model or version.
        StoreError: The store cannot be written.
    """
    with _changing_version(store, name, version) as (connection, found):
        _set_tags(connection, store.dialect, schema.model_version_tags, found, {key: value})


@retried
def delete_version_tag(store: Store, name: str, version: int, key: str) -> None:
    """Delete a tag of a version; one that is not there is no error.

    Raises:
        NotFoundError: There is no such model or version.
        StoreError: The store cannot be written.
    """
    with _changing_version(store, name, version) as (connection, found):
        _delete_tag(connection, schema.model_version_tags, found, key)


def apply(connection: Connection, dialect: Dialect, location: Location, registered: Iterable[ModelRegistered]) -> None:
    """Register what journals say, inside their transaction: one version a logged model and name.

    A logged model that is a version already makes no second one. Where it has been logged anew since (by further steps
    of one training call), its version follows it.
    """
    by_name: dict[str, list[ModelRegistered]] = {}
    for event in registered:
        by_name.setdefault(clip(event.name), []).append(event)
    for name in sorted(by_name):
        model = _ensured(connection, dialect, name, by_name[name][0].time)
        for event in by_name[name]:
            _register(connection, dialect, location, model, event)


def _register(connection: Connection, dialect: Dialect, location: Location, model: int, event: ModelRegistered) -> None:
    storable = dialect.storable
    texts = {"source": kept_uri(location, storable(event.source)), "signature": storable(event.signature)}
    values = {**texts, "digest": clip(event.digest, 64)}
    same = (_versions.c.model == model) & (_versions.c.model_id == event.model_id)
    found = connection.execute(select(_versions.c.id).where(same).order_by(_versions.c.version.desc())).scalar()
    if found is not None:
        connection.execute(_versions.update().where(_versions.c.id == found).values(values))
        return
    new = NewVersion(run_id=event.run_id, model_id=event.model_id, user_id=storable(event.user), **values)
    _add_version(connection, model, new, event.time)


def _add_version(connection: Connection, model: int, new: NewVersion, now: int) -> int:
    """The next version of a locked model."""
    number = int(connection.execute(select(_models.c.last_version).where(_models.c.id == model)).scalar_one()) + 1
    row = new._asdict() | {"model": model, "version": number, "status": "READY", "status_message": ""}
    connection.execute(_versions.insert(), [{**row, "creation_time": now, "last_update_time": now}])
    _touch(connection, model, last_version=number)
    return number


def _new_model(name: str, now: int) -> dict[str, Any]:
    return {"name": name, "description": "", "creation_time": now, "last_update_time": now, "last_version": 0}


def _key_of(connection: Connection, name: str) -> int | None:
    found: int | None = connection.execute(select(_models.c.id).where(_models.c.name == name)).scalar()
    return found


def _locked(connection: Connection, name: str) -> int:
    """A registered model's primary key; other writers wait until this transaction ends."""
    found = connection.execute(select(_models.c.id).where(_models.c.name == name).with_for_update()).scalar()
    if found is None:
        raise NotFoundError("registered model", name)
    return int(found)


def _ensured(connection: Connection, dialect: Dialect, name: str, now: int) -> int:
    """The same; one that is not there, or that another writer deletes in this moment, is made."""
    query = select(_models.c.id).where(_models.c.name == name).with_for_update()
    while (found := connection.execute(query).scalar()) is None:
        connection.execute(dialect.insert_missing(_models, ("name",)), [_new_model(name, now)])
    return int(found)


@contextlib.contextmanager
def _changing(store: Store, name: str) -> Iterator[tuple[Connection, int]]:
    """A transaction that changes a registered model, which is locked until its end; with the model's primary key."""
    with store.transaction() as connection:
        model = _locked(connection, name)
        yield connection, model
        _touch(connection, model)


@contextlib.contextmanager
def _changing_version(store: Store, name: str, version: int) -> Iterator[tuple[Connection, int]]:
    """The same for one of its versions, with the version's primary key."""
    with store.transaction() as connection:
        found = _version(connection, name, version)
        yield connection, found
        _touch_version(connection, found)


def _version(connection: Connection, name: str, version: int) -> int:
    return _version_key(connection, _locked(connection, name), name, version)


def _version_key(connection: Connection, model: int, name: str, version: int) -> int:
    mine = (_versions.c.model == model) & (_versions.c.version == version)
    found = connection.execute(select(_versions.c.id).where(mine)).scalar()
    if found is None:
        raise NotFoundError(f"version of the registered model {name!r}", str(version))
    return int(found)


def _touch(connection: Connection, model: int, **values: Any) -> None:
    values["last_update_time"] = clock.now()
    connection.execute(_models.update().where(_models.c.id == model).values(values))


def _touch_version(connection: Connection, version: int, **values: Any) -> None:
    values["last_update_time"] = clock.now()
    connection.execute(_versions.update().where(_versions.c.id == version).values(values))


def _set_tags(connection: Connection, dialect: Dialect, table: Table, owner: int, tags: Mapping[str, str]) -> None:
    name = table.c[0].name
    rows = [{name: owner, "key": clip(key), "value": value} for key, value in sorted(tags.items())]
    if rows:
        connection.execute(dialect.upsert(table, (name, "key")), rows)


def _delete_tag(connection: Connection, table: Table, owner: int, key: str) -> None:
    connection.execute(table.delete().where(table.c[0] == owner, table.c.key == clip(key)))
