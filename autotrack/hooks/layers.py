"""One wrapper, a layer, per patched attribute; it carries the handlers of all integrations, in order.

Revert is record-based: the raw descriptor is kept as it was found in the owner's namespace and put back, the identical
object, when the last handler goes and our wrapper still is what the owner holds. Where somebody wrapped over us, theirs
stays, ours passes calls through, and the next handler revives the same layer instead of adding a second.

Nothing here keeps a class alive: a layer lives in the namespace of its owner, and everything else refers to it weakly.
"""

from __future__ import annotations

import threading
import weakref
from types import ModuleType
from typing import Any

import wrapt

from autotrack.hooks.calls import Call, Entry, Event, due
from autotrack.hooks.chains import MISSING, chain_of, module_of
from autotrack.hooks.suspended import drive, driver_of
from autotrack.hooks.wrapper import Wrapper
from autotrack.process import renew_in_children

_lock = threading.RLock()
renew_in_children(globals(), "_lock", threading.RLock)


class Layer:
    """Our wrapper on one attribute of a class or module."""

    __slots__ = ("__weakref__", "_driver", "_owner", "handlers", "installed", "kind", "name", "owned", "path", "raw")

    def __init__(self, owner: Any, name: str, raw: Any, owned: bool, path: str) -> None:
        self._owner = weakref.ref(owner)
        self.name = name
        self.raw = raw
        self.owned = owned
        """False where the owner inherits the attribute: then it is deleted, not restored."""
        self.path = path
        """`module:name` under which a function is pickled; "" for what is found through its class."""
        self.kind = _kind_of(owner, raw)
        self.handlers: tuple[Entry, ...] = ()
        """Swapped whole, never changed: a call in progress goes on with those that it began with."""
        self._driver = driver_of(raw)
        self.installed: Any = raw.getter(Wrapper(raw.fget, self)) if self.kind == "property" else Wrapper(raw, self)

    @property
    def owner(self) -> Any:
        """The class or module; None where it is gone."""
        return self._owner()

    @property
    def target(self) -> str:
        """Where the patch stands, for people: `sklearn.base.ClassifierMixin.score`."""
        owner = self.owner
        if isinstance(owner, ModuleType):
            return f"{owner.__name__}.{self.name}"
        return f"{owner.__module__}.{owner.__qualname__}.{self.name}" if owner is not None else self.name

    def add(self, entry: Entry) -> None:
        """Add a handler; of equal order, the one that came first stays outermost."""
        with _lock:
            self.handlers = tuple(sorted((*self.handlers, entry), key=lambda item: item.order))

    def remove(self, owner: object) -> None:
        """Take off the handlers of one patcher, and the layer itself with its last handler."""
        with _lock:
            for entry in self.handlers:
                if entry.owner is owner:
                    entry.live = False
            self.handlers = tuple(entry for entry in self.handlers if entry.owner is not owner)
            holder = self.owner
            if self.handlers or holder is None or not self.on_top():
                return
            if self.owned:
                setattr(holder, self.name, self.raw)
            else:
                delattr(holder, self.name)

    def put(self) -> None:
        """Install the wrapper in place of the raw attribute."""
        setattr(self.owner, self.name, self.installed)

    def on_top(self) -> bool:
        """Is our wrapper what the owner holds?"""
        holder = self.owner
        return holder is not None and vars(holder).get(self.name) is self.installed

    def in_place(self) -> bool:
        """Is our wrapper what the owner holds, or below what it holds?"""
        holder = self.owner
        if holder is None:
            return False
        current = vars(holder).get(self.name, MISSING)
        return current is self.installed or any(item is self.installed for item in chain_of(current))

    def foreign(self) -> tuple[str, ...]:
        """Modules of other libraries whose wrappers stand above or below ours."""
        holder = self.owner
        if holder is None:
            return ()
        own = (holder.__name__ if isinstance(holder, ModuleType) else holder.__module__).partition(".")[0]
        found = [module_of(item) for item in chain_of(vars(holder).get(self.name, MISSING))]
        return tuple(dict.fromkeys(m for m in found if m and m.partition(".")[0] not in (own, "autotrack")))

    def invoke(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make the original call, exactly once, between the handlers' parts. wrapt calls this for every call."""
        if instance is None:
            if args and self.kind in ("method", "property", "classmethod"):
                wrapped, instance, args = self._bind(wrapped, args)
        elif type(wrapped) is wrapt.PartialCallableObjectProxy:  # Cls.fit(est, X): without wrapt's proxy on the stack
            wrapped = self.raw.__get__(instance, type(instance))
        handlers = self.handlers
        if not handlers or (instance is None and self.kind == "method"):  # without a `self`, or with somebody else's
            return wrapped(*args, **kwargs)
        chosen = due(handlers, instance)
        if not chosen:
            return wrapped(*args, **kwargs)
        call = Call(self.owner, self.name, instance, args, kwargs)
        event = Event(call, chosen)
        try:
            event.begin()
            result = wrapped(*call.args, **call.kwargs)
        except BaseException as error:
            event.raised(error)
            raise
        if self._driver is not None:
            return drive(self._driver, event, result)
        event.returned(result)
        return result

    def _bind(self, wrapped: Any, args: tuple[Any, ...]) -> tuple[Any, Any, tuple[Any, ...]]:
        """The wrapper was called as a plain function: by a library that wraps over us, or through `method.__func__`."""
        holder, instance = self.owner, args[0]
        if self.kind == "classmethod":
            return wrapped.__get__(None, instance), instance, args[1:]
        if holder is None or holder not in type(instance).__mro__:
            return wrapped, None, args
        return wrapped.__get__(instance, type(instance)), instance, args[1:]


_layers: weakref.WeakValueDictionary[tuple[int, str], Layer] = weakref.WeakValueDictionary()


def layer_on(owner: Any, name: str, path: str = "") -> Layer | str:
    """The layer on an attribute, put there if it is not; or the reason why there can be none.

    Args:
        owner: A class or a module.
        name: The attribute; a class may inherit it.
        path: `module:name` under which a function is pickled.
    """
    with _lock:
        owned = name in vars(owner)
        raw = vars(owner)[name] if owned else _inherited(owner, name)
        layer = _layers.get((id(owner), name))
        if layer is not None and layer.owner is owner:
            if layer.in_place():
                return layer
            if raw is layer.raw and owned == layer.owned:
                layer.put()
                return layer
        if type(raw) is Wrapper and isinstance(owner, ModuleType):  # a copy of a name that is patched elsewhere
            return raw._self_layer
        reason = _why_not(owner, raw)
        if reason:
            return reason
        layer = Layer(owner, name, raw, owned, path)
        try:
            layer.put()
        except (TypeError, AttributeError) as error:  # a type of C, or a metaclass that forbids it
            return str(error)
        _layers[id(owner), name] = layer
        return layer


def installed() -> list[str]:
    """The attributes that hold our wrapper now, or have handlers: none when every patch is taken off."""
    layers = [layer for layer in list(_layers.values()) if layer.handlers or layer.on_top()]
    return sorted(layer.target for layer in layers if layer.owner is not None)


def site_of(cls: type, name: str) -> type | None:
    """The class in the MRO whose body defines the attribute."""
    return next((base for base in cls.__mro__ if name in vars(base)), None)


def _inherited(owner: Any, name: str) -> Any:
    site = site_of(owner, name) if isinstance(owner, type) else None
    return MISSING if site is None else vars(site)[name]


def _kind_of(owner: Any, raw: Any) -> str:
    if isinstance(raw, property):
        return "property"
    if isinstance(raw, staticmethod):
        return "staticmethod"
    if isinstance(raw, classmethod):
        return "classmethod"
    return "method" if isinstance(owner, type) and hasattr(type(raw), "__get__") else "function"


def _why_not(owner: Any, raw: Any) -> str:
    if raw is MISSING:
        return "no such attribute"
    if isinstance(raw, type):
        return "it is a class: isinstance() and subclassing would not survive a wrapper; patch its methods"
    if isinstance(raw, property):
        return "" if raw.fget is not None else "a property without a getter"
    if callable(raw) or isinstance(raw, (classmethod, staticmethod)):
        return ""
    try:  # a descriptor that makes methods, as scikit-learn's available_if; not one that computes a value
        made = raw.__get__(None, owner)
    except (AttributeError, TypeError):
        made = None
    return "" if callable(made) and not hasattr(type(raw), "__set__") else f"a {type(raw).__name__} is not callable"
