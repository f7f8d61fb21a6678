"""Looking at a store without changing anything: nothing is made, upgraded or moved into it. For `autotrack doctor`."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Connection, func, select

from autotrack.errors import AutotrackError
from autotrack.records import JournalInfo, Record
from autotrack.store import schema
from autotrack.store.engine import Store, revision_of
from autotrack.store.location import Location, sqlite_file
from autotrack.store.reading import Reader


class RunCounts(Record, frozen=True):
    """How many runs there are, by kind."""

    all: int = 0
    deleted: int = 0
    running: int = 0
    degraded: int = 0
    """Of which something could not be recorded."""


class StoreState(Record, frozen=True):
    """What a look at a store shows."""

    url: str
    """Without credentials."""
    exists: bool = True
    problem: str = ""
    """Why it cannot be read."""
    revision: str | None = None
    """Of the schema; None where there are no tables yet."""
    known_revision: str = schema.SCHEMA_REVISION
    size: int | None = None
    """Bytes of a SQLite file and its log."""
    damage: str = ""
    """What the engine finds wrong with the database; empty where nothing."""
    runs: RunCounts | None = None
    journals: list[JournalInfo] = []


def inspect(location: Location) -> StoreState:
    """Look at a store; what goes wrong meanwhile is part of the answer."""
    file = sqlite_file(location.url)
    if file is not None and not file.exists():
        return StoreState(location.safe_url, exists=False, problem=_obstacle(location))
    size = _size(file) if file is not None else None
    try:
        store = Store(location)
        with store.reading() as connection:
            revision = revision_of(connection)
            if revision != schema.SCHEMA_REVISION:
                return StoreState(location.safe_url, revision=revision, size=size)
            damage, runs = store.dialect.damage(connection), _counts(connection)
        journals = Reader(store).journals()
        store.dispose()
    except AutotrackError as error:
        return StoreState(location.safe_url, problem=str(error), size=size)
    return StoreState(location.safe_url, revision=revision, size=size, damage=damage, runs=runs, journals=journals)


def _obstacle(location: Location) -> str:
    """Why a SQLite store cannot be made; empty where it can."""
    folder = location.folder
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return ""
    reason = "cannot be written" if there.is_dir() else "is no folder"
    return f"store {location.safe_url}: it cannot be made, since {there} {reason}"


def _size(file: Path) -> int:
    return sum(os.path.getsize(path) for end in ("", "-wal") if os.path.exists(path := f"{file}{end}"))


def _counts(connection: Connection) -> RunCounts:
    runs = schema.runs.c
    active = runs.lifecycle == "active"
    conditions = (None, ~active, active & (runs.status == "RUNNING"), active & (runs.degraded != ""))
    counts = []
    for condition in conditions:
        query = select(func.count()).select_from(schema.runs)
        counts.append(int(connection.execute(query if condition is None else query.where(condition)).scalar() or 0))
    return RunCounts(*counts)
