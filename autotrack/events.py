"""The write vocabulary: what a process tells the store, one event a journal line.

The journal's format is these structs as JSON, one object a line, told apart by the field `t`. The first line of a
journal is a `JournalOpened`, which carries `FORMAT_VERSION`. Steps for changing the format stand in CONTRIBUTING.md:
a new optional field or a new event needs no new version, everything else does.

JSON has no NaN and no infinities: where a float may be one of them, the field is `Number`, which writes them as the
strings "NaN", "Infinity" and "-Infinity".

Each line ends with a field `c`, the checksum of what stands before it: a bit that the disk has lost would otherwise be
another value, or another run's. A reader that does not know of it passes it over, as it does with any unknown field.
"""

from __future__ import annotations

import math
from binascii import crc32
from typing import Any, Literal

import msgspec

FORMAT_VERSION = 1
"""Version of the journal format; a reader refuses a higher one."""

Number = float | str
"""A finite float, or one of the strings "NaN", "Infinity", "-Infinity"."""

RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
"""State of a run or a fit. A run whose process is gone without an end is shown as KILLED."""


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


class JournalOpened(msgspec.Struct, tag_field="t", tag="journal", omit_defaults=True):
    """First line of every journal: who writes it, for which store."""

    version: int
    journal_id: str
    session_id: str
    store: str
    """Store URL without credentials."""
    host: str
    boot_id: str
    pid: int
    process_started: int
    """Start of the process in clock ticks or ms, as the OS counts it; with pid and boot id it names the process."""
    time: int
    sealed: bool = False
    """Every line ends with its checksum: one without is damaged."""


class JournalClosed(msgspec.Struct, tag_field="t", tag="close"):
    """Last line of a journal whose process ended in order."""

    time: int


class SessionStarted(msgspec.Struct, tag_field="t", tag="session", omit_defaults=True):
    """One process that records (workers and ranks attach to a session, they do not start one)."""

    session_id: str
    time: int
    host: str = ""
    pid: int = 0
    user: str = ""
    program: str = ""
    """File name, `-m module`, `-c` or notebook that was started."""
    argv: list[str] = []
    cwd: str = ""
    parent_session_id: str | None = None


class EnvironmentCaptured(msgspec.Struct, tag_field="t", tag="environment"):
    """What the session ran in; stored once by digest."""

    session_id: str
    digest: str
    content: dict[str, Any]


class RunStarted(msgspec.Struct, tag_field="t", tag="run", omit_defaults=True):
    """A run begins. `experiment_id` wins over `experiment` (a name, created if it is not there)."""

    run_id: str
    session_id: str
    time: int
    name: str
    experiment: str = "Default"
    experiment_id: str | None = None
    parent_run_id: str | None = None
    source: str = "fluent"
    """Who opened it: "fluent", "client" or an integration's name."""
    user: str = ""
    description: str | None = None


class RunResumed(msgspec.Struct, tag_field="t", tag="resume"):
    """An existing run is open again, in this process."""

    run_id: str
    session_id: str
    time: int


class RunUpdated(msgspec.Struct, tag_field="t", tag="update", omit_defaults=True):
    """A run's name or description is set anew."""

    run_id: str
    name: str | None = None
    description: str | None = None


class RunEnded(msgspec.Struct, tag_field="t", tag="end", omit_defaults=True):
    """A run ends."""

    run_id: str
    status: RunStatus
    time: int
    error: ErrorInfo | None = None


class RankJoined(msgspec.Struct, tag_field="t", tag="rank", omit_defaults=True):
    """A rank of a distributed job takes part in a run, which rank 0 begins and ends."""

    run_id: str
    session_id: str
    journal_id: str
    """The journal of the rank's process: by it a reader knows whether the process is there."""
    time: int
    rank: int
    size: int
    """How many ranks the job has."""
    facts: dict[str, Any] = {}
    """Host, pid, local rank, device: whatever is known."""
    name: str = ""
    """The run's, and where it belongs, should rank 0 never tell."""
    experiment: str = "Default"
    experiment_id: str | None = None
    source: str = "fluent"
    user: str = ""


class RankEnded(msgspec.Struct, tag_field="t", tag="rank_end", omit_defaults=True):
    """A rank's part in a run is over. One that failed makes the run a failed one, whatever rank 0 says."""

    run_id: str
    rank: int
    status: RunStatus
    time: int
    error: ErrorInfo | None = None
    killed: bool = False
    """The process was found dead, by the time given: what others raised shortly before may have come of it."""
    host: str = ""
    """Where it was, of a job on several machines."""


class RankGone(msgspec.Struct, tag_field="t", tag="rank_gone", omit_defaults=True):
    """Rank 0 saw a rank's process end; whether that was in order, the rank's own journal says.

    Without a time: rank 0 came to an end in order, so that nothing came of it.
    """

    run_id: str
    rank: int
    time: int | None = None


class RunDegraded(msgspec.Struct, tag_field="t", tag="degraded"):
    """Something of this run could not be recorded; its status stays what it is."""

    run_id: str
    reason: str


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


Event = (
    JournalOpened
    | JournalClosed
    | SessionStarted
    | EnvironmentCaptured
    | RunStarted
    | RunResumed
    | RunUpdated
    | RunEnded
    | RankJoined
    | RankEnded
    | RankGone
    | RunDegraded
    | ParamsLogged
    | MetricLogged
    | MetricsLogged
    | CurveLogged
    | TagsSet
    | TagDeleted
    | DatasetLogged
    | FitLogged
    | TrialsLogged
    | ModelLogged
    | ModelRegistered
    | ModelChanged
    | ArtifactLogged
)
"""Any event; `decode` tells them apart."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


SEAL = b',"c":"'
"""What stands before a line's checksum: 8 hexadecimal digits of CRC-32 (of zlib's kind) over all that precedes it."""


def encode(event: Event) -> bytes:
    """One event as one journal line, with its checksum, newline included."""
    body = _encoder.encode(event)[:-1]
    return b'%b,"c":"%08x"}\n' % (body, crc32(body))


def is_intact(line: bytes, sealed: bool) -> bool:
    """Whether a line is as it was written.

    Args:
        line: Without its newline.
        sealed: All lines of the journal have a checksum; otherwise one without counts as intact.
    """
    if line[-16:-10] == SEAL:
        return b"%08x" % crc32(line[:-16]) == line[-10:-2]
    return not sealed


def decode(line: bytes) -> Event:
    """One journal line as an event.

    Raises:
        msgspec.DecodeError: The line is no event of this format (torn, flipped bits, or written by a newer version).
    """
    event: Event = _decoder.decode(line)
    return event


def decode_lines(lines: bytes) -> list[Event]:
    """Many journal lines as events, several times as fast as one by one; empty lines are passed over.

    Raises:
        msgspec.DecodeError: One of the lines is no event of this format.
    """
    decoded: list[Event] = _decoder.decode_lines(lines)
    return decoded
