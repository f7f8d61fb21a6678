"""Where the files of runs and models are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sqlalchemy import select

from autotrack.artifacts import Artifacts
from autotrack.records import FileInfo
from autotrack.store import schema
from autotrack.store.curves import chunks
from autotrack.store.engine import Store
from autotrack.store.location import artifact_uri
from autotrack.store.places import ROOT_TAG, full_uri

MODELS = "models"
"""Folder below the store's artifact root that models are kept in."""


class ModelPlace(NamedTuple):
    """A model's directory."""

    root: str
    folder: str

    @property
    def uri(self) -> str:
        """As a model's record has it."""
        return f"{self.root}/{self.folder}"


def place_of_model(uri: str) -> ModelPlace:
    """A model's URI in its two parts."""
    root, _, folder = uri.rstrip("/").rpartition("/")
    return ModelPlace(root, folder)


def models_root(store: Store) -> str:
    """The folder or URL that this store's models are kept below."""
    return f"{store.location.artifact_root}/{MODELS}"


def run_root(store: Store, experiment: str, run_id: str) -> str:
    """The folder or URL of a run's files, in an experiment that may not be there yet."""
    table = schema.experiments.c
    with store.reading() as connection:
        own = connection.execute(select(table.artifact_location).where(table.name == experiment)).scalar()
    return artifact_uri(full_uri(store.location, own or "") or store.location.artifact_root, run_id)


def run_roots(store: Store, run_ids: Iterable[str]) -> dict[str, str]:
    """The folder or URL of each run's files, as its record has it; runs that are not there are left out."""
    runs, experiments, tags = schema.runs.c, schema.experiments.c, schema.tags.c
    query = (
        select(runs.run_id, experiments.artifact_location, tags.value)
        .join_from(schema.runs, schema.experiments, experiments.id == runs.experiment)
        .outerjoin(schema.tags, (tags.run == runs.id) & (tags.key == ROOT_TAG))
    )
    found = {}
    with store.reading() as connection:
        for some in chunks(sorted(run_ids)):
            for run_id, own, pinned in connection.execute(query.where(runs.run_id.in_(some))):
                root = full_uri(store.location, pinned or own) or store.location.artifact_root
                found[run_id] = artifact_uri(root, run_id)
    return found


def walk(artifacts: Artifacts, path: str = "") -> Iterator[FileInfo]:
    """All files below a path, by name, folder after folder.

    Raises:
        ArtifactError: A folder cannot be read.
    """
    for info in artifacts.list(path):
        if info.is_dir:
            yield from walk(artifacts, info.path)
        else:
            yield info


def is_local(root: str) -> bool:
    """Whether a root is a plain folder of this machine."""
    return "://" not in root and not root.startswith("file:")
