"""The thread that moves this process's own journal into the store."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from autotrack import clock, console
from autotrack.errors import AutotrackError
from autotrack.hooks import guard
from autotrack.settings import Settings
from autotrack.store.location import Location
from autotrack.tracking import resting, scope
from autotrack.tracking.ingest.moving import HEALTH, OnShare, ingest_file
from autotrack.tracking.journal import Journal

if TYPE_CHECKING:
    from autotrack.store.engine import Store

HEARTBEAT = 15.0
"""Seconds between heartbeats of a process that logs nothing."""

MAX_WAIT = 30.0
"""Seconds between attempts when the store is away for long."""


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
        self._paused = False
        self._thread: threading.Thread | None = None
        resting.pause_at_forks(self)

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
            if self._thread is None and not self._paused:
                if sys.is_finalizing():
                    return False
                thread = threading.Thread(target=self._run, name="autotrack-ingest", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return False
                self._thread = thread
        return True

    def pause(self) -> threading.Thread | None:
        """The process is about to fork: end the thread after the pass at hand.

        Returns:
            The thread, to be waited for.
        """
        with self._wake:
            self._paused = self._thread is not None
            self._wake.notify_all()
            return None if self._thread is threading.current_thread() else self._thread

    def resume(self) -> None:
        """It has forked: go on in another thread, if one was there."""
        with self._wake:
            paused, self._paused = self._paused, False
        if paused and not self._stop:
            self.start()

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
                gone = self._thread is None and not self._paused
                if left <= 0 or gone or (self.problem and self._passes >= enough):
                    return False
                self._urgent = True
                self._wake.notify_all()
                self._wake.wait(min(left, 0.1))
                if progress is not None:
                    progress(f"{(target - self.offset) // 1024 + 1} KiB of events")
        return True

    def _run(self) -> None:
        try:
            scope.aside()
            while self._wait_for_next():
                self._tick()
                if not self._paused:
                    self._pass_once()
        finally:
            with self._wake:  # an error comes out of a pass in the test suite alone (`guard.reraise`)
                if self._thread is threading.current_thread():
                    self._thread = None
                self._wake.notify_all()

    def _tick(self) -> None:
        if self._on_tick is not None:
            with resting.work():
                guard.call(HEALTH, "system metrics", self._on_tick)

    def _wait_for_next(self) -> bool:
        """Sleep until the next pass is due; False when the thread is to end."""
        with self._wake:
            self._wake.wait_for(lambda: self._urgent or self._stop or self._paused, self._settings.tick_seconds)
            if self._paused:
                self._thread = None
                return False
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
