"""What an estimator is, read off it without running more of its code than `get_params`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

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


def params_of(estimator: Any) -> dict[str, Any]:
    """All parameters, nested ones by `__` key."""
    params: Mapping[str, Any] = estimator.get_params(deep=True)
    return dict(params)


def final_of(estimator: Any) -> Any:
    """The estimator that decides what a pipeline is: its last step; anything else itself."""
    for _ in range(20):
        steps = getattr(estimator, "steps", None)
        if not isinstance(steps, list) or not steps or len(steps[-1]) != 2:
            return estimator
        estimator = steps[-1][1]
    return estimator


def type_of(estimator: Any) -> str:
    """ "classifier", "regressor", "clusterer", "outlier_detector", ... or "" where it says nothing."""
    tags = getattr(estimator, "__sklearn_tags__", None)
    kind = getattr(estimator, "_estimator_type", None)
    if kind is None and callable(tags):
        try:
            kind = tags().estimator_type
        except (AttributeError, TypeError, ValueError):
            # An estimator whose bases are in the wrong order, or one from before there were tags.
            kind = None
    return str(kind or "")


def is_search(estimator: Any) -> bool:
    """Whether it tries candidates: scikit-learn's searches and whatever derives from them."""
    return any(base.__name__ == "BaseSearchCV" for base in type(estimator).__mro__)


def is_preparation(estimator: Any) -> bool:
    """Whether it only transforms: scalers, encoders, imputers, vectorizers, selectors, decompositions."""
    final = final_of(estimator)
    if final in ("passthrough", None):
        return True
    kind = type(final)
    if is_search(final) or hasattr(kind, "predict") or hasattr(kind, "fit_predict"):
        return False
    return hasattr(kind, "transform") and type_of(final) in ("", "transformer")


def is_fitted_by_refit(estimator: Any) -> bool:
    """Whether it can predict: a search without `refit` cannot."""
    return not (is_search(estimator) and not hasattr(estimator, "best_estimator_"))


def fitted_numbers_of(estimator: Any) -> dict[str, float]:
    """Single numbers that a fit left behind: iterations, inertia, out-of-bag score."""
    final = final_of(getattr(estimator, "best_estimator_", estimator))
    found: dict[str, float] = {}
    for name in NUMBERS:
        value: Any = vars(final).get(name) if hasattr(final, "__dict__") else None
        if value is not None and getattr(value, "ndim", None) and value.size:
            value = value.max()
        if isinstance(value, (int, float)) or hasattr(value, "item"):
            found[name.rstrip("_")] = float(value)
    return found


def fitted_curves_of(estimator: Any) -> dict[str, list[float]]:
    """Curves that an iterative fit left behind, by name."""
    final = final_of(getattr(estimator, "best_estimator_", estimator))
    found: dict[str, list[float]] = {}
    for name in CURVES:
        values = vars(final).get(name) if hasattr(final, "__dict__") else None
        if isinstance(values, list) or getattr(values, "ndim", 0) == 1:
            points = [float(value) for value in values[:MAX_CURVE] if isinstance(value, (int, float))]  # type: ignore[index]
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
        values = abs(coefficients).mean(axis=0) if coefficients.ndim == 2 else abs(coefficients)
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
            names = fitted[:-1].get_feature_names_out()
        except (AttributeError, ValueError, TypeError):
            names = ()
        if len(names) == count:
            return [str(name) for name in names]
    return [f"x{index}" for index in range(count)]


def bound_arguments(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a call by parameter name, defaults included; empty where they do not fit (the call will say so)."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return {}
    bound.apply_defaults()
    return dict(bound.arguments)
