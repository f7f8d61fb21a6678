"""Runs out of an MLflow server."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autotrack.bridge import server
from autotrack.bridge.contents import RegisteredContents, RunContents, VersionContents
from autotrack.bridge.mlflow_terms import dataset_input
from autotrack.errors import NotFoundError
from autotrack.events import DatasetInfo
from autotrack.records import DatasetInput, LoggedModel, Metric

PAGE = 1000
"""Runs, or whatever else, in one answer."""


class ServerSource:
    """An MLflow server that runs are pulled from.

    Args:
        url: `http(s)://server`.

    Raises:
        IntegrationNotAvailableError: mlflow-skinny is not installed.
        StoreError: The server cannot be reached, or is none of MLflow's.
    """

    def __init__(self, url: str) -> None:
        self.url = server.without_credentials(url)
        self.remarks: list[str] = []
        self._client = server.connected(url)
        self._full_url = url.rstrip("/")
        self._experiments: dict[str, str] = {}
        """Names by id."""

    def run_ids(self, experiments: Sequence[str], runs: Sequence[str]) -> list[str]:
        """Ids of active runs, oldest first: of these experiments, or these ones; all where neither is given.

        Raises:
            NotFoundError: There is no such experiment or run.
        """
        from mlflow.exceptions import MlflowException

        with server.translated(self.url):
            if runs:
                try:
                    return [self._client.get_run(run_id).info.run_id for run_id in runs]
                except MlflowException as error:
                    if server.is_absent(error):
                        raise NotFoundError("run", ", ".join(runs), f"at {self.url}: ids have to be whole") from error
                    raise
            ids = self._experiment_ids(experiments)
            pages = self._all(
                lambda token: self._client.search_runs(
                    ids, max_results=PAGE, order_by=["attributes.start_time ASC"], page_token=token
                )
            )
            return [run.info.run_id for run in pages]

    def _experiment_ids(self, names: Sequence[str]) -> list[str]:
        found = self._all(lambda token: self._client.search_experiments(max_results=PAGE, page_token=token))
        self._experiments = {one.experiment_id: one.name for one in found}
        ids = {one.name: one.experiment_id for one in found}
        for name in names:
            if name not in ids:
                raise NotFoundError("experiment", name, f"at {self.url}; there are: {', '.join(sorted(ids))}")
        return [ids[name] for name in names or ids]

    def _all(self, page_after: Callable[[str | None], Any]) -> list[Any]:
        """What all pages of a search hold."""
        found: list[Any] = []
        token: str | None = None
        while True:
            page = page_after(token)
            found += page
            token = page.token
            if not token:
                return found

    def run(self, run_id: str) -> RunContents:
        """A run.

        Raises:
            StoreError: There is no such run, or the server cannot be reached.
        """
        with server.translated(self.url):
            found = self._client.get_run(run_id)
            info, data = found.info, found.data
            if info.experiment_id not in self._experiments:
                experiment = self._client.get_experiment(info.experiment_id)
                self._experiments[info.experiment_id] = experiment.name
            return RunContents(
                run_id=run_id,
                experiment=self._experiments[info.experiment_id],
                name=info.run_name or "",
                status=info.status,
                start_time=info.start_time or 0,
                end_time=info.end_time or None,
                user=data.tags.get("mlflow.user") or info.user_id or "",
                source_name=data.tags.get("mlflow.source.name", ""),
                source_version=data.tags.get("mlflow.source.git.commit", ""),
                lifecycle=info.lifecycle_stage,
                params=dict(data.params),
                tags=dict(data.tags),
                curves={key: self._history(run_id, key) for key in data.metrics},
                inputs=[_input(one) for one in found.inputs.dataset_inputs] if found.inputs else [],
                models=[self._model(run_id, one) for one in found.outputs.model_outputs] if found.outputs else [],
                artifact_uri=info.artifact_uri or "",
            )

    def _history(self, run_id: str, key: str) -> list[Metric]:
        """Points in the order of their times, so that what is logged later comes last."""
        points = self._client.get_metric_history(run_id, key)
        ordered = sorted(points, key=lambda point: (point.timestamp, point.step, point.value))
        return [Metric(key, point.value, point.timestamp, point.step) for point in ordered]

    def _model(self, run_id: str, output: Any) -> LoggedModel:
        found = self._client.get_logged_model(output.model_id)
        return LoggedModel(
            model_id=found.model_id.removeprefix("m-"),
            run_id=run_id,
            name=found.name,
            uri=found.artifact_location,
            model_type=found.model_type or "",
            creation_time=found.creation_timestamp,
            step=output.step or 0,
            tags=dict(found.tags or {}),
            params=dict(found.params or {}),
        )

    @contextmanager
    def fetched(self, uri: str) -> Iterator[Path | None]:
        """A local folder with the files of an artifact URI; None where there are none, or they cannot be had."""
        from mlflow.artifacts import download_artifacts, list_artifacts
        from mlflow.exceptions import MlflowException

        with tempfile.TemporaryDirectory(prefix="autotrack-") as place:
            try:
                if not list_artifacts(artifact_uri=uri, tracking_uri=self._full_url):
                    yield None
                    return
                folder = Path(download_artifacts(artifact_uri=uri, dst_path=place, tracking_uri=self._full_url))
            except (MlflowException, OSError) as error:
                self.remarks.append(f"{uri}: {server.first_line(error)}")
                yield None
                return
            yield folder if folder.is_dir() else None

    # Registry

    def registered(self) -> Iterator[RegisteredContents]:
        """All registered models."""
        with server.translated(self.url):
            found = self._all(lambda token: self._client.search_registered_models(max_results=PAGE, page_token=token))
            models = [self._registered(model) for model in found]
        yield from models

    def _registered(self, model: Any) -> RegisteredContents:
        quoted = model.name.replace("'", "''")
        versions = self._all(
            lambda token: self._client.search_model_versions(f"name = '{quoted}'", max_results=PAGE, page_token=token)
        )
        return RegisteredContents(
            name=model.name,
            description=model.description or "",
            creation_time=model.creation_timestamp or 0,
            last_update_time=model.last_updated_timestamp or 0,
            tags=dict(model.tags or {}),
            aliases={alias: int(version) for alias, version in (getattr(model, "aliases", None) or {}).items()},
            versions=sorted((self._version(one) for one in versions), key=lambda one: one.version),
        )

    def _version(self, one: Any) -> VersionContents:
        source = one.source or ""
        return VersionContents(
            version=int(one.version),
            source=self._client.get_model_version_download_uri(one.name, one.version) or source,
            run_id=one.run_id or None,
            model_id=source.removeprefix("models:/m-") if source.startswith("models:/m-") else None,
            status=one.status or "READY",
            description=one.description or "",
            user=one.user_id or "",
            creation_time=one.creation_timestamp or 0,
            last_update_time=one.last_updated_timestamp or 0,
            tags=dict(one.tags or {}),
        )


def _input(one: Any) -> DatasetInput:
    fields = {name: getattr(one.dataset, name) for name in DatasetInfo.__struct_fields__}
    return dataset_input(fields, {tag.key: tag.value for tag in one.tags})
