"""The read vocabulary: what the store gives back. Frozen, typed, each serialisable on its own.

Names are MLflow's where the two mean the same (`run.info.run_id`, `run.data.metrics`). Times are integer
milliseconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, SupportsIndex, TypeVar

import msgspec

from autotrack.errors import InvalidArgumentError
from autotrack.events import DatasetInfo, ErrorInfo, RunStatus, number_of

T = TypeVar("T")
R = TypeVar("R", bound="Record")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return number_of(value) if isinstance(value, float) else value


class Record(msgspec.Struct, frozen=True):
    """Base of all records."""

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers; NaN and infinities stay floats."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    def to_json(self) -> str:
        """JSON text; NaN and infinities as the strings "NaN", "Infinity", "-Infinity"."""
        return msgspec.json.encode(_plain(self.to_dict())).decode()

    @classmethod
    def from_dict(cls: type[R], data: dict[str, Any]) -> R:
        """Inverse of `to_dict`, and of `to_json` after parsing.

        Raises:
            InvalidArgumentError: A field is missing or of the wrong type; the message names it.
        """
        try:
            return msgspec.convert(data, cls, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidArgumentError("data", data, f"what {cls.__name__}.to_dict() gives ({error})") from error

    @classmethod
    def from_json(cls: type[R], text: str | bytes) -> R:
        """Inverse of `to_json`.

        Raises:
            InvalidArgumentError: It does not parse, or a field is missing or of the wrong type; the message names it.
        """
        try:
            data = msgspec.json.decode(text)
        except (msgspec.DecodeError, TypeError) as error:
            raise InvalidArgumentError("text", text, f"JSON ({error})") from error
        return cls.from_dict(data)


class Experiment(Record, frozen=True):
    """A named set of runs."""

    experiment_id: str
    name: str
    lifecycle_stage: str = "active"
    creation_time: int = 0
    last_update_time: int = 0
    artifact_location: str = ""
    tags: dict[str, str] = {}


class Metric(Record, frozen=True, gc=False):
    """One point of one metric."""

    key: str
    value: float
    timestamp: int
    step: int = 0


class MetricSummary(Record, frozen=True, gc=False):
    """What a metric's curve comes down to; NaN counts towards `count` and `last` only."""

    last: float
    last_step: int
    min: float
    min_step: int
    max: float
    max_step: int
    count: int


class RunInfo(Record, frozen=True):
    """A run itself."""

    run_id: str
    run_name: str
    experiment_id: str
    status: RunStatus
    start_time: int
    end_time: int | None = None
    user_id: str = ""
    lifecycle_stage: str = "active"
    artifact_uri: str = ""
    session_id: str = ""
    parent_run_id: str | None = None
    source: str = ""
    description: str = ""
    degraded: str = ""
    """Empty, or what of this run could not be recorded."""
    error: ErrorInfo | None = None


class RunData(Record, frozen=True):
    """What a run logged."""

    metrics: dict[str, float] = {}
    """Last value by key (at the highest step; of several there, the newest)."""
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    param_values: dict[str, Any] = {}
    """Parameters with their type kept; a value that has no JSON is its text."""
    series: dict[str, MetricSummary] = {}


class DatasetInput(Record, frozen=True):
    """A dataset that a run used."""

    dataset: DatasetInfo
    context: str = ""
    tags: dict[str, str] = {}


class RunInputs(Record, frozen=True):
    """What went into a run."""

    dataset_inputs: list[DatasetInput] = []


class ModelMetric(Record, frozen=True):
    """A metric that says something of a model."""

    key: str
    value: float
    timestamp: int
    step: int = 0
    run_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LoggedModel(Record, frozen=True):
    """A model that a run put out."""

    model_id: str
    run_id: str
    name: str
    uri: str
    path: str = ""
    flavors: list[str] = []
    size: int = 0
    digest: str = ""
    signature: str = ""
    model_type: str = ""
    creation_time: int = 0
    step: int = 0
    metadata: dict[str, Any] = {}
    tags: dict[str, str] = {}
    params: dict[str, str] = {}
    metrics: list[ModelMetric] = []
    """The newest of each key and dataset."""

    @property
    def model_uri(self) -> str:
        """What `load_model` takes."""
        return f"runs:/{self.run_id}/{self.name}"

    @property
    def source_run_id(self) -> str:
        """The run that put it out."""
        return self.run_id

    @property
    def artifact_location(self) -> str:
        """Where its files are."""
        return self.uri

    @property
    def artifact_path(self) -> str:
        """Its name among the run's models."""
        return self.path or self.name

    @property
    def creation_timestamp(self) -> int:
        """When it was logged, ms since the epoch."""
        return self.creation_time


class ModelVersion(Record, frozen=True):
    """One version of a registered model."""

    name: str
    """The registered model's."""
    version: str
    """A number, from 1."""
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0
    description: str = ""
    user_id: str = ""
    source: str = ""
    """Where its directory is: a path or URL."""
    run_id: str | None = None
    status: str = "READY"
    status_message: str = ""
    tags: dict[str, str] = {}
    run_link: str = ""
    aliases: list[str] = []
    model_id: str | None = None
    """The logged model that it is."""
    digest: str = ""
    """sha256 over the directory's content, where it is known."""
    signature: str = ""
    """JSON text, as in MLmodel."""

    @property
    def current_stage(self) -> str:
        """MLflow has given stages up for aliases; always "None"."""
        return "None"


class RegisteredModel(Record, frozen=True):
    """A name under which versions of a model stand."""

    name: str
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0
    description: str = ""
    latest_versions: list[ModelVersion] = []
    """The newest version; empty where there is none."""
    tags: dict[str, str] = {}
    aliases: dict[str, str] = {}
    """Version by alias."""


class RunOutputs(Record, frozen=True):
    """What came out of a run."""

    model_outputs: list[LoggedModel] = []


class Run(Record, frozen=True):
    """A run with all but its metric histories, trials and files."""

    info: RunInfo
    data: RunData
    inputs: RunInputs = RunInputs()
    outputs: RunOutputs = RunOutputs()


class Trial(Record, frozen=True):
    """One candidate of a search, one fold of a cross-validation, one trial of a study."""

    number: int
    params: dict[str, Any] = {}
    scores: dict[str, list[float]] = {}
    mean: float | None = None
    std: float | None = None
    rank: int | None = None
    fit_time: float | None = None
    score_time: float | None = None
    state: str = "COMPLETE"
    resource: float | None = None
    error: str = ""
    intermediate: dict[int, float] = {}
    start_time: int | None = None
    attributes: dict[str, Any] = {}


class Fit(Record, frozen=True):
    """One training call, or one preparation step of the session."""

    fit_id: str
    session_id: str
    run_id: str | None
    number: int
    kind: str
    estimator: str
    method: str
    status: RunStatus
    start_time: int
    duration: float | None = None
    error: ErrorInfo | None = None
    caller: str = ""
    details: dict[str, Any] = {}


class Session(Record, frozen=True):
    """One process that recorded."""

    session_id: str
    start_time: int
    host: str = ""
    pid: int = 0
    user: str = ""
    program: str = ""
    argv: list[str] = []
    cwd: str = ""
    parent_session_id: str | None = None
    environment_digest: str | None = None


class Environment(Record, frozen=True):
    """What a session ran in."""

    digest: str
    content: dict[str, Any] = {}


class FileInfo(Record, frozen=True):
    """A file or folder among a run's artifacts."""

    path: str
    is_dir: bool
    file_size: int | None = None


class JournalInfo(Record, frozen=True):
    """How far a journal has been moved into the store, and who writes it."""

    journal_id: str
    offset: int
    host: str
    boot_id: str
    pid: int
    process_started: int
    opened: int
    heartbeat: int
    closed: int | None = None


class Page(list[T], Generic[T]):
    """One page of a search: a list, and the token of the next page (None on the last)."""

    def __init__(self, items: Iterable[T] = (), token: str | None = None) -> None:
        super().__init__(items)
        self.token = token

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return Page, (list(self), self.token)
