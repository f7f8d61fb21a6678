"""Metrics that were logged with `self.log`, read where Lightning hands them to its loggers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autotrack.tracking.run import RunWriter
from autotrack.tracking.values import safe_number


class Curves:
    """The curves of one call of a trainer.

    Steps are those on the axis of Lightning's own loggers: batches after which the optimizers stepped.

    Args:
        run: Where they go.
        suffix: Put behind each key, so that a second fit in one run does not go on with the first's curves.

    Attributes:
        prefix: Put in front of what an evaluation after the fit logs, so that no curve of the fit gets a further point.
        points: Values written so far.
    """

    def __init__(self, run: RunWriter, suffix: str = "") -> None:
        self.prefix = ""
        self.paused = False
        self.points = 0
        self._run = run
        self._suffix = suffix
        self._evaluated: dict[str, Any] = {}
        self._at: tuple[int, int] | None = None
        self._rates: dict[str, Any] = {}

    def on_log(self, connector: Any, metrics: Mapping[str, Any], step: int | None) -> None:
        """Lightning logs: while it trains for one step or one epoch, else for a step or the end of an evaluation."""
        trainer = connector.trainer
        if self.paused or trainer.sanity_checking:
            return
        if trainer.training:
            found = values_of(trainer._results, connector._first_loop_iter is not None)
            self._write(trainer, {**rates_of(trainer.optimizers), **found, **metrics}, step)
        elif step is not None:
            self._write(trainer, metrics, step)
        elif connector._first_loop_iter is None:
            found, self._evaluated = self._evaluated, {}
            self._write(trainer, {**found, **metrics}, step)

    def on_evaluated(self, connector: Any) -> None:
        """Values over one data loader, or over all of them, are known; those of all are written together."""
        if not self.paused and not connector.trainer.sanity_checking:
            self._evaluated.update(values_of(connector.trainer._results, False))

    def _write(self, trainer: Any, values: Mapping[str, Any], step: int | None) -> None:
        if not values:
            return
        if step is None:
            step = _step_of(trainer, values)
        ready: dict[str, Any] = {}
        for name, value in values.items():
            key = self._key(name)
            if name.startswith("lr-") and not hasattr(value, "device"):
                if self._rates.get(key) != value:
                    self._rates[key] = ready[key] = value
            elif getattr(value, "is_cpu", True):
                number = safe_number(value)
                if number is not None:
                    ready[key] = number
            elif value.numel() == 1:
                self._run.log_tensor(key, value, step)
                self.points += 1
        if self._at != (step, trainer.current_epoch) and not self.prefix:
            self._at = step, trainer.current_epoch
            ready.setdefault(f"epoch{self._suffix}", trainer.current_epoch)
        self.points += len(ready)
        self._run.log_metrics(ready, step)

    def _key(self, name: str) -> str:
        if self.prefix and not name.startswith(self.prefix):
            name = f"{self.prefix}_{name}"
        return name + self._suffix


def _step_of(trainer: Any, values: Mapping[str, Any]) -> int:
    """Where Lightning's loggers would have it: at a metric named `step`, where they read that one anyway."""
    own = values.get("step") if trainer.loggers else None
    return int(own) if own is not None else int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def values_of(results: Any, on_step: bool) -> dict[str, Any]:
    """What was logged, of one step or of a whole epoch, under the names that Lightning gives it.

    Nothing is computed: these are the values that Lightning has computed for itself, also of metrics that are not for
    its loggers (`self.log(..., logger=False)`).
    """
    found = {}
    for metric in () if results is None else results.values():
        about = metric.meta
        if metric.has_reset or results.dataloader_idx != about.dataloader_idx:
            continue
        wanted = about.on_step if on_step else about.on_epoch
        value = (metric._forward_cache if on_step else metric._computed) if wanted else None
        if value is not None:
            found[results._forked_name(metric, on_step)[1]] = value
    return found


def rates_of(optimizers: Any) -> dict[str, Any]:
    """Learning rates, under the names that Lightning's `LearningRateMonitor` gives them."""
    found: dict[str, Any] = {}
    for number, optimizer in enumerate(optimizers or ()):
        kind = type(optimizer).__name__
        same = sum(type(one).__name__ == kind for one in optimizers[:number])
        name = f"lr-{kind}-{same}" if same else f"lr-{kind}"
        groups = optimizer.param_groups
        for place, group in enumerate(groups, 1):
            if "lr" in group:
                found[f"{name}/pg{place}" if len(groups) > 1 else name] = group["lr"]
    return found
