"""What the store gives back and what batches are made of, under the names that MLflow has for them."""

from __future__ import annotations

from typing import Any

from autotrack.errors import InvalidArgumentError
from autotrack.events import DatasetInfo as Dataset
from autotrack.records import (
    DatasetInput,
    Experiment,
    FileInfo,
    LoggedModel,
    Metric,
    Record,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunOutputs,
)

__all__ = [
    "Dataset",
    "DatasetInput",
    "Experiment",
    "ExperimentTag",
    "FileInfo",
    "InputTag",
    "LifecycleStage",
    "LoggedModel",
    "LoggedModelInput",
    "LoggedModelOutput",
    "Metric",
    "Param",
    "Run",
    "RunData",
    "RunInfo",
    "RunInputs",
    "RunOutputs",
    "RunStatus",
    "RunTag",
    "ViewType",
]


class Param(Record, frozen=True):
    """A parameter of a batch."""

    key: str
    value: Any


class _Tag(Record, frozen=True):
    key: str
    value: Any


class RunTag(_Tag, frozen=True):
    """A tag of a batch."""


class ExperimentTag(_Tag, frozen=True):
    """A tag of an experiment."""


class InputTag(_Tag, frozen=True):
    """A tag of an input; `mlflow.data.context` says what the dataset was used for."""


class LoggedModelInput(Record, frozen=True):
    """A logged model that a run began with."""

    model_id: str


class LoggedModelOutput(Record, frozen=True):
    """A logged model that a run put out."""

    model_id: str
    step: int = 0


class ViewType:
    """Which stages of life a search looks at."""

    ACTIVE_ONLY = "ACTIVE_ONLY"
    DELETED_ONLY = "DELETED_ONLY"
    ALL = "ALL"


class LifecycleStage:
    """Stages of life of runs and experiments."""

    ACTIVE = "active"
    DELETED = "deleted"


class RunStatus:
    """States of a run, which are texts here."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @staticmethod
    def all_status() -> list[str]:
        """All of them."""
        return ["RUNNING", "FINISHED", "FAILED", "KILLED"]

    @staticmethod
    def to_string(status: str) -> str:
        """The state itself.

        Raises:
            InvalidArgumentError: It is none.
        """
        if status not in RunStatus.all_status():
            raise InvalidArgumentError("status", status, " or ".join(RunStatus.all_status()))
        return status

    from_string = to_string

    @staticmethod
    def is_terminated(status: str) -> bool:
        """Whether a run in that state has ended.

        Raises:
            InvalidArgumentError: It is none.
        """
        return RunStatus.to_string(status) != "RUNNING"
