"""Removing for good what is deleted, and files that nobody refers to any more."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from autotrack import clock
from autotrack.errors import ArtifactError
from autotrack.maintenance.garbage import removal
from autotrack.maintenance.garbage.plan import DoomedPlace, Plan, make_plan
from autotrack.maintenance.places import is_local, models_root
from autotrack.progress_bar import progress_bar
from autotrack.records import Record
from autotrack.store.reading import Reader
from autotrack.tracking.access import Access

__all__ = ["Doomed", "Garbage", "collect_garbage"]


class Doomed(Record, frozen=True):
    """Something that goes, or would go."""

    kind: str
    """"run", "experiment", "model", "folder" or "journal"."""
    name: str
    """Id, name, path or URL."""
    about: str = ""
    size: int = 0
    """Bytes of its files."""


class Garbage(Record, frozen=True):
    """What a clean-up removed, or would remove."""

    items: list[Doomed]
    kept: list[str]
    """What is deleted and has to stay, with the reason; what could not be removed."""
    removed: bool
    """Whether it is gone, or only listed."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(item.size for item in self.items)


def collect_garbage(
    tracking_uri: str | os.PathLike[str] | None = None,
    older_than: float = 0.0,
    run_ids: Sequence[str] = (),
    experiments: Sequence[str] = (),
    dry_run: bool = True,
) -> Garbage:
    """Remove deleted runs and experiments for good, with their files; and files that nobody refers to any more.

    A run that a version of a registered model is from stays, and so does its model. A run that is being written is left
    alone, and so are files younger than an hour that no row names: other processes may record meanwhile. Equal models
    are stored once; one goes with the last run that refers to it. Files in the folder of a run that is there stay,
    whether a row names them or not, but for what a process that died had half written. On remote storage, and where
    several stores keep their files below one root (those of a server lie beside those of the project's SQLite store),
    only the files of the runs go. What is interrupted is finished by the next clean-up.

    Args:
        tracking_uri: The store; None for the one that this process records into.
        older_than: Only what was deleted so many seconds ago, or more.
        run_ids: These (deleted) runs alone; empty for all.
        experiments: The deleted runs of these experiments alone (names or ids), and those of them that are deleted.
        dry_run: Only list what would go.

    Raises:
        NotFoundError: There is no such run or experiment.
        InvalidArgumentError: A run that is named is not deleted.
        StoreError: The store cannot be read or written.
    """
    reader = Access(tracking_uri).reader
    store = reader.store
    if not dry_run and is_local(models_root(store)):
        removal.put_back_interrupted(Path(models_root(store)))
    plan = make_plan(reader, clock.now() - int(older_than * 1000), run_ids, experiments)
    if dry_run:
        return Garbage(list(_listed(plan)), plan.kept, removed=False)
    return _remove(reader, plan)


def _listed(plan: Plan) -> list[Doomed]:
    return [
        *(Doomed("run", run.run_id, run.name, run.size) for run in plan.runs),
        *(Doomed("experiment", name) for _, name in plan.experiments),
        *(Doomed("model", place.uri, size=place.size) for place in plan.models),
        *(Doomed("folder", place.uri, "of nothing that the store has", place.size) for place in plan.folders),
        *(Doomed("journal", journal_id) for journal_id in plan.journals),
    ]


def _remove(reader: Reader, plan: Plan) -> Garbage:
    store = reader.store
    items: list[Doomed] = []
    kept = list(plan.kept)
    with progress_bar("removing", len(plan.runs), "runs") as advance:
        for run in plan.runs:
            try:
                if removal.mark(store, run):
                    removal.remove_run(store, run)
                    items.append(Doomed("run", run.run_id, run.name, run.size))
                else:
                    kept.append(f"run {run.run_id}: it was restored or resumed meanwhile")
            except ArtifactError as error:
                kept.append(str(error))
            advance(1)
    for key, name in plan.experiments:
        if removal.remove_experiment(store, key):
            items.append(Doomed("experiment", name))
    models = [*plan.models, *(place for place in plan.folders if _is_model(reader, place))]
    folders = [place for place in plan.folders if not _is_model(reader, place)]
    items += _remove_places(reader, models, folders, kept)
    removal.remove_journals(store, plan.journals)
    items += [Doomed("journal", journal_id) for journal_id in plan.journals]
    return Garbage(items, kept, removed=True)


def _is_model(reader: Reader, place: DoomedPlace) -> bool:
    return place.uri.startswith(f"{models_root(reader.store)}/")


def _remove_places(
    reader: Reader, models: list[DoomedPlace], folders: list[DoomedPlace], kept: list[str]
) -> list[Doomed]:
    items: list[Doomed] = []
    try:
        if models:
            items += [Doomed("model", place.uri, size=place.size) for place in removal.remove_models(reader, models)]
        for place in folders:
            removal.remove_tree(place.uri)
            items.append(Doomed("folder", place.uri, "of nothing that the store had", place.size))
    except ArtifactError as error:
        kept.append(str(error))
    return items
