"""What an estimator is, read off it without running more of its code than `get_params`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from autotrack.hooks import guard
from autotrack.origin import attribute_of
from autotrack.tracking.values import safe_number

NUMBERS = ("n_iter_", "inertia_", "oob_score_", "best_loss_", "reconstruction_err_", "lower_bound_", "kl_divergence_")
"""Fitted attributes that are recorded as metrics, under their name without the underscore."""

CURVES = ("loss_curve_", "validation_scores_", "train_score_", "validation_score_", "oob_scores_", "scores_")
"""Fitted attributes that are recorded as curves, one step an iteration."""

MAX_CURVE = 100_000
"""Points of one such curve that are kept."""


def class_name_of(estimator: Any) -> str:
    """Name of the estimator's class."""
    return type(estimator).__name__


def qualified_name_of(estimator: Any) -> str:
    """Name of the estimator's class with its module."""
    return f"{type(estimator).__module__}.{type(estimator).__qualname__}"


def tags_of(estimator: Any) -> dict[str, str]:
    """The tags by which MLflow's users know an estimator."""
    return {"estimator_name": class_name_of(estimator), "estimator_class": qualified_name_of(estimator)}


def params_of(estimator: Any) -> tuple[dict[str, Any], str]:
    """All parameters, nested ones by `__` key; and why it is not all, where the estimator does not say.

    `get_params` is asked where it is more than scikit-learn's plain one. That one asks each value whether it has
    parameters, which may be any object of the user's; so it is done here without.
    """
    if not _has_plain_params(type(estimator)):
        params = guard.attempt(estimator.get_params, deep=True)
        if isinstance(params, Mapping):
            return dict(params), ""
        why = guard.told(params) if isinstance(params, Exception) else "it gives back no dict"
        return {name: value for name, value in _own_params(estimator).items() if value is not _ABSENT}, why
    found: dict[str, Any] = {}
    missing = ""
    for name, value in _own_params(estimator).items():
        if value is _ABSENT:
            missing = f"it does not keep {name}"
            continue
        if hasattr(type(value), "get_params") and not isinstance(value, type):
            nested, why = params_of(value)
            found.update((f"{name}__{key}", inner) for key, inner in nested.items())
            missing = missing or why
        found[name] = value
    return found, missing


def _has_plain_params(kind: type) -> bool:
    definer = next((base for base in kind.__mro__ if "get_params" in vars(base)), object)
    return (definer.__module__, definer.__name__) == ("sklearn.base", "BaseEstimator")


def _own_params(estimator: Any) -> dict[str, Any]:
    """What stands in an estimator under the names that its `__init__` has; a property is asked, as sklearn would."""
    kind = type(estimator)
    found = {}
    for name in _param_names_of(kind):
        value = attribute_of(estimator, name, _ABSENT)
        if value is _ABSENT and any(name in vars(base) for base in kind.__mro__):
            value = guard.attempt(getattr, estimator, name)
            value = _ABSENT if isinstance(value, Exception) else value
        found[name] = value
    return found


_param_names: WeakKeyDictionary[type, tuple[Any, Any, Sequence[str]]] = WeakKeyDictionary()
"""Names of parameters by class, with the methods that they were told by: to read a signature takes longer than all else
that is done of a small fit's parameters."""


def _param_names_of(kind: type) -> Sequence[str]:
    ask, init = getattr(kind, "_get_param_names", None), kind.__init__  # type: ignore[misc]
    told_by = getattr(ask, "__func__", None)
    # A method of the user's may say something else each time, and a metaclass of theirs, what a class is equal to.
    plain = (type(kind).__eq__, type(kind).__hash__) == (type.__eq__, type.__hash__)
    keeps = plain and getattr(told_by, "__module__", None) == "sklearn.base"
    known = _param_names.get(kind) if keeps else None
    if known is not None and known[0] is told_by and known[1] is init:
        return known[2]
    names = guard.attempt(ask) if ask is not None else _names_of(init)
    if not isinstance(names, (list, tuple)):
        names = _names_of(init)
    if keeps:
        _param_names[kind] = told_by, init, names
    return names


def _names_of(function: Any) -> tuple[str, ...]:
    code = getattr(getattr(function, "__wrapped__", function), "__code__", None)
    return code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount] if code is not None else ()


_ABSENT = object()


def final_of(estimator: Any) -> Any:
    """The estimator that decides what a pipeline is: its last step; anything else itself."""
    for _ in range(20):
        steps = attribute_of(estimator, "steps")
        if type(steps) is not list or not steps or type(steps[-1]) not in (tuple, list) or len(steps[-1]) != 2:
            return estimator
        estimator = steps[-1][1]
    return estimator


def type_of(estimator: Any) -> str:
    """ "classifier", "regressor", "clusterer", "outlier_detector", ... or "" where it says nothing."""
    tags = attribute_of(estimator, "__sklearn_tags__")
    kind = attribute_of(estimator, "_estimator_type")
    if kind is None and callable(tags):
        # It fails where the bases are in the wrong order, for one from before there were tags, and as the user likes.
        kind = getattr(guard.attempt(tags), "estimator_type", None)
    return kind if isinstance(kind, str) else ""


def is_search(estimator: Any) -> bool:
    """Whether it tries candidates: scikit-learn's searches and whatever derives from them."""
    return any(base.__name__ == "BaseSearchCV" for base in type(estimator).__mro__)


def is_preparation(estimator: Any) -> bool:
    """Whether it only transforms: scalers, encoders, imputers, vectorizers, selectors, decompositions."""
    final = final_of(estimator)
    if final is None or isinstance(final, str):  # "passthrough"
        return True
    kind = type(final)
    if is_search(final) or hasattr(kind, "predict") or hasattr(kind, "fit_predict"):
        return False
    return hasattr(kind, "transform") and type_of(final) in ("", "transformer")


def fitted_numbers_of(estimator: Any) -> dict[str, float]:
    """Single numbers that a fit left behind: iterations, inertia, out-of-bag score."""
    final = final_of(attribute_of(estimator, "best_estimator_", estimator))
    found: dict[str, float] = {}
    for name in NUMBERS:
        value: Any = attribute_of(final, name)
        if type(value).__module__ == "numpy" and value.ndim and value.size:
            value = value.max()
        number = safe_number(value)
        if number is not None:
            found[name.rstrip("_")] = float(number)
    return found


def fitted_curves_of(estimator: Any) -> dict[str, list[float]]:
    """Curves that an iterative fit left behind, by name."""
    final = final_of(attribute_of(estimator, "best_estimator_", estimator))
    found: dict[str, list[float]] = {}
    for name in CURVES:
        values = attribute_of(final, name)
        if type(values) is list or (type(values).__module__ == "numpy" and values.ndim == 1):
            points = [float(value) for value in values[:MAX_CURVE] if isinstance(value, (int, float))]
            if points:
                found[name.rstrip("_")] = points
    return found


def feature_importances_of(estimator: Any) -> tuple[list[str], list[float]] | None:
    """Names and importances of the features, from impurities or, for linear models, absolute coefficients."""
    fitted = getattr(estimator, "best_estimator_", estimator)
    final = final_of(fitted)
    values = getattr(final, "feature_importances_", None)
    if values is None:
        coefficients = getattr(final, "coef_", None)
        if coefficients is None or not hasattr(coefficients, "ndim") or not hasattr(coefficients, "mean"):
            return None
        if hasattr(coefficients, "tocsr"):  # sparse: computing with it sorts it in place, and that of SVC is read-only
            coefficients = coefficients.copy()
        values = abs(coefficients).mean(axis=0) if coefficients.ndim == 2 else abs(coefficients)
        values = getattr(values, "A1", values)  # the mean of a sparse matrix is a matrix of one row
    if getattr(values, "ndim", 0) != 1:
        return None
    names = _feature_names(fitted, final, len(values))
    return names, [float(value) for value in values]


def _feature_names(fitted: Any, final: Any, count: int) -> list[str]:
    for source in (final, fitted):
        names = getattr(source, "feature_names_in_", None)
        if names is not None and len(names) == count:
            return [str(name) for name in names]
    if fitted is not final and hasattr(fitted, "__getitem__") and hasattr(fitted[:-1], "get_feature_names_out"):
        try:
            names = [str(name) for name in fitted[:-1].get_feature_names_out()]
        except (AttributeError, ValueError, TypeError):  # TypeError: None, of a transformer of the program's own
            names = []
        if len(names) == count:
            return names
    return [f"x{index}" for index in range(count)]


def bound_arguments(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a call by parameter name, defaults included; empty where they do not fit (the call will say so)."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return {}
    bound.apply_defaults()
    return dict(bound.arguments)
