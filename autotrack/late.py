"""Imports that autotrack makes late, in whichever thread comes first, kept apart from forks.

A child that is forked while another thread imports a module inherits that module's lock, held by a thread which it does
not have: its own import of the module would wait for ever. So a fork waits until such an import is over. Of the threads
that are autotrack's own, `tracking.resting` says the same.
"""

from __future__ import annotations

import os
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

PATIENCE = 5.0
"""Seconds that a fork waits at most: the import may itself wait for something that the forking thread holds."""

_lock = RLock()
_held = False


class loading:
    """Around an import that a fork waits for."""

    __slots__ = ("_own",)

    def __enter__(self) -> None:
        self._own = _lock
        self._own.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own is _lock:  # else this is a child that was forked inside
            self._own.release()


def _before_fork() -> None:
    global _held
    _held = _lock.acquire(timeout=PATIENCE)


def _in_parent() -> None:
    global _held
    held, _held = _held, False
    if held:
        _lock.release()


def _in_child() -> None:
    global _lock, _held
    _lock, _held = RLock(), False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
