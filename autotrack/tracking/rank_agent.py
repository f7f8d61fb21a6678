"""What the process that started ranks knows of their end: who failed first, by which signal or exit code.

It writes that down in the runs that the ranks have open, which it finds in their journals.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from autotrack import clock, events
from autotrack.errors import JournalFormatError, StoreError
from autotrack.events import ErrorInfo
from autotrack.hooks import guard
from autotrack.store.location import Location, sqlite_file
from autotrack.store.rank_tags import error_of
from autotrack.tracking import ingest, journal_reading, liveness, session
from autotrack.tracking.journal import Journal

PATIENCE = 10.0
"""Seconds that a launcher waits for its dead ranks' journals to be in the store."""

_health = guard.health("tracking", breaker=False)

_TAIL = 1_000
"""Bytes at a journal's end that its last line is in, where that is the one that closes it."""


class Failure(NamedTuple):
    """A rank that failed, or left with exit code 0, which is no failure."""

    rank: int
    pid: int
    exit_code: int
    """Negative: the signal that ended it."""
    error: ErrorInfo | None = None
    """What it raised, where that is known."""
    host: str = ""
    """This machine, where the job has others."""


class _Parts(NamedTuple):
    """What a rank's journal says of runs."""

    open: dict[str, int]
    """Runs that it has open, or takes part in, and its rank."""
    failed: set[str]
    """Runs in which it has told of its failure."""


def tell(location: Location, pids: Iterable[int], ended: Iterable[Failure]) -> int:
    """Write ranks' failures into the runs that they, or those beside them, have open.

    A rank that left well, but without a word (`os._exit(0)`), has ended well in the runs that it has open itself.

    Args:
        location: The store.
        pids: All ranks that this process started.
        ended: Those that ended by themselves, before others were ended for it.

    Returns:
        How many events were written.

    Raises:
        StoreError: No journal can be written anywhere.
    """
    ended = list(ended)
    is_failed = any(failure.exit_code for failure in ended)
    parts = _parts_of(location, set(pids), is_failed)
    everybodys = {run_id for part in parts.values() for run_id in part.open}
    told: list[events.Event] = []
    for failure in ended:
        own = parts.get(failure.pid, _Parts({}, set()))
        if failure.exit_code == 0:
            told += [one for run_id, rank in sorted(own.open.items()) for one in _well(run_id, rank)]
            continue
        for run_id in sorted((own.open.keys() or everybodys) - own.failed):
            error = failure.error or error_of(failure.exit_code)
            killed = failure.exit_code < 0
            rank = own.open.get(run_id, failure.rank)
            told.append(events.RankEnded(run_id, rank, "FAILED", clock.now(), error, killed, failure.host))
    if told:
        journal = Journal(location, session.session_id())
        journal.append(b"".join(map(events.encode, told)))
        journal.close()
    return len(told)


def pass_on(location: Location) -> None:
    """Move what dead ranks have left in their journals into a store that others look at from elsewhere.

    On this machine perhaps nobody comes after them. Bounded in time: the store may be away.
    """
    if sqlite_file(location.url) is not None:
        return
    thread = threading.Thread(target=guard.call, args=(_health, "ranks' journals", _pass_on, location), daemon=True)
    with contextlib.suppress(RuntimeError):  # the interpreter is shutting down
        thread.start()
        thread.join(PATIENCE)


def _pass_on(location: Location) -> None:
    from autotrack.store.engine import Store

    with contextlib.suppress(StoreError):
        ingest.ingest_pending(Store.open(location.url), location)


def _well(run_id: str, rank: int) -> list[events.Event]:
    now = clock.now()
    end: list[events.Event] = [] if rank else [events.RunEnded(run_id, "FINISHED", now)]
    return [*end, events.RankEnded(run_id, rank, "FINISHED", now)]


def _parts_of(location: Location, pids: set[int], closed: bool) -> Mapping[int, _Parts]:
    """By process; without those whose journal is closed, unless they are wanted: they have left nothing open."""
    found: dict[int, _Parts] = {}
    for path in ingest.files(location):
        with contextlib.suppress(JournalFormatError, OSError):
            opened = journal_reading.header(path)
            if opened is None or opened.pid not in pids or not liveness.is_here(opened.host, opened.boot_id):
                continue
            if not closed and _is_closed(path):
                continue
            part = found.setdefault(opened.pid, _Parts({}, set()))
            end = 0
            while (chunk := journal_reading.read(path, end)).end != end:
                end = chunk.end
                for event in chunk.events:
                    _add(part, event)
    return found


def _is_closed(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
        last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    return b'"t":"close"' in last


def _add(part: _Parts, event: events.Event) -> None:
    if isinstance(event, events.RankJoined):
        part.open[event.run_id] = event.rank
    elif isinstance(event, events.RankEnded):
        part.open.pop(event.run_id, None)
        if event.status == "FAILED":
            part.failed.add(event.run_id)
