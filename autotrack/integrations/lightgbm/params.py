"""The parameters of a training call, under LightGBM's own names for them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_NOT_PARAMS = (
    "params", "train_set", "valid_sets", "valid_names", "feval", "fobj", "init_model", "callbacks", "folds", "fpreproc",
    "return_cvbooster",
)  # fmt: skip
"""Arguments that are data, code or models."""


def arguments_of(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Arguments by name, defaults included; None where they do not fit (the call itself will say so)."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return None
    bound.apply_defaults()
    return dict(bound.arguments)


def with_callback(
    function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], callback: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same arguments, with a callback in front of a copy of the list that was given.

    In front, because LightGBM numbers the callbacks that have no order from the end of the list.
    """
    place = list(inspect.signature(function).parameters).index("callbacks")
    given = args[place] if len(args) > place else kwargs.get("callbacks")
    if given is not None and not isinstance(given, (list, tuple, set)):
        return args, dict(kwargs)  # the call itself will say that it is no list
    callbacks = [callback, *(given or ())]
    if len(args) > place:
        return (*args[:place], callbacks, *args[place + 1 :]), dict(kwargs)
    return args, {**kwargs, "callbacks": callbacks}


@lru_cache(maxsize=1)
def _main_names() -> dict[str, str]:
    """LightGBM's name of a parameter for each of its aliases."""
    known = getattr(sys.modules.get("lightgbm.basic"), "_ConfigAliases", None)
    if known is None:
        return {}
    known.get("objective")  # has it read the library's table
    return {alias: name for name, aliases in (known.aliases or {}).items() for alias in aliases}


def resolved(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters under their main names. Of several spellings LightGBM takes the main name, else the shortest alias."""
    names = _main_names()
    found: dict[str, Any] = {}
    for key in sorted(params, key=lambda key: (names.get(key) != key, len(key), key)):
        found.setdefault(names.get(key, key), params[key])
    return {key: _shown(value) for key, value in found.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)  # in the same order in every process
    return name_of_function(value) if callable(value) else value


def name_of_function(function: Any) -> str:
    """A function's name; that of its class for other objects that can be called."""
    # The scikit-learn API wraps the user's functions.
    function = getattr(function, "func", function)
    return str(getattr(function, "__name__", type(function).__name__))


def params_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What is recorded as parameters of a call of `train` or `cv`.

    Args:
        arguments: All arguments of the call by name.
    """
    given = arguments.get("params")
    params = resolved(given) if isinstance(given, Mapping) else {}
    own = {key: value for key, value in arguments.items() if key not in _NOT_PARAMS}
    own["num_boost_round"] = params.get("num_iterations", own.get("num_boost_round"))
    if own.get("metrics", False) is None:
        del own["metrics"]
    feval = arguments.get("feval")
    if feval is not None:
        own["feval"] = [name_of_function(one) for one in (feval if isinstance(feval, list) else [feval])]
    if arguments.get("fpreproc") is not None:
        own["fpreproc"] = name_of_function(arguments["fpreproc"])
    return {**_early_stopping(arguments.get("callbacks")), **params, **own, **_start(arguments.get("init_model"))}


def _early_stopping(callbacks: Any) -> dict[str, Any]:
    """What the early stopping among the callbacks was told, under the names of the parameters that say the same."""
    for callback in callbacks if isinstance(callbacks, (list, tuple, set)) else ():
        if hasattr(callback, "stopping_rounds"):
            told = {
                "early_stopping_round": callback.stopping_rounds,
                "early_stopping_min_delta": getattr(callback, "min_delta", 0.0),
                "first_metric_only": getattr(callback, "first_metric_only", False),
            }
            return {key: value for key, value in told.items() if value}
    return {}


def _start(model: Any) -> dict[str, Any]:
    """The model that training goes on from."""
    if model is None:
        return {}
    if hasattr(model, "current_iteration"):
        return {"init_model": type(model).__name__, "init_iterations": model.current_iteration()}
    return {"init_model": str(model)}
