"""Runs whose process is gone, and journals that are not in the tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select

from autotrack import clock
from autotrack.errors import AutotrackError, JournalFormatError
from autotrack.maintenance.checks.findings import REPAIR, Finding
from autotrack.records import JournalInfo
from autotrack.store import schema
from autotrack.store.engine import Store, retried, revision_of
from autotrack.store.location import sqlite_file
from autotrack.store.reading import Reader
from autotrack.tracking import ingest, journal_reading, liveness

PURGING = "purging"
"""Lifecycle of a run that `autotrack gc` is removing."""


def check_journals(store: Store, repair: bool, checked: dict[str, int]) -> Iterator[Finding]:
    """Journals that hold more than the tables do though nobody is at it, and damaged ones."""
    known = {info.journal_id: info for info in Reader(store).journals()}
    checked["journals"] = 0
    behind: list[Finding] = []
    for path in ingest.files(store.location):
        checked["journals"] += 1
        try:
            first = journal_reading.header(path)
            info = known.get(path.stem)
            offset = 0 if info is None else info.offset
            end, damaged = _read_on(path, offset, first.sealed) if first is not None else (offset, None)
        except (JournalFormatError, OSError) as error:
            remedy = "upgrade autotrack if it is of a newer one; else move the file away: it cannot be read"
            yield Finding("journal", str(path), str(error), remedy)
            continue
        if damaged is not None:
            yield damaged
        # Of a process that was killed the last line may be torn: that call had not returned, and nobody misses it.
        if end > offset and not (info is not None and is_alive(info)):
            problem = f"{end - offset} bytes of it are not in the tables"
            behind.append(
                Finding("journal", str(path), problem, "any reader moves them: autotrack ls", repaired=repair)
            )
    if repair and behind:
        ingest.ingest_pending(store, store.location)
    yield from behind


def _read_on(path: Path, offset: int, sealed: bool) -> tuple[int, Finding | None]:
    """Where the whole lines end, and those that are not in the tables yet and cannot be read."""
    lines = 0
    at = offset
    while True:
        chunk = journal_reading.read(path, at, sealed=sealed)
        lines += chunk.damaged
        if chunk.end == at:
            break
        at = chunk.end
    if not lines:
        return at, None
    remedy = "they are lost; what stands around them is kept"
    return at, Finding("journal", str(path), f"{lines} lines are damaged", remedy)


def is_alive(info: JournalInfo) -> bool:
    """Whether the process that writes a journal is there."""
    who = liveness.Identity(info.host, info.boot_id, info.pid, info.process_started)
    return info.closed is None and liveness.is_alive(who, info.heartbeat, clock.now())


def check_runs(store: Store, repair: bool) -> Iterator[Finding]:
    """Runs that are RUNNING though their process is gone, and those that an interrupted gc has left."""
    runs = schema.runs.c
    with store.reading() as connection:
        query = select(runs.run_id, runs.name, runs.journal_id).where(runs.status == "RUNNING").order_by(runs.id)
        running = connection.execute(query).all()
        half = list(connection.execute(select(runs.run_id).where(runs.lifecycle == PURGING)).scalars())
    known = {info.journal_id: info for info in Reader(store).journals(with_open_runs=True)}
    gone = [row for row in running if row.journal_id not in known or not is_alive(known[row.journal_id])]
    if repair and gone:
        ingest.finish_lost(store, {path.stem: path for path in ingest.files(store.location)})
        for row in gone:
            if row.journal_id not in known:
                _end(store, row.run_id)
    for row in gone:
        remedy = "any reader ends it as KILLED: autotrack ls"
        if row.journal_id not in known:
            remedy = f"write or import it again, or: {REPAIR} ends it as KILLED"
        problem = f"it ({row.name!r}) is RUNNING, but its process is gone"
        yield Finding("run", row.run_id, problem, remedy, repaired=repair)
    for run_id in half:
        yield Finding("run", run_id, "a clean-up that was removing it was interrupted", "run: autotrack gc --yes")


@retried
def _end(store: Store, run_id: str) -> None:
    runs = schema.runs
    with store.transaction() as connection:
        mine = (runs.c.run_id == run_id) & (runs.c.status == "RUNNING")
        connection.execute(runs.update().where(mine).values(status="KILLED", end_time=runs.c.start_time))


def check_schema(store: Store) -> Iterator[Finding]:
    """A schema of another revision: nothing else can be checked then."""
    try:
        with store.reading() as connection:
            found = revision_of(connection)
    except AutotrackError as error:
        remedy = "copy the database before anything else; restore a backup"
        if sqlite_file(store.location.url) is None:
            remedy = "start the server, or correct the URL; autotrack doctor says where it comes from"
        yield Finding("engine", store.safe_url, str(error), remedy)
        return
    if found != schema.SCHEMA_REVISION:
        problem = f"its schema is at revision {found or 'none'}, this autotrack needs {schema.SCHEMA_REVISION}"
        known = found is None or found in schema.REVISIONS
        yield Finding("schema", store.safe_url, problem, "run: autotrack db upgrade" if known else "upgrade autotrack")
