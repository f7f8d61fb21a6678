"""Registered models of a store of ours in MLflow's terms, and MLflow's into a store of ours.

Versions keep their numbers, which are part of the URIs that programs hold; so rows are written here, not by the calls
that give numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from sqlalchemy import Connection, select

from autotrack import records
from autotrack.bridge.contents import Outcome, RegisteredContents, VersionContents
from autotrack.store import registry_reading, schema
from autotrack.store.curves import chunks
from autotrack.store.engine import Store, retried
from autotrack.store.places import kept_uri

PAGE = 1000

_models, _versions, _aliases = schema.registered_models, schema.model_versions, schema.registered_model_aliases
_model_tags, _version_tags = schema.registered_model_tags, schema.model_version_tags


def registered(store: Store, run_ids: Collection[str]) -> Iterator[RegisteredContents]:
    """Registered models of which these runs put a version out, with those versions alone.

    Args:
        store: Where from.
        run_ids: Ids of runs.

    Raises:
        StoreError: The store cannot be read.
    """
    by_name: dict[str, list[records.ModelVersion]] = {}
    token: str | None = None
    while True:
        page = registry_reading.search_versions(store, "", PAGE, (), token)
        for version in page:
            if version.run_id in run_ids:
                by_name.setdefault(version.name, []).append(version)
        token = page.token
        if not token:
            break
    for name in sorted(by_name):
        model = registry_reading.model(store, name)
        versions = sorted((_version(one) for one in by_name[name]), key=lambda one: one.version)
        numbers = {one.version for one in versions}
        yield RegisteredContents(
            name=name,
            description=model.description,
            creation_time=model.creation_timestamp,
            last_update_time=model.last_updated_timestamp,
            tags=model.tags,
            aliases={alias: int(number) for alias, number in model.aliases.items() if int(number) in numbers},
            versions=versions,
        )


def _version(one: records.ModelVersion) -> VersionContents:
    return VersionContents(
        version=int(one.version),
        source=one.source,
        run_id=one.run_id,
        model_id=one.model_id,
        status=one.status,
        description=one.description,
        user=one.user_id,
        creation_time=one.creation_timestamp,
        last_update_time=one.last_updated_timestamp,
        tags=one.tags,
    )


def runs_here(store: Store, run_ids: Collection[str]) -> set[str]:
    """Those of the runs that are in a store."""
    found: set[str] = set()
    table = schema.runs.c
    with store.reading() as connection:
        for some in chunks(sorted(run_ids)):
            found |= set(connection.execute(select(table.run_id).where(table.run_id.in_(some))).scalars())
    return found


@retried
def write(
    store: Store, model: RegisteredContents, source_of: Callable[[VersionContents], str], remarks: list[str]
) -> Outcome:
    """Write what of a registered model is not there yet.

    Args:
        store: Where to.
        model: With the versions that are to be there.
        source_of: Where the directory of a version is here; empty where it could not be had.
        remarks: Gets what could not be carried, in words.

    Raises:
        StoreError: The store cannot be written.
    """
    with store.reading() as connection:
        known = connection.execute(select(_models.c.id).where(_models.c.name == model.name)).scalar()
        held = {} if known is None else _held(connection, known)
    strangers = {one.version for one in model.versions if one.version in held and not _is_one(held[one.version], one)}
    sources = {one.version: source_of(one) for one in model.versions if one.version not in held}
    said = dict.fromkeys(sorted(strangers), "is another one here, and stays as it is")
    said |= {number: "is left out: its files cannot be had" for number, source in sources.items() if not source}
    remarks += [f"registered model {model.name!r}: version {number} {text}" for number, text in said.items()]
    with store.transaction() as connection:
        rows = _Rows(store, connection, model)
        for version in model.versions:
            if version.version not in strangers:
                rows.write_version(version, sources.get(version.version) or None)
        rows.write_aliases(strangers)
    if known is None:
        return "new"
    return "completed" if rows.changed else "unchanged"


def _held(connection: Connection, key: int) -> dict[int, Any]:
    query = select(_versions).where(_versions.c.model == key)
    return {row.version: row for row in connection.execute(query)}


def _is_one(row: Any, version: VersionContents) -> bool:
    """Whether a row is that version: it came out of the same run."""
    return bool((row.run_id or None) == version.run_id)


class _Rows:
    """A registered model's rows, in one writing transaction."""

    def __init__(self, store: Store, connection: Connection, model: RegisteredContents) -> None:
        self.changed = 0
        self._store = store
        self._connection = connection
        self._model = model
        new = {
            "name": model.name,
            "description": model.description,
            "creation_time": model.creation_time,
            "last_update_time": model.last_update_time,
            "last_version": 0,
        }
        connection.execute(store.dialect.insert_missing(_models, ("name",)), [new])
        query = select(_models.c.id, _models.c.last_version).where(_models.c.name == model.name).with_for_update()
        self._key, self._last = connection.execute(query).one()
        self._held = _held(connection, self._key)
        self._write_tags(_model_tags, "model", self._key, model.tags)

    def _write_tags(self, table: Any, owner: str, key: int, tags: dict[str, str]) -> None:
        """Add or change tags; those that are there besides stay."""
        query = select(table.c.key, table.c.value).where(table.c[owner] == key)
        held = {row.key: row.value for row in self._connection.execute(query)}
        rows = [{owner: key, "key": name, "value": value} for name, value in tags.items() if held.get(name) != value]
        if rows:
            self._connection.execute(self._store.dialect.upsert(table, (owner, "key")), rows)
            self.changed += len(rows)

    def write_version(self, version: VersionContents, source: str | None) -> None:
        """Make a version whose files are here, or look after the tags of one that is there."""
        row = self._held.get(version.version)
        if row is None and source is None:
            return
        if row is None:
            new = {
                "model": self._key,
                "version": version.version,
                "source": kept_uri(self._store.location, source or ""),
                "run_id": version.run_id,
                "model_id": version.model_id,
                "status": version.status,
                "description": version.description,
                "user_id": version.user,
                "creation_time": version.creation_time,
                "last_update_time": version.last_update_time,
                "run_link": "",
                "status_message": "",
                "digest": "",
                "signature": "",
            }
            self._connection.execute(_versions.insert(), [new])
            self.changed += 1
            self._last = max(self._last, version.version)
            self._connection.execute(_models.update().where(_models.c.id == self._key).values(last_version=self._last))
            self._held = _held(self._connection, self._key)
            row = self._held[version.version]
        self._write_tags(_version_tags, "version", row.id, version.tags)

    def write_aliases(self, strangers: set[int]) -> None:
        """Let aliases point where they do at the other end, as far as those versions are here."""
        query = select(_aliases.c.alias, _aliases.c.version).where(_aliases.c.model == self._key)
        held = {row.alias: row.version for row in self._connection.execute(query)}
        rows = [
            {"model": self._key, "alias": alias, "version": number}
            for alias, number in self._model.aliases.items()
            if held.get(alias) != number and number in self._held and number not in strangers
        ]
        if rows:
            self._connection.execute(self._store.dialect.upsert(_aliases, ("model", "alias")), rows)
            self.changed += len(rows)
