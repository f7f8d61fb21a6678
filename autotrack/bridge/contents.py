"""A run and a registry in MLflow's terms: what goes over the bridge, in both directions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import msgspec

from autotrack.records import DatasetInput, LoggedModel, Metric

Outcome = Literal["new", "completed", "unchanged", "deleted"]
"""What became of a run: it was not there, something was missing, nothing was, or it is deleted at the other end."""


class Limits(NamedTuple):
    """What the target takes."""

    param: int
    """Characters of a parameter's value."""
    tag: int
    """Characters of a tag's value."""
    key: int = 250
    fold_case: bool = False
    """Keys that differ in case alone are the same to it."""


class RunContents(msgspec.Struct):
    """A run as MLflow has it, with all that belongs to it but the bytes of its files."""

    run_id: str
    """32 hexadecimal digits."""
    experiment: str
    name: str
    status: str
    start_time: int
    end_time: int | None = None
    user: str = ""
    source_name: str = ""
    source_version: str = ""
    lifecycle: str = "active"
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    curves: dict[str, list[Metric]] = {}
    """Whole histories by key."""
    inputs: list[DatasetInput] = []
    models: list[LoggedModel] = []
    """`uri` is where the directory is, `path` its place among the run's artifacts (empty: elsewhere)."""
    artifact_uri: str = ""
    files: dict[str, bytes] = {}
    """Files that are made for the target, beside those below `artifact_uri`."""


class VersionContents(msgspec.Struct):
    """A version of a registered model."""

    version: int
    source: str
    run_id: str | None = None
    model_id: str | None = None
    """32 hexadecimal digits."""
    status: str = "READY"
    description: str = ""
    user: str = ""
    creation_time: int = 0
    last_update_time: int = 0
    tags: dict[str, str] = {}


class RegisteredContents(msgspec.Struct):
    """A registered model with all its versions, in their order."""

    name: str
    description: str = ""
    creation_time: int = 0
    last_update_time: int = 0
    tags: dict[str, str] = {}
    aliases: dict[str, int] = {}
    versions: list[VersionContents] = []


class Target(Protocol):
    """An MLflow store that runs are pushed into. Every method raises `StoreError` where it cannot be reached."""

    url: str
    """Without credentials."""
    limits: Limits
    remarks: list[str]
    """What could not be carried, in words."""

    def prepare_experiment(self, name: str, tags: dict[str, str]) -> None:
        """Make an experiment unless it is there.

        Raises:
            StoreError: It is deleted there.
        """

    def write_run(self, run: RunContents) -> Outcome:
        """Write what of a run is not there yet.

        Raises:
            ArtifactError: A file cannot be read or written.
        """

    def write_registered(self, model: RegisteredContents) -> Outcome:
        """Write what of a registered model is not there yet."""


class Source(Protocol):
    """An MLflow store that runs are pulled from. Every method raises `StoreError` where it cannot be read."""

    url: str
    remarks: list[str]

    def run_ids(self, experiments: Sequence[str], runs: Sequence[str]) -> list[str]:
        """Ids of active runs, oldest first: of these experiments, or these ones; all where neither is given.

        Raises:
            NotFoundError: There is no such experiment or run.
        """

    def run(self, run_id: str) -> RunContents:
        """A run."""

    def fetched(self, uri: str) -> AbstractContextManager[Path | None]:
        """A local folder with the files of an artifact URI; None where there are none, or they cannot be had."""

    def registered(self) -> Iterator[RegisteredContents]:
        """All registered models."""
