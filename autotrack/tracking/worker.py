"""The background: one daemon thread that does what the training thread should not wait for.

Saving models, computing training metrics, capturing the environment. Jobs wait while a training call is in flight
(they would compete with it for the interpreter), but not for ever; what waits is bounded in bytes and number.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext

from autotrack.hooks import guard, own_warnings
from autotrack.tracking import cost as costs
from autotrack.tracking import resting, scope

Job = Callable[[], None]

MAX_BYTES = 512 * 1024 * 1024
"""Bytes that waiting jobs may hold in memory."""

MAX_JOBS = 12_000
"""Jobs that may wait."""

MANY_JOBS = 100
"""So many wait at most for training calls in flight to end: there is to be little left to do when the program ends."""

PATIENCE = 30.0
"""Seconds that a job waits for training calls in flight to end."""

LULL = 0.02
"""Seconds without a training call after which a job begins: in a loop of fits the next one follows at once, and would
share the interpreter with it."""


def ends_without_notice() -> bool:
    """Whether this process is a worker of `multiprocessing.Pool`.

    Those are terminated as soon as the results are there; what they were to do behind the training would be lost.
    """
    pool, process = sys.modules.get("multiprocessing.pool"), sys.modules.get("multiprocessing.process")
    if pool is None or process is None:
        return False
    return getattr(process.current_process(), "_target", None) is getattr(pool, "worker", pool)


class Worker:
    """A queue of jobs and the thread that does them; the thread starts with the first job.

    Args:
        hand_over: Called before a job is handed over: what it builds upon is to be there.
    """

    def __init__(self, hand_over: Callable[[], None] = lambda: None) -> None:
        self._hand_over = hand_over
        self._lock = threading.Condition()
        self._jobs: deque[tuple[Job, int, float, costs.Cost | None]] = deque()
        self._bytes = 0
        self._busy = False
        self._patient_until = 0.0
        self._hurry = 0
        self._thread: threading.Thread | None = None
        self._ending: threading.Thread | None = None
        self._at_once: bool | None = None
        resting.pause_at_forks(self)

    def submit(self, job: Job, size: int = 0, cost: costs.Cost | None = None) -> bool:
        """Have a job done behind the caller.

        Args:
            job: What to do; an exception in it is recorded for `autotrack doctor` and goes no further.
            size: Bytes that it holds in memory until it is done.
            cost: That of the run that it is for.

        Returns:
            False when too much waits already; the job is not done then.
        """
        self._hand_over()
        with self._lock:
            if self._jobs and (self._bytes + size > MAX_BYTES or len(self._jobs) >= MAX_JOBS):
                return False
            self._jobs.append((job, size, time.monotonic() + PATIENCE, cost))
            if cost is not None:
                cost.begin()
            self._bytes += size
            if self._at_once is None:
                self._at_once = ends_without_notice()
            started = not self._at_once and self._start()
            if len(self._jobs) == 1:
                self._lock.notify_all()
        if started:
            return True
        with scope.off():
            return self._do_next()

    def _start(self) -> bool:
        """Start the thread, if it is not running; False where the interpreter, shutting down, starts none."""
        if self._thread is None:
            if sys.is_finalizing():  # it would be waited for, for ever
                return False
            self._thread = threading.Thread(target=self._work, name="autotrack-worker", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:
                self._thread = None
                return False
        return True

    def waiting(self) -> int:
        """How many jobs are not done."""
        with self._lock:
            return len(self._jobs) + self._busy

    def is_far_behind(self) -> bool:
        """Whether so much waits that what is not worth its time should be left out, for the rest not to be refused."""
        return len(self._jobs) > MAX_JOBS * 2 // 3

    def drain(self, seconds: float, progress: Callable[[str], None] | None = None) -> bool:
        """Wait until all jobs are done, without waiting for training calls.

        Args:
            seconds: How long to wait at most.
            progress: Called about every 0.2 s with how many jobs are left, in words.

        Returns:
            Whether all are done.
        """
        deadline = time.monotonic() + seconds
        with self._lock:
            if self._thread is threading.current_thread():
                return not self._jobs
            self._hurry += 1
            self._lock.notify_all()
            try:
                while self._jobs or self._busy:
                    left = deadline - time.monotonic()
                    if left <= 0 or not (self._start() or self._do_next()):
                        return False
                    self._lock.wait(min(left, 0.2))
                    if progress is not None:
                        progress(f"{len(self._jobs) + self._busy} recordings")
            finally:
                self._hurry -= 1
        return True

    def stop(self, seconds: float) -> None:
        """Drop the jobs that wait, and end the thread after the one at hand; a later job starts another thread.

        Args:
            seconds: How long to wait for the thread to end.
        """
        with self._lock:
            thread, self._thread = self._thread, None
            self._bytes -= sum(size for _, size, *_ in self._jobs)
            self._jobs.clear()
            self._lock.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)

    def pause(self) -> threading.Thread | None:
        """The process is about to fork: end the thread after the job at hand; those that wait go on waiting.

        Returns:
            The thread, to be waited for.
        """
        with self._lock:
            if self._thread is threading.current_thread():
                return None
            self._ending, self._thread = self._thread, None
            self._lock.notify_all()
            return self._ending

    def resume(self) -> None:
        """It has forked: go on with the jobs that wait. A long job's thread is not overtaken by another one."""
        with self._lock:
            ending, self._ending = self._ending, None
            if self._thread is None and ending is not None and ending.is_alive():
                self._thread = ending
            elif self._jobs and not self._at_once:
                self._start()

    def _is_stopped(self) -> bool:
        return self._thread is not threading.current_thread()

    def _work(self) -> None:
        try:
            scope.aside()
            while self._wait_for_job():
                self._wait_for_quiet()
                if not self._is_stopped():
                    self._do_next()
        finally:
            with self._lock:  # an error comes out of a job in the test suite alone (`guard.reraise`)
                if not self._is_stopped():
                    self._thread = None
                self._lock.notify_all()

    def _wait_for_job(self) -> bool:
        """Sleep until there is something to do; False when the thread is to end."""
        with self._lock:
            self._lock.wait_for(lambda: self._jobs or self._is_stopped())
            return not self._is_stopped()

    def give_way(self) -> None:
        """Inside a job, between two parts of it: let training calls in flight go first. Elsewhere nothing happens."""
        if self._thread is threading.current_thread():
            while not (self._is_pressed() or scope.traffic.quiet.wait(LULL)):
                pass

    def _wait_for_quiet(self) -> None:
        """Let training calls go first, until none has been there for a while."""
        while not self._is_pressed():
            traffic = scope.traffic
            seen = traffic.total
            with self._lock:
                self._lock.wait(LULL)
            if traffic.quiet.wait(LULL) and traffic.total == seen:
                return

    def _is_pressed(self) -> bool:
        """Whether somebody waits for the jobs, or the one at hand has waited long, or they are many."""
        with self._lock:
            if self._hurry or self._is_stopped() or len(self._jobs) > MANY_JOBS or self._bytes > MAX_BYTES // 2:
                return True
            return time.monotonic() > (self._patient_until if self._busy or not self._jobs else self._jobs[0][2])

    def _do_next(self) -> bool:
        """Do the job that has waited longest, if there is one."""
        with self._lock:
            if not self._jobs:
                return True
            job, size, self._patient_until, cost = self._jobs.popleft()
            self._busy = True
        try:
            with resting.work(), own_warnings.apart(), nullcontext() if cost is None else costs.behind(cost):
                guard.call(guard.health("tracking", breaker=False), "background job", job)
        except SystemExit:  # a model's own `predict` may do that
            guard.health("tracking", breaker=False).note("background job", "it called sys.exit, which ended it alone")
        finally:
            del job
            with self._lock:
                self._busy = False
                self._bytes -= size
                self._lock.notify_all()
        return True
