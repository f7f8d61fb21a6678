"""The one shield between autotrack's own failures and the user's program, and the health of every integration.

Everything that runs on the program's behalf without being asked goes through `call` or `shield`. Only `Exception` is
stopped: KeyboardInterrupt, SystemExit and GeneratorExit belong to the program. What is kept of an error is text, never
the exception, whose traceback would keep the program's data alive.

Imported at interpreter start by way of the import hooks, so it loads nothing that is not loaded anyway; `logging` and
`traceback` come with the first error.
"""

from __future__ import annotations

import sys
import time
from _thread import RLock

from autotrack.process import renew_in_children

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")

MAX_ERRORS = 5
"""Internal errors after which an integration's breaker opens."""

MAX_RECENT = 10
"""Error records that are kept per integration."""

MAX_TRACEBACK = 20_000
"""Characters of one traceback that are kept, counted from its end."""

silent = False
"""Set from the settings: never write to stderr."""

reraise = False
"""Set by the test suite: record, then raise, so that the shield cannot hide a bug of our own."""


class ErrorRecord:
    """One internal error, as text."""

    __slots__ = ("message", "time", "traceback", "where")

    def __init__(self, where: str, message: str, traceback: str, time: int) -> None:
        self.where = where
        self.message = message
        self.traceback = traceback
        self.time = time
        """Milliseconds since the epoch."""

    def to_dict(self) -> dict[str, Any]:
        """The record as plain values."""
        return {"where": self.where, "message": self.message, "traceback": self.traceback, "time": self.time}


class Health:
    """How one integration fares."""

    __slots__ = ("breaker", "broken", "errors", "name", "reason", "recent", "status", "version")

    def __init__(self, name: str, breaker: bool = True) -> None:
        self.name = name
        self.breaker = breaker
        """False for autotrack's own parts, which nothing can turn off."""
        self.status = "off"
        """off, waiting (its target is not imported), active, failed, skipped, or broken (the breaker is open)."""
        self.reason = ""
        self.version: str | None = None
        self.errors = 0
        self.recent: list[ErrorRecord] = []
        """The last ones, `MAX_RECENT` at most. No deque: that module costs more than all of this one at start."""
        self.broken = False

    def add(self, record: ErrorRecord) -> bool:
        """Count an error; True where this one opened the breaker."""
        with _lock:
            self.errors += 1
            self._keep(record)
            if not self.breaker or self.broken or self.errors < MAX_ERRORS:
                return False
            self.broken = True
            self.status = "broken"
            self.reason = f"{self.errors} internal errors, the last in {record.where}: {record.message}"
            return True

    def note(self, where: str, message: str) -> None:
        """Keep a trouble that is no error of autotrack's own: a store that is away, a disk that is full."""
        with _lock:
            self._keep(ErrorRecord(where, message, "", time.time_ns() // 1_000_000))

    def _keep(self, record: ErrorRecord) -> None:
        self.recent.append(record)
        del self.recent[:-MAX_RECENT]

    def last_message(self) -> str:
        """What went wrong last; empty where nothing did."""
        with _lock:
            return self.recent[-1].message if self.recent else ""

    def reset(self) -> None:
        """Close the breaker and forget the errors, for an integration that is turned on anew."""
        with _lock:
            self.status, self.reason = "off", ""
            self.errors, self.broken = 0, False
            self.recent.clear()

    def to_dict(self) -> dict[str, Any]:
        """The health as plain values, for `autotrack doctor`."""
        return {
            "name": self.name,
            "status": self.status,
            "reason": self.reason,
            "version": self.version,
            "errors": self.errors,
            "broken": self.broken,
            "recent": [record.to_dict() for record in list(self.recent)],
        }


on_first_error: Callable[[], object] | None = None
"""Called once, at the first internal error of this process: makes sure that what went wrong is kept at its end."""

_healths: dict[str, Health] = {}
_lock = RLock()
renew_in_children(globals(), "_lock", RLock)


def health(name: str, breaker: bool = True) -> Health:
    """The health of the integration (or part of autotrack) of this name, made at the first call."""
    found = _healths.get(name)
    return found if found is not None else _healths.setdefault(name, Health(name, breaker))


def all_health() -> dict[str, Health]:
    """Every health so far, by name."""
    return dict(_healths)


def troubled() -> list[Health]:
    """Those that have something to tell: errors, notes, or that they are off since something failed."""
    return [one for one in all_health().values() if one.errors or one.recent or one.status in ("failed", "broken")]


def call(health: Health | None, where: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Call `fn`; where it raises an `Exception`, record that and return None.

    Args:
        health: Whose error it is; None: nobody's, it is dropped without a trace.
        where: What was being done, for the record.
        fn: What to call, with the arguments that follow.
    """
    try:
        return fn(*args, **kwargs)
    except Exception as error:
        if health is not None and failed(health, where, error):
            raise
        return None


def failed(health: Health, where: str, error: Exception) -> bool:
    """Record an error that was caught where not even a call of `call` can be afforded; True where it is to be raised
    again, which but the test suite asks for.
    """
    call(None, where, _report, health, where, error)
    return reraise


def attempt(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | Exception:
    """Call what runs code of the user's; an `Exception` that it raises is given back: it is no error of autotrack's."""
    raised: list[Exception] = []

    def run() -> T:
        try:
            return fn(*args, **kwargs)
        except Exception as error:
            raised.append(error.with_traceback(None))
            raise

    result = call(None, "", run)
    return raised[0] if raised else result  # type: ignore[return-value]


def told(error: Exception) -> str:
    """Kind and message of an exception of the user's, whose `__str__` may fail."""
    message = attempt(str, error)
    return f"{type(error).__name__}: {message}" if isinstance(message, str) else type(error).__name__


class shield:
    """`call` as a context manager: what is raised inside is recorded and goes no further."""

    __slots__ = ("_health", "_where")

    def __init__(self, health: Health, where: str) -> None:
        self._health = health
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        return not failed(self._health, self._where, error)


def _report(health: Health, where: str, error: Exception) -> None:
    """Count first: writing it down may fail too (a full stack, a dying interpreter, a logging handler that raises)."""
    global on_first_error
    record = ErrorRecord(where, type(error).__name__, "", time.time_ns() // 1_000_000)
    opened = health.add(record)
    first, on_first_error = on_first_error, None
    if first is not None:
        call(None, where, first)
    call(None, where, _describe, record, error)
    if opened:
        health.reason = f"{health.errors} internal errors, the last in {where}: {record.message}"
        call(None, where, _announce, health)
    call(None, where, _log, health, record)


def _describe(record: ErrorRecord, error: Exception) -> None:
    import traceback

    record.message = "".join(traceback.format_exception_only(type(error), error)).strip()[:1000]
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    record.traceback = "".join(lines)[-MAX_TRACEBACK:]


def _announce(health: Health) -> None:
    from autotrack import console

    if silent or console.silent or sys.stderr is None:
        return
    sys.stderr.write(
        f"autotrack: {health.name} is turned off after {health.reason}. "
        "Your program is not affected; `autotrack doctor` tells more.\n"
    )
    sys.stderr.flush()


def _log(health: Health, record: ErrorRecord) -> None:
    """Text alone goes into the log record: handlers may keep it for as long as they like."""
    import logging

    logger = logging.getLogger("autotrack")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # or else the last-resort handler would write to stderr
    logger.warning("%s: internal error in %s\n%s", health.name, record.where, record.traceback or record.message)
