"""Processes that one call of the program's starts together, and that may become the ranks of a job (`tracking.job`).

Light: whatever hands work to another process imports it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Group(NamedTuple):
    """Such processes."""

    name: str
    """No other group has it."""
    number: int
    """How many the program has started, this one included."""
    size: int


_count = 0
_starting: tuple[int, Group] | None = None
"""The group that a process is starting; what it forks meanwhile finds it in its memory."""

_joined: tuple[int, Group] | None = None
"""The group that a process was told that it belongs to."""


@contextmanager
def starting(size: int) -> Iterator[None]:
    """What this process starts meanwhile is one group."""
    from autotrack import clock

    global _count, _starting
    before = _starting
    _count += 1
    _starting = os.getpid(), Group(clock.new_id(), _count, size)
    try:
        yield
    finally:
        _starting = before


def being_started() -> Group | None:
    """The group that this process is starting."""
    return _starting[1] if _starting is not None and _starting[0] == os.getpid() else None


def join(group: Group) -> None:
    """This process was started as one of a group."""
    global _joined
    _joined = os.getpid(), group


def own() -> Group | None:
    """The group that this process was started as one of."""
    if _joined is not None and _joined[0] == os.getpid():
        return _joined[1]
    return _starting[1] if _starting is not None and _starting[0] == os.getppid() else None


def forget() -> None:
    """As a fresh process would (between tests)."""
    global _starting, _joined
    _starting = _joined = None
