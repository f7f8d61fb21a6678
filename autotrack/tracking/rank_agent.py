"""What the process that started ranks knows of their end: who failed first, by which signal or exit code.

It writes that down in the runs that the ranks have open, which it finds in their journals.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from autotrack import clock, events
from autotrack.errors import JournalFormatError
from autotrack.events import ErrorInfo
from autotrack.store.location import Location
from autotrack.tracking import ingest, journal_reading, liveness, session
from autotrack.tracking.journal import Journal


class Failure(NamedTuple):
    """A rank that failed."""

    rank: int
    pid: int
    exit_code: int
    """Negative: the signal that ended it."""
    error: ErrorInfo | None = None
    """What it raised, where that is known."""


class _Parts(NamedTuple):
    """What a rank's journal says of runs."""

    open: dict[str, int]
    """Runs that it has open, or takes part in, and its rank."""
    failed: set[str]
    """Runs in which it has told of its failure."""


def tell(location: Location, pids: Iterable[int], failures: Iterable[Failure]) -> int:
    """Write ranks' failures into the runs that they, or those beside them, have open.

    Args:
        location: The store.
        pids: All ranks that this process started.
        failures: Those that failed by themselves, before others were ended for it.

    Returns:
        How many events were written.

    Raises:
        StoreError: No journal can be written anywhere.
    """
    parts = _parts_of(location, set(pids))
    everybodys = {run_id for part in parts.values() for run_id in part.open}
    told: list[events.Event] = []
    for failure in failures:
        own = parts.get(failure.pid, _Parts({}, set()))
        for run_id in sorted((own.open.keys() or everybodys) - own.failed):
            error = failure.error or error_of(failure.exit_code)
            killed = failure.exit_code < 0
            rank = own.open.get(run_id, failure.rank)
            told.append(events.RankEnded(run_id, rank, "FAILED", clock.now(), error, killed))
    if told:
        journal = Journal(location, session.session_id())
        journal.append(b"".join(map(events.encode, told)))
        journal.close()
    return len(told)


def error_of(exit_code: int) -> ErrorInfo:
    """How a process ended, in words."""
    if exit_code >= 0:
        return ErrorInfo("SystemExit", f"exit code {exit_code}")
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return ErrorInfo(name, f"killed by {name}")


def _parts_of(location: Location, pids: set[int]) -> Mapping[int, _Parts]:
    found: dict[int, _Parts] = {}
    for path in ingest.files(location):
        with contextlib.suppress(JournalFormatError, OSError):
            opened = journal_reading.header(path)
            if opened is None or opened.pid not in pids or not liveness.is_here(opened.host, opened.boot_id):
                continue
            part = found.setdefault(opened.pid, _Parts({}, set()))
            end = 0
            while (chunk := journal_reading.read(path, end)).end != end:
                end = chunk.end
                for event in chunk.events:
                    _add(part, event)
    return found


def _add(part: _Parts, event: events.Event) -> None:
    if isinstance(event, events.RankJoined):
        part.open[event.run_id] = event.rank
    elif isinstance(event, events.RankEnded):
        part.open.pop(event.run_id, None)
        if event.status == "FAILED":
            part.failed.add(event.run_id)
