"""Ray Tune.

Hooked, in the driver: `Tuner.fit`, and `tune.run`, which older programs call; in Ray's workers: `Trainable.train`.

Recorded: one run a call, with a trials table (configuration, last metrics, the metric that is tuned as it was reported,
status, start, seconds, error), metric and mode, searcher and scheduler, the space that is searched, the best trial's
configuration and score. All of it when the call has come back.

Deliberately not: what the trials train, in Ray's workers. What plain tasks and actors train are runs of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from types import ModuleType
from typing import Any

import msgspec

from autotrack import origin, process
from autotrack.events import Number, TrialInfo, float_of
from autotrack.hooks import guard
from autotrack.hooks.patching import Call, Patcher
from autotrack.integrations.options import IntegrationConfig
from autotrack.tracking import scope, training
from autotrack.tracking.value_texts import safe_text
from autotrack.tracking.values import safe_number, safe_params

NAME = "ray"

Handler = Generator[Any, Any, None]

OF_RAY = frozenset({
    "checkpoint_dir_name", "config", "date", "done", "episodes_total", "experiment_id", "experiment_tag", "hostname",
    "iterations_since_restore", "node_ip", "pid", "should_checkpoint", "time_since_restore", "time_this_iter_s",
    "time_total_s", "timestamp", "timesteps_since_restore", "timesteps_total", "trial_id",
})  # fmt: skip
"""What Ray itself puts among a trial's results."""

STATES = {"TERMINATED": "COMPLETE", "ERROR": "FAIL"}
"""The states of Ray's trials that have another name here."""

MAX_ERROR = 20_000
"""Characters of a trial's error that are kept (its end)."""

_health = guard.health(NAME)


def instrument(patcher: Patcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    tune: Any = sys.modules["ray.tune"]
    hooks = Hooks(configuration)
    patcher.method(tune.Tuner, "fit", hooks.on_fit)
    patcher.function(tune, "run", hooks.on_run, rebind_in=_is_users)
    if process.role == "worker":
        patcher.method(tune.Trainable, "train", on_train)


def _is_users(module: ModuleType) -> bool:
    return not origin.is_library_module(module.__name__)


def on_train(call: Call) -> Handler:
    """A worker goes on with a trial, in this thread or in one that it starts."""
    with scope.within((scope.Frame("training"),)):
        yield


class Hooks:
    """The handlers."""

    def __init__(self, configuration: Callable[[], IntegrationConfig]) -> None:
        self._configuration = configuration

    def on_fit(self, call: Call) -> Handler:
        """`Tuner(...).fit()`."""
        tuner = getattr(call.instance, "_local_tuner", None)
        asked = getattr(tuner, "_tune_config", None)
        names = ("metric", "mode", "num_samples", "search_alg", "scheduler", "max_concurrent_trials", "time_budget_s")
        options = {name: getattr(asked, name, None) for name in names}
        space = getattr(tuner, "_param_space", None) or {}
        return self._tuned(call, getattr(tuner, "_trainable", None), options, space, "ray.tune.Tuner", "fit")

    def on_run(self, call: Call) -> Handler:
        """`tune.run(trainable, config=...)`."""
        options = dict(call.kwargs)
        space = options.pop("config", None) or {}
        trainable = call.args[0] if call.args else options.pop("run_or_experiment", None)
        return self._tuned(call, trainable, options, space, "ray.tune.run", "run")

    def _tuned(
        self, call: Call, trainable: Any, options: dict[str, Any], space: Any, qualified: str, method: str
    ) -> Handler:
        configuration = self._configuration()
        what = training.Call(
            integration=NAME,
            kind="search",
            estimator=f"Tune {name_of(trainable)}",
            qualified=qualified,
            method=method,
            exclusive=configuration.exclusive,
        )
        tags = {"autotrack.integration": NAME, **configuration.extra_tags}
        session = training.begin(what, origin.calling_frame(call.caller()), tags)
        if session is None or session.run is None:
            yield
            return
        session.run.log_fit_params(params_of(options), "Tune", session.number)
        if isinstance(space, Mapping):
            session.details["search_space"] = {key: _domain_text(value) for key, value in flat(space)}
        with session:
            result = yield
            guard.call(_health, "trials", _record, session, result)


def _record(session: training.Training, result: Any) -> None:
    """Trials and the best one, from a `ResultGrid` or an `ExperimentAnalysis`."""
    run = session.run
    if run is None:
        return
    analysis = getattr(result, "_experiment_analysis", result)
    metric, mode = getattr(analysis, "default_metric", None), getattr(analysis, "default_mode", None)
    found = [info_of(number, trial, metric, _history(analysis, trial)) for number, trial in enumerate(analysis.trials)]
    found = ranked(found, mode or "max") if metric else found
    run.log_trials(found, session.fit_id)
    for number, trial in enumerate(found):
        points = {name: float_of(values[0]) for name, values in trial.scores.items()}
        run.log_safe_metrics(points, number)
    best = next((trial for trial in found if trial.rank == 1), None)
    if best is not None and best.mean is not None:
        run.log_safe_metrics({f"best_{metric}": float_of(best.mean)}, best.number)
        config = flat(analysis.trials[best.number].config or {})
        found_best = {"best_trial": best.number, **{f"best_{key}": value for key, value in config}}
        run.log_fit_params(found_best, "Tune", session.number)
    session.details["trials"] = len(found)


def name_of(trainable: Any) -> str:
    """Name of what is tuned: a function, a class, a trainer."""
    inner = getattr(trainable, "func", trainable)  # functools.partial
    return str(getattr(inner, "__name__", None) or (inner if isinstance(inner, str) else type(inner).__name__))


def params_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters: plain values as they are, searcher and scheduler by their class."""
    names = ("metric", "mode", "num_samples", "max_concurrent_trials", "time_budget_s")
    found = {name: options[name] for name in names if options.get(name) is not None}
    for name in ("search_alg", "scheduler"):
        value = options.get(name)
        if value is not None:
            found[name] = value if isinstance(value, str) else type(value).__name__
    return found


def flat(values: Mapping[Any, Any], prefix: str = "", depth: int = 3) -> Iterator[tuple[str, Any]]:
    """The items of nested mappings, under dotted keys."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value and depth and "grid_search" not in value:
            yield from flat(value, f"{prefix}{key}.", depth - 1)
        else:
            yield f"{prefix}{key}", value


def _domain_text(value: Any) -> str:
    bounds = getattr(value, "domain_str", None)
    return f"{type(value).__name__}{bounds}" if isinstance(bounds, str) else safe_text(value)


def info_of(number: int, trial: Any, metric: str | None, history: Mapping[int, Number]) -> TrialInfo:
    """A trial of Ray's as the store keeps it.

    Args:
        number: Its place among the trials.
        trial: Ray's trial.
        metric: What is tuned.
        history: That metric as it was reported, by iteration.
    """
    last = trial.last_result or {}
    scores = {}
    for key, value in flat({key: value for key, value in last.items() if key not in OF_RAY}):
        score = safe_number(value)
        if score is not None:
            scores[key] = [score]
    main = scores.get((metric or "").replace("/", "."))
    seconds = safe_number(last.get("time_total_s"))
    started = safe_number(getattr(getattr(trial, "run_metadata", trial), "start_time", None))
    return TrialInfo(
        number=number,
        params=safe_params(dict(flat(trial.config or {}))),
        scores=scores,
        mean=main[0] if main else None,
        fit_time=None if seconds is None else float_of(seconds),
        state=STATES.get(str(trial.status), str(trial.status)),
        error=_error_of(trial),
        intermediate=dict(history),
        start_time=None if started is None else int(float_of(started) * 1000),
        attributes={"trial_id": str(trial.trial_id)},
    )


def _error_of(trial: Any) -> str:
    path = getattr(trial, "error_file", None)
    if not path:
        return ""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()[-MAX_ERROR:]
    except OSError:
        return "failed"


def _history(analysis: Any, trial: Any) -> dict[int, Number]:
    """The tuned metric of a trial, as it was reported."""
    table = (getattr(analysis, "trial_dataframes", None) or {}).get(trial.trial_id)
    metric = getattr(analysis, "default_metric", None)
    if table is None or metric not in getattr(table, "columns", ()) or "training_iteration" not in table.columns:
        return {}
    pairs = zip(table["training_iteration"].tolist(), table[metric].tolist(), strict=True)
    return {int(step): value for step, raw in pairs if (value := safe_number(raw)) is not None}


def ranked(trials: list[TrialInfo], mode: str) -> list[TrialInfo]:
    """Trials with their ranks by the metric that is tuned; those without a value have none."""
    sign = -1 if mode == "max" else 1
    valued = [one for one in trials if one.mean not in (None, "NaN")]
    order = sorted(valued, key=lambda one: (sign * float_of(one.mean or 0.0), one.number))
    ranks = {one.number: place for place, one in enumerate(order, 1)}
    return [msgspec.structs.replace(one, rank=ranks.get(one.number)) for one in trials]
