"""Background work of autotrack's own that leaves the program's warnings alone.

`warnings.catch_warnings` saves and restores filters of the whole process, and libraries use it everywhere (scikit-learn
in every `check_array`). Where a thread of ours calls them, its blocks and the program's interleave: the program's own
filters, or what it records, are lost, or filters of a library's stay for good. So in a thread that is `apart`, such
blocks change nothing, filters are not set, and no warning is shown. The functions stay what they were for all other
threads; they are replaced only while there is such work.

It is no other where Python keeps filters by context, as a free-threaded 3.14 does: threads inherit those of the program
and the list that it records in, and `showwarning` is still the process's.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any

_apart: dict[int, int] = {}
"""How deep the threads that are apart are in such blocks, by their ident."""

_lock = threading.Lock()
_replaced: list[tuple[Any, str, Any, Any]] = []
"""What stands in place of what: owner, name, the original, ours."""

FUNCTIONS = ("simplefilter", "filterwarnings", "resetwarnings", "_showwarnmsg")
"""Of `warnings`: what changes filters, and what shows a warning that no filter stopped, of C code too."""


@contextmanager
def apart() -> Iterator[None]:
    """What this thread does in the block neither changes the program's filters nor shows a warning."""
    ident = threading.get_ident()
    with _lock:
        if not _apart:
            _replace()
        _apart[ident] = _apart.get(ident, 0) + 1
    try:
        yield
    finally:
        with _lock:
            depth = _apart.pop(ident, 1) - 1  # in a child that was forked inside the block there is none
            if depth:
                _apart[ident] = depth
            if not _apart:
                _put_back()


def installed() -> list[str]:
    """What is replaced now: nothing where no thread is apart."""
    return [f"warnings.{name}" for _, name, _, _ in _replaced]


def _replace() -> None:
    catch: Any = warnings.catch_warnings
    _put(catch, "__enter__", _enter)
    _put(catch, "__exit__", _nothing)
    for name in FUNCTIONS:
        if hasattr(warnings, name):
            _put(warnings, name, _nothing)


def _put(owner: Any, name: str, instead: Callable[..., Any]) -> None:
    original = vars(owner)[name]
    function = _made(original, instead)
    setattr(owner, name, function)
    _replaced.append((owner, name, original, function))


@lru_cache(maxsize=16)
def _made(original: Callable[..., Any], instead: Callable[..., Any]) -> Callable[..., Any]:
    """What stands in place of a function; there is such work thousands of times, on the same few functions."""

    @wraps(original)
    def function(*args: Any, **kwargs: Any) -> Any:
        return (instead if threading.get_ident() in _apart else original)(*args, **kwargs)

    return function


def _put_back() -> None:
    while _replaced:
        owner, name, original, ours = _replaced.pop()
        if vars(owner).get(name) is ours:  # else somebody has replaced it too, and calls ours, which goes on to work
            setattr(owner, name, original)


def _enter(block: Any) -> list[Any] | None:
    """What `with catch_warnings(record=True) as caught` gets."""
    return [] if getattr(block, "_record", False) else None


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


def _after_fork() -> None:
    """The threads that were apart are not there in a child."""
    global _lock
    _lock = threading.Lock()
    _apart.clear()
    _put_back()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
