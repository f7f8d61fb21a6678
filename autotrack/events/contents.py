"""What is recorded into a run: parameters, metrics, tags, datasets, fits, trials, models, files."""

from __future__ import annotations

from math import isfinite
from typing import Any

import msgspec

from autotrack.events.parts import DatasetInfo, ErrorInfo, ModelMetric, Number, Param, RunStatus, TrialInfo, number_of


class ParamsLogged(msgspec.Struct, tag_field="t", tag="params", omit_defaults=True):
    """Parameters of a run; a key that is there already gets the new value."""

    run_id: str
    params: list[Param]
    weak: bool = False
    """A key that is there already keeps its value: what another rank than 0 says."""


class MetricLogged(msgspec.Struct, tag_field="t", tag="m", omit_defaults=True, gc=False):
    """One point of one metric."""

    run_id: str
    key: str
    value: Number
    time: int
    step: int = 0


class MetricsLogged(msgspec.Struct, tag_field="t", tag="ms", omit_defaults=True):
    """Points of several metrics at one step."""

    run_id: str
    metrics: dict[str, Number]
    time: int
    step: int = 0


class CurveLogged(msgspec.Struct, tag_field="t", tag="curve"):
    """Many points of one metric at once; the three lists have one length."""

    run_id: str
    key: str
    steps: list[int]
    times: list[int]
    values: list[Number]

    @classmethod
    def of(cls, run_id: str, key: str, points: list[tuple[str, float, int, int]]) -> CurveLogged:
        """Points (key, value, step, time) of one metric."""
        _, values, steps, times = zip(*points)  # noqa: B905 - tuples of four
        numbers = list(values) if all(map(isfinite, values)) else list(map(number_of, values))
        return cls(run_id, key, list(steps), list(times), numbers)


class TagsSet(msgspec.Struct, tag_field="t", tag="tags", omit_defaults=True):
    """Tags of a run are set."""

    run_id: str
    tags: dict[str, str]
    weak: bool = False
    """As of `ParamsLogged`."""
    late: bool = False
    """Said after the run: of one that has been removed meanwhile, it is left out."""


class TagDeleted(msgspec.Struct, tag_field="t", tag="untag"):
    """A tag of a run is removed."""

    run_id: str
    key: str


class DatasetLogged(msgspec.Struct, tag_field="t", tag="dataset", omit_defaults=True):
    """A run used a dataset."""

    run_id: str
    dataset: DatasetInfo
    context: str = ""
    """What it was used for: "train", "eval", ..."""
    tags: dict[str, str] = {}
    fit_id: str | None = None


class FitLogged(msgspec.Struct, tag_field="t", tag="fit", omit_defaults=True):
    """One training call: written when it begins (status RUNNING), and again with the same `fit_id` when it ends."""

    fit_id: str
    session_id: str
    time: int
    """Start of the call, ms since the epoch."""
    run_id: str | None = None
    """None for a preparation step (a transformer fitted on its own), which belongs to the session."""
    number: int = 1
    """1 for the first fit of the run, 2 for the second, ..."""
    kind: str = "fit"
    """ "fit", "search", "cross_validation" or "preparation"."""
    estimator: str = ""
    """Qualified class name, or the function's name for a cross-validation."""
    method: str = "fit"
    status: RunStatus = "RUNNING"
    duration: float | None = None
    """Seconds."""
    error: ErrorInfo | None = None
    caller: str = ""
    """`file:line in function` of the user's call."""
    details: dict[str, Any] = {}


class TrialsLogged(msgspec.Struct, tag_field="t", tag="trials", omit_defaults=True):
    """Trials of a search or a cross-validation; a number that is there already is replaced."""

    run_id: str
    trials: list[TrialInfo]
    fit_id: str | None = None


class ModelLogged(msgspec.Struct, tag_field="t", tag="model", omit_defaults=True):
    """A model was saved as an output of a run."""

    model_id: str
    run_id: str
    name: str
    time: int
    uri: str
    """Where its directory is: a path or URL."""
    path: str = ""
    """The directory's path among the run's artifacts."""
    flavors: list[str] = []
    size: int = 0
    """Bytes, whole directory."""
    digest: str = ""
    """sha256 over the directory's content; equal models have equal digests."""
    signature: str = ""
    """JSON text, as in MLmodel."""
    model_type: str = ""
    metadata: dict[str, Any] = {}
    step: int = 0


class ModelChanged(msgspec.Struct, tag_field="t", tag="model_changed", omit_defaults=True):
    """Something was said of a model that is in the store."""

    model_id: str
    tags: dict[str, str | None] = {}
    """None: removed."""
    params: dict[str, str] = {}
    metrics: list[ModelMetric] = []


class ModelRegistered(msgspec.Struct, tag_field="t", tag="register", omit_defaults=True):
    """A logged model is to be a version of a registered model, which is made where there is none of that name."""

    name: str
    """The registered model's."""
    model_id: str
    """Of the logged model: what is a version of `name` already makes no second one."""
    run_id: str
    time: int
    source: str
    """Where its directory is: a path or URL."""
    digest: str = ""
    """As of the logged model, like the signature."""
    signature: str = ""
    user: str = ""


class ArtifactLogged(msgspec.Struct, tag_field="t", tag="artifact", omit_defaults=True):
    """A file was stored among the run's artifacts."""

    run_id: str
    path: str
    size: int
    digest: str
    time: int
