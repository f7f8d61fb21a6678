"""One hooked call in progress: its handlers' parts before and after, and which nested calls they see.

The re-entrancy rule. A handler sees the outermost of the calls that one instance makes on itself: while a call on an
instance is in progress, further calls on *the same instance* (or class, for a classmethod) that would reach *the same
handler* are made without it. So a `super().fit()` chain, an alias in a class body, an override that calls what it
overrides, or an estimator that fits itself is one event. A call on another instance always reaches the handler, which
decides for itself what a nested call means. Functions and staticmethods have no instance: every call is an event.

Calls that a handler's own code makes reach no handler at all, of whatever integration (see also `quiet`).

Both follow the context (`contextvars`): another thread, or another asyncio task, is on its own.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter
from types import FrameType
from typing import Any, Protocol

from autotrack import origin
from autotrack.errors import AutotrackError
from autotrack.hooks import guard


class Call:
    """What a handler learns about the call that it watches."""

    __slots__ = ("args", "instance", "kwargs", "name", "owner")

    def __init__(self, owner: Any, name: str, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.owner = owner
        """Class or module in which the patch stands; None where it is gone."""
        self.name = name
        self.instance = instance
        """`self` of a method, the class of a classmethod, None for functions and staticmethods."""
        self.args = args
        """Positional arguments without the instance."""
        self.kwargs = kwargs

    def caller(self) -> FrameType | None:
        """The frame that made the call: the handler's frames are left out, and autotrack's and wrapt's around it.

        Another library's wrapper above ours calls on behalf of its caller: its frames are left out too. None outside
        the handler's own parts, in another thread for instance. Keeping the frame keeps all its variables alive; take
        what is needed and let it go.
        """
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code not in _STARTERS:
            frame = frame.f_back
        while frame is not None and _is_ours(frame):
            frame = frame.f_back
        if frame is None or origin.is_users(frame):
            return frame
        if "autotrack.hooks.layers" not in sys.modules:  # of watchers alone: nothing is to load wrapt on their behalf
            return frame
        from autotrack.hooks.chains import packages_above

        wrappers = packages_above(self.owner, self.name, self.instance)
        outer = origin.calling_frame(frame) if wrappers else None
        return origin.caller_past(outer, wrappers) if outer is not None and _package_of(outer) in wrappers else frame


class Replace:
    """What a handler yields in order to hand other arguments to the original."""

    __slots__ = ("args", "kwargs")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs


Handler = Callable[[Call], Generator["Replace | None", Any, None]]
"""A generator function with one `yield`: code before it runs before the call; it returns what the original returned, or
raises what the original raised; code after it runs after the call."""


class Entry:
    """A handler on one layer, on behalf of one integration."""

    __slots__ = ("after", "before", "handler", "health", "live", "order", "owner", "unless")

    def __init__(
        self,
        owner: object,
        health: guard.Health,
        handler: Handler,
        order: int,
        target: str,
        unless: Callable[[], bool] | None = None,
    ) -> None:
        self.owner = owner
        """The patcher that added it."""
        self.health = health
        self.handler = handler
        self.order = order
        self.unless = unless
        """While it holds, calls are made as if nobody watched them."""
        self.live = True
        """False from the moment it is taken off: a call in flight then ends without its part after."""
        self.before = f"{target}, before the call"
        self.after = f"{target}, after the call"


class Account(Protocol):
    """What the time is charged to that handlers take."""

    def begin(self) -> None:
        """A call is known to be of this account."""

    def charge(self, seconds: float) -> None:
        """It has ended, and its handlers took so long."""


_running: ContextVar[Event | None] = ContextVar("autotrack_running", default=None)
_handling: ContextVar[Event | None] = ContextVar("autotrack_handling", default=None)
"""The event whose handlers are at work here."""


class Event:
    """The handlers' side of one call, linked to the calls around it. `begin`, then one of `returned` and `raised`."""

    __slots__ = ("_account", "_entries", "_key", "_outer", "_over", "_spent", "_started", "_thread", "call")

    def __init__(self, call: Call, entries: tuple[Entry, ...]) -> None:
        self.call = call
        self._entries = entries
        self._key = 0 if call.instance is None else id(call.instance)
        """`id` of the instance, 0 when the call is over: a copied context may outlive it."""
        self._outer = _running.get()
        self._started: list[tuple[Entry, Generator[Replace | None, Any, None]]] = []
        self._account: Account | None = None
        self._over: list[Callable[[], None]] = []
        self._thread = 0
        """The thread on which the handlers are at work; 0 while they are not."""
        self._spent = 0.0
        """Seconds that the handlers took; while they are at work, less the time at which they began."""

    def begin(self) -> None:
        """Run the parts before the call, outermost handler first."""
        begun = perf_counter()
        self._go_to_work()
        try:
            for entry in self._entries:
                guard.call(entry.health, entry.before, _start, entry, self.call, self._started)
        finally:
            self._rest(self)
        self._spent = perf_counter() - begun

    def returned(self, result: Any) -> None:
        """Run the parts after the call, innermost handler first."""
        self._spent -= perf_counter()
        self._go_to_work()
        try:
            while self._started:
                entry, steps = self._started.pop()
                guard.call(entry.health, entry.after, _resume, entry, steps, result)
        finally:
            self._close()

    def raised(self, error: BaseException) -> None:
        """Run the parts after a call that raised; the exception comes out of it as it went in."""
        self._spent -= perf_counter()
        self._go_to_work()
        trace, context, cause = error.__traceback__, error.__context__, error.__cause__
        suppress = error.__suppress_context__
        try:
            while self._started:
                entry, steps = self._started.pop()
                guard.call(entry.health, entry.after, _throw, entry, steps, error)
        finally:
            error.with_traceback(trace)  # a method of C: setting attributes may be forbidden (frozen dataclasses)
            if error.__context__ is not context or error.__cause__ is not cause:
                BaseException.__setattr__(error, "__context__", context)
                BaseException.__setattr__(error, "__cause__", cause)
                BaseException.__setattr__(error, "__suppress_context__", suppress)
            del trace, context, cause
            self._close()

    def enter(self) -> None:
        """A generator or coroutine of the user's goes on: from here on its calls are nested in this event."""
        self._outer = _running.get()
        _running.set(self)

    def leave(self) -> None:
        """It has come to a halt; the event stays open."""
        _running.set(self._outer)

    def _go_to_work(self) -> None:
        self._thread = get_ident()
        _running.set(_QUIET)
        _handling.set(self)

    def _rest(self, running: Event | None) -> None:
        """A part of the handlers is over, however it went."""
        self._thread = 0
        while self._over:
            guard.call(guard.health("tracking", breaker=False), "after a handler", self._over.pop())
        _handling.set(None)
        _running.set(running)

    def _close(self) -> None:
        """Nothing of the call may stay alive in a context that was copied while it was in progress."""
        self._rest(self._outer)
        self._key = 0
        del self.call
        account, self._account = self._account, None
        if account is not None:
            account.charge(self._spent + perf_counter())


_QUIET = Event(Call(None, "", None, (), {}), ())
_ENDED = Replace((), {})


@contextmanager
def quiet() -> Iterator[None]:
    """Calls made in this block, in this thread, reach no handler: for work that autotrack does on its own."""
    outer = _running.get()
    _running.set(_QUIET)
    try:
        yield
    finally:
        _running.set(outer)


def charge_to(account: Account) -> None:
    """In a handler: the call is of this account, and what handlers take of it is charged to it when it has ended."""
    event = _handling.get()
    if event is not None and event._account is None:
        event._account = account
        account.begin()


def when_over(callback: Callable[[], None]) -> bool:
    """In a handler: have something done when this part of it, before or after the call, is over, however it went.

    Returns:
        False outside handlers' parts: then nothing will be done.
    """
    event = _at_work()
    if event is None:
        return False
    event._over.append(callback)
    return True


def is_handling() -> bool:
    """Whether a handler's part is at work here, in this thread."""
    return _at_work() is not None


def _at_work() -> Event | None:
    """The event of which a handler's part is at work here; a context that was copied there may be in any thread."""
    event = _handling.get()
    return event if event is not None and event._thread == get_ident() else None


def due(entries: tuple[Entry, ...], instance: Any) -> tuple[Entry, ...]:
    """Those of the entries that see a call on this instance, here and now."""
    event = _running.get()
    if event is _QUIET:
        return ()
    for entry in entries:
        if entry.unless is not None or entry.health.broken:
            entries = tuple(entry for entry in entries if _is_due(entry))
            break
    if event is None or instance is None or not entries:
        return entries
    key = id(instance)
    while event is not None:
        if event._key == key:
            busy = [entry.handler for entry in event._entries]
            entries = tuple(entry for entry in entries if entry.handler not in busy)
        event = event._outer
    return entries


def _is_due(entry: Entry) -> bool:
    """Whether a handler is to be asked at all."""
    if entry.health.broken:
        return False
    return entry.unless is None or not guard.call(entry.health, entry.before, entry.unless)


def _start(entry: Entry, call: Call, started: list[tuple[Entry, Generator[Replace | None, Any, None]]]) -> None:
    steps = entry.handler(call)
    asked = next(steps, _ENDED)
    if asked is None:
        started.append((entry, steps))
        return
    if asked is _ENDED:
        raise AutotrackError(f"handler {_name_of(entry)} ended before its yield; it has to yield exactly once")
    started.append((entry, steps))
    if type(asked) is not Replace:
        raise AutotrackError(f"handler {_name_of(entry)} yielded {type(asked).__name__}; only Replace or nothing")
    call.args, call.kwargs = asked.args, asked.kwargs


def _resume(entry: Entry, steps: Generator[Replace | None, Any, None], result: Any) -> None:
    if not entry.live or entry.health.broken:
        steps.close()
        return
    try:
        steps.send(result)
    except StopIteration:
        return
    steps.close()
    raise AutotrackError(f"handler {_name_of(entry)} yielded twice; it has to yield exactly once")


def _throw(entry: Entry, steps: Generator[Replace | None, Any, None], error: BaseException) -> None:
    if not entry.live or entry.health.broken:
        steps.close()
        return
    try:
        steps.throw(error)
    except StopIteration:
        return
    except BaseException as out:
        # PEP 479 turns a StopIteration of the user's that the handler lets through into a RuntimeError
        if out is error or (isinstance(out, RuntimeError) and out.__cause__ is error):
            return
        raise
    steps.close()
    raise AutotrackError(f"handler {_name_of(entry)} yielded twice; it has to yield exactly once")


def _name_of(entry: Entry) -> str:
    return getattr(entry.handler, "__qualname__", repr(entry.handler))


def _is_ours(frame: FrameType) -> bool:
    return _package_of(frame) in ("autotrack", "wrapt")


def _package_of(frame: FrameType) -> str:
    module = frame.f_globals.get("__name__")
    return module.partition(".")[0] if isinstance(module, str) else ""


_STARTERS = frozenset(part.__code__ for part in (_start, _resume, _throw))
"""Code under which every part of a handler runs."""
