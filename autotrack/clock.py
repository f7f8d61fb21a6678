"""Time and ids, in one place so that a test can fix them (`autotrack.testing.fixed_clock`)."""

from __future__ import annotations

import os
import time
from binascii import hexlify
from collections.abc import Callable


def _system_now(_read: Callable[[], int] = time.time_ns) -> int:  # bound: asked often
    return _read() // 1_000_000


_POOL = 4096
_pool: list[str] = []


def _random_id() -> str:
    # Never `random`: its stream belongs to the user's program. Some systems take a millisecond for each read of
    # their random source, however short: read many ids at once.
    try:
        return _pool.pop()
    except IndexError:
        text = hexlify(os.urandom(_POOL)).decode()
        _pool.extend(text[start : start + 32] for start in range(32, len(text), 32))
        return text[:32]


if hasattr(os, "register_at_fork"):
    # A child that went on with its parent's pool would give out the same ids.
    os.register_at_fork(after_in_child=_pool.clear)


now: Callable[[], int] = _system_now
"""Milliseconds since the epoch, UTC."""

now_ns: Callable[[], int] = time.time_ns
"""The same in nanoseconds, without a function of ours in between: asked at every step of a training."""

new_id = _random_id
"""A new id: 32 hexadecimal digits."""


def is_fixed() -> bool:
    """Whether a test has fixed the time, and wants the same record of each run of it."""
    return now is not _system_now
