"""What autotrack itself costs a run, and what of the run it left out: measured and noted as the run is recorded.

Both are tags of the run, so that they go wherever the run goes. `autotrack explain` puts them into words.
"""

from __future__ import annotations

import json
import threading
from time import perf_counter, thread_time
from types import TracebackType
from typing import Any

from autotrack.hooks import guard
from autotrack.process import renew_in_children

COST_TAG = "autotrack.cost"
"""Tag with the cost, and with what was hooked, as JSON."""

SKIPPED_TAG = "autotrack.skipped."
"""Tags with what was left out behind the dot, and why."""

EARLY = 4
"""Of what happens very often, so many are timed each: the first may open a journal, or a run."""

STRIDE = 61
"""Then one in so many is timed. Prime, so as to be in step with nothing that happens every so often."""


# Threads that fit at once record into one run. Reentrant: a signal handler may do so in the midst of it.
_lock = threading.RLock()
renew_in_children(globals(), "_lock", threading.RLock)


class Sampled:
    """Time of something that happens very often: of most times only that they happened is counted.

    Without a GIL, some that threads do at the very same moment are not: a lock would cost more than what it counts.

    Attributes:
        count: How often it happened. Whoever does it adds one, and times it where that makes `due`.
        due: The count at which it is timed next.
    """

    __slots__ = ("_early", "_later", "_timed", "count", "due")

    def __init__(self) -> None:
        self.count = 0
        self.due = 1
        self._early = 0.0
        """Of those that say nothing of the others."""
        self._later = 0.0
        self._timed = 0

    def is_due(self) -> bool:
        """Whether the next one is to be timed."""
        return self.count + 1 >= self.due

    def took(self, seconds: float) -> None:
        """One was timed."""
        if self.count <= EARLY:
            self._early += seconds
            self.due = self.count + 1 if self.count < EARLY else EARLY + STRIDE
        else:
            self._later += seconds
            self._timed += 1
            self.due = self.count + STRIDE

    def besides(self, seconds: float) -> None:
        """Time that belongs to all of them together."""
        self._early += seconds

    @property
    def seconds(self) -> float:
        """Of all of them, as far as those that were timed tell."""
        if not self._timed:
            return self._early
        return self._early + self._later / self._timed * max(0, self.count - EARLY)


class Cost:
    """What one run has cost so far, in seconds.

    Attributes:
        calls: Hooked calls that something was recorded of.
        handlers: By the clock, before and after those calls, on the thread that made them.
        steps: Of loops whose steps are no calls that can be waited for: torch's optimizer steps.
        logging: Calls of `log_metric`.
        storing: By the clock, in other calls that the program makes: files and models that it stores.
        background: Processor time of the thread behind the training.
        ingest: Processor time of moving it into the store.
        pending: What goes on, or waits to be done.
    """

    __slots__ = ("background", "calls", "handlers", "ingest", "logging", "passes", "pending", "steps", "storing")

    def __init__(self) -> None:
        self.calls = 0
        self.handlers = 0.0
        self.steps = Sampled()
        self.logging = Sampled()
        self.storing = 0.0
        self.background = 0.0
        self.ingest = 0.0
        self.pending = 0
        self.passes = 0
        """Passes of the ingest when the run ended."""

    def begin(self) -> None:
        """A hooked call is known to be this run's, or a job for it waits."""
        with _lock:
            self.pending += 1

    def charge(self, seconds: float) -> None:
        """It has ended, and its handlers took so long."""
        with _lock:
            self.pending -= 1
            self.calls += 1
            self.handlers += seconds

    def store(self, seconds: float) -> None:
        """A call of the program's has stored something, and took so long."""
        with _lock:
            self.storing += seconds

    def done(self, seconds: float) -> None:
        """A job for the run has been done, and took so long."""
        with _lock:
            self.pending -= 1
            self.background += seconds

    def to_json(self) -> str:
        """As it is stored, with what was hooked; empty where nothing was measured."""
        milliseconds = {
            "handlers_ms": self.handlers,
            "steps_ms": self.steps.seconds,
            "logging_ms": self.logging.seconds,
            "storing_ms": self.storing,
            "background_ms": self.background,
            "ingest_ms": self.ingest,
        }
        found: dict[str, Any] = {key: round(1000 * value, 3) for key, value in milliseconds.items() if value}
        if not found:
            return ""
        counts = {"calls": self.calls, "steps": self.steps.count, "logged": self.logging.count}
        found.update({key: value for key, value in counts.items() if value})
        found["hooked"] = hooked()
        return json.dumps(found)


class storing:
    """Around work that a call of the program's does for a run at once."""

    __slots__ = ("_begun", "_cost")

    def __init__(self, cost: Cost) -> None:
        self._cost = cost

    def __enter__(self) -> None:
        self._begun = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cost.store(perf_counter() - self._begun)


class behind:
    """Around a job of a run's behind the training; `pending` was counted up when it was handed over."""

    __slots__ = ("_begun", "_cost")

    def __init__(self, cost: Cost) -> None:
        self._cost = cost

    def __enter__(self) -> None:
        self._begun = thread_time()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cost.done(thread_time() - self._begun)


def hooked() -> dict[str, str]:
    """The integrations of this process that are, or should have been, at work: `active 1.7.2`, `skipped: ...`."""
    found = {}
    for name, health in guard.all_health().items():
        if health.breaker and health.status not in ("off", "waiting"):
            version = f" {health.version}" if health.version and health.status == "active" else ""
            found[name] = f"{health.status}{version}{f': {health.reason}' if health.reason else ''}"
        elif health.status == "off" and health.reason:
            found[name] = f"off: {health.reason}"
    return found
