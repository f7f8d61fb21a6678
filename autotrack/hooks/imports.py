"""Hooks that run when a module has been imported. Loaded at interpreter start: it imports `sys` and `_thread` alone.

The finder answers for registered names only. An ordinary import is not touched: the finder hands back the very spec
that the finders after it found, and merely watches its `_initializing` mark, which importlib clears when the import is
over. So the loader stays what it was and no frame of ours stands in a traceback. Where a module is executed in another
way (`importlib.reload`, `LazyLoader`, by hand), its loader is wrapped until it has run.

Nothing is held while a hook runs, and there is no lock at all: each step is one operation of a dict, set or list that
is atomic in itself, so two threads cannot block each other and a fork cannot inherit a lock that is taken. To copy one
into a list is such an operation without a GIL, too; into a tuple it is not.
"""

from __future__ import annotations

import sys
from _thread import _local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Hook = Callable[[ModuleType], object]


class _Entry:
    """One hook on one module name."""

    __slots__ = ("_seen", "hook", "owner")

    def __init__(self, owner: str, hook: Hook) -> None:
        self.owner = owner
        self.hook = hook
        self._seen: dict[int, tuple[object, object]] = {}

    def claim(self, load: object) -> bool:
        """True for the first caller per load of the module, whichever thread it comes from."""
        mine = object()
        if self._seen.setdefault(id(load), (load, mine))[1] is not mine:
            return False
        for other in [key for key in list(self._seen) if key != id(load)]:
            self._seen.pop(other, None)
        return True


_hooks: dict[str, list[_Entry]] = {}
_absent: set[str] = set()
"""Registered names that no import has been seen for. One may come about without the finder being asked: another finder
stands in front, or its import was past the finder when the hook was registered. The next import of anything looks."""


class _Watched:
    """Mixed into the class of a module spec while its module is imported; tells when that is over."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "_initializing" and not value:
            self.__class__ = type(self).__mro__[2]
            _attend(self.name)  # type: ignore[attr-defined]


class _Loader:
    """Stands in for a loader until it has executed its module."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        create = getattr(self._loader, "create_module", None)
        module: ModuleType | None = create(spec) if create is not None else None
        return module

    def exec_module(self, module: ModuleType) -> None:
        namespace = object.__getattribute__(module, "__dict__")  # plain access would wake a lazy module
        spec = namespace["__spec__"]
        if spec.loader is self:
            spec.loader = self._loader
        if namespace.get("__loader__") is self:
            namespace["__loader__"] = self._loader
        self._loader.exec_module(module)
        if sys.modules.get(spec.name) is not None:
            _fire(spec.name)


class _Finder:
    """First on `sys.meta_path`."""

    def __init__(self) -> None:
        self._thread = _local()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec that the finders behind this one find; None for a name that nobody waits for."""
        for other in list(_absent):
            if sys.modules.get(other) is not None:
                _attend(other)
        if not _hooks.get(name):
            return None
        busy: set[str] = self._thread.__dict__.setdefault("busy", set())
        if name in busy:
            return None
        busy.add(name)
        try:
            spec = self._ask_the_others(name, path, target)
        finally:
            busy.discard(name)
        if spec is not None:
            if target is None and _is_plain_import(sys._getframe(1)):
                _watch(name, spec)
            else:
                _wrap_loader(name, spec)
        return spec

    def _ask_the_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        """Not `importlib.util.find_spec`: that imports the parents and takes their locks, which can deadlock."""
        finders = list(sys.meta_path)
        position = next((i for i, finder in enumerate(finders) if finder is self), -1)
        for finder in finders[position + 1 :]:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find is not None else None
            if spec is not None:
                return spec
        return None


_finder = _Finder()


def is_installed() -> bool:
    """Whether the finder is on `sys.meta_path`."""
    return any(finder is _finder for finder in sys.meta_path)


def install() -> None:
    """Put the finder first on `sys.meta_path`, once."""
    if not is_installed():
        sys.meta_path.insert(0, _finder)


def uninstall() -> None:
    """Take the finder off `sys.meta_path`; hooks stay registered."""
    for position, finder in enumerate(sys.meta_path):
        if finder is _finder:
            del sys.meta_path[position]
            return


def register(name: str, hook: Hook, owner: str) -> None:
    """Have `hook(module)` called whenever the module `name` has been loaded, and at once if it is loaded already.

    A module that is half imported is waited for. A reload, or an import after removal from `sys.modules`, counts anew.
    What the hook raises is recorded in the owner's health and never reaches the import.

    Args:
        name: Absolute module name.
        hook: Gets the module as it stands in `sys.modules`.
        owner: Name of the integration whose hook this is.
    """
    entries = _hooks.setdefault(name, [])
    if not any(entry.owner == owner and entry.hook == hook for entry in entries):
        entries.append(_Entry(owner, hook))
    _attend(name)


def unregister(owner: str) -> None:
    """Remove all hooks of an integration; what has not been called by now never is."""
    for entries in list(_hooks.values()):
        for entry in [entry for entry in tuple(entries) if entry.owner == owner]:
            if entry in entries:
                entries.remove(entry)


def is_shadow(module: ModuleType, attributes: tuple[str, ...]) -> bool:
    """True where a module only bears the name: the user's own `torch.py` has none of torch's attributes.

    Looks into the namespace, so that no module `__getattr__` is called.
    """
    namespace = _namespace_of(module)
    return not all(attribute in namespace for attribute in attributes)


def is_lazy(module: object) -> bool:
    """True for a module of `importlib.util.LazyLoader` that has not been used yet; looking at it would load it."""
    util = sys.modules.get("importlib.util")
    return util is not None and type(module) is getattr(util, "_LazyModule", None)


def _namespace_of(module: object) -> dict[str, Any]:
    try:
        namespace: dict[str, Any] = object.__getattribute__(module, "__dict__")
    except AttributeError:
        return {}
    return namespace


def _attend(name: str) -> None:
    """Call the hooks on a module now, or see to it that they are called when it is ready."""
    module = sys.modules.get(name)
    if module is None:
        _absent.add(name)
        return
    _absent.discard(name)
    spec: Any = _namespace_of(module).get("__spec__")
    if is_lazy(module):
        _wrap_loader(name, spec)
    elif getattr(spec, "_initializing", False):
        _watch(name, spec)
        if not spec._initializing:  # another thread finished the import just before it was watched
            _fire(name)
    else:
        _fire(name)


def _watch(name: str, spec: Any) -> None:
    kind = type(spec)
    if issubclass(kind, _Watched):
        return
    try:
        spec.__class__ = type(kind.__name__, (_Watched, kind), {"__module__": kind.__module__})
    except TypeError:  # a spec class with slots of its own
        _absent.add(name)


def _wrap_loader(name: str, spec: Any) -> None:
    loader = getattr(spec, "loader", None)
    if not isinstance(loader, _Loader) and hasattr(loader, "exec_module"):
        spec.loader = _Loader(loader)
        _absent.discard(name)


def _is_plain_import(caller: Any) -> bool:
    """Was the finder asked by the import system itself, in order to import (not to reload, or to look it up)?"""
    asked_by = caller.f_back
    return asked_by is not None and asked_by.f_code.co_name == "_find_and_load_unlocked"


def _fire(name: str) -> None:
    """The module is taken from `sys.modules` now: it may have replaced itself there."""
    module = sys.modules.get(name)
    if module is None:
        return
    load = _namespace_of(module).get("__spec__") or module
    for entry in tuple(_hooks.get(name, ())):
        if entry.claim(load):
            from autotrack.hooks import guard

            guard.call(guard.health(entry.owner), f"import hook on {name}", entry.hook, module)
