"""`cv`: what its folds come down to, one trial a fold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autotrack.events import Number, TrialInfo, number_of
from autotrack.integrations.lightgbm.curves import key_of
from autotrack.tracking.values import safe_number


class Folds:
    """Scores of every fold in every round."""

    def __init__(self) -> None:
        self._scores: list[dict[str, list[float]]] = []
        self._higher_is_better: dict[str, bool] = {}

    def add(self, results: Any) -> None:
        """One round: a list of results for each fold."""
        if not self._scores:
            self._scores = [{} for _ in results]
        for scores, fold in zip(self._scores, results, strict=False):
            for name, metric, value, *rest in fold:
                key = key_of(name, metric)
                number = safe_number(value)
                if number is not None:
                    scores.setdefault(key, []).append(float(number))
                    self._higher_is_better[key] = bool(rest[0])

    def trials(self, rounds: int) -> list[TrialInfo]:
        """Trials: scores at the end, and each fold's own best with the iteration that it came at.

        Args:
            rounds: Rounds that count: up to the best one where training stopped early.
        """
        return [self._trial(number, scores, rounds) for number, scores in enumerate(self._scores)]

    def _trial(self, number: int, curves: Mapping[str, list[float]], rounds: int) -> TrialInfo:
        scores: dict[str, list[Number]] = {}
        for key, values in curves.items():
            scores[key] = [number_of(values[min(rounds, len(values)) - 1])]
            best = self._best(key, values)
            scores[f"best_{key}"] = [number_of(values[best])]
            scores[f"best_iteration_{key}"] = [best + 1]
        main = next((key for key in curves if not key.startswith("train-")), next(iter(curves), ""))
        return TrialInfo(number=number, scores=scores, mean=scores[main][0] if main else None)

    def _best(self, key: str, values: list[float]) -> int:
        sign = 1 if self._higher_is_better[key] else -1
        return max(range(len(values)), key=lambda index: (values[index] == values[index], sign * values[index]))


def end_of(result: Mapping[str, Any]) -> tuple[int, dict[str, float]]:
    """Rounds that `cv` gave back, and the last value of each of its series."""
    series = {key: values for key, values in result.items() if isinstance(values, list) and values}
    rounds = max((len(values) for values in series.values()), default=0)
    found = {}
    for key, values in series.items():
        name, separator, metric = key.partition(" ")
        found[key_of(name, metric) if separator else key] = values[-1]
    return rounds, found
