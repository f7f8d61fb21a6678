"""Runs out of an archive, into a store."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from autotrack import events as ev
from autotrack import records
from autotrack.artifacts import Artifacts
from autotrack.errors import ArchiveError, NotFoundError
from autotrack.maintenance.archives import format as fmt
from autotrack.maintenance.archives.verifying import Archive
from autotrack.maintenance.places import models_root, run_root
from autotrack.progress_bar import progress_bar
from autotrack.store import schema
from autotrack.store.curves import chunks
from autotrack.store.engine import Store
from autotrack.store.places import ROOT_TAG
from autotrack.store.reading import Reader
from autotrack.store.replay import Item, VersionState, write_events
from autotrack.tracking import journal
from autotrack.tracking.access import Access

MODEL_FILE = "MLmodel"


class Imported(records.Record, frozen=True):
    """What an import did."""

    runs: list[str]
    """Ids of the runs that were written."""
    skipped: list[str] = []
    """Ids of those that are there already, as they are in the archive; nothing of them was changed."""
    files: int = 0
    """Files that were stored."""
    size: int = 0
    """Bytes of them."""


def import_runs(
    path: str | os.PathLike[str],
    tracking_uri: str | os.PathLike[str] | None = None,
    experiment: str | None = None,
    any_size: bool = False,
) -> Imported:
    """Bring the runs of an archive into a store, with artifacts and models.

    The whole archive is checked, by its hashes, before anything is written. Importing it again changes nothing; where
    an import broke off, the next one completes it. Of sessions, experiments and models that are there already, those in
    the store stay as they are.

    Args:
        path: The archive, as `export_runs` writes it.
        tracking_uri: The store; None for the one that this process records into.
        experiment: Name of the experiment that all runs go to; None for the one that each was in.
        any_size: Take an archive though its content is very much larger than it is itself.

    Raises:
        ArchiveError: It is damaged, hostile, too large, or of a newer format; nothing was written.
        AlreadyExistsError: A run of the same id, but another one, is in the store.
        ArtifactError: A file cannot be stored.
        StoreError: The store cannot be written.
    """
    archive = Archive(Path(path))
    try:
        archive.check(any_size)
        reader = Access(tracking_uri).reader
        return _Unpacker(archive, reader, experiment).unpack()
    finally:
        archive.close()


class _Unpacker:
    """Empties one archive into a store."""

    def __init__(self, archive: Archive, reader: Reader, experiment: str | None) -> None:
        self._archive = archive
        self._reader = reader
        self._store: Store = reader.store
        self._experiment = experiment
        self._files = 0
        self._size = 0

    def unpack(self) -> Imported:
        """Write all that is not there."""
        manifest = self._archive.manifest
        skipped = [run.run_id for run in manifest.runs if self._is_there(run)]
        wanted = [run for run in manifest.runs if run.run_id not in set(skipped)]
        self._refuse_taken(wanted)
        self._refuse_deleted(wanted)
        self._refuse_full(wanted)
        with contextlib.suppress(OSError):  # says to other stores of the same folder that there is this one
            journal.prepare_folder(self._store.location)
        total = sum(self._sizes(run) for run in wanted)
        with progress_bar("importing", total) as advance:
            for run in wanted:
                self._run(run)
                advance(self._sizes(run))
        return Imported([run.run_id for run in wanted], skipped, self._files, self._size)

    def _is_there(self, entry: fmt.RunEntry) -> bool:
        """Whether the store has a run, to its end, as the archive has it."""
        try:
            info = self._reader.run(entry.run_id).info
        except NotFoundError:
            return False
        known = (info.status, info.start_time, info.end_time)
        return known == (entry.status, entry.start_time, entry.end_time) and info.status != "RUNNING"

    def _refuse_taken(self, wanted: list[fmt.RunEntry]) -> None:
        """Fits and models go by ids of their own: those of other runs must not be overwritten."""
        for entry in wanted:
            fits, models = set(), set()
            for item in self._archive.items(entry):
                if isinstance(item, ev.FitLogged):
                    fits.add(item.fit_id)
                elif isinstance(item, ev.ModelLogged):
                    models.add(item.model_id)
            with self._store.reading() as connection:
                taken = [
                    *_of_others(connection, schema.models.c.model_id, schema.models.c.run, models, entry.run_id),
                    *_of_others(connection, schema.fits.c.fit_id, schema.fits.c.run, fits, entry.run_id),
                ]
            if taken:
                raise self._archive.refuse(
                    f"run {entry.run_id} claims {taken[0]}, which is another run's in this store"
                )

    def _refuse_deleted(self, wanted: list[fmt.RunEntry]) -> None:
        table = schema.experiments.c
        names = sorted({self._experiment or run.experiment for run in wanted})
        with self._store.reading() as connection:
            for some in chunks(names):
                query = select(table.name, table.id).where(table.name.in_(some), table.lifecycle == "deleted")
                for name, key in connection.execute(query):
                    if not self._comes_deleted(name, wanted):
                        hint = f"restore it (restore_experiment('{key}')), or name another one"
                        raise self._archive.refuse(f"the experiment {name!r} is deleted in this store: {hint}")

    def _comes_deleted(self, name: str, wanted: list[fmt.RunEntry]) -> bool:
        """Whether an experiment is a deleted one in the archive as well."""
        if self._experiment is not None:
            return False
        first = next(run for run in wanted if run.experiment == name)
        item = next(iter(self._archive.items(first)), None)
        return getattr(item, "lifecycle", "active") == "deleted"

    def _refuse_full(self, wanted: list[fmt.RunEntry]) -> None:
        """Whether there is room, where that can be known beforehand."""
        root = Path(self._store.location.artifact_root)
        if "://" in str(self._store.location.artifact_root):
            return
        there = next((parent for parent in (root, *root.parents) if parent.is_dir()), None)
        needed = sum(self._sizes(run) for run in wanted)
        if there is not None and needed > (free := shutil.disk_usage(there).free):
            raise self._archive.refuse(f"it needs {needed} bytes, of which {there} has {free}: make room")

    def _sizes(self, run: fmt.RunEntry) -> int:
        members = self._archive.manifest.members
        files = [*run.files, *(file for model in run.models for file in model.files)]
        return members[run.stream].size + sum(members[fmt.file_member(file.sha256)].size for file in files)

    def _run(self, entry: fmt.RunEntry) -> None:
        """Files first: a run whose rows are there is whole."""
        files = Artifacts(run_root(self._store, self._experiment or entry.experiment, entry.run_id))
        for file in entry.files:
            self._store_file(files, file.path, file.sha256)
        uris = {model.model_id: self._model(model) for model in entry.models}
        write_events(self._store, self._items(entry, uris), self._experiment)

    def _items(self, entry: fmt.RunEntry, uris: Mapping[str, str]) -> Iterator[Item]:
        """A run's stream, with its models where they are now, without sessions that are there already."""
        known: set[str] = set()
        moved: dict[str, str] = {}
        for item in self._archive.items(entry):
            if isinstance(item, ev.SessionStarted) and self._has_session(item.session_id):
                known.add(item.session_id)
            if isinstance(item, (ev.SessionStarted, ev.EnvironmentCaptured)) and item.session_id in known:
                continue
            if isinstance(item, ev.ModelLogged) and item.model_id in uris:
                moved[item.uri] = uris[item.model_id]
                item = msgspec.structs.replace(item, uri=uris[item.model_id])
            elif isinstance(item, VersionState):
                item = msgspec.structs.replace(item, source=moved.get(item.source.rstrip("/"), item.source))
            elif isinstance(item, ev.TagsSet):
                item.tags.pop(ROOT_TAG, None)  # the files are where this store keeps them
            yield item

    def _has_session(self, session_id: str) -> bool:
        table = schema.sessions.c
        with self._store.reading() as connection:
            row = connection.execute(select(table.environment).where(table.session_id == session_id)).first()
        return row is not None and row.environment is not None

    def _model(self, model: fmt.ModelEntry) -> str:
        """Store a model under the hash of its files: one that is there is the same, whoever says so.

        Returns:
            Its URI.
        """
        listing = json.dumps(sorted((file.path, file.sha256) for file in model.files))
        folder = hashlib.sha256(listing.encode()).hexdigest()[:32]
        models = Artifacts(models_root(self._store))
        # MLmodel comes last: a directory that has it is whole.
        if not models.exists(f"{folder}/{MODEL_FILE}"):
            for file in sorted(model.files, key=lambda one: one.path == MODEL_FILE):
                self._store_file(models, f"{folder}/{file.path}", file.sha256)
        return f"{models.root}/{folder}"

    def _store_file(self, artifacts: Artifacts, path: str, sha256: str) -> None:
        with tempfile.TemporaryDirectory(prefix="autotrack-") as scratch:
            local = Path(scratch) / "file"
            with self._archive.open(sha256) as member, open(local, "wb") as file:
                shutil.copyfileobj(member, file, 1024 * 1024)
            stored = artifacts.put_file(local, path)
        if stored.digest != sha256:
            raise ArchiveError(
                f"archive {self._archive.path}: it was changed while it was being imported; import again"
            )
        self._files += 1
        self._size += stored.size


def _of_others(connection: Connection, column: Any, run: Any, ids: set[str], run_id: str) -> list[str]:
    """Those of the ids that belong to other runs."""
    found: list[str] = []
    for some in chunks(sorted(ids)):
        query = (
            select(column)
            .join(schema.runs, schema.runs.c.id == run)
            .where(column.in_(some), schema.runs.c.run_id != run_id)
        )
        found += connection.execute(query).scalars()
    return found
