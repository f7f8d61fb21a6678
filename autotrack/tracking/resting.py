"""Our threads rest while the program forks.

A child gets a copy of every lock as it is at that moment, and none of the threads that would give them back: a thread
inside a database transaction, or in the middle of an import, would leave the child locks that are never free. So
autotrack's own threads say when they are at work, and a fork waits for them, but not for long; for an import longer
than for all else, since the lock of a module is the program's too.

From Python 3.12 on a fork warns where there is any other thread. The program is not to be warned of autotrack's: they
end before a fork, and begin anew behind it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Protocol
from weakref import WeakSet

PATIENCE = 1.0
"""Seconds that a fork waits for autotrack's threads, and they for a fork, at most."""

PATIENCE_WITH_IMPORTS = 30.0
"""The same, where one of them is importing a module."""

TO_END = 0.2
"""Seconds that a fork waits for threads that are not at work to end."""

_change = threading.Condition()
_at_work: dict[int, int] = {}
"""How deep each thread is in work, by its ident."""
_forks = 0

FORKS_WARN = sys.version_info >= (3, 12)


class Pausing(Protocol):
    """The owner of a thread that ends before a fork."""

    def pause(self) -> threading.Thread | None:
        """Have the thread end after what it is at, unless it is this one; what waits goes on waiting.

        Returns:
            The thread, to be waited for.
        """

    def resume(self) -> None:
        """Go on, in another thread where that one has ended."""


_pausing: WeakSet[Pausing] = WeakSet()


def pause_at_forks(owner: Pausing) -> None:
    """Have a thread end before a fork, and go on behind it."""
    if FORKS_WARN:
        with _change:
            _pausing.add(owner)


@contextlib.contextmanager
def work() -> Iterator[None]:
    """What a thread of autotrack's does meanwhile is not cut in two by a fork, unless it takes very long."""
    me = threading.get_ident()
    with _change:
        if me not in _at_work:
            _change.wait_for(lambda: not _forks, PATIENCE)
        _at_work[me] = _at_work.get(me, 0) + 1
    try:
        yield
    finally:
        with _change:  # in a forked child this is another one than above
            _at_work[me] -= 1
            if not _at_work[me]:
                del _at_work[me]
            _change.notify_all()


def _before_fork() -> None:
    global _forks
    me = threading.get_ident()
    with _change:
        _forks += 1
        owners = list(_pausing)
    threads = [owner.pause() for owner in owners]
    with _change:
        if not _change.wait_for(lambda: not (_at_work.keys() - {me}), PATIENCE):
            _wait_for_imports(me)
    until = time.monotonic() + TO_END
    for thread in threads:
        if thread is not None:
            thread.join(max(0.0, until - time.monotonic()))


def _wait_for_imports(me: int) -> None:
    deadline = time.monotonic() + PATIENCE_WITH_IMPORTS
    while any(map(_imports, _at_work.keys() - {me})) and time.monotonic() < deadline:
        _change.wait(0.05)


def _imports(thread: int) -> bool:
    """Whether a thread is in the middle of an import."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _after_in_parent() -> None:
    global _forks
    with _change:
        _forks -= 1
        _change.notify_all()
        owners = [] if _forks else list(_pausing)
    for owner in owners:
        owner.resume()


def _after_in_child() -> None:
    """The lock may be held by a thread that is not here; the thread that forked may be at work itself."""
    global _change, _forks
    me = threading.get_ident()
    depth = _at_work.get(me)
    _at_work.clear()
    if depth:
        _at_work[me] = depth
    _change = threading.Condition()
    _forks = 0
    _pausing.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
