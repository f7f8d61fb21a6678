"""Runs into an MLflow database. A run is one transaction, so that it is there whole or not at all."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Connection, select

from autotrack import clock
from autotrack.bridge import files
from autotrack.bridge.contents import Limits, Outcome, RegisteredContents, RunContents, VersionContents
from autotrack.bridge.database import Database
from autotrack.bridge.database_rows import changing_columns, pieces, point_row, rank, run_row
from autotrack.bridge.mlflow_terms import HISTORY, model_entries, model_history
from autotrack.errors import ArtifactError, StoreError
from autotrack.records import DatasetInput, LoggedModel
from autotrack.store.engine import retried
from autotrack.store.location import locate
from autotrack.tracking.datasets import CONTEXT_TAG

PARAM_LENGTH = 6000
"""MLflow's own limit, however wide the column is."""

READY = 2
"""Status of a logged model whose files are all there."""


class DatabaseTarget:
    """An MLflow database that runs are pushed into; an empty one gets MLflow's tables.

    Args:
        url: SQLAlchemy URL.
        artifact_root: Folder or URL to bring files to. By default `mlartifacts` beside a SQLite file; files of a
            server's runs, and those that lie on remote storage, then stay where they are.

    Raises:
        InvalidArgumentError: The URL is of no known kind.
        StoreError: It cannot be opened, is no MLflow database, or of a revision that is not known.
    """

    def __init__(self, url: str, artifact_root: str | None = None) -> None:
        location = locate(url)
        self._explicit = artifact_root is not None
        self._root = files.file_uri(artifact_root or str(location.folder / "mlartifacts"))
        self._database = Database(url, writing=True, artifact_root=self._root)
        self.url = self._database.url
        database = self._database
        self.limits = Limits(
            param=min(PARAM_LENGTH, database.length("params", "value", PARAM_LENGTH)),
            tag=database.length("tags", "value", 8000),
            fold_case=database.is_mysql,
        )
        self.remarks: list[str] = []
        if not database.has("datasets"):
            hint = "open it with a newer MLflow, which adds them, then push again"
            self.remarks.append(f"this database is MLflow 2.0's, which has no datasets and aliases: {hint}")
        self._experiments: dict[str, int] = {}
        self._sources: dict[str, tuple[str, str | None]] = {}
        """What a version of a model is made of there, by the model's id: its source, and where its files are."""

    # Experiments

    @retried
    def prepare_experiment(self, name: str, tags: dict[str, str]) -> None:
        """Make an experiment unless it is there.

        Raises:
            StoreError: It is deleted there.
        """
        if name in self._experiments:
            return
        table = self._database.tables["experiments"]
        query = select(table.c.experiment_id, table.c.lifecycle_stage).where(table.c.name == name)
        with self._database.store.transaction() as connection:
            row = connection.execute(query).first()
            if row is None:
                now = clock.now()
                new = {"name": name, "lifecycle_stage": "active", "creation_time": now, "last_update_time": now}
                self._database.insert(connection, "experiments", [new])
                row = connection.execute(query).one()
                place = table.update().where(table.c.experiment_id == row.experiment_id)
                connection.execute(place.values(artifact_location=f"{self._root}/{row.experiment_id}"))
            elif row.lifecycle_stage == "deleted":
                raise StoreError(self.url, f"experiment {name!r} is deleted there", "restore it in MLflow, or rename")
            rows = [{"key": key, "value": value} for key, value in tags.items()]
            scope = {"experiment_id": row.experiment_id}
            self._database.sync(connection, "experiment_tags", scope, ("key",), rows)
            self._experiments[name] = row.experiment_id

    # Runs

    def write_run(self, run: RunContents) -> Outcome:
        """Write what of a run is not there yet: its files first, then all else at once.

        Raises:
            ArtifactError: A file cannot be read or written.
            StoreError: The database cannot be written.
        """
        self.prepare_experiment(run.experiment, {})
        lifecycle, listed = self._known(run.run_id)
        if lifecycle == "deleted":
            return "deleted"
        # MLflow 2 knows of models by a tag alone; what was pushed so stays so, else MLflow 3 would show it twice.
        old = [model for model in run.models if model.model_id in listed or not self._database.has("logged_models")]
        new = [model for model in run.models if model not in old]
        place, brought = self._bring_files(run, old)
        tags = {**run.tags, HISTORY: model_history(run.run_id, old, self.limits.tag)} if old else run.tags
        locations = {}
        for model in new:
            locations[model.model_id], count = self._bring_model(run, model)
            self._sources[model.model_id] = (f"models:/m-{model.model_id}", locations[model.model_id])
            brought += count
        for model in old:
            stays = self._stays(run.artifact_uri)
            path = files.file_uri(model.uri) if stays else f"{place}/{model.path or model.name}"
            self._sources[model.model_id] = (path, None)
        changed = self._write(run, place, tags, locations) + brought
        if lifecycle is None:
            return "new"
        return "completed" if changed else "unchanged"

    def _known(self, run_id: str) -> tuple[str | None, set[str]]:
        """A run's stage of life there, None where it is not, and the ids of the models that its tag lists."""
        runs, tags = self._database.tables["runs"].c, self._database.tables["tags"].c
        with self._database.store.reading() as connection:
            found = connection.execute(select(runs.lifecycle_stage).where(runs.run_uuid == run_id)).scalar()
            query = select(tags.value).where(tags.run_uuid == run_id, tags.key == HISTORY)
            text = connection.execute(query).scalar() or "[]"
        return None if found is None else str(found), {str(one.get("model_uuid")) for one in model_entries(text)}

    def _stays(self, uri: str) -> bool:
        """Whether files stay where they are: nobody has said where to, and here is no place beside the database."""
        return not self._explicit and (files.local_folder(uri) is None or self._database.file is None)

    def _bring_files(self, run: RunContents, models: list[LoggedModel]) -> tuple[str, int]:
        """Put a run's files, these models among them, where MLflow finds them.

        Returns:
            Their URI, and how many files were written.
        """
        if self._stays(run.artifact_uri):
            left = [*run.files, *(f"model {model.name}" for model in models)]
            if left:
                names = ", ".join(dict.fromkeys(left))
                text = (
                    f"run {run.run_id}: without {names}: its files stay where they are; --artifacts brings them along"
                )
                self.remarks.append(text)
            return files.file_uri(run.artifact_uri), 0
        uri = f"{self._root}/{self._experiments[run.experiment]}/{run.run_id}/artifacts"
        self._check_length(uri)
        count = files.copy_missing(run.artifact_uri, uri) + files.put_missing(uri, run.files)
        for model in models:
            count += files.copy_missing(model.uri, uri, model.path or model.name)
        return uri, count

    def _bring_model(self, run: RunContents, model: LoggedModel) -> tuple[str, int]:
        """Put a logged model's files where MLflow 3 keeps such; their URI, and how many were written."""
        if self._stays(model.uri):
            return files.file_uri(model.uri), 0
        uri = f"{self._root}/{self._experiments[run.experiment]}/models/m-{model.model_id}/artifacts"
        return uri, files.copy_missing(model.uri, uri)

    def _check_length(self, uri: str) -> None:
        limit = self._database.length("runs", "artifact_uri", 200)
        if len(uri) > limit and self._database.file is None:
            raise ArtifactError(f"artifact URI {uri}: MLflow takes {limit} characters; choose a shorter --artifacts")

    @retried
    def _write(self, run: RunContents, place: str, tags: dict[str, str], locations: dict[str, str]) -> int:
        """Write all but files, in one transaction.

        Args:
            run: The run.
            place: URI of its files.
            tags: Its tags.
            locations: URIs of those of its models that are logged models, by id.

        Returns:
            How many rows were changed.
        """
        database = self._database
        scope = {"run_uuid": run.run_id}
        with database.store.transaction() as connection:
            row = run_row(run, self._experiments[run.experiment], place)
            if self._is_there(connection, run.run_id):
                changed = database.sync(connection, "runs", scope, (), [changing_columns(row)])
            else:
                changed = database.insert(connection, "runs", [row])
            for table, values in (("params", run.params), ("tags", tags)):
                rows = [{"key": key, "value": value} for key, value in values.items()]
                changed += database.sync(connection, table, scope, ("key",), rows)
            changed += self._write_metrics(connection, run)
            if database.has("datasets"):
                for one in run.inputs:
                    changed += self._write_input(connection, run, one)
            for model in run.models:
                if model.model_id in locations:
                    changed += self._write_model(connection, run, model, locations[model.model_id])
        return changed

    def _is_there(self, connection: Connection, run_id: str) -> bool:
        table = self._database.tables["runs"]
        return connection.execute(select(table.c.run_uuid).where(table.c.run_uuid == run_id)).first() is not None

    def _write_metrics(self, connection: Connection, run: RunContents) -> int:
        """Points that are not there yet, and the latest of each curve."""
        database = self._database
        table = database.tables["metrics"].c
        columns = (table.key, table.timestamp, table.step, table.value, table.is_nan)
        present = {
            (key, time, step, value, bool(is_nan))
            for key, time, step, value, is_nan in connection.execute(
                select(*columns).where(table.run_uuid == run.run_id)
            )
        }
        wanted = dict.fromkeys(point_row(key, point) for key, points in run.curves.items() for point in points)
        missing = [point for point in wanted if point not in present]
        names = ("key", "timestamp", "step", "value", "is_nan")
        for some in pieces(missing):
            rows = [{**dict(zip(names, point, strict=True)), "run_uuid": run.run_id} for point in some]
            database.insert(connection, "metrics", rows)
        latest: dict[str, Any] = {}
        for point in (*present, *wanted):
            before = latest.get(point[0])
            if before is None or rank(point) > rank(before):
                latest[point[0]] = point
        rows = [dict(zip(names, point, strict=True)) for point in latest.values()]
        changed = database.sync(connection, "latest_metrics", {"run_uuid": run.run_id}, ("key",), rows)
        return len(missing) + changed

    def _write_input(self, connection: Connection, run: RunContents, one: DatasetInput) -> int:
        database, dataset = self._database, one.dataset
        table = database.tables["datasets"]
        place = {
            "experiment_id": self._experiments[run.experiment],
            "name": dataset.name,
            "digest": dataset.digest,
        }
        query = select(table.c.dataset_uuid).where(*(table.c[name] == value for name, value in place.items()))
        known = connection.execute(query).scalar()
        row = {
            "dataset_uuid": known or uuid.uuid4().hex,
            "dataset_source_type": dataset.source_type,
            "dataset_source": dataset.source,
            "dataset_schema": dataset.schema,
            "dataset_profile": dataset.profile,
        }
        changed = 0 if known else database.insert(connection, "datasets", [{**place, **row}])
        link = ("DATASET", str(row["dataset_uuid"]), "RUN", run.run_id)
        input_uuid, new = self._link(connection, link)
        tags = {CONTEXT_TAG: one.context, **one.tags}
        rows = [{"name": name[:255], "value": value[:500]} for name, value in tags.items() if value]
        return changed + new + database.sync(connection, "input_tags", {"input_uuid": input_uuid}, ("name",), rows)

    def _link(self, connection: Connection, link: tuple[str, str, str, str], step: int = 0) -> tuple[str, int]:
        """A row of `inputs`: its id, and 1 where it was made."""
        table = self._database.tables["inputs"]
        row = dict(zip(("source_type", "source_id", "destination_type", "destination_id"), link, strict=True))
        query = select(table.c.input_uuid).where(*(table.c[name] == value for name, value in row.items()))
        known = connection.execute(query).scalar()
        if known is not None:
            return str(known), 0
        input_uuid = uuid.uuid4().hex
        return input_uuid, self._database.insert(
            connection, "inputs", [{**row, "input_uuid": input_uuid, "step": step}]
        )

    def _write_model(self, connection: Connection, run: RunContents, model: LoggedModel, uri: str) -> int:
        """A logged model of MLflow 3, and that it is an output of the run."""
        database, model_id = self._database, f"m-{model.model_id}"[:36]
        row = {
            "model_id": model_id,
            "experiment_id": self._experiments[run.experiment],
            "name": model.name,
            "artifact_location": uri,
            "creation_timestamp_ms": model.creation_time,
            "last_updated_timestamp_ms": model.creation_time,
            "status": READY,
            "lifecycle_stage": "active",
            "model_type": model.model_type,
            "source_run_id": run.run_id,
        }
        table = database.tables["logged_models"]
        if connection.execute(select(table.c.model_id).where(table.c.model_id == model_id)).first() is not None:
            return self._link(connection, ("RUN_OUTPUT", run.run_id, "MODEL_OUTPUT", model_id), model.step)[1]
        database.insert(connection, "logged_models", [row])
        scope = {"model_id": model_id, "experiment_id": row["experiment_id"]}
        params = [{**scope, "param_key": key[:255], "param_value": value} for key, value in model.params.items()]
        database.insert(connection, "logged_model_params", params)
        tags = {**model.tags, "autotrack.model_id": model.model_id, "autotrack.digest": model.digest}
        rows = [{**scope, "tag_key": key[:255], "tag_value": value} for key, value in tags.items() if value]
        database.insert(connection, "logged_model_tags", rows)
        return 1 + self._link(connection, ("RUN_OUTPUT", run.run_id, "MODEL_OUTPUT", model_id), model.step)[1]

    # Registry

    @retried
    def write_registered(self, model: RegisteredContents) -> Outcome:
        """Write what of a registered model is not there yet; versions keep their numbers.

        Raises:
            StoreError: The database cannot be written.
        """
        database = self._database
        scope = {"name": model.name}
        with database.store.transaction() as connection:
            table = database.tables["registered_models"]
            query = select(table.c.name).where(table.c.name == model.name)
            new = connection.execute(query).first() is None
            times = {"creation_time": model.creation_time, "last_updated_time": model.last_update_time}
            row = {**scope, "description": model.description[:5000], **times}
            changed = database.insert(connection, "registered_models", [row] if new else [])
            tags = [{"key": key, "value": value[:5000]} for key, value in model.tags.items()]
            changed += database.sync(connection, "registered_model_tags", scope, ("key",), tags)
            written = [one for one in model.versions if self._is_ours(connection, model.name, one)]
            for version in written:
                changed += self._write_version(connection, model.name, version)
            if database.has("registered_model_aliases"):
                numbers = {version.version for version in written}
                rows = [{"alias": key, "version": value} for key, value in model.aliases.items() if value in numbers]
                changed += database.sync(connection, "registered_model_aliases", scope, ("alias",), rows)
        if new:
            return "new"
        return "completed" if changed else "unchanged"

    def _is_ours(self, connection: Connection, name: str, version: VersionContents) -> bool:
        """Whether a version is not there, or came out of the same run."""
        table = self._database.tables["model_versions"].c
        query = select(table.run_id).where(table.name == name, table.version == version.version)
        found = connection.execute(query).first()
        if found is None or found.run_id == version.run_id:
            return True
        text = f"registered model {name!r}: version {version.version} is another one there, and stays as it is"
        if text not in self.remarks:
            self.remarks.append(text)
        return False

    def _write_version(self, connection: Connection, name: str, version: VersionContents) -> int:
        database = self._database
        source, location = self._sources.get(version.model_id or "", (files.file_uri(version.source), None))
        row = {
            "version": version.version,
            "creation_time": version.creation_time,
            "last_updated_time": version.last_update_time,
            "description": version.description[:5000],
            "user_id": version.user[:256],
            "current_stage": "None",
            "source": source,
            "storage_location": location,
            "run_id": version.run_id,
            "status": version.status,
            "status_message": "",
            "run_link": "",
        }
        table = database.tables["model_versions"].c
        query = select(table.version).where(table.name == name, table.version == version.version)
        there = connection.execute(query).first() is not None
        changed = 0 if there else database.insert(connection, "model_versions", [{"name": name, **row}])
        tags = {"autotrack.model_id": version.model_id or "", **version.tags}
        rows = [{"key": key, "value": value[:5000]} for key, value in tags.items() if value]
        scope = {"name": name, "version": version.version}
        return changed + database.sync(connection, "model_version_tags", scope, ("key",), rows)

    def dispose(self) -> None:
        """Close all connections."""
        self._database.dispose()
