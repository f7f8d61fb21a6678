"""Taps: the light kind of patch, for functions that are called so often that the engine's microseconds would be felt.

A tap learns what a call was given and what it returned; it sees no exception, changes nothing, and knows no rule of
re-entrancy. While nothing is there to be watched, it costs one plain function call.

What stands in place of the raw function passes for it: its name, its module, its signature; what is pickled by name
finds it again. It says that its code stands in the raw function's file: libraries blame a warning on the first frame
outside their own folder (pandas and polars do), which shall go on to be the program's.
"""

from __future__ import annotations

import functools
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Sized
from types import FrameType, FunctionType, ModuleType
from typing import Any, NamedTuple

from autotrack.hooks import guard

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
"""What a tapped call was given, by position and by keyword."""

After = Callable[..., object]
"""Called with a call's result, its positional arguments (the instance first) as a tuple and those by keyword as a dict;
of a timed tap also with the seconds that the call took."""


class When(NamedTuple):
    """When a tap looks at calls that most often it does not look at; asked at each of them."""

    watch: Sized
    """While this holds something,"""
    calm: Callable[[], bool]
    """or while this is false: a function written in C,"""
    never: Callable[[], bool]
    """but never while this is true."""


class Tap:
    """A function of a class or module that a stand-in of ours has replaced, in all places where it was found."""

    __slots__ = ("__weakref__", "_places", "_switch", "installed", "name", "raw", "target")

    def __init__(
        self, owner: Any, name: str, health: guard.Health, after: After, watch: Sized | When | None, timed: bool
    ) -> None:
        self.raw: Any = vars(owner)[name]
        self.name = name
        label = owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__qualname__}"
        self.target = f"{label}.{name}"
        self._switch = [True]
        """Emptied when the tap is taken off: a stand-in that somebody else wrapped or keeps then does nothing."""
        self._places: list[tuple[weakref.ref[Any], str]] = []
        function = function_of(self.raw)
        made = _stand_in(function, after, self._switch if watch is None else watch, health, self.target, timed)
        self.installed: Any = self.raw.getter(made) if isinstance(self.raw, property) else made

    def put(self, owner: Any, name: str) -> None:
        """Install the stand-in in one more place that holds the raw function."""
        setattr(owner, name, self.installed)
        self._places.append((weakref.ref(owner), name))

    def remove(self) -> None:
        """Put the raw function back wherever the stand-in is what the owner holds."""
        self._switch.clear()
        for owner, name in self._held():
            setattr(owner, name, self.raw)
        self._places.clear()

    def in_place(self) -> bool:
        """Is the stand-in what an owner holds?"""
        return bool(self._held())

    def _held(self) -> list[tuple[Any, str]]:
        owners = [(reference(), name) for reference, name in self._places]
        return [(owner, name) for owner, name in owners if owner is not None and self._stands_at(owner, name)]

    def _stands_at(self, owner: Any, name: str) -> bool:
        return vars(owner).get(name) is self.installed


_taps: weakref.WeakSet[Tap] = weakref.WeakSet()


def tap_on(
    owner: Any, name: str, health: guard.Health, after: After, watch: Sized | When | None, timed: bool = False
) -> Tap | str:
    """Put a tap on an attribute; or the reason why there can be none.

    Args:
        owner: A class or a module whose own attribute it is.
        name: A function, or a property.
        health: Whose errors what fails in `after` is counted among.
        after: What is called behind every call.
        watch: `after` is called only while this holds something, or when this says; None: always.
        timed: Whether `after` is told how long the call took.
    """
    raw = vars(owner).get(name)
    if type(function_of(raw)) is not FunctionType:
        return "no such attribute" if raw is None else f"a {type(raw).__name__}, no plain function"
    if any(raw is tap.installed for tap in list(_taps)):
        return "tapped already"
    tap = Tap(owner, name, health, after, watch, timed)
    try:
        tap.put(owner, name)
    except (TypeError, AttributeError) as error:
        return str(error)
    _taps.add(tap)
    return tap


def installed() -> list[str]:
    """The functions that a stand-in of ours is in the place of now."""
    return sorted(tap.target for tap in list(_taps) if tap.in_place())


def spread(taps: Iterable[Tap], modules: Iterable[ModuleType]) -> None:
    """Put stand-ins in the place of the copies that modules have of the raw functions (`from module import name`)."""
    wanted = {id(tap.raw): tap for tap in taps}
    for module in modules:
        for name, value in list(vars(module).items()):
            tap = wanted.get(id(value))
            if tap is not None:
                tap.put(module, name)


def function_of(raw: Any) -> Any:
    """The function that an attribute comes down to."""
    return raw.fget if type(raw) is property else raw


def _stand_in(raw: Any, after: After, watch: Sized | When, health: guard.Health, target: str, timed: bool) -> Any:
    # No globals but builtins: those are the raw function's. Errors are caught here, and not by a function of the guard
    # in between: what is called in the midst of a training finds the processor's caches full of that, so every
    # function more costs, and `torch.nn.functional` and `backward` are called at each step.
    perf_counter = time.perf_counter
    failed = functools.partial(guard.failed, health, f"{target}, after the call")

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        result = raw(*args, **kwargs)
        if watch and not health.broken:
            try:
                after(result, args, kwargs)
            except Exception as error:
                if failed(error):
                    raise
        return result

    def timed_stand_in(*args: Any, **kwargs: Any) -> Any:
        started = perf_counter()
        result = raw(*args, **kwargs)
        if watch and not health.broken:
            seconds = perf_counter() - started
            try:
                after(result, args, kwargs, seconds)
            except Exception as error:
                if failed(error):
                    raise
        return result

    if isinstance(watch, When):
        return _posing(raw, _rare_stand_in(raw, after, watch, health, failed))
    return _posing(raw, timed_stand_in if timed else stand_in)


def _rare_stand_in(
    raw: Any, after: After, when: When, health: guard.Health, failed: Callable[[Exception], bool]
) -> Any:
    watch, calm, never = when

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        result = raw(*args, **kwargs)
        if (watch or not calm()) and not never() and not health.broken:
            try:
                after(result, args, kwargs)
            except Exception as error:
                if failed(error):
                    raise
        return result

    return stand_in


def _posing(raw: Any, made: Any) -> Any:
    # With the raw function's globals: torch.jit compiles its source, and looks names up there.
    origin = raw.__code__
    names: dict[str, Any] = {"co_qualname": origin.co_qualname} if hasattr(origin, "co_qualname") else {}
    code = made.__code__.replace(
        co_filename=origin.co_filename, co_name=origin.co_name, co_firstlineno=origin.co_firstlineno, **names
    )
    posing = FunctionType(code, raw.__globals__, raw.__name__, None, made.__closure__)
    functools.update_wrapper(posing, raw)
    return posing


CALLER = 2
"""Frames from the function that a tap calls to the tapped call's caller: the stand-in, the caller."""


def caller() -> FrameType:
    """The frame that made the tapped call; to be asked in the function that the tap calls."""
    return sys._getframe(CALLER + 1)
