"""How an integration patches a framework, and takes every patch back.

An integration gets a `Patcher` and says what it wants to see: `patcher.method(BaseEstimator, "fit", on_fit)`. The
engine makes the original call, exactly once; a handler only watches:

    def on_fit(call: Call) -> Generator[None, Any, None]:
        started = describe(call.instance, call.args)
        result = yield          # the call is made here; what it raises is raised here
        finish(started, result)

A handler that raises, returns before its yield or yields twice is recorded in the integration's health; the call, its
result and its exception are untouched by that. See `calls` for which nested calls reach a handler, `suspended` for
generators and coroutines, `layers` for how patches of several integrations share an attribute, `taps` for the light
kind of patch.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

from autotrack.hooks import guard, imports, layers, taps
from autotrack.hooks.calls import Call, Entry, Handler, Replace, quiet
from autotrack.hooks.layers import Layer
from autotrack.hooks.taps import After, Tap, When, tap_on

__all__ = ["Call", "Handler", "PatchInfo", "Patcher", "Replace", "quiet"]


class PatchInfo(NamedTuple):
    """One patch, for `autotrack doctor`."""

    target: str
    state: str
    """applied; orphaned (taken off, or pushed aside, while somebody else's wrapper stands there); unpatchable."""
    reason: str = ""
    foreign: tuple[str, ...] = ()
    """Modules of other libraries that wrap the same attribute."""


class _Rebind(NamedTuple):
    """A function whose earlier `from module import name` copies are still to be patched."""

    layer: Layer
    handler: Handler
    order: int
    unless: Callable[[], bool] | None
    accepts: Callable[[ModuleType], bool]


class Patcher:
    """All patches of one integration."""

    def __init__(self, integration: str, health: guard.Health) -> None:
        self.integration = integration
        self.health = health
        self._layers: dict[weakref.ref[Layer], None] = {}
        self._refused: dict[str, str] = {}
        self._rebinds: list[_Rebind] = []
        self._taps: list[Tap] = []
        self._copied: list[tuple[Tap, Callable[[ModuleType], bool]]] = []
        self._undo: list[Callable[[], object]] = []
        self._waits = False
        self._failed = False

    def method(
        self, cls: type, name: str, handler: Handler, *, order: int = 0, unless: Callable[[], bool] | None = None
    ) -> bool:
        """Watch a method, where it is defined: in the class of the MRO whose body has it, once for all that inherit it.

        Args:
            cls: A class that has the method, its own or inherited.
            name: Method, classmethod, staticmethod or property (its getter).
            handler: See the module.
            order: Handlers of lower order stand further outside.
            unless: Asked at each call, before all else: where it holds, the handler is not, and the call costs next to
                nothing. For what is called thousands of times inside of a call that is watched.

        Returns:
            False where it cannot be patched; the reason stands in `patches()`.
        """
        site = layers.site_of(cls, name) or cls
        refused = self._add(site, name, handler, order, unless)
        if refused and site is not cls:  # defined in a type of C: patch the class that inherits it
            refused = self._add(cls, name, handler, order, unless)
        if refused:
            self._refused[f"{cls.__module__}.{cls.__qualname__}.{name}"] = refused
        return not refused

    def function(
        self,
        module: ModuleType,
        name: str,
        handler: Handler,
        *,
        order: int = 0,
        unless: Callable[[], bool] | None = None,
        rebind_in: Callable[[ModuleType], bool] | None = None,
    ) -> bool:
        """Watch a function under its public name, which must not be the module that defines it if others pickle it.

        Args:
            module: Module with the public name.
            name: The function.
            handler: See the module.
            order: Handlers of lower order stand further outside.
            unless: As for `method`.
            rebind_in: Says for a loaded module whether its own copies of the function (`from module import name`, made
                before this patch) are to be patched as well.

        Returns:
            False where it cannot be patched; the reason stands in `patches()`.
        """
        path = f"{module.__name__}:{name}"
        refused = self._add(module, name, handler, order, unless, path)
        if refused:
            self._refused[f"{module.__name__}.{name}"] = refused
            return False
        layer = layers.layer_on(module, name, path)
        if rebind_in is not None and isinstance(layer, Layer):
            self._rebinds.append(_Rebind(layer, handler, order, unless, rebind_in))
        return True

    def tap(
        self,
        owner: Any,
        name: str,
        after: After,
        *,
        watch: Sized | When | None = None,
        timed: bool = False,
        rebind_in: Callable[[ModuleType], bool] | None = None,
    ) -> bool:
        """Learn what a function returned, at a fraction of a microsecond: see `taps` for what that leaves out.

        Args:
            owner: The class or module whose own attribute it is, of a module the one with the public name.
            name: A function, or a property.
            after: Called with result, positional arguments and those by keyword, behind each call that went well.
            watch: `after` is called only while this holds something, or when this says; None: always.
            timed: Whether `after` is told, as one more argument, how many seconds the call took.
            rebind_in: As for `function`.

        Returns:
            False where it cannot be done; the reason stands in `patches()`.
        """
        tap = tap_on(owner, name, self.health, after, watch, timed)
        if isinstance(tap, str):
            label = owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__qualname__}"
            self._refused[f"{label}.{name}"] = tap
            return False
        self._taps.append(tap)
        if isinstance(owner, ModuleType):
            # Pickled by name it is looked for where it was defined.
            home = sys.modules.get(getattr(tap.raw, "__module__", None) or "")
            known_as = str(getattr(tap.raw, "__name__", ""))
            if home is not None and vars(home).get(known_as) is tap.raw:
                tap.put(home, known_as)
            if rebind_in is not None:
                self._copied.append((tap, rebind_in))
        return True

    def when_imported(self, module_name: str, fn: Callable[[ModuleType], None]) -> None:
        """Call `fn(module)`, all or nothing, when the module has been imported; at once if it is."""
        imports.install()
        self._waits = True
        imports.register(module_name, partial(self._on_import, fn), self.integration)

    def on_revert(self, fn: Callable[[], object]) -> None:
        """Call `fn` when the patches are taken back: for a framework's own hooks, and for state."""
        self._undo.append(fn)

    @contextmanager
    def applying(self) -> Iterator[None]:
        """Patch in this block: where it raises, everything of this integration is taken back and its status is failed.

        An `Exception` is recorded and goes no further.
        """
        with guard.shield(self.health, f"applying the patches of {self.integration}"):
            try:
                yield
                self._rebind()
            except BaseException as error:
                self._fail(f"{type(error).__name__}: {error}")
                raise
        if self._failed:  # an inner block failed, in a hook on a module that this block imported
            self._take_back()
        elif self._layers or self._taps or self._undo:
            self.health.status, self.health.reason = "active", ""
        elif self._waits:
            self.health.status, self.health.reason = "waiting", ""

    def revert(self) -> None:
        """Take everything back: import hooks, the framework's own hooks, patches. A second time does nothing."""
        self._take_back()
        self._refused.clear()
        self._failed = False
        if self.health.status in ("active", "waiting"):
            self.health.status = "off"

    def patches(self) -> list[PatchInfo]:
        """What is patched, what was left behind under somebody else's wrapper, and what could not be patched."""
        found = []
        for reference in list(self._layers):
            layer = reference()
            if layer is not None and layer.owner is not None:
                mine = any(entry.owner is self for entry in layer.handlers)
                state = "applied" if mine and layer.in_place() else "orphaned"
                found.append(PatchInfo(layer.target, state, foreign=layer.foreign()))
        found.extend(PatchInfo(tap.target, "applied" if tap.in_place() else "orphaned") for tap in self._taps)
        found.extend(PatchInfo(target, "unpatchable", reason) for target, reason in self._refused.items())
        return found

    def _add(
        self, owner: Any, name: str, handler: Handler, order: int, unless: Callable[[], bool] | None, path: str = ""
    ) -> str:
        """Put a handler on an attribute; the reason where that is impossible, else ""."""
        layer = layers.layer_on(owner, name, path)
        if isinstance(layer, str):
            return layer
        self._layers[weakref.ref(layer, self._forget)] = None
        if not any(entry.owner is self and entry.handler == handler for entry in layer.handlers):
            layer.add(Entry(self, self.health, handler, order, layer.target, unless))
        return ""

    def _forget(self, reference: weakref.ref[Layer]) -> None:
        self._layers.pop(reference, None)

    def _on_import(self, fn: Callable[[ModuleType], None], module: ModuleType) -> None:
        with self.applying():
            fn(module)

    def _rebind(self) -> None:
        """Patch the copies of all functions in one pass over the loaded modules."""
        waiting, self._rebinds = self._rebinds, []
        wanted = {id(rebind.layer.raw): rebind for rebind in waiting}
        for module in list(sys.modules.values()) if wanted else ():
            if not issubclass(type(module), ModuleType) or imports.is_lazy(module):
                continue
            accepted: dict[Callable[[ModuleType], bool], bool] = {}
            for name, value in list(vars(module).items()):
                rebind = wanted.get(id(value))
                if (
                    rebind is None
                    or rebind.layer.owner is module
                    or getattr(value, "__module__", None) == module.__name__
                ):
                    continue
                if rebind.accepts not in accepted:
                    accepted[rebind.accepts] = rebind.accepts(module)
                if accepted[rebind.accepts]:
                    self._add(module, name, rebind.handler, rebind.order, rebind.unless, rebind.layer.path)

        copied, self._copied = self._copied, []
        for accepts in dict.fromkeys(accepts for _, accepts in copied):
            modules = [one for one in list(sys.modules.values()) if issubclass(type(one), ModuleType)]
            modules = [one for one in modules if not imports.is_lazy(one) and accepts(one)]
            taps.spread([tap for tap, wanted in copied if wanted is accepts], modules)

    def _fail(self, reason: str) -> None:
        self._failed = True
        self._take_back()
        self.health.status, self.health.reason = "failed", reason

    def _take_back(self) -> None:
        imports.unregister(self.integration)
        self._rebinds.clear()
        self._copied.clear()
        self._waits = False
        while self._undo:
            guard.call(self.health, f"reverting {self.integration}", self._undo.pop())
        for reference in list(self._layers):
            layer = reference()
            if layer is not None:
                layer.remove(self)
            if layer is None or not layer.in_place():
                self._layers.pop(reference, None)
        while self._taps:
            self._taps.pop().remove()
