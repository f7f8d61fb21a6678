"""The write vocabulary: what a process tells the store, one event a journal line.

The journal's format is these structs as JSON, one object a line, told apart by the field `t`. The first line of a
journal is a `JournalOpened`, which carries `FORMAT_VERSION`. Steps for changing the format stand in CONTRIBUTING.md:
a new optional field or a new event needs no new version, everything else does.

JSON has no NaN and no infinities: where a float may be one of them, the field is `Number`, which writes them as the
strings "NaN", "Infinity" and "-Infinity".

Each line ends with a field `c`, the checksum of what stands before it: a bit that the disk has lost would otherwise be
another value, or another run's. A reader that does not know of it passes it over, as it does with any unknown field.

`runs` has the events of processes, runs and ranks, `contents` those of what is recorded into a run, `parts` what
several of them hold, `lines` the union of all and the way to bytes and back.
"""

from __future__ import annotations

from autotrack.events.contents import (
    ArtifactLogged,
    CurveLogged,
    DatasetLogged,
    FitLogged,
    MetricLogged,
    MetricsLogged,
    ModelChanged,
    ModelLogged,
    ModelRegistered,
    ParamsLogged,
    TagDeleted,
    TagsSet,
    TrialsLogged,
)
from autotrack.events.lines import FORMAT_VERSION, SEAL, Event, decode, decode_lines, encode, is_intact
from autotrack.events.parts import (
    DatasetInfo,
    EndStatus,
    ErrorInfo,
    ModelMetric,
    ModelNotes,
    Number,
    Param,
    RunStatus,
    TrialInfo,
    float_of,
    number_of,
)
from autotrack.events.runs import (
    EnvironmentCaptured,
    JournalClosed,
    JournalOpened,
    RankEnded,
    RankGone,
    RankJoined,
    RunDegraded,
    RunEnded,
    RunResumed,
    RunStarted,
    RunUpdated,
    SessionStarted,
)

__all__ = [
    "FORMAT_VERSION",
    "SEAL",
    "ArtifactLogged",
    "CurveLogged",
    "DatasetInfo",
    "DatasetLogged",
    "EndStatus",
    "EnvironmentCaptured",
    "ErrorInfo",
    "Event",
    "FitLogged",
    "JournalClosed",
    "JournalOpened",
    "MetricLogged",
    "MetricsLogged",
    "ModelChanged",
    "ModelLogged",
    "ModelMetric",
    "ModelNotes",
    "ModelRegistered",
    "Number",
    "Param",
    "ParamsLogged",
    "RankEnded",
    "RankGone",
    "RankJoined",
    "RunDegraded",
    "RunEnded",
    "RunResumed",
    "RunStarted",
    "RunStatus",
    "RunUpdated",
    "SessionStarted",
    "TagDeleted",
    "TagsSet",
    "TrialInfo",
    "TrialsLogged",
    "decode",
    "decode_lines",
    "encode",
    "float_of",
    "is_intact",
    "number_of",
]
