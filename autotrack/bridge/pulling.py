"""Runs of an MLflow store into an autotrack store, under their own ids. Doing it again changes nothing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

from autotrack import clock
from autotrack import events as ev
from autotrack.artifacts import Artifacts
from autotrack.bridge import files, incoming, registering
from autotrack.bridge.contents import Outcome, RunContents, Source, VersionContents
from autotrack.bridge.mlflow_terms import HISTORY, model_entries
from autotrack.bridge.pushing import HTTP, Result
from autotrack.errors import InvalidArgumentError, ModelFormatError
from autotrack.models.mlmodel import Model
from autotrack.progress_bar import progress_bar
from autotrack.records import LoggedModel, Run
from autotrack.store.reading import Reader
from autotrack.store.replay import write_events
from autotrack.tracking.access import Access


def open_source(url: str, artifact_root: str | None = None) -> Source:
    """The MLflow store that a URL names.

    Args:
        url: `http(s)://server`, `sqlite:///x.db`, `postgresql://...`, `mysql://...`, or a folder `mlruns`.
        artifact_root: Where a database's server keeps its files.

    Raises:
        InvalidArgumentError: The URL is of no known kind.
        IntegrationNotAvailableError: A server, and mlflow-skinny is not installed.
        StoreError: It cannot be reached, or is no MLflow store.
    """
    if url.startswith(HTTP):
        if artifact_root is not None:
            raise InvalidArgumentError("artifacts", artifact_root, "nothing: a server hands its files out itself")
        from autotrack.bridge.server_source import ServerSource

        return ServerSource(url)
    if "://" in url and not url.startswith("file:"):
        from autotrack.bridge.database_source import DatabaseSource

        return DatabaseSource(url, artifact_root)
    from autotrack.bridge.folder_source import FolderSource

    return FolderSource(url)


def pull(access: Access, source: Source, run_ids: Sequence[str], with_files: bool = True) -> Result:
    """Write runs of an MLflow store into one of ours, and the versions of registered models that they put out.

    Args:
        access: Where to.
        source: Where from.
        run_ids: Whole ids.
        with_files: Files and models too, as copies.

    Returns:
        How many came to what.

    Raises:
        AlreadyExistsError: Another run of such an id is there.
        StoreError: One of the stores cannot be read or written; the runs before are there.
        ArtifactError: A file cannot be read or written.
    """
    outcomes: Counter[Outcome] = Counter()
    puller = _Puller(access, source, with_files)
    with progress_bar("pulling", len(run_ids), "runs") as advance:
        for run_id in run_ids:
            outcomes[puller.take(incoming.restored(source.run(run_id)))] += 1
            advance(1)
    return Result(outcomes, puller.take_registered(set(run_ids)) if with_files else Counter())


class _Puller:
    """One store of ours that runs are written into."""

    def __init__(self, access: Access, source: Source, with_files: bool) -> None:
        self._store = access.store
        self._reader: Reader = access.reader
        self._models = f"{access.location.artifact_root}/models"
        self._source = source
        self._with_files = with_files

    def take(self, run: RunContents) -> Outcome:
        """Write what of a run is not there yet; its end comes last, when all its files are there."""
        found = self._reader.runs([run.run_id])
        before = found[0] if found else None
        if run.lifecycle == "deleted" or (before is not None and before.info.lifecycle_stage == "deleted"):
            return "deleted"
        same = before is not None and incoming.is_same(run, before)
        if not same:
            write_events(self._store, incoming.first_events(run))
        more: list[ev.Event] = []
        if self._with_files:
            more = [*self._bring_files(run, before or self._reader.run(run.run_id))]
        if not same or more:
            write_events(self._store, [*more, *incoming.last_events(run)])
        if before is None:
            return "new"
        return "unchanged" if same and not more else "completed"

    def _bring_files(self, run: RunContents, ours: Run) -> Iterator[ev.Event]:
        """Copy what is not there yet of a run's models and other files.

        Yields:
            What is to be recorded of each.
        """
        known = {model.model_id for model in ours.outputs.model_outputs}
        models = models_of(run)
        for model in models:
            if model.model_id not in known:
                yield from self._bring_model(model)
        places = tuple(f"{model.path}/" for model in models if model.path)
        with self._source.fetched(run.artifact_uri) as folder:
            if folder is not None:
                yield from self._bring_artifacts(run.run_id, folder, ours.info.artifact_uri, places)

    def _bring_model(self, model: LoggedModel) -> Iterator[ev.Event]:
        with self._source.fetched(model.uri) as folder:
            try:
                found = None if folder is None else Model.load(folder)
            except ModelFormatError as error:
                self._source.remarks.append(f"run {model.run_id}: model {model.name} is left out: {error}")
                return
            if folder is None or found is None:
                return
            target = Artifacts(self._models)
            stored = target.put_folder(folder, model.model_id)
        uri = f"{self._models}/{model.model_id}"
        yield incoming.model_event(model, uri, found, sum(file.size for file in stored))
        yield from incoming.model_notes(model)

    def _bring_artifacts(
        self, run_id: str, folder: Path, target: str, models: tuple[str, ...]
    ) -> Iterator[ev.ArtifactLogged]:
        held = {info.path: info.file_size for info in self._reader.artifacts(run_id)}
        goal = Artifacts(target)
        for info in files.walk(Artifacts(str(folder))):
            if info.path.startswith(models) or held.get(info.path, -1) == info.file_size:
                continue
            stored = goal.put_file(folder / info.path, info.path)
            yield ev.ArtifactLogged(run_id, stored.path, stored.size, stored.digest, clock.now())

    def take_registered(self, run_ids: set[str]) -> Counter[Outcome]:
        """Write what of the registry is not there yet: versions that these runs put out, and those of no run."""
        outcomes: Counter[Outcome] = Counter()
        here = registering.runs_here(self._store, run_ids)
        for model in self._source.registered():
            model.versions = [one for one in model.versions if one.run_id is None or one.run_id in here]
            if any(one.run_id for one in model.versions):
                for one in model.versions:
                    one.model_id = self._model_id(one)
                outcomes[registering.write(self._store, model, self._place_of, self._source.remarks)] += 1
        return outcomes

    def _model_id(self, version: VersionContents) -> str | None:
        """The id of the logged model here that a version is: by its id, or by its path among the run's files."""
        if version.run_id is None:
            return None
        models = self._reader.models(version.run_id)
        if version.model_id in {model.model_id for model in models}:
            return version.model_id
        path = version.source.rstrip("/")
        return next((model.model_id for model in models if path.endswith(f"/{model.path or model.name}")), None)

    def _place_of(self, version: VersionContents) -> str:
        """Where a version's directory is here; copied where it is none of a run's models."""
        if version.run_id is not None and version.model_id is not None:
            for model in self._reader.models(version.run_id):
                if model.model_id == version.model_id:
                    return model.uri
        name = hashlib.sha256(version.source.encode()).hexdigest()[:32]
        with self._source.fetched(version.source) as folder:
            if folder is None or not (folder / "MLmodel").is_file():
                return ""
            Artifacts(self._models).put_folder(folder, name)
        return f"{self._models}/{name}"


def models_of(run: RunContents) -> list[LoggedModel]:
    """A run's models: those of MLflow 3, and those that a tag of MLflow 2 tells of."""
    found = {model.model_id: model for model in run.models}
    for entry in model_entries(run.tags.get(HISTORY, "")):
        path = str(entry.get("artifact_path") or "")
        digest = hashlib.sha256(f"{run.run_id} {path}".encode()).hexdigest()[:32]
        model_id = str(entry.get("model_uuid") or digest)
        if path and model_id not in found:
            found[model_id] = LoggedModel(
                model_id=model_id,
                run_id=run.run_id,
                name=path,
                path=path,
                uri=f"{run.artifact_uri.rstrip('/')}/{path}",
                creation_time=_time(entry.get("utc_time_created")),
            )
    return list(found.values())


def _time(text: object) -> int:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return 0
    return int(moment.replace(tzinfo=timezone.utc).timestamp() * 1000)
