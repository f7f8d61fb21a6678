"""Studies and their trials as plain facts: what is read off Optuna's objects, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from autotrack.events import Number, TrialInfo, float_of, number_of
from autotrack.tracking.program_facts import plain
from autotrack.tracking.values import safe_number, safe_params

MAX_ATTRIBUTES = 100
"""Attributes of one trial that are kept."""

MAX_INTERMEDIATE = 10_000
"""Reported values of one trial that are kept."""


class Goal(msgspec.Struct, frozen=True):
    """What a study is to find."""

    directions: tuple[str, ...]
    """ "minimize" or "maximize", one an objective."""
    names: tuple[str, ...]
    """What the objectives are called; `value`, or `value_0`, `value_1`, ... where the program named none."""

    def is_better(self, value: float, than: float | None) -> bool:
        """Whether a value of the only objective is the better one."""
        if math.isnan(value):
            return False
        return than is None or (value > than if self.directions[0] == "maximize" else value < than)


def goal_of(study: Any) -> Goal:
    """The study's directions, and the names of its objectives."""
    directions = tuple(str(direction.name).lower() for direction in study.directions)
    names = _metric_names(study)
    if names is None or len(names) != len(directions):
        names = ["value"] if len(directions) == 1 else [f"value_{index}" for index in range(len(directions))]
    return Goal(directions, tuple(map(str, names)))


def _metric_names(study: Any) -> list[str] | None:
    getter = getattr(getattr(type(study), "metric_names", None), "fget", None)  # from 3.2 on
    if getter is None:
        return None
    # The getter itself: around it some versions warn that it is experimental.
    names: list[str] | None = getattr(getter, "__wrapped__", getter)(study)
    return names


def study_params_of(study: Any, goal: Goal, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters: the study and what `optimize` was asked for."""
    found: dict[str, Any] = {"study_name": study.study_name}
    if len(goal.directions) == 1:
        found["direction"] = goal.directions[0]
    else:
        found["directions"] = list(goal.directions)
    found["sampler"] = type(study.sampler).__name__
    found["pruner"] = type(study.pruner).__name__
    found.update((key, arguments[key]) for key in ("n_trials", "timeout", "n_jobs") if key in arguments)
    catch = arguments.get("catch") or ()
    names = [one.__name__ for one in (catch if isinstance(catch, (tuple, list)) else (catch,)) if isinstance(one, type)]
    return found | ({"catch": names} if names else {})


def name_of(study: Any) -> str:
    """The study's name; "Study" where the program gave it none."""
    name = str(study.study_name)
    return "Study" if name.startswith("no-name-") else name


def info_of(trial: Any, goal: Goal, error: str = "") -> TrialInfo:
    """A trial that Optuna has finished, frozen, as the store keeps it.

    Args:
        trial: A `FrozenTrial`.
        goal: Of its study.
        error: Why it failed, where that is known.
    """
    values = values_of(trial)
    took = trial.duration
    steps = list(trial.intermediate_values.items())[:MAX_INTERMEDIATE]
    return TrialInfo(
        number=trial.number,
        params=safe_params(trial.params),
        scores={name: [number_of(value)] for name, value in zip(goal.names, values, strict=False)},
        mean=number_of(values[0]) if len(values) == 1 else None,
        fit_time=None if took is None else took.total_seconds(),
        state=str(trial.state.name),
        error=error,
        intermediate={int(step): _number(value) for step, value in steps},
        start_time=None if trial.datetime_start is None else int(trial.datetime_start.timestamp() * 1000),
        attributes={str(key): plain(value) for key, value in list(trial.user_attrs.items())[:MAX_ATTRIBUTES]},
    )


def _number(value: Any) -> Number:
    number = safe_number(value)
    return "NaN" if number is None else number


def values_of(trial: Any) -> list[float]:
    """The values of a trial's objectives; none where it came to none."""
    return [float(value) for value in trial.values or ()]


def is_feasible(trial: Any) -> bool:
    """Whether a trial keeps the constraints that its sampler was given."""
    if hasattr(type(trial), "constraints"):
        return all(value <= 0 for value in trial.constraints.values())
    return all(value <= 0 for value in trial.system_attrs.get("constraints") or ())


def best_params_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The best trial's parameters, named as for the searches of scikit-learn."""
    return {f"best_{key}": value for key, value in params.items()}


def ranked(trials: Sequence[TrialInfo], goal: Goal, front: frozenset[int]) -> list[TrialInfo]:
    """Trials with their ranks: by the only objective; of several, 1 for those that no other surpasses in all.

    Args:
        trials: As `info_of` gives them.
        goal: Of their study.
        front: Numbers of the trials that no other surpasses; asked for with several objectives only.
    """
    if len(goal.directions) > 1:
        return [msgspec.structs.replace(one, rank=1) for one in trials if one.number in front]
    sign = -1 if goal.directions[0] == "maximize" else 1
    complete = [one for one in trials if one.state == "COMPLETE" and one.mean not in (None, "NaN")]
    complete.sort(key=lambda one: (sign * float_of(one.mean or 0.0), one.number))
    return [msgspec.structs.replace(one, rank=place) for place, one in enumerate(complete, 1)]
