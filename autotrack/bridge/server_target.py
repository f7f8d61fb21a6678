"""Runs into an MLflow server. It gives runs ids of its own; the tag `autotrack.run_id` tells which is which."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from autotrack.artifacts import Artifacts
from autotrack.bridge import files, server
from autotrack.bridge.contents import Limits, Outcome, RegisteredContents, RunContents, VersionContents
from autotrack.bridge.mlflow_terms import HISTORY, finite, model_history
from autotrack.bridge.outgoing import RUN_ID
from autotrack.errors import StoreError
from autotrack.records import LoggedModel, Metric
from autotrack.tracking.datasets import CONTEXT_TAG

T = TypeVar("T")

METRICS = 1000
"""Points in one request, MLflow's limit."""

TEXTS = 100
"""Parameters or tags in one request."""

PARENT = "mlflow.parentRunId"
VERSION = "autotrack.version"
"""Tag of a version: its number here."""


class ServerTarget:
    """An MLflow server that runs are pushed into.

    Args:
        url: `http(s)://server`.

    Raises:
        IntegrationNotAvailableError: mlflow-skinny is not installed.
        StoreError: The server cannot be reached, or is none of MLflow's.
    """

    def __init__(self, url: str) -> None:
        self.url = server.without_credentials(url)
        self.limits = Limits(param=6000, tag=8000)
        self.remarks: list[str] = []
        self._client = server.connected(url)
        self._experiments: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        """Ids there by ids here."""
        self._sources: dict[str, tuple[str, str | None]] = {}
        """What a version of a model is made of there, by the model's id here: its source, and the model's id there."""

    def prepare_experiment(self, name: str, tags: dict[str, str]) -> None:
        """Make an experiment unless it is there.

        Raises:
            StoreError: It is deleted there.
        """
        if name in self._experiments:
            return
        with server.translated(self.url):
            found = self._client.get_experiment_by_name(name)
            if found is None:
                self._experiments[name] = self._client.create_experiment(name, tags=tags)
                return
            if found.lifecycle_stage == "deleted":
                raise StoreError(self.url, f"experiment {name!r} is deleted there", "restore it in MLflow, or rename")
            for key, value in tags.items():
                if found.tags.get(key) != value:
                    self._client.set_experiment_tag(found.experiment_id, key, value)
            self._experiments[name] = found.experiment_id

    def write_run(self, run: RunContents) -> Outcome:
        """Write what of a run is not there yet; its end comes last.

        Raises:
            ArtifactError: A file cannot be read.
            StoreError: The server cannot be reached, or refuses something.
        """
        self.prepare_experiment(run.experiment, {})
        with server.translated(self.url):
            there = self._found(run.run_id, run.experiment)
            new = there is None
            if there is None:
                there = self._make(run)
            elif there.info.lifecycle_stage == "deleted":
                return "deleted"
            run_id = self._ids[run.run_id] = there.info.run_id
            changed = self._write_texts(run, there)
            changed += self._write_metrics(run, there)
            changed += self._write_inputs(run, there)
            changed += self._write_files(run, run_id)
            changed += self._write_models(run, there)
            changed += self._write_end(run, there)
        if new:
            return "new"
        return "completed" if changed else "unchanged"

    def _found(self, run_id: str, experiment: str | None = None) -> Any:
        """A run there by its id here; None where there is none."""
        from mlflow.entities import ViewType
        from mlflow.exceptions import MlflowException

        names = [experiment] if experiment else list(self._experiments)
        ids = [self._experiments[name] for name in names]
        page = self._client.search_runs(ids, server.RUN_ID_FILTER.format(run_id), ViewType.ALL, max_results=1)
        if page:
            return page[0]
        try:
            # One that came from there has the same id.
            return self._client.get_run(run_id)
        except MlflowException as error:
            if server.is_absent(error):
                return None
            raise

    def _make(self, run: RunContents) -> Any:
        tags = {RUN_ID: run.run_id, "mlflow.user": run.user}
        experiment = self._experiments[run.experiment]
        made = self._client.create_run(experiment, run.start_time, tags, run.name)
        return self._client.get_run(made.info.run_id)

    def _parent(self, run_id: str) -> str:
        """The id there of a run's parent."""
        if run_id not in self._ids:
            found = self._found(run_id)
            self._ids[run_id] = run_id if found is None else found.info.run_id
        return self._ids[run_id]

    def _write_texts(self, run: RunContents, there: Any) -> int:
        """Parameters and tags that are missing; MLflow does not let a parameter change."""
        from mlflow.entities import Param, RunTag

        tags = dict(run.tags)
        if PARENT in tags:
            tags[PARENT] = self._parent(tags[PARENT])
        if there.info.run_name != run.name:
            self._client.update_run(there.info.run_id, name=run.name)
        other = [key for key, value in run.params.items() if there.data.params.get(key, value) != value]
        if other:
            names = ", ".join(sorted(other))
            self.remarks.append(f"run {run.run_id}: MLflow does not change a parameter that it has: {names}")
        params = [Param(key, value) for key, value in run.params.items() if key not in there.data.params]
        labels = [RunTag(key, value) for key, value in tags.items() if there.data.tags.get(key) != value]
        for some in _pieces(params, TEXTS):
            self._client.log_batch(there.info.run_id, params=some)
        for few in _pieces(labels, TEXTS):
            self._client.log_batch(there.info.run_id, tags=few)
        return len(params) + len(labels)

    def _write_metrics(self, run: RunContents, there: Any) -> int:
        """Points that are missing; of equal ones MLflow keeps one."""
        from mlflow.entities import Metric as Point

        missing: list[Any] = []
        for key, points in run.curves.items():
            held: Counter[Any] = Counter()
            if key in there.data.metrics:
                held.update(_place(point) for point in self._client.get_metric_history(there.info.run_id, key))
            wanted = {_place(point): point for point in points}
            missing += [
                Point(key, finite(point.value), point.timestamp, point.step)
                for place, point in wanted.items()
                if place not in held
            ]
        for some in _pieces(missing, METRICS):
            self._client.log_batch(there.info.run_id, metrics=some)
        return len(missing)

    def _write_inputs(self, run: RunContents, there: Any) -> int:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        held = {(one.dataset.name, one.dataset.digest) for one in there.inputs.dataset_inputs}
        missing = []
        for one in run.inputs:
            dataset = one.dataset
            if (dataset.name, dataset.digest) in held:
                continue
            schema, profile = dataset.schema or None, dataset.profile or None
            tags = {CONTEXT_TAG: one.context, **one.tags}
            missing.append(
                DatasetInput(
                    Dataset(dataset.name, dataset.digest, dataset.source_type, dataset.source, schema, profile),
                    [InputTag(key[:255], value[:500]) for key, value in tags.items() if value],
                )
            )
        if missing:
            self._client.log_inputs(there.info.run_id, missing)
        return len(missing)

    def _write_files(self, run: RunContents, run_id: str) -> int:
        """Files that are not there, or have another size."""
        origin = Artifacts(run.artifact_uri)
        wanted = {info.path: info.file_size for info in files.walk(origin)}
        wanted |= {path: len(data) for path, data in run.files.items()}
        held = self._sizes(run_id) if wanted else {}
        missing = [path for path, size in wanted.items() if held.get(path) != size]
        with tempfile.TemporaryDirectory(prefix="autotrack-") as place:
            for path in missing:
                folder = files.local_folder(run.artifact_uri)
                if path in run.files:
                    local = Path(place, path)
                    local.parent.mkdir(parents=True, exist_ok=True)
                    local.write_bytes(run.files[path])
                elif folder is not None:
                    local = folder / path
                else:
                    local = origin.download(path, Path(place))
                self._client.log_artifact(run_id, str(local), path.rpartition("/")[0] or None)
        return len(missing)

    def _sizes(self, run_id: str) -> dict[str, int]:
        """Sizes of a run's files there, by path."""
        sizes: dict[str, int] = {}
        folders: list[str | None] = [None]
        while folders:
            for info in self._client.list_artifacts(run_id, folders.pop()):
                if info.is_dir:
                    folders.append(info.path)
                else:
                    sizes[info.path] = info.file_size
        return sizes

    def _write_models(self, run: RunContents, there: Any) -> int:
        from mlflow.exceptions import MlflowException

        if not run.models:
            return 0
        try:
            held = self._logged_models(run, there.info.run_id)
        except MlflowException as error:
            if server.is_absent(error):
                return self._write_old_models(run, there)
            raise
        outputs = {one.model_id for one in there.outputs.model_outputs} if there.outputs else set()
        return sum(self._write_model(run, there.info.run_id, model, held, outputs) for model in run.models)

    def _logged_models(self, run: RunContents, run_id: str) -> dict[str, Any]:
        """Logged models of a run there, by the id that they have here."""
        ids, condition = [self._experiments[run.experiment]], f"source_run_id = '{run_id}'"
        found: dict[str, Any] = {}
        token: str | None = None
        while True:
            page = self._client.search_logged_models(ids, condition, page_token=token)
            for model in page:
                found[model.tags.get("autotrack.model_id", model.model_id.removeprefix("m-"))] = model
            token = page.token
            if not token:
                return found

    def _write_model(
        self, run: RunContents, run_id: str, model: LoggedModel, held: dict[str, Any], outputs: set[str]
    ) -> int:
        """A logged model: made, its files brought, made ready, named as an output; whichever of that is missing."""
        from mlflow.entities import LoggedModelOutput

        found, changed = held.get(model.model_id), 0
        if found is None:
            found = self._client.create_logged_model(
                self._experiments[run.experiment],
                name=_model_name(model.name),
                source_run_id=run_id,
                tags={**model.tags, "autotrack.model_id": model.model_id, "autotrack.digest": model.digest},
                params=model.params,
                model_type=model.model_type or None,
            )
        if str(found.status) != "READY":
            with files.as_local(model.uri) as folder:
                self._client.log_model_artifacts(found.model_id, str(folder))
            self._client.finalize_logged_model(found.model_id, "READY")
            changed = 1
        self._sources[model.model_id] = (f"models:/{found.model_id}", found.model_id)
        if found.model_id not in outputs:
            self._client.log_outputs(run_id, [LoggedModelOutput(found.model_id, model.step)])
            changed = 1
        return changed

    def _write_old_models(self, run: RunContents, there: Any) -> int:
        """Models among the run's files and a tag that tells of them, as MLflow 2 has it."""
        for model in run.models:
            path = model.path or model.name
            self._sources[model.model_id] = (f"{there.info.artifact_uri}/{path}", None)
        text = model_history(there.info.run_id, run.models, self.limits.tag)
        if there.data.tags.get(HISTORY) == text:
            return 0
        for model in run.models:
            with files.as_local(model.uri) as folder:
                self._client.log_artifacts(there.info.run_id, str(folder), model.path or model.name)
        self._client.set_tag(there.info.run_id, HISTORY, text)
        return 1

    def _write_end(self, run: RunContents, there: Any) -> int:
        if (there.info.status, there.info.end_time) == (run.status, run.end_time):
            return 0
        if run.status == "RUNNING":
            self._client.update_run(there.info.run_id, status="RUNNING")
            return int(there.info.status != "RUNNING")
        self._client.set_terminated(there.info.run_id, run.status, run.end_time)
        return 1

    # Registry

    def write_registered(self, model: RegisteredContents) -> Outcome:
        """Write what of a registered model is not there yet. A server numbers versions itself, in this order.

        Raises:
            StoreError: The server cannot be reached, or refuses something.
        """
        from mlflow.exceptions import MlflowException

        with server.translated(self.url):
            try:
                there = self._client.get_registered_model(model.name)
                new = False
            except MlflowException as error:
                if not server.is_absent(error):
                    raise
                there = self._client.create_registered_model(model.name, model.tags, model.description)
                new = True
            changed = 0
            for key, value in model.tags.items():
                if (there.tags or {}).get(key) != value:
                    self._client.set_registered_model_tag(model.name, key, value)
                    changed += 1
            numbers, made = self._write_versions(model)
            held = {alias: str(number) for alias, number in (getattr(there, "aliases", None) or {}).items()}
            for alias, number in model.aliases.items():
                if held.get(alias) != numbers[number]:
                    self._client.set_registered_model_alias(model.name, alias, numbers[number])
                    changed += 1
        if new:
            return "new"
        return "completed" if changed + made else "unchanged"

    def _write_versions(self, model: RegisteredContents) -> tuple[dict[int, str], int]:
        """Versions that are missing: the numbers there by those here, and how many were made."""
        quoted = model.name.replace("'", "''")
        held = {
            one.tags.get(VERSION) or f"{one.run_id} {one.version}": one.version
            for one in self._client.search_model_versions(f"name = '{quoted}'", max_results=METRICS)
        }
        numbers, made = {}, 0
        for version in model.versions:
            # One that came from there has the same run and number.
            known = held.get(str(version.version)) or held.get(f"{version.run_id} {version.version}")
            if known is None:
                known = self._make_version(model.name, version)
                made += 1
            numbers[version.version] = str(known)
        return numbers, made

    def _make_version(self, name: str, version: VersionContents) -> str:
        source, model_id = self._sources.get(version.model_id or "", (version.source, None))
        run_id = self._ids.get(version.run_id or "", version.run_id)
        options: dict[str, Any] = {"model_id": model_id} if model_id else {}
        made = self._client.create_model_version(
            name,
            source,
            run_id,
            {VERSION: str(version.version), **version.tags},
            description=version.description,
            await_creation_for=0,
            **options,
        )
        return str(made.version)


def _pieces(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _place(point: Metric) -> tuple[int, int, str]:
    """What tells a point from others; NaN equals NaN here."""
    return point.step, point.timestamp, repr(finite(point.value))


def _model_name(name: str) -> str:
    """A name that MLflow takes for a logged model."""
    return "".join("_" if character in "/:.%\"'" else character for character in name)
