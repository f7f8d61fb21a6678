"""The cross-validation functions: what they were asked, and what their results come down to."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from autotrack import clock, events
from autotrack.hooks.patching import Call
from autotrack.integrations.options import IntegrationConfig
from autotrack.integrations.sklearn import estimators, recording, trials
from autotrack.tracking import behind
from autotrack.tracking.run import RunWriter
from autotrack.tracking.training import Training
from autotrack.tracking.values import safe_params


class Request(msgspec.Struct, frozen=True):
    """A call of a cross-validation function."""

    function: str
    estimator: Any
    data: Any
    target: Any
    arguments: dict[str, Any]


def request_of(call: Call) -> Request | None:
    """What was asked; None where the arguments do not fit (the call itself will say so)."""
    arguments = estimators.bound_arguments(getattr(call.owner, call.name), call.args, call.kwargs)
    estimator = arguments.get("estimator")
    if estimator is None or not hasattr(type(estimator), "fit"):
        return None
    return Request(call.name, estimator, arguments.get("X"), arguments.get("y"), arguments)


def record(
    request: Request, result: Any, training: Training, before: recording.Before, options: IntegrationConfig
) -> None:
    """Record what a cross-validation that went well gave back."""
    run = training.run
    if run is None:
        return
    run.log_params(
        safe_params({key: request.arguments.get(key) for key in ("cv", "scoring") if key in request.arguments})
    )
    work = _RECORDS[request.function]
    behind.submit(run, partial(work, request, result, run, training.fit_id), 0, "trials")
    dataset = recording.Behind(run, training.fit_id, training.number - 1, options, before.data, None, None, None)
    size = before.data.nbytes if before.data else 0
    behind.submit(run, partial(recording.describe_behind, dataset), size, "dataset")


def _folds(request: Request, result: Any, run: RunWriter, fit_id: str) -> None:
    run.log_trials(trials.trials_of_folds(result), fit_id)
    run.log_safe_metrics(trials.fold_metrics_of(result))


def _predictions(request: Request, result: Any, run: RunWriter, fit_id: str) -> None:
    shape = getattr(result, "shape", None)
    run.log_params(safe_params({"predictions": list(shape) if isinstance(shape, tuple) else len(result)}))


def _learning_curve(request: Request, result: Any, run: RunWriter, fit_id: str) -> None:
    sizes, train_scores, test_scores = result[:3]
    fit_times = result[3] if len(result) > 3 else None
    run.log_trials(
        trials.trials_of_curve([int(n) for n in sizes], "train_size", train_scores, test_scores, fit_times), fit_id
    )
    _curves(run, [int(n) for n in sizes], train_scores, test_scores)


def _validation_curve(request: Request, result: Any, run: RunWriter, fit_id: str) -> None:
    train_scores, test_scores = result[:2]
    values = list(request.arguments["param_range"])
    name = str(request.arguments["param_name"])
    run.log_trials(trials.trials_of_curve(values, name, train_scores, test_scores), fit_id)
    _curves(run, list(range(len(values))), train_scores, test_scores)


def _curves(run: RunWriter, steps: list[int], train_scores: Any, test_scores: Any) -> None:
    times = [clock.now()] * len(steps)
    for name, scores in (("mean_train_score", train_scores), ("mean_test_score", test_scores)):
        means = [events.number_of(float(row.mean())) for row in scores]
        run.recorder.write(events.CurveLogged(run.run_id, name, steps, times, means))


def _permutations(request: Request, result: Any, run: RunWriter, fit_id: str) -> None:
    score, permuted, pvalue = result
    run.log_trials(trials.trials_of_permutations(permuted), fit_id)
    run.log_safe_metrics({"score": score, "pvalue": pvalue, "mean_permutation_score": float(permuted.mean())})


_RECORDS = {
    "cross_validate": _folds,
    "cross_val_score": _folds,
    "cross_val_predict": _predictions,
    "learning_curve": _learning_curve,
    "validation_curve": _validation_curve,
    "permutation_test_score": _permutations,
}
