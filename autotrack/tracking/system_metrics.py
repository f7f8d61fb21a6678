"""The load of the machine as metrics `system/...` of the runs that are open for longer than a moment.

There is no thread for it: the thread that ingests the journal, which looks around every second anyway, asks `tick`. One
sample serves all runs that are due. Short runs have none, and a program that has short runs alone does not load psutil.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from weakref import WeakKeyDictionary

from autotrack import process
from autotrack.errors import InvalidArgumentError
from autotrack.hooks import guard
from autotrack.settings import Settings
from autotrack.tracking import job as jobs
from autotrack.tracking.machine_load import UNAVAILABLE, Load
from autotrack.tracking.process_load import ProcessLoad
from autotrack.tracking.values import checked_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotrack.tracking.run import RunWriter

PREFIX = "system/"

HEALTH = guard.health("tracking", breaker=False)

PATIENCE = 1.0
"""Seconds that the end of the process waits for a sample that is under way."""


_wanted: bool | None = None
_interval: float | None = None


def enable_system_metrics_logging() -> None:
    """Record the load of the machine on all runs, from their start, whatever the settings say."""
    global _wanted
    _wanted = True


def disable_system_metrics_logging() -> None:
    """Record the load of the machine on no run but those that ask for it by `start_run(log_system_metrics=True)`."""
    global _wanted
    _wanted = False


def set_system_metrics_sampling_interval(interval: float | None) -> None:
    """Set the time from one sample of the machine's load to the next.

    Args:
        interval: Seconds; None goes back to what the settings say.

    Raises:
        InvalidArgumentError: It is no number, or not above 0.
    """
    global _interval
    seconds = None if interval is None else checked_number(interval, "interval")
    if seconds is not None and not seconds > 0:
        raise InvalidArgumentError("interval", interval, "seconds, more than 0")
    _interval = seconds


def forget() -> None:
    """Take back what calls have set (between tests)."""
    global _wanted, _interval
    _wanted = _interval = None


class SystemMetrics:
    """Samples for the runs of one recorder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._stopped = False
        self._due: WeakKeyDictionary[RunWriter, float] = WeakKeyDictionary()
        """When each run's next sample is due, by the monotonic clock."""
        self._load: Load | None = None
        self._process_load: ProcessLoad | None = None
        self._job: jobs.Job | None = None

    def tick(self, runs: Iterable[RunWriter]) -> None:
        """Take a sample where a run is due for one.

        Args:
            runs: The runs that are open.
        """
        now = time.monotonic()
        with self._lock:
            due = [run for run in runs if self._wants(run) and now >= self._due_at(run, now)]
            if not due or self._stopped:
                return
            if self._load is None:  # the first sample has a stretch of time to tell of
                self._begin()
                return
            interval = _interval or self._settings.system_metrics_sampling_interval
            values = self._values(self._load)
            for run in due:
                self._due[run] = max(self._due[run] + interval, now)
                if run.status == "RUNNING":
                    run.log_load(values)

    def _values(self, load: Load) -> dict[str, float]:
        """What is recorded: the machine's load, and of a rank that of its process.

        The first rank of another machine tells of that machine too; of one machine one rank is enough.
        """
        job, process_load = self._job, self._process_load
        if job is None or process_load is None:
            return {PREFIX + name: value for name, value in load.sample().items()}
        own = f"{PREFIX}rank_{job.rank}/"
        values = {own + name: value for name, value in process_load.sample().items()}
        if job.rank == 0 or job.local_rank == 0:
            prefix = PREFIX if job.rank == 0 else own
            values.update((prefix + name, value) for name, value in load.sample().items())
        return values

    def _begin(self) -> None:
        try:
            self._load = Load()
            self._job = jobs.current()
            self._process_load = ProcessLoad() if self._job is not None else None
        except UNAVAILABLE as error:
            self._stopped = True
            HEALTH.note("system metrics", f"the load of the machine cannot be read: {error}")

    def stop(self) -> None:
        """No more samples: the journal is about to be closed."""
        held = self._lock.acquire(timeout=PATIENCE)  # not for ever: this may be a signal handler inside `log_metric`
        self._stopped = True
        if held:
            self._lock.release()

    def _wants(self, run: RunWriter) -> bool:
        if run.log_system_metrics is not None:
            return run.log_system_metrics
        if _wanted is not None:
            return _wanted
        return self._settings.log_system_metrics and process.activated

    def _due_at(self, run: RunWriter, now: float) -> float:
        """When the run's next sample is due; of a run that is seen for the first time, counted from now on."""
        if run not in self._due:
            asked_for = run.log_system_metrics or _wanted
            self._due[run] = now + (0.0 if asked_for else self._settings.system_metrics_delay)
        return self._due[run]
