"""What records into a run by and by: training loops, studies."""

from __future__ import annotations

import threading
from typing import Protocol

from autotrack.events import EndStatus, ErrorInfo
from autotrack.hooks import guard


class Companion(Protocol):
    """What records into a run for as long as it is open."""

    def flush(self) -> None:
        """Write what waits."""

    def close(self, status: EndStatus, error: ErrorInfo | None) -> None:
        """The run ends."""


class Companions:
    """Those of one run. Safe to use from several threads; one that fails harms no other."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._all: tuple[Companion, ...] = ()

    def add(self, companion: Companion) -> None:
        """One more."""
        with self._lock:
            self._all = (*self._all, companion)

    def remove(self, companion: Companion) -> None:
        """It has nothing more to record."""
        with self._lock:
            self._all = tuple(one for one in self._all if one is not companion)

    def flush(self) -> None:
        """Have them write what waits."""
        for companion in self._all:
            guard.call(guard.health("tracking", breaker=False), "write what waits", companion.flush)

    def close(self, status: EndStatus, error: ErrorInfo | None) -> None:
        """Tell them that the run ends."""
        for companion in self._all:
            guard.call(guard.health("tracking", breaker=False), "end", companion.close, status, error)
