"""Steps that are all alike, as most of a program's are: of them nothing is noted but the loss and the time."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autotrack.integrations.torch.loops import Loop, Trained
    from autotrack.integrations.torch.passes import Pass

MAX_WAIT = 250
"""Milliseconds that a point waits to be written, while steps go on; slower loops write every step at once."""


class Streak:
    """Steps of one optimizer on one thread: a single loss each, from the same place in the code, at one learning rate.

    Losses and times stand in one list, by turns. So one look at its length tells whether a loss waits for its step,
    and other threads may take finished steps out at any moment: an even number of entries, from the front.
    """

    __slots__ = ("_busy", "due", "key", "loop", "name", "noted", "rate", "since", "source", "trained")

    def __init__(self, loop: Loop, trained: Trained, key: int, name: str) -> None:
        self.key = key
        """Id of the optimizer; 0 when the streak is over."""
        self.noted: list[Any] = []
        """A loss, the nanoseconds since the epoch at its step, the next loss, ..."""
        self.rate = trained.rates[0]
        """The learning rate, the very object."""
        self.source: Pass | None = loop.source
        """The pass that batches come from."""
        self.since = self.due = 0
        """From when until when, in nanoseconds since the epoch, what is noted waits."""
        self.name = name
        """Of the losses, as the program calls them."""
        self.loop: Loop | None = loop
        """None once it has ended: a thread that makes no other step would keep it."""
        self.trained: Trained | None = trained
        self._busy = False

    def wait_from(self, time: int) -> None:
        """Have what is noted wait for a while from now on.

        Args:
            time: Milliseconds since the epoch.
        """
        if self.key:
            self.since, self.due = time * 1_000_000, (time + MAX_WAIT) * 1_000_000

    def stop(self) -> None:
        """No step is noted any more; what was noted is there still, to be settled."""
        self.key = self.due = 0  # a thread that is in the midst of noting a step finds that it is due

    def end(self) -> list[tuple[str, Any]]:
        """Stop, and settle.

        Returns:
            The loss that waits for its step, under its name; or nothing.
        """
        self.stop()
        self.settle()
        return [(self.name, self.noted[-1])] if len(self.noted) % 2 else []

    def let_go(self) -> None:
        """Nothing more is settled: the loop has ended, or is another process's."""
        self.loop = self.trained = None

    def settle(self) -> None:
        """Make points of all finished steps; a loss that waits for its step goes on to do so."""
        loop, trained = self.loop, self.trained
        if loop is None or trained is None or len(self.noted) < 2:
            return
        with loop.lock:
            if self._busy:  # a signal's handler, in the midst of it
                return
            self._busy = True
            try:
                entries = len(self.noted) // 2 * 2
                noted = self.noted[:entries]
                first = trained.steps
                end = first + entries // 2
                times = [time // 1_000_000 for time in noted[1::2]]
                points = zip(repeat(self.name + loop.suffix), noted[::2], range(first, end), times)
                trained.steps = end
                loop.done = max(loop.done, end)
                loop.taken.count += entries // 2
                loop.points.extend(points)
                del self.noted[:entries]
            finally:
                self._busy = False
