"""Curves of the metrics on the valid sets, read by a callback of LightGBM's while training runs."""

from __future__ import annotations

import time
from typing import Any

from autotrack import clock
from autotrack.hooks import guard
from autotrack.tracking.run import RunWriter
from autotrack.tracking.values import safe_number

NAME = "lightgbm"

ROUNDS = 50
"""Rounds that wait at most to be written."""

SECONDS = 1.0
"""How long they wait at most, while there are further rounds."""


def key_of(dataset: str, metric: str) -> str:
    """Key of a metric on a valid set, as MLflow spells it."""
    if dataset == "cv_agg":  # LightGBM before 4.7: the set's name is part of the metric's
        dataset, _, metric = metric.partition(" ")
    return f"{dataset}-{metric}".replace("@", "_at_")


class Curves:
    """The callback: one curve a metric and valid set, in some dozens of rounds a write.

    It comes before all others: they may stop the training, and change the list of results.

    Args:
        run: Where the curves go.
        suffix: Put behind each key, so that a second training call in one run does not go on with the first's.

    Attributes:
        rounds: Rounds done so far, those of a model that training went on from included.
        planned: Rounds that there would be without a stop.
        higher_is_better: By key.
    """

    before_iteration = False

    def __init__(self, run: RunWriter, suffix: str = "") -> None:
        self.order = float("-inf")
        self.rounds = 0
        self.planned = 0
        self.higher_is_better: dict[str, bool] = {}
        self._run = run
        self._suffix = suffix
        self._health = guard.health(NAME)
        self._keys: dict[tuple[str, str], str] = {}
        self._waiting: list[tuple[str, float, int, int]] = []
        self._waiting_rounds = 0
        self._due = 0.0

    def __call__(self, env: Any) -> None:
        """A round is done."""
        begun = time.perf_counter()
        guard.call(self._health, "evaluation", self._add, env)
        self._run.cost.handlers += time.perf_counter() - begun

    def _add(self, env: Any) -> None:
        step = env.iteration
        self.rounds, self.planned = step + 1, env.end_iteration
        results = env.evaluation_result_list
        if not results:
            return
        now = clock.now()
        for result in results:
            key = self._keys.get(result[:2]) or self._new_key(result)
            if len(result) > 4 and result[4] is not None:
                self._put(f"{key}-mean{self._suffix}", result[2], step, now)
                self._put(f"{key}-stdv{self._suffix}", result[4], step, now)
            else:
                self._put(key + self._suffix, result[2], step, now)
        self._waiting_rounds += 1
        if self._waiting_rounds >= ROUNDS or time.monotonic() >= self._due:
            self.write()

    def _new_key(self, result: Any) -> str:
        key = self._keys[result[:2]] = key_of(str(result[0]), str(result[1]))
        self.higher_is_better[key] = bool(result[3])
        return key

    def _put(self, key: str, value: Any, step: int, now: int) -> None:
        if not isinstance(value, float):
            number = safe_number(value)  # a metric of the program's own may give anything
            if number is None:
                return
            value = number
        # LightGBM gives numbers of numpy's, which are floats, but which the journal does not take as they are.
        self._waiting.append((key, float(value), step, now))

    def write(self) -> None:
        """Write what waits."""
        waiting, self._waiting, self._waiting_rounds = self._waiting, [], 0
        self._due = time.monotonic() + SECONDS
        if waiting and self._run.status == "RUNNING":
            self._run.log_batch(waiting, [], {})

    def finish(self) -> None:
        """Training has ended, well or not."""
        guard.call(self._health, "curves", self.write)
