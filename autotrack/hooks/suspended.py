"""Events of generator functions, coroutine functions and async generator functions.

Such a call returns before its body has run. The event therefore stays open until the body ends: exhausted, awaited,
closed (the handler's `yield` then raises GeneratorExit) or failed. The user gets a generator (coroutine, async
generator) that drives the original one step by step; values sent, exceptions thrown and the return value pass through.
The handler gets the return value, None for an async generator.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any

from autotrack.hooks.calls import Event

Driver = Callable[[Event, Any], Any]


def driver_of(raw: object) -> Driver | None:
    """What drives the results of a function; None for an ordinary function, whose results are handed on untouched."""
    function = raw.__func__ if isinstance(raw, (classmethod, staticmethod)) else raw
    if inspect.iscoroutinefunction(function):
        return _coroutine
    if inspect.isasyncgenfunction(function):
        return _async_generator
    return _generator if inspect.isgeneratorfunction(function) else None


def drive(driver: Driver, event: Event, inner: Any) -> Any:
    """The stand-in for `inner` that keeps the event open for as long as it runs."""
    outer = driver(event, inner)
    outer.__name__, outer.__qualname__ = inner.__name__, inner.__qualname__
    event.leave()
    return outer


class _Steps:
    """A generator or coroutine whose every step runs inside the event."""

    __slots__ = ("_event", "_inner")

    def __init__(self, event: Event, inner: Any) -> None:
        self._event = event
        self._inner = inner

    def __iter__(self) -> _Steps:
        return self

    __await__ = __iter__

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        self._event.enter()
        try:
            return self._inner.send(value)
        finally:
            self._event.leave()

    def throw(self, *error: Any) -> Any:
        self._event.enter()
        try:
            return self._inner.throw(*error)
        finally:
            self._event.leave()

    def close(self) -> None:
        self._event.enter()
        try:
            self._inner.close()
        finally:
            self._event.leave()


def _generator(event: Event, inner: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    try:
        result = yield from _Steps(event, inner)
    except BaseException as error:
        event.raised(error)
        raise
    event.returned(result)
    return result


async def _coroutine(event: Event, inner: Coroutine[Any, Any, Any]) -> Any:
    try:
        result = await _Steps(event, inner)
    except BaseException as error:
        event.raised(error)
        raise
    event.returned(result)
    return result


async def _async_generator(event: Event, inner: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    step: Any = inner.__anext__()
    try:
        while True:
            item = await _Steps(event, step.__await__())
            try:
                step = inner.asend((yield item))
            except GeneratorExit:
                await _Steps(event, inner.aclose().__await__())
                raise
            except BaseException as error:  # noqa: BLE001 - thrown in by whoever iterates, and handed on
                step = inner.athrow(error)
    except StopAsyncIteration:
        event.returned(None)
    except BaseException as error:
        event.raised(error)
        raise
