"""Watching functions of modules that any program may import, such as argparse, without loading the patching engine.

The engine costs some 50 ms at its first patch (wrapt and what it imports), which a program that trains nothing should
not pay. A `Watcher` offers the part of `Patcher` that such integrations need, for plain functions and methods that are
written in Python: the handlers are the same generators, called by the same rules (`calls`), but what stands in the
attribute is a Python function.
"""

from __future__ import annotations

import functools
from _thread import RLock
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from autotrack.hooks import guard, imports
from autotrack.hooks.calls import Call, Entry, Event, Handler, due
from autotrack.process import renew_in_children

if TYPE_CHECKING:
    from autotrack.hooks.patching import PatchInfo

_lock = RLock()
renew_in_children(globals(), "_lock", RLock)
_watches: dict[tuple[int, str], _Watch] = {}
"""All attributes that were ever watched, by the owner's id (which is kept alive) and the name."""


class _Watch:
    """Our function in one attribute of a class or module."""

    def __init__(self, owner: Any, name: str, raw: FunctionType) -> None:
        self.owner = owner
        self.name = name
        self.raw = raw
        self.entries: tuple[Entry, ...] = ()
        self.installed = _stand_in(self)

    @property
    def target(self) -> str:
        """Where it stands, for people."""
        owner = self.owner
        place = owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__qualname__}"
        return f"{place}.{self.name}"

    def on_top(self) -> bool:
        """Is our function what the owner holds?"""
        return vars(self.owner).get(self.name) is self.installed

    def take_off(self, owner: object) -> None:
        """Remove the handlers of one watcher; the raw function comes back unless somebody wrapped over ours."""
        for entry in self.entries:
            if entry.owner is owner:
                entry.live = False
        self.entries = tuple(entry for entry in self.entries if entry.owner is not owner)
        if not self.entries and self.on_top():
            setattr(self.owner, self.name, self.raw)


def _stand_in(watch: _Watch) -> Callable[..., Any]:
    raw, is_method = watch.raw, isinstance(watch.owner, type)

    @functools.wraps(raw)
    def watched(*args: Any, **kwargs: Any) -> Any:
        bound = is_method and bool(args)
        entries = due(watch.entries, args[0] if bound else None) if watch.entries else ()
        if not entries:
            return raw(*args, **kwargs)
        call = Call(watch.owner, watch.name, *_split(args, bound), kwargs)
        event = Event(call, entries)
        try:
            event.begin()
            result = raw(args[0], *call.args, **call.kwargs) if bound else raw(*call.args, **call.kwargs)
        except BaseException as error:
            event.raised(error)
            raise
        event.returned(result)
        return result

    return watched


def _split(args: tuple[Any, ...], bound: bool) -> tuple[Any, tuple[Any, ...]]:
    return (args[0], args[1:]) if bound else (None, args)


def installed() -> list[str]:
    """The attributes that are watched now."""
    return sorted(watch.target for watch in list(_watches.values()) if watch.entries or watch.on_top())


class Watcher:
    """All that one light integration watches; see `Patcher`."""

    def __init__(self, integration: str, health: guard.Health) -> None:
        self.integration = integration
        self.health = health
        self._watched: list[_Watch] = []
        self._undo: list[Callable[[], object]] = []
        self._refused: dict[str, str] = {}

    def method(self, cls: type, name: str, handler: Handler) -> bool:
        """Watch a method of a class, where it is defined; False where there is none that can be watched."""
        return self._watch(next((base for base in cls.__mro__ if name in vars(base)), cls), name, handler)

    def function(self, module: ModuleType, name: str, handler: Handler) -> bool:
        """Watch a function that is looked up in its module when it is called; False where there is none."""
        return self._watch(module, name, handler)

    def when_imported(self, module_name: str, fn: Callable[[ModuleType], None]) -> None:
        """Call `fn(module)` when the module has been imported; at once if it is."""
        imports.install()
        imports.register(module_name, functools.partial(self._on_import, fn), self.integration)

    def _on_import(self, fn: Callable[[ModuleType], None], module: ModuleType) -> None:
        with guard.shield(self.health, f"watching {module.__name__}"):
            fn(module)

    def on_revert(self, fn: Callable[[], object]) -> None:
        """Call `fn` when everything is taken back."""
        self._undo.append(fn)

    @contextmanager
    def applying(self) -> Iterator[None]:
        """Watch in this block; where it raises, everything is taken back and the integration has failed."""
        self.health.status, self.health.reason = "active", ""
        with guard.shield(self.health, f"watching for {self.integration}"):
            try:
                yield
            except BaseException as error:
                self.revert()
                self.health.status, self.health.reason = "failed", f"{type(error).__name__}: {error}"
                raise

    def revert(self) -> None:
        """Take everything back. A second time does nothing."""
        imports.unregister(self.integration)
        with _lock:
            for watch in self._watched:
                watch.take_off(self)
        self._watched.clear()
        while self._undo:
            guard.call(self.health, f"reverting {self.integration}", self._undo.pop())
        if self.health.status == "active":
            self.health.status = "off"

    def patches(self) -> list[PatchInfo]:
        """What is watched, and what could not be, for `autotrack doctor`."""
        from autotrack.hooks.patching import PatchInfo

        found = [PatchInfo(watch.target, "applied" if watch.on_top() else "orphaned") for watch in self._watched]
        return [*found, *(PatchInfo(target, "unpatchable", reason) for target, reason in self._refused.items())]

    def _watch(self, owner: Any, name: str, handler: Handler) -> bool:
        with _lock:
            raw = vars(owner).get(name)
            watch = _watches.get((id(owner), name))
            if watch is None or not (raw is watch.raw or watch.on_top() or _wraps(raw, watch.installed)):
                if not isinstance(raw, FunctionType):
                    self._refused[f"{getattr(owner, '__name__', owner)}.{name}"] = "no function written in Python"
                    return False
                watch = _watches[id(owner), name] = _Watch(owner, name, raw)
            if vars(owner).get(name) is watch.raw:
                setattr(owner, name, watch.installed)
            watch.entries = (*watch.entries, Entry(self, self.health, handler, 0, watch.target))
            self._watched.append(watch)
        return True


def _wraps(outer: Any, inner: Any) -> bool:
    """Whether a wrapper of somebody else's, made in the usual way, stands over ours."""
    for _ in range(100):
        if outer is None or outer is inner:
            break
        outer = getattr(outer, "__wrapped__", None)
    return outer is inner
