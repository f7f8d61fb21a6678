"""Runs out of a folder of MLflow's file store (`mlruns`), which newer MLflows no longer write by default."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from autotrack.bridge import files
from autotrack.bridge.contents import RegisteredContents, RunContents, VersionContents
from autotrack.bridge.mlflow_terms import dataset_input
from autotrack.errors import NotFoundError, StoreError
from autotrack.records import DatasetInput, LoggedModel, Metric

META = "meta.yaml"
STATUSES = {1: "RUNNING", 2: "RUNNING", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
"""By the number that the file holds."""

_VERSIONS = {1: "PENDING_REGISTRATION", 2: "FAILED_REGISTRATION", 3: "READY"}


class FolderSource:
    """A folder `mlruns`.

    Args:
        url: A folder, or a `file:` URL of one.

    Raises:
        StoreError: There is none, or it holds no experiments.
    """

    def __init__(self, url: str) -> None:
        folder = files.local_folder(url)
        self._folder = Path("" if folder is None else folder).absolute()
        self.url = str(self._folder)
        self.remarks: list[str] = []
        self._places = files.Places("", None)
        self._experiments = {
            str(meta["name"]): place
            for place, meta in _with_meta(self._folder)
            if "name" in meta and meta.get("lifecycle_stage", "active") == "active"
        }
        if not self._experiments:
            hint = "name a folder mlruns, a server (http://...) or a database (sqlite:///...)"
            raise StoreError(self.url, "this is no folder of MLflow's runs", hint)

    def run_ids(self, experiments: Sequence[str], runs: Sequence[str]) -> list[str]:
        """Ids of active runs, oldest first: of these experiments, or these ones; all where neither is given.

        Raises:
            NotFoundError: There is no such experiment or run.
        """
        if runs:
            return [self._place(run).name for run in runs]
        for name in experiments:
            if name not in self._experiments:
                raise NotFoundError("experiment", name, f"there are: {', '.join(sorted(self._experiments))}")
        found: list[tuple[int, str]] = []
        for name in experiments or self._experiments:
            for place, meta in _with_meta(self._experiments[name]):
                if meta.get("lifecycle_stage") == "active" and "run_id" in meta:
                    found.append((int(meta.get("start_time") or 0), place.name))
        return [run_id for _, run_id in sorted(found)]

    def _place(self, prefix: str) -> Path:
        found = [place for one in self._experiments.values() for place in one.glob(f"{prefix}*") if _is_run(place)]
        if len(found) != 1:
            raise NotFoundError("run", prefix, f"in {self.url}" + ("; several begin so" if found else ""))
        return found[0]

    def run(self, run_id: str) -> RunContents:
        """A run.

        Raises:
            NotFoundError: There is no such run.
        """
        place = self._place(run_id)
        meta = _meta(place)
        tags = _texts(place / "tags")
        return RunContents(
            run_id=run_id,
            experiment=str(_meta(place.parent)["name"]),
            name=str(meta.get("run_name") or tags.get("mlflow.runName") or ""),
            status=STATUSES.get(meta.get("status", 3), "RUNNING"),
            start_time=int(meta.get("start_time") or 0),
            end_time=None if meta.get("end_time") is None else int(meta["end_time"]),
            user=str(meta.get("user_id") or ""),
            source_name=tags.get("mlflow.source.name", ""),
            source_version=tags.get("mlflow.source.git.commit", ""),
            lifecycle=str(meta.get("lifecycle_stage", "active")),
            params=_texts(place / "params"),
            tags=tags,
            curves={key: _curve(key, text) for key, text in _texts(place / "metrics").items()},
            inputs=[*_inputs(place)],
            models=[*_models(place)],
            artifact_uri=str(place / "artifacts"),
        )

    def fetched(self, uri: str) -> AbstractContextManager[Path | None]:
        """A local folder with the files of an artifact URI; None where there are none, or they cannot be had."""
        return self._places.fetched(uri, self.remarks)

    def registered(self) -> Iterator[RegisteredContents]:
        """All registered models."""
        for place, meta in _with_meta(self._folder / "models"):
            aliases = {alias: int(text) for alias, text in _texts(place / "aliases").items()}
            versions = [_version(one, about) for one, about in _with_meta(place) if "version" in about]
            yield RegisteredContents(
                name=str(meta["name"]),
                description=str(meta.get("description") or ""),
                creation_time=int(meta.get("creation_timestamp") or 0),
                last_update_time=int(meta.get("last_updated_timestamp") or 0),
                tags=_texts(place / "tags"),
                aliases=aliases,
                versions=sorted(versions, key=lambda version: version.version),
            )


def _meta(place: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load((place / META).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _with_meta(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The folders directly below that say what they are."""
    if not folder.is_dir():
        return []
    found = ((place, _meta(place)) for place in sorted(folder.iterdir()) if (place / META).is_file())
    return [(place, meta) for place, meta in found if meta]


def _is_run(place: Path) -> bool:
    return (place / META).is_file() and "run_id" in _meta(place)


def _texts(folder: Path) -> dict[str, str]:
    """The content of all files below a folder, by path."""
    found = sorted(file for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else []
    return {file.relative_to(folder).as_posix(): file.read_text("utf-8").rstrip("\n") for file in found}


def _curve(key: str, text: str) -> list[Metric]:
    """Lines of time, value and step, in the order of their times."""
    points: dict[tuple[str, ...], Metric] = {}
    for line in text.splitlines():
        time, value, *rest = line.split(" ")
        step = rest[0] if rest else "0"
        # A point may stand there several times: newer MLflows write those of a model's datasets beside it.
        points[time, value, step] = Metric(key, float(value), int(time), int(step))
    return sorted(points.values(), key=lambda one: (one.timestamp, one.step, math.isnan(one.value), one.value))


def _inputs(place: Path) -> Iterator[DatasetInput]:
    for _, link in _with_meta(place / "inputs"):
        if link.get("source_type") != "DATASET":
            continue
        meta = _meta(place.parent / "datasets" / str(link.get("source_id")))
        if meta:
            tags = {str(key): str(value) for key, value in (link.get("tags") or {}).items()}
            yield dataset_input({name: str(value or "") for name, value in meta.items()}, tags)


def _models(place: Path) -> Iterator[LoggedModel]:
    """Logged models of MLflow 3."""
    for folder, meta in _with_meta(place.parent / "models"):
        if meta.get("source_run_id") == place.name:
            yield LoggedModel(
                model_id=str(meta["model_id"]).removeprefix("m-"),
                run_id=place.name,
                name=str(meta.get("name") or "model"),
                uri=str(folder / "artifacts"),
                model_type=str(meta.get("model_type") or ""),
                creation_time=int(meta.get("creation_timestamp") or 0),
            )


def _version(place: Path, meta: dict[str, Any]) -> VersionContents:
    source = str(meta.get("source") or "")
    status = meta.get("status")
    return VersionContents(
        version=int(meta["version"]),
        source=str(meta.get("storage_location") or source),
        run_id=meta.get("run_id") or None,
        model_id=source.removeprefix("models:/m-") if source.startswith("models:/m-") else None,
        status=_VERSIONS.get(status, str(status or "READY")) if isinstance(status, int) else str(status or "READY"),
        description=str(meta.get("description") or ""),
        user=str(meta.get("user_id") or ""),
        creation_time=int(meta.get("creation_timestamp") or 0),
        last_update_time=int(meta.get("last_updated_timestamp") or 0),
        tags=_texts(place / "tags"),
    )
