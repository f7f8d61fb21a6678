"""Values that live on an accelerator: they wait until there are some, and come in one transfer for each device."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

MANY = 50
"""Values that are read in one batch."""

Point = tuple[str, int, int, Any]
"""Key, step, time, and the value: a tensor without dimensions."""


class WaitingPoints:
    """Points of one run that nobody has read yet. Safe to use from several threads, and from signal handlers."""

    def __init__(self) -> None:
        self._lock, self._reading = threading.RLock(), threading.RLock()
        self._newest: list[Point] = []
        self._batches: deque[list[Point]] = deque()

    def add(self, point: Point) -> bool:
        """One more point.

        Returns:
            Whether a batch is full: `read_batches` is due.
        """
        with self._lock:
            self._newest.append(point)
            if len(self._newest) < MANY:
                return False
            self._batches.append(self._newest)
            self._newest = []
            return True

    def read_batches(self, write: Callable[[list[Point]], None]) -> None:
        """Hand the full batches over, in their order."""
        with self._reading:
            while self._batches:
                write(self._batches.popleft())

    def read_all(self, write: Callable[[list[Point]], None]) -> None:
        """Hand over all that waits, in its order."""
        with self._reading:
            self.read_batches(write)
            with self._lock:
                waiting, self._newest = self._newest, []
            if waiting:
                write(waiting)


def values_of(points: list[Point]) -> list[float]:
    """The points' values, waited for once for each device and dtype.

    Raises:
        RuntimeError: The accelerator has failed.
    """
    import torch

    groups: dict[tuple[Any, Any], list[int]] = {}
    for index, (*_, tensor) in enumerate(points):
        groups.setdefault((tensor.device, tensor.dtype), []).append(index)
    values = [0.0] * len(points)
    for places in groups.values():
        numbers = torch.stack([points[index][3] for index in places]).cpu().double().tolist()
        for index, number in zip(places, numbers, strict=True):
            values[index] = number
    return values
