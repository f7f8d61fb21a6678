"""What events hold: numbers that JSON may not know, parameters, datasets, trials, what is said of a model."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

Number = float | str
"""A finite float, or one of the strings "NaN", "Infinity", "-Infinity"."""

RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
"""State of a run or a fit. A run whose process is gone without an end is shown as KILLED."""

EndStatus = Literal["FINISHED", "FAILED", "KILLED"]
"""How a run or a fit ended."""


def number_of(value: float) -> Number:
    """Encode a float as a `Number`."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def float_of(number: Number) -> float:
    """Decode a `Number` (exact inverse of `number_of`)."""
    return float(number)


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a run or a fit failed."""

    type: str
    """Qualified class name of the exception."""
    message: str = ""
    traceback: str = ""
    frame: str = ""
    """`file:line in function` of the innermost frame of the user's own code."""


class Param(msgspec.Struct, frozen=True, omit_defaults=True):
    """One parameter: its text, and its JSON where the value has one."""

    key: str
    text: str
    json: str | None = None
    """JSON text of the value ("0.5", "null", "\\"lbfgs\\"", "NaN"); None where only the text could be kept."""


class DatasetInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dataset as MLflow describes one."""

    name: str
    digest: str
    """Content digest of a bounded sample."""
    source_type: str = "code"
    source: str = ""
    schema: str = ""
    """JSON text: columns and dtypes."""
    profile: str = ""
    """JSON text: shape, rows, bytes, whatever is cheap to know."""


class TrialInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One candidate of a search, one fold of a cross-validation, one trial of a study."""

    number: int
    params: list[Param] = []
    scores: dict[str, list[Number]] = {}
    """Scores per fold by metric name; names as scikit-learn spells them ("test_score", "train_score")."""
    mean: Number | None = None
    """Mean over the folds of the metric that the search refits on."""
    std: Number | None = None
    rank: int | None = None
    fit_time: float | None = None
    """Mean seconds per fit; of a study's trial, the seconds that it took."""
    score_time: float | None = None
    state: str = "COMPLETE"
    resource: Number | None = None
    """Successive halving: how much of the resource (rows, trees) this trial got."""
    error: str = ""
    intermediate: dict[int, Number] = {}
    """What a study's trial reported on its way, by step."""
    start_time: int | None = None
    """When a study's trial began, ms since the epoch."""
    attributes: dict[str, Any] = {}
    """What the program or its framework said of the trial, as plain values."""


class ModelMetric(msgspec.Struct, frozen=True, omit_defaults=True):
    """A metric that says something of a model; the newest of a key and a dataset counts."""

    key: str
    value: Number
    time: int
    step: int = 0
    run_id: str = ""
    """Whose metric it is."""
    dataset_name: str = ""
    dataset_digest: str = ""


class ModelNotes(msgspec.Struct, omit_defaults=True):
    """What was said of a model after it was logged."""

    tags: dict[str, str] = {}
    params: dict[str, str] = {}
    metrics: list[ModelMetric] = []
