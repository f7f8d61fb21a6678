"""What stands in the place of an attribute: our wrapper, those of other libraries above and below it, the original."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any

from autotrack.hooks.wrapper import Bound, Wrapper

MISSING: Any = object()
"""No such attribute."""

MAX_CHAIN = 100
"""Objects that are looked at in order to find a wrapper below others."""


def chain_of(top: Any) -> Iterator[Any]:
    """An object and everything that it wraps, by `__wrapped__`, closure, `functools.partial` or property."""
    waiting, seen = [top], set[int]()
    while waiting and len(seen) < MAX_CHAIN:
        item = waiting.pop(0)
        if id(item) in seen or item is None or item is MISSING:
            continue
        seen.add(id(item))
        yield item
        waiting.extend(_below(item))


def _below(item: Any) -> list[Any]:
    kind = type(item)
    if kind is Bound:
        return [item._self_parent]
    if kind is Wrapper:
        return [item.__wrapped__]
    if isinstance(item, property):
        return [item.fget]
    below = [getattr(item, "__wrapped__", None), getattr(item, "__func__", None), getattr(item, "_self_parent", None)]
    if kind is FunctionType:
        below.extend(_contents(item))
    elif kind.__name__ in ("partial", "partialmethod"):
        below.append(item.func)
    return below


def _contents(function: FunctionType) -> list[Any]:
    """Callables that a function has closed over: a wrapper made without `functools.wraps` is found through these."""
    found = []
    for cell in function.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:  # not filled yet
            continue
        if type(content) in (FunctionType, MethodType, Wrapper, Bound):
            found.append(content)
    return found


def module_of(item: Any) -> str:
    """Module whose code a wrapper runs; "" for what is no wrapper written in Python."""
    if hasattr(type(item), "_self_wrapper") and type(item) is not Wrapper:  # wrapt's, or a copy that a library ships
        return str(getattr(item._self_wrapper, "__module__", ""))
    if type(item) is FunctionType:
        return str(item.__globals__.get("__name__", ""))
    return ""


def packages_above(owner: Any, name: str, instance: Any) -> set[str]:
    """Packages whose wrappers a call comes through before it comes to ours.

    Args:
        owner: The class or module that holds our wrapper; None where it is gone.
        name: The attribute.
        instance: What the call was made on: an instance, a class, or None for a function.

    Returns:
        Names of top-level packages, without those that define the owner and its heirs.
    """
    holders = _holders(owner, instance)
    own = {_package_of(cls.__module__) for holder in holders if isinstance(holder, type) for cls in holder.__mro__}
    own |= {_package_of(holder.__name__) for holder in holders if isinstance(holder, ModuleType)}
    found: set[str] = set()
    for holder in holders:
        for item in chain_of(vars(holder).get(name, MISSING)):
            if type(item) is Wrapper:
                break
            found.add(_package_of(module_of(item)))
    return found - own - {"", "autotrack"}


def _holders(owner: Any, instance: Any) -> list[Any]:
    """What the attribute is looked up in, down to the owner of our wrapper."""
    if not isinstance(owner, type):
        return [] if owner is None else [owner]
    cls = instance if isinstance(instance, type) else type(instance)
    mro = cls.__mro__
    return list(mro[: mro.index(owner) + 1]) if owner in mro else [owner]


def _package_of(module: str) -> str:
    return module.partition(".")[0]
