"""Ingest: moves journal bytes into SQL, exactly once, whoever does it.

A transaction holds both the rows that a piece of a journal makes and the journal's new offset, set by compare-and-set:
who loses the race rolls back and has nothing to repeat. The process's own thread does it every second, the next
reader (`Client`, the CLI, another process) does it for journals whose process is gone.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autotrack import clock, console, events
from autotrack.errors import AutotrackError, JournalFormatError
from autotrack.hooks import guard
from autotrack.settings import Settings
from autotrack.store.location import Location
from autotrack.tracking import journal as journals
from autotrack.tracking import journal_reading, liveness, lost_ranks, resting, scope
from autotrack.tracking.journal import Journal

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from autotrack.records import JournalInfo
    from autotrack.store.engine import Store
    from autotrack.store.writing import Writer

HEALTH = guard.health("tracking", breaker=False)
"""What went wrong in recording itself, for `autotrack doctor`."""

HEARTBEAT = 15.0
"""Seconds between heartbeats of a process that logs nothing."""

PRUNE_AFTER = 600.0
"""Seconds that a journal is kept after it has been moved and its process has ended."""

PRUNE_ELSEWHERE_AFTER = 7 * 86_400.0
"""The same, where the process may have ended or not."""

MAX_WEIGHED = 1_000
"""Events of a batch that are looked at in order to know whose they are."""

OnShare = Callable[[str, float], None]

MAX_WAIT = 30.0
"""Seconds between attempts when the store is away for long."""


def ingest_file(
    store: Store, path: Path, offset: int | None = None, own: bool = False, on_share: OnShare | None = None
) -> int:
    """Move what is new in one journal into the store.

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

    if offset is not None and path.stat().st_size <= offset:
        return offset
    opened = journal_reading.header(path)
    if opened is None:
        return 0
    at = journal_offset(store, opened.journal_id) if offset is None else offset
    while True:
        begun = time.thread_time()
        chunk = journal_reading.read(path, at, sealed=opened.sealed)
        if chunk.end == at:
            return at
        if not _apply(store, opened, chunk, at, clock.now() if own else _changed(path)):
            at = journal_offset(store, opened.journal_id)
            continue
        at = chunk.end
        if on_share is not None:
            _share_out(chunk.events, time.thread_time() - begun, on_share)


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


def files(location: Location) -> list[Path]:
    """All journals of a store."""
    return [path for folder in journals.folders(location) for path in sorted(folder.glob("*.jsonl"))]


def ingest_pending(store: Store, location: Location, own: Path | None = None) -> list[str]:
    """Move what all journals hold into the store, end the runs of processes that are gone, drop finished journals.

    Args:
        store: Where to.
        location: Where the journals are.
        own: This process's journal, which its own thread moves.

    Returns:
        What could not be read, for `autotrack doctor`.

    Raises:
        StoreError: The store cannot be written.
    """
    from autotrack.store.journals import journals as known_journals

    paths = {path.stem: path for path in files(location) if path != own}
    known = {info.journal_id: info for info in known_journals(store)} if paths else {}
    problems = []
    for journal_id, path in paths.items():
        info = known.get(journal_id)
        try:
            if info is None:
                ingest_file(store, path)
            elif ingest_file(store, path, info.offset) == info.offset and _is_finished(info, path):
                path.unlink(missing_ok=True)
        except (JournalFormatError, OSError) as error:
            problems.append(str(error))
    finish_lost(store, paths)
    return problems


def finish_lost(store: Store, paths: Mapping[str, Path] | None = None) -> None:
    """Show as KILLED the runs whose process is gone without an end, and end the ranks that are gone like that.

    Args:
        store: Where.
        paths: Journals by id, which may hold what their process wrote between the last look at them and its end.

    Raises:
        StoreError: The store cannot be written.
    """
    from autotrack.store.journals import journals as known_journals
    from autotrack.store.managing import finish_lost_runs

    now = clock.now()
    lost = [info for info in known_journals(store, with_open_runs=True) if _is_over(info, now)]
    for info in lost:
        path = (paths or {}).get(info.journal_id)
        if path is not None:
            with contextlib.suppress(JournalFormatError, OSError):
                ingest_file(store, path)
    if lost:
        finish_lost_runs(store, [info.journal_id for info in lost])
    lost_ranks.finish(store, paths or {}, now, ingest_file)


def _is_over(info: JournalInfo, now: int) -> bool:
    """Whether the process that writes a journal has closed it, or is gone."""
    who = liveness.Identity(info.host, info.boot_id, info.pid, info.process_started)
    return info.closed is not None or not liveness.is_alive(who, info.heartbeat, now)


def _is_finished(info: JournalInfo, path: Path) -> bool:
    """Whether a journal that has been moved as far as it is whole can be dropped."""
    # Later than any checkpoint of the database: a power loss may take back its last commits, and the offset with them.
    # A process elsewhere that gives no sign of life may be asleep, and go on writing after its machine wakes up.
    certain = info.closed is not None or liveness.is_here(info.host, info.boot_id)
    age = time.time() - path.stat().st_mtime
    return age > (PRUNE_AFTER if certain else PRUNE_ELSEWHERE_AFTER) and _is_over(info, clock.now())


class IngestThread:
    """Moves this process's journal into the store, all along; the thread starts with the first event.

    Attributes:
        problem: Why the last pass did not get through; empty when it did.
    """

    def __init__(
        self,
        location: Location,
        journal: Journal,
        settings: Settings,
        on_trouble: Callable[[str], None],
        on_tick: Callable[[], None] | None = None,
        on_share: OnShare | None = None,
    ) -> None:
        self.problem = ""
        self._location = location
        self._journal = journal
        self._settings = settings
        self._on_trouble = on_trouble
        self._on_tick = on_tick
        self._store: Store | None = None
        self._on_share = on_share
        self._offset: int | None = None
        self._synced = 0
        self._failures = 0
        self._lost = 0
        self._beaten = time.monotonic()
        self._next_try = 0.0
        self._delay = settings.tick_seconds
        self._wake = threading.Condition()
        self._passes = 0
        self._urgent = False
        self._stop = False
        self._thread: threading.Thread | None = None

    @property
    def passes(self) -> int:
        """How often it has looked at the journal."""
        return self._passes

    @property
    def offset(self) -> int:
        """How far the journal has been moved, in bytes."""
        return self._offset or 0

    def start(self) -> bool:
        """Start the thread, if it is not running.

        Returns:
            False when no thread can be started: the interpreter is shutting down.
        """
        with self._wake:
            if self._thread is None:
                if sys.is_finalizing():
                    return False
                thread = threading.Thread(target=self._run, name="autotrack-ingest", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return False
                self._thread = thread
        return True

    def flush(self, seconds: float, progress: Callable[[str], None] | None = None) -> bool:
        """Wait until all that is in the journal now is in the store.

        Args:
            seconds: How long to wait at most.
            progress: Called now and then with how much is left, in words.

        Returns:
            False when the store is away, the disk full or the time up.
        """
        return self._reach(seconds, progress) and not self._journal.waiting()

    def finish(self, seconds: float, progress: Callable[[str], None] | None = None) -> bool:
        """The last passes, at exit, for a journal that is closed; the thread ends.

        Returns:
            False when the store is away or the time is up.
        """
        deadline = time.monotonic() + seconds
        done = self._reach(seconds, progress)
        with self._wake:
            self._stop = True
            self._wake.notify_all()
            thread = self._thread
        if thread is not None:  # a pass that hangs in a locked store is not waited for
            thread.join(max(0.0, deadline - time.monotonic()))
        return done

    def _reach(self, seconds: float, progress: Callable[[str], None] | None) -> bool:
        self._journal.waiting()
        self._look_after_file()
        try:
            target = self._journal.size()
        except OSError:
            return False
        if not self.start():
            self._pass_once()
            return self.offset >= target
        deadline = time.monotonic() + seconds
        with self._wake:
            # A pass that is under way may have looked at the journal before now: the one after it counts.
            enough = self._passes + 2
            while self.offset < target:
                left = deadline - time.monotonic()
                if left <= 0 or self._thread is None or (self.problem and self._passes >= enough):
                    return False
                self._urgent = True
                self._wake.notify_all()
                self._wake.wait(min(left, 0.1))
                if progress is not None:
                    progress(f"{(target - self.offset) // 1024 + 1} KiB of events")
        return True

    def _run(self) -> None:
        try:
            with scope.off():
                while self._wait_for_next():
                    self._tick()
                    self._pass_once()
        finally:
            with self._wake:  # an error comes out of a pass in the test suite alone (`guard.reraise`)
                self._thread = None
                self._wake.notify_all()

    def _tick(self) -> None:
        if self._on_tick is not None:
            with resting.work():
                guard.call(HEALTH, "system metrics", self._on_tick)

    def _wait_for_next(self) -> bool:
        """Sleep until the next pass is due; False when the thread is to end."""
        with self._wake:
            self._wake.wait_for(lambda: self._urgent or self._stop, self._settings.tick_seconds)
            if self._urgent:
                self._next_try = 0.0
            self._urgent = False
            return not self._stop

    def _pass_once(self) -> None:
        try:
            with resting.work():
                if not guard.call(HEALTH, "ingest", self._pass):
                    self._offset = None
                    self.problem = self.problem or HEALTH.last_message()
        finally:
            with self._wake:
                self._passes += 1
                self._wake.notify_all()

    def _pass(self) -> bool:
        """One look at the journal. Always true: what fails on its own is told by `problem`."""
        self.look_after_disk()
        now = time.monotonic()
        if now < self._next_try:
            return True
        try:
            self._move(now)
        except (AutotrackError, OSError) as error:
            self._report(error, now)
        else:
            self.problem = ""
            self._delay = self._settings.tick_seconds
        return True

    def _move(self, now: float) -> None:
        """Move what is new, or say that this process is alive."""
        from autotrack.store.engine import Store
        from autotrack.store.writing import beat_journal

        news = self._journal.size() > self.offset
        if not news and now - self._beaten < HEARTBEAT:
            return
        store = self._store = Store.open(self._location.url)
        if news:
            offset = ingest_file(store, self._journal.path, self._offset, own=True, on_share=self._on_share)
            self._offset = None if store.is_gone() else offset
        else:
            beat_journal(store, self._journal.journal_id, clock.now())
        self._beaten = now

    def look_after_disk(self) -> None:
        """Write what waits in memory, sync where that is asked for; where the disk fails, say so of the open runs."""
        journal = self._journal
        waiting = journal.waiting()
        if journal.failures > self._failures:
            self._failures = journal.failures
            HEALTH.note("journal", journal.failure)
            self._say(f"{journal.failure}; what is recorded waits in memory until there is room")
            self._on_trouble(f"the disk took no events for a while ({journal.failure})")
        if journal.lost > self._lost and not waiting:
            self._on_trouble(f"{journal.lost - self._lost} events are lost: {journal.failure}")
            self._lost = journal.lost
        self._look_after_file()
        if self._settings.durability == "fsync":
            with contextlib.suppress(OSError):  # a journal that is gone is told of by `_move`
                self._sync(journal.size())

    def _look_after_file(self) -> None:
        """Journal and database may be deleted under the program: what is gone is made again, from the journal."""
        if self._store is not None and self._store.is_gone():
            self._store = self._offset = None
        with contextlib.suppress(OSError):  # told of by `_move`, which finds none
            if self._journal.restore():
                HEALTH.note("journal", f"{self._journal.path} was deleted, and has been put back")

    def _sync(self, size: int) -> None:
        if size > self._synced:
            self._journal.sync()
            self._synced = size

    def _report(self, error: AutotrackError | OSError, now: float) -> None:
        # Whether the last transaction got through is not known: ask the store again.
        self._offset = None
        self.problem = str(error)
        self._delay = min(MAX_WAIT, self._delay * 2)
        self._next_try = now + self._delay
        where = self._journal.path
        waits = f"nothing is lost: it waits in {where}" if where.exists() else f"{where} is gone"
        self._say(f"{error} ({waits}; this is said once)")
        HEALTH.note("ingest", str(error))

    def _say(self, text: str) -> None:
        console.say_once(f"store {self._location.key}", text)
