"""Runs out of an MLflow database, of whatever revision: only the tables and columns that are there are read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, select

from autotrack.bridge import files
from autotrack.bridge.contents import RegisteredContents, RunContents, VersionContents
from autotrack.bridge.database import Database
from autotrack.bridge.mlflow_terms import dataset_input
from autotrack.errors import NotFoundError
from autotrack.records import DatasetInput, LoggedModel, Metric


class DatabaseSource:
    """An MLflow database that runs are pulled from.

    Args:
        url: SQLAlchemy URL.
        artifact_root: Where the server of this database keeps what it calls `mlflow-artifacts:` (its option
            `--artifacts-destination`); by default the folder `mlartifacts` beside a SQLite file.

    Raises:
        InvalidArgumentError: The URL is of no known kind.
        StoreError: It cannot be opened, or is no MLflow database.
    """

    def __init__(self, url: str, artifact_root: str | None = None) -> None:
        self._database = Database(url)
        self.url = self._database.url
        self.remarks: list[str] = []
        file = self._database.file
        self._places = files.Places(artifact_root or (str(file.parent / "mlartifacts") if file else ""), file)

    def run_ids(self, experiments: Sequence[str], runs: Sequence[str]) -> list[str]:
        """Ids of active runs, oldest first: of these experiments, or these ones; all where neither is given.

        Raises:
            NotFoundError: There is no such experiment or run.
        """
        table = self._table("runs")
        query = select(table.c.run_uuid).order_by(table.c.start_time, table.c.run_uuid)
        with self._database.store.reading() as connection:
            if runs:
                return [self._whole_id(connection, run) for run in runs]
            active = table.c.lifecycle_stage == "active"
            if experiments:
                keys = [self._experiment_key(connection, name) for name in experiments]
                active &= table.c.experiment_id.in_(keys)
            return [str(run_id) for run_id in connection.execute(query.where(active)).scalars()]

    def _table(self, name: str) -> Table:
        return self._database.tables[name]

    def _whole_id(self, connection: Connection, prefix: str) -> str:
        table = self._table("runs").c
        query = select(table.run_uuid).where(table.run_uuid.startswith(prefix, autoescape=True)).limit(2)
        found = list(connection.execute(query).scalars())
        if len(found) != 1:
            raise NotFoundError("run", prefix, f"in {self.url}" + ("; several begin so" if found else ""))
        return str(found[0])

    def _experiment_key(self, connection: Connection, name: str) -> int:
        table = self._table("experiments").c
        found = connection.execute(select(table.experiment_id).where(table.name == name)).scalar()
        if found is None:
            names = ", ".join(sorted(connection.execute(select(table.name)).scalars()))
            raise NotFoundError("experiment", name, f"in {self.url}; there are: {names}")
        return int(found)

    def run(self, run_id: str) -> RunContents:
        """A run.

        Raises:
            NotFoundError: There is no such run.
        """
        runs, experiments = self._table("runs"), self._table("experiments")
        query = (
            select(runs, experiments.c.name.label("experiment"))
            .join(experiments, experiments.c.experiment_id == runs.c.experiment_id)
            .where(runs.c.run_uuid == run_id)
        )
        with self._database.store.reading() as connection:
            row = connection.execute(query).first()
            if row is None:
                raise NotFoundError("run", run_id, f"in {self.url}")
            return RunContents(
                run_id=run_id,
                experiment=row.experiment,
                name=row.name or "",
                status=row.status,
                start_time=row.start_time or 0,
                end_time=row.end_time,
                user=row.user_id or "",
                source_name=row.source_name or "",
                source_version=row.source_version or "",
                lifecycle=row.lifecycle_stage or "active",
                params=self._texts(connection, "params", run_id),
                tags=self._texts(connection, "tags", run_id),
                curves=self._curves(connection, run_id),
                inputs=self._inputs(connection, run_id),
                models=self._models(connection, run_id),
                artifact_uri=row.artifact_uri or "",
            )

    def _texts(self, connection: Connection, name: str, run_id: str) -> dict[str, str]:
        table = self._table(name).c
        query = select(table.key, table.value).where(table.run_uuid == run_id).order_by(table.key)
        return {key: value or "" for key, value in connection.execute(query)}

    def _curves(self, connection: Connection, run_id: str) -> dict[str, list[Metric]]:
        """Histories in the order of their times, so that what is logged later comes last."""
        table = self._table("metrics").c
        query = select(table.key, table.value, table.is_nan, table.timestamp, table.step)
        curves: dict[str, list[Metric]] = {}
        ordered = query.where(table.run_uuid == run_id).order_by(table.key, table.timestamp, table.step, table.value)
        for key, value, is_nan, time, step in connection.execute(ordered):
            number = math.nan if is_nan else float(value)
            curves.setdefault(key, []).append(Metric(key, number, int(time), int(step)))
        return curves

    def _inputs(self, connection: Connection, run_id: str) -> list[DatasetInput]:
        if not self._database.has("datasets"):
            return []
        datasets, inputs, tags = self._table("datasets"), self._table("inputs").c, self._table("input_tags").c
        mine = (
            (inputs.source_type == "DATASET") & (inputs.destination_id == run_id) & (inputs.destination_type == "RUN")
        )
        used = (
            select(datasets, inputs.input_uuid)
            .join(self._table("inputs"), inputs.source_id == datasets.c.dataset_uuid)
            .where(mine)
            .order_by(datasets.c.name, datasets.c.digest)
        )
        found = []
        for row in connection.execute(used).all():
            query = select(tags.name, tags.value).where(tags.input_uuid == row.input_uuid)
            labels = {str(one.name): str(one.value) for one in connection.execute(query)}
            fields = {name.removeprefix("dataset_"): value for name, value in row._mapping.items()}
            found.append(dataset_input(fields, labels))
        return found

    def _models(self, connection: Connection, run_id: str) -> list[LoggedModel]:
        """Logged models of MLflow 3 whose files are all there."""
        if not self._database.has("logged_models"):
            return []
        table = self._table("logged_models")
        query = select(table).where(table.c.source_run_id == run_id, table.c.lifecycle_stage == "active")
        return [
            LoggedModel(
                model_id=row.model_id.removeprefix("m-"),
                run_id=run_id,
                name=row.name,
                uri=row.artifact_location,
                model_type=row.model_type or "",
                creation_time=row.creation_timestamp_ms,
                tags=self._notes(connection, "tag", row.model_id),
                params=self._notes(connection, "param", row.model_id),
            )
            for row in connection.execute(query.order_by(table.c.creation_timestamp_ms, table.c.model_id)).all()
        ]

    def _notes(self, connection: Connection, kind: str, model_id: str) -> dict[str, str]:
        """Tags or parameters of a logged model."""
        table = self._table(f"logged_model_{kind}s").c
        query = select(table[f"{kind}_key"], table[f"{kind}_value"]).where(table.model_id == model_id)
        return {str(key): str(value) for key, value in connection.execute(query)}

    def fetched(self, uri: str) -> AbstractContextManager[Path | None]:
        """A local folder with the files of an artifact URI; None where there are none, or they cannot be had."""
        return self._places.fetched(uri, self.remarks)

    # Registry

    def registered(self) -> Iterator[RegisteredContents]:
        """All registered models."""
        if not self._database.has("registered_models"):
            return
        with self._database.store.reading() as connection:
            table = self._table("registered_models")
            rows = connection.execute(select(table).order_by(table.c.name)).all()
            found = [self._registered(connection, row) for row in rows]
        yield from found

    def _registered(self, connection: Connection, row: Any) -> RegisteredContents:
        aliases: dict[str, int] = {}
        if self._database.has("registered_model_aliases"):
            aliases = {one.alias: int(one.version) for one in self._named(connection, "registered_model_aliases", row)}
        return RegisteredContents(
            name=row.name,
            description=row.description or "",
            creation_time=row.creation_time or 0,
            last_update_time=row.last_updated_time or 0,
            tags={one.key: one.value or "" for one in self._named(connection, "registered_model_tags", row)},
            aliases=aliases,
            versions=self._versions(connection, row),
        )

    def _named(self, connection: Connection, name: str, row: Any, *conditions: ColumnElement[bool]) -> Sequence[Any]:
        """Rows of a table that belong to a registered model."""
        table = self._table(name)
        return connection.execute(select(table).where(table.c.name == row.name, *conditions)).all()

    def _versions(self, connection: Connection, row: Any) -> list[VersionContents]:
        tags = self._table("model_version_tags").c
        versions = []
        for one in sorted(self._named(connection, "model_versions", row), key=lambda one: int(one.version)):
            labels = self._named(connection, "model_version_tags", row, tags.version == one.version)
            if one.current_stage == "Deleted_Internal":
                continue
            versions.append(
                VersionContents(
                    version=int(one.version),
                    source=getattr(one, "storage_location", None) or one.source or "",
                    run_id=one.run_id or None,
                    model_id=_model_id(one.source or ""),
                    status=one.status or "READY",
                    description=one.description or "",
                    user=one.user_id or "",
                    creation_time=one.creation_time or 0,
                    last_update_time=one.last_updated_time or 0,
                    tags={label.key: label.value or "" for label in labels},
                )
            )
        return versions

    def dispose(self) -> None:
        """Close all connections."""
        self._database.dispose()


def _model_id(source: str) -> str | None:
    """The id of the logged model that a version was made of."""
    return source.removeprefix("models:/m-") if source.startswith("models:/m-") else None
