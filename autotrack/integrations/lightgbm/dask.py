"""The Dask estimators: they train on a cluster's workers, each on its part of the data, and get one model back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from autotrack import clock
from autotrack.integrations.lightgbm import recording
from autotrack.integrations.lightgbm.curves import key_of
from autotrack.integrations.options import IntegrationConfig
from autotrack.tracking.behind import suffix_of
from autotrack.tracking.run import RunWriter
from autotrack.tracking.values import safe_number


def record(run: RunWriter, model: Any, options: IntegrationConfig) -> None:
    """Record the curves and importances of the model that came back from the workers.

    Metrics are as that worker computed them whose model it is: no more is sent back.

    Args:
        run: The run of the estimator's fit.
        model: An estimator of LightGBM's that a worker has fitted.
        options: The integration's configuration.
    """
    run.log_batch(list(_points_of(model, suffix_of(run.fits))), [], {})
    importances = recording.importances_of(model.booster_)
    recording.submit(recording.Behind(run, "", run.fits, options, importances=importances))


def _points_of(model: Any, suffix: str) -> Iterator[tuple[str, float, int, int]]:
    now = clock.now()
    for name, scores in model.evals_result_.items():
        for metric, values in scores.items():
            key = key_of(str(name), str(metric)) + suffix
            numbers = enumerate(safe_number(value) for value in values)
            yield from ((key, float(number), step, now) for step, number in numbers if number is not None)
