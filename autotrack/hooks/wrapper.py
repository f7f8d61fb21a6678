"""wrapt's function wrapper, made to pass for the function or method that it wraps where the stock one does not.

A stock `FunctionWrapper` cannot be pickled, copied or held by `weakref.WeakMethod`, so `joblib.Parallel` over a bound
method fails, and it is bypassed by whoever rebinds `method.__func__`, as torch's LR schedulers do. Reducers name
nothing but the standard library: what is pickled under autotrack loads where autotrack is not installed.
"""

from __future__ import annotations

import copy
import operator
import pkgutil
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FrameType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from autotrack.hooks.layers import Layer

_FUNCTIONS = FunctionType, BuiltinFunctionType, MethodType, classmethod, staticmethod

Reduced = tuple[Callable[..., Any], tuple[Any, ...]]

# As Any: wrapt is typed from 2.0 on, and not before.
_BoundFunctionWrapper: Any = wrapt.BoundFunctionWrapper
_FunctionWrapper: Any = wrapt.FunctionWrapper


def _class_for_caller(proxy: Any) -> Any:
    """The class that `isinstance` sees: that of the function, but the true one for cloudpickle.

    cloudpickle (and its copies in joblib, Ray, Spark) asks `isinstance(x, FunctionType)` and would then write our
    function by value, code and all, since it does not find it under the name that it bears. Knowing the true class, it
    falls back to `__reduce_ex__`.
    """
    return type(proxy) if _is_cloudpickle(sys._getframe(1)) else proxy.__wrapped__.__class__


def _is_cloudpickle(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__")
    return isinstance(name, str) and name.rpartition(".")[2] == "cloudpickle"


def _goes_by_value(owner: Any, frame: FrameType) -> bool:
    """Whether this frame is cloudpickle's, about to write down a class with all that is in it.

    So it does with those of `__main__`, of notebooks, inside of functions, and of modules that it was told of. The
    method is then part of the class that is being written: it cannot be fetched from there.
    """
    if not isinstance(owner, type) or not _is_cloudpickle(frame):
        return False
    by_reference = frame.f_globals.get("_should_pickle_by_reference")
    return callable(by_reference) and not by_reference(owner)


class _Posing:
    """Apart from the wrappers, whose bodies must not bind the name `__class__`."""

    __slots__ = ()
    __class__ = property(_class_for_caller)


class Bound(_Posing, _BoundFunctionWrapper):  # type: ignore[misc]
    """What reading a patched attribute off an instance or a class gives."""

    def __init__(self, *args: Any) -> None:
        """Take wrapt's arguments, or a function and an instance as `types.MethodType` takes them (`WeakMethod`)."""
        if len(args) == 2:
            function, instance = args
            bound = function.__wrapped__.__get__(instance, type(instance))
            args = (bound, instance, function._self_wrapper, None, function._self_binding, function)
        _BoundFunctionWrapper.__init__(self, *args)

    @property
    def __func__(self) -> Any:
        """The wrapper itself, so that whoever binds it anew (`MethodType(m.__func__, x)`) still calls it."""
        return self._self_parent

    def _place(self) -> tuple[Any, str]:
        layer: Layer = self._self_parent._self_layer
        if layer.kind == "staticmethod":
            return layer.owner, layer.name
        holder = self.__wrapped__.__self__ if layer.kind == "classmethod" else self._self_instance
        return (layer.owner if holder is None else holder), layer.name

    def __reduce_ex__(self, protocol: Any) -> Reduced:
        return getattr, self._place()

    def __reduce__(self) -> Reduced:
        return getattr, self._place()

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """As the standard library copies a method: bound to a deep copy of its instance; functions are not copied."""
        holder, name = self._place()
        return self if isinstance(holder, type) else getattr(copy.deepcopy(holder, memo), name)


class Wrapper(_Posing, _FunctionWrapper):  # type: ignore[misc]
    """What stands in the owner's namespace in place of the raw attribute."""

    __bound_function_wrapper__ = Bound

    def __init__(self, wrapped: Any, layer: Layer) -> None:
        _FunctionWrapper.__init__(self, wrapped, layer.invoke)
        self._self_layer = layer
        self._self_forwards = not isinstance(wrapped, _FUNCTIONS)
        for attribute in getattr(wrapped, "__dict__", ()) if self._self_forwards else ():
            _forward(attribute)

    def __setattr__(self, name: str, value: Any) -> None:
        """As wrapt, which sets it on what is wrapped."""
        if not name.startswith("_self_") and self._self_forwards:
            _forward(name)
        _FunctionWrapper.__setattr__(self, name, value)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """A method read off a class is the one object that stands there, as a function is.

        `Mine.fit is Base.fit` is how programs find out whether a method is overridden.
        """
        if instance is None and type(self.__wrapped__) is FunctionType and self._self_layer.kind == "method":
            return self
        return _FunctionWrapper.__get__(self, instance, owner)

    def __reduce_ex__(self, protocol: Any) -> Reduced:
        layer: Layer = self._self_layer
        if _goes_by_value(layer.owner, sys._getframe(1)):
            raw = layer.raw.fget if layer.kind == "property" else layer.raw
            return operator.getitem, ((raw,), 0)  # nothing but the raw attribute, in words of the standard library
        return (pkgutil.resolve_name, (layer.path,)) if layer.path else (getattr, (layer.owner, layer.name))

    def __reduce__(self) -> Reduced:
        return self.__reduce_ex__(2)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


class _Forwarded:
    """An attribute of a wrapped descriptor, which `object.__getattribute__` finds on the wrapper too.

    MLflow patches the function inside of scikit-learn's `available_if`, and reads it, and what it puts beside it, so.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, wrapper: Any, owner: type) -> Any:
        return self if wrapper is None else getattr(wrapper.__wrapped__, self._name)

    def __set__(self, wrapper: Any, value: Any) -> None:
        setattr(wrapper.__wrapped__, self._name, value)

    def __delete__(self, wrapper: Any) -> None:
        delattr(wrapper.__wrapped__, self._name)


def _forward(name: str) -> None:
    if not name.startswith(("__", "_self_")) and not hasattr(Wrapper, name):
        setattr(Wrapper, name, _Forwarded(name))
