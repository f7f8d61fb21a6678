"""Moves what is new in one journal into the store."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autotrack import clock, events
from autotrack.hooks import guard
from autotrack.tracking import journal_reading

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from autotrack.store.engine import Store
    from autotrack.store.writing import Writer

HEALTH = guard.health("tracking", breaker=False)
"""What went wrong in recording itself, for `autotrack doctor`."""

MAX_WEIGHED = 1_000
"""Events of a batch that are looked at in order to know whose they are."""

OnShare = Callable[[str, float], None]
"""Told, of a run, how many seconds of processor time moving what belongs to it took."""


def ingest_file(
    store: Store, path: Path, offset: int | None = None, own: bool = False, on_share: OnShare | None = None
) -> int:
    """Move what is new in one journal into the store: what is there now, and not what is written meanwhile.

    A program that records all the time would keep its own ingest at work all the time, a few lines a transaction.

    Args:
        store: Where to.
        path: The journal.
        offset: Where the store stands, if the caller knows.
        own: It is this process's journal.
        on_share: Told, of each run in it, how many seconds of processor time that took.

    Returns:
        The offset that the store stands at afterwards.

    Raises:
        StoreError: The store cannot be written; nothing of the piece at hand was.
        JournalFormatError: The file is no journal of a format that this version knows.
        OSError: The file cannot be read.
    """
    from autotrack.store.journals import journal_offset

    size = path.stat().st_size
    if offset is not None and size <= offset:
        return offset
    opened = journal_reading.header(path)
    if opened is None:
        return 0
    at = journal_offset(store, opened.journal_id) if offset is None else offset
    while at < size:
        begun = time.thread_time()
        chunk = journal_reading.read(path, at, sealed=opened.sealed)
        if chunk.end == at:
            break
        if not _apply(store, opened, chunk, at, clock.now() if own else _changed(path)):
            at = journal_offset(store, opened.journal_id)
            continue
        at = chunk.end
        if on_share is not None:
            _share_out(chunk.events, time.thread_time() - begun, on_share)
    return at


def _share_out(batch: Sequence[events.Event], seconds: float, on_share: OnShare) -> None:
    """Share the time of a batch out among the runs in it, by events; of a big batch by some of them."""
    some = batch[:: len(batch) // MAX_WEIGHED + 1]
    weights: dict[str, int] = {}
    for event in some:
        run_id = getattr(event, "run_id", None)
        if run_id:
            weights[run_id] = weights.get(run_id, 0) + 1 + len(getattr(event, "steps", ()))
    whole = sum(weights.values())
    for run_id, weight in weights.items():
        on_share(run_id, seconds * weight / whole)


def _changed(path: Path) -> int:
    """When the writer of another process's journal was alive for certain, ms since the epoch."""
    return path.stat().st_mtime_ns // 1_000_000


def _apply(store: Store, opened: events.JournalOpened, chunk: journal_reading.Chunk, at: int, alive: int) -> bool:
    """One piece in one transaction; False when another ingester was faster."""
    from autotrack.store.engine import retried
    from autotrack.store.writing import Writer, advance_journal

    last = chunk.events[-1] if chunk.events else None
    closed = max(0, min(last.time, 2**63 - 1)) if isinstance(last, events.JournalClosed) else None

    @retried
    def move() -> list[tuple[events.Event, str]] | None:
        with store.transaction() as connection:
            if not advance_journal(connection, opened, at, chunk.end, alive, closed):
                connection.rollback()
                return None
            writer = Writer(store)
            refused = _apply_parts(connection, writer, chunk.events, opened.journal_id)
            _tell_of_damage(connection, writer, chunk, opened.journal_id)
            return refused

    refused = move()
    if refused is None:
        return False
    if chunk.damaged:
        HEALTH.note(f"journal {opened.journal_id}", f"{chunk.damaged} damaged lines were skipped")
    for event, reason in refused:
        HEALTH.note(f"journal {opened.journal_id}", f"{type(event).__name__} was refused by the store: {reason}")
    return True


def _tell_of_damage(connection: Connection, writer: Writer, chunk: journal_reading.Chunk, journal_id: str) -> None:
    """Say of the runs whose lines are damaged that something is missing; the id on such a line may be another."""
    if not chunk.hurt:
        return
    known = writer.known_runs(connection, {run_id for pair in chunk.hurt for run_id in pair})
    counts = Counter(next((run_id for run_id in pair if run_id in known), "") for pair in chunk.hurt)
    notes = [
        events.RunDegraded(run_id, f"{count} lines of its journal are damaged")
        for run_id, count in sorted(counts.items())
        if run_id
    ]
    writer.apply(connection, notes, journal_id)


def _apply_parts(
    connection: Connection, writer: Writer, batch: Sequence[events.Event], journal_id: str
) -> list[tuple[events.Event, str]]:
    """Apply events; those that no database takes must not keep the ones behind them from it for ever.

    Returns:
        The events that were left out, each with the reason; their runs are marked as incomplete.
    """
    from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError

    try:
        with connection.begin_nested():
            writer.apply(connection, batch, journal_id)
    except (
        DataError,
        IntegrityError,
        ProgrammingError,
        ArithmeticError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        if len(batch) > 1:
            half = len(batch) // 2
            return _apply_parts(connection, writer, batch[:half], journal_id) + _apply_parts(
                connection, writer, batch[half:], journal_id
            )
        run_id = getattr(batch[0], "run_id", None)
        if run_id and not isinstance(batch[0], events.RunDegraded):
            reason = f"{type(batch[0]).__name__} could not be stored"
            _apply_parts(connection, writer, [events.RunDegraded(run_id, reason)], journal_id)
        return [(batch[0], str(getattr(error, "orig", None) or error))]
    return []
