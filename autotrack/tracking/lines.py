"""From events to the journal: lines, which are written at once, or together where a handler tells several things."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from autotrack import events
from autotrack.hooks import calls
from autotrack.tracking.journal import Journal
from autotrack.tracking.values import encoded

HELD = (events.RunStarted, events.ParamsLogged, events.TagsSet, events.FitLogged, events.RunEnded)
"""What of one part of a handler is written together. No points: those of a call in a signal handler are not to wait."""


class _Held(threading.local):
    """What a handler of this thread has told and is not written yet."""

    def __init__(self) -> None:
        self.lines: deque[bytes] = deque()
        self.all = False
        """Whether this thread is at a job whose lines are all written together."""


class Lines:
    """The lines of one process's journal.

    Args:
        journal: The journal that is open now; one is opened where there is none.
    """

    def __init__(self, journal: Callable[[], Journal]) -> None:
        self._journal = journal
        self._held = _Held()

    def write(self, event: events.Event) -> None:
        """Append one event to the journal.

        Raises:
            StoreError: No journal can be written anywhere.
        """
        self._append(encoded(event), isinstance(event, HELD))

    def write_all(self, several: Iterable[events.Event]) -> None:
        """Append several events to the journal in one write: a process that is killed leaves all of them, or none.

        Raises:
            StoreError: No journal can be written anywhere.
        """
        told = list(several)
        if told:
            self._append(b"".join(map(encoded, told)), all(isinstance(event, HELD) for event in told))

    def _append(self, lines: bytes, can_wait: bool) -> None:
        """Append lines to the journal at once; those of one part of a handler that can wait go there together.

        Each write lets go of the interpreter, and the training thread then has to wait for it.
        """
        held = self._held.lines
        if self._held.all:
            held.append(lines)
        elif can_wait and calls.is_handling():
            if not held:
                calls.when_over(self.write_held)
            held.append(lines)
        elif held:
            held.append(lines)
            self.write_held()
        else:
            self._append_now(lines)

    def _append_now(self, lines: bytes) -> None:
        if not self._journal().append(lines):
            self._journal().append(lines)  # it was closed in this moment: the program ends, and another one is opened

    def write_held(self) -> None:
        """Write what a handler of this thread has told so far: what else is done may build upon it.

        Raises:
            StoreError: No journal can be written anywhere.
        """
        held = self._held.lines
        if held:
            lines = []
            with contextlib.suppress(IndexError):  # a signal handler that logs takes what is left, and writes it
                while held:
                    lines.append(held.popleft())
            self._append_now(b"".join(lines))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What this thread tells in the block is written when that ends, in one piece; for what does not take long."""
        self._held.all = True
        try:
            yield
        finally:
            self._held.all = False
            self.write_held()

    def reset_after_fork(self) -> None:
        """In a forked child: what is held is the parent's to write."""
        self._held = _Held()
