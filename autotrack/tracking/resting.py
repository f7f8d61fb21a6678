"""Our threads rest while the program forks.

A child gets a copy of every lock as it is at that moment, and none of the threads that would give them back: a thread
inside a database transaction, or in the middle of an import, would leave the child locks that are never free. So
autotrack's own threads say when they are at work, and a fork waits for them, but not for long; for an import longer
than for all else, since the lock of a module is the program's too.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

PATIENCE = 1.0
"""Seconds that a fork waits for autotrack's threads, and they for a fork, at most."""

PATIENCE_WITH_IMPORTS = 30.0
"""The same, where one of them is importing a module."""

_change = threading.Condition()
_at_work: dict[int, int] = {}
"""How deep each thread is in work, by its ident."""
_forks = 0


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
        if not _change.wait_for(lambda: not (_at_work.keys() - {me}), PATIENCE):
            _wait_for_imports(me)


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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
