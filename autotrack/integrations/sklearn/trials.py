"""Searches and cross-validations as trials: one row a candidate, or a fold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from autotrack.events import Number, TrialInfo, number_of
from autotrack.origin import attribute_of
from autotrack.tracking.values import safe_number, safe_params

_SPLIT = re.compile(r"^split(\d+)_(.+)$")


def trials_of_search(results: Mapping[str, Any], refit: object = True) -> list[TrialInfo]:
    """Trials of a fitted search.

    Args:
        results: Its `cv_results_`.
        refit: Its parameter `refit`: with several metrics, the one that `mean`, `std` and `rank` are of.
    """
    params = results.get("params")
    count = len(params) if params is not None else len(next(iter(results.values()), ()))
    main = f"test_{refit}" if isinstance(refit, str) else _main_metric(results)
    splits = _splits_of(results)
    trials = []
    for index in range(count):
        scores = {name: [_number(column[index]) for column in columns] for name, columns in splits.items()}
        mean = _at(results, f"mean_{main}", index)
        trials.append(
            TrialInfo(
                number=index,
                params=safe_params(params[index]) if params is not None else _own_params(results, index),
                scores=scores,
                mean=mean,
                std=_at(results, f"std_{main}", index),
                rank=_rank(results, f"rank_{main}", index),
                fit_time=_seconds(results, "mean_fit_time", index),
                score_time=_seconds(results, "mean_score_time", index),
                state="FAILED" if mean == "NaN" else "COMPLETE",
                resource=_at(results, "n_resources", index),
            )
        )
    return trials


def _main_metric(results: Mapping[str, Any]) -> str:
    if "mean_test_score" in results:
        return "test_score"
    return next((key.removeprefix("mean_") for key in results if key.startswith("mean_test_")), "test_score")


def _splits_of(results: Mapping[str, Any]) -> dict[str, list[Any]]:
    splits: dict[str, dict[int, Any]] = {}
    for key, column in results.items():
        match = _SPLIT.match(key)
        if match:
            splits.setdefault(match[2], {})[int(match[1])] = column
    return {name: [columns[index] for index in sorted(columns)] for name, columns in splits.items()}


def _own_params(results: Mapping[str, Any], index: int) -> list[Any]:
    return safe_params({"n_features": results["n_features"][index]}) if "n_features" in results else []


def _number(value: Any) -> Number:
    number = safe_number(value)
    return number_of(float("nan")) if number is None else number


def _at(results: Mapping[str, Any], key: str, index: int) -> Number | None:
    return safe_number(results[key][index]) if key in results else None


def _rank(results: Mapping[str, Any], key: str, index: int) -> int | None:
    return int(results[key][index]) if key in results else None


def _seconds(results: Mapping[str, Any], key: str, index: int) -> float | None:
    return float(results[key][index]) if key in results else None


def search_metrics_of(search: Any) -> dict[str, Any]:
    """What a search comes down to: the best candidate's cross-validated score."""
    best = attribute_of(search, "best_score_")
    return {} if best is None else {"best_cv_score": best}


def best_params_of(search: Any) -> dict[str, Any]:
    """The best candidate's parameters, as MLflow names them."""
    best = attribute_of(search, "best_params_")
    return {f"best_{key}": value for key, value in best.items() if type(key) is str} if type(best) is dict else {}


def trials_of_folds(result: Any) -> list[TrialInfo]:
    """Trials of a cross-validation: one a fold.

    Args:
        result: What `cross_validate` (dict of arrays) or `cross_val_score` (array) gave back.
    """
    columns = result if isinstance(result, Mapping) else {"test_score": result}
    scores = {name: values for name, values in columns.items() if name.startswith(("test_", "train_"))}
    times = {name: columns.get(name) for name in ("fit_time", "score_time")}
    count = len(next(iter(scores.values()), ()))
    main = "test_score" if "test_score" in scores else next(iter(scores), "")
    return [
        TrialInfo(
            number=index,
            scores={name: [_number(values[index])] for name, values in scores.items()},
            mean=_number(scores[main][index]) if main else None,
            fit_time=float(times["fit_time"][index]) if times["fit_time"] is not None else None,
            score_time=float(times["score_time"][index]) if times["score_time"] is not None else None,
            state="FAILED" if main and _number(scores[main][index]) == "NaN" else "COMPLETE",
        )
        for index in range(count)
    ]


def fold_metrics_of(result: Any) -> dict[str, float]:
    """Mean and standard deviation over the folds, named as in `cv_results_`."""
    columns = result if isinstance(result, Mapping) else {"test_score": result}
    metrics = {}
    for name, values in columns.items():
        if name.startswith(("test_", "train_")) or name in ("fit_time", "score_time"):
            metrics[f"mean_{name}"] = float(values.mean())
            metrics[f"std_{name}"] = float(values.std())
    return metrics


def trials_of_curve(
    values: Sequence[Any], key: str, train_scores: Any, test_scores: Any, fit_times: Any = None
) -> list[TrialInfo]:
    """Trials of a learning or validation curve: one a training size or parameter value, with the scores per fold."""
    return [
        TrialInfo(
            number=index,
            params=safe_params({key: value}),
            scores={
                "train_score": [_number(score) for score in train_scores[index]],
                "test_score": [_number(score) for score in test_scores[index]],
            },
            mean=_number(test_scores[index].mean()),
            std=_number(test_scores[index].std()),
            fit_time=float(fit_times[index].mean()) if fit_times is not None else None,
        )
        for index, value in enumerate(values)
    ]


def trials_of_permutations(scores: Any) -> list[TrialInfo]:
    """Trials of a permutation test: one a permutation of the target."""
    return [
        TrialInfo(number=index, scores={"test_score": [_number(score)]}, mean=_number(score))
        for index, score in enumerate(scores)
    ]
