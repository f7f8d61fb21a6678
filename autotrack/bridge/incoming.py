"""A run in MLflow's terms as events of ours."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from typing import cast

from autotrack import events as ev
from autotrack.bridge.contents import RunContents
from autotrack.bridge.naming import RENAMED
from autotrack.models.mlmodel import Model
from autotrack.records import LoggedModel, Metric, Run

SOURCE = "mlflow"
"""Who opened a run that was pulled."""

ENDED = ("FINISHED", "FAILED", "KILLED")

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def session_id(run_id: str) -> str:
    """Id of the session that a pulled run gets: MLflow knows none."""
    return hashlib.sha256(f"mlflow {run_id}".encode()).hexdigest()[:32]


def restored(run: RunContents) -> RunContents:
    """A run with the keys that it had before it was pushed to MLflow, where it was."""
    names = _renamed_keys(run.tags.get(RENAMED, ""))
    if not names:
        return run
    run.tags = {names.get(f"tags.{key}", key): value for key, value in run.tags.items() if key != RENAMED}
    run.params = {names.get(f"params.{key}", key): value for key, value in run.params.items()}
    run.curves = {names.get(f"metrics.{key}", key): points for key, points in run.curves.items()}
    return run


def _renamed_keys(text: str) -> dict[str, str]:
    try:
        names = json.loads(text or "{}")
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in names.items()} if isinstance(names, dict) else {}


def param(key: str, text: str) -> ev.Param:
    """A parameter; MLflow keeps text alone, what reads as a number counts as one."""
    return ev.Param(key, text, _as_json(text))


def _as_json(text: str) -> str:
    if _NUMBER.fullmatch(text):
        number = float(text)
        if math.isfinite(number):
            return json.dumps(int(text) if re.fullmatch(r"-?\d{1,15}", text) else number)
    return json.dumps(text)


def first_events(run: RunContents) -> Iterator[ev.Event]:
    """A run's beginning, and all that needs no files."""
    run_id, session, tags = run.run_id, session_id(run.run_id), run.tags
    program = run.source_name or tags.get("mlflow.source.name", "")
    yield ev.SessionStarted(session, run.start_time, user=run.user, program=program)
    git = {
        "commit": run.source_version or tags.get("mlflow.source.git.commit"),
        "branch": tags.get("mlflow.source.git.branch"),
        "remote": tags.get("mlflow.source.git.repoURL"),
    }
    if git["commit"]:
        content = {"git": git}
        yield ev.EnvironmentCaptured(session, hashlib.sha256(json.dumps(content).encode()).hexdigest(), content)
    yield ev.RunStarted(
        run_id=run_id,
        session_id=session,
        time=run.start_time,
        name=run.name or tags.get("mlflow.runName", run_id),
        experiment=run.experiment,
        parent_run_id=tags.get("mlflow.parentRunId") or None,
        source=SOURCE,
        user=run.user or tags.get("mlflow.user", ""),
        description=tags.get("mlflow.note.content"),
    )
    yield ev.RunUpdated(run_id, run.name or None, tags.get("mlflow.note.content"))
    for key, points in run.curves.items():
        yield _curve(run_id, key, points)
    if run.params:
        yield ev.ParamsLogged(run_id, [param(key, text) for key, text in run.params.items()])
    if tags:
        yield ev.TagsSet(run_id, tags)
    for one in run.inputs:
        yield ev.DatasetLogged(run_id, one.dataset, one.context, one.tags)


def last_events(run: RunContents) -> Iterator[ev.Event]:
    """A run's end, if it has one."""
    if run.status in ENDED:
        error = _error(run.tags.get("autotrack.error", ""))
        time = _end_time(run)
        yield ev.RunEnded(run.run_id, cast(ev.RunStatus, run.status), time, error)


def _end_time(run: RunContents) -> int:
    """When a run ended; MLflow does not keep that from being before its start."""
    return max(run.start_time, run.end_time or 0)


def _error(text: str) -> ev.ErrorInfo | None:
    """The error that a run failed with, as a tag of a pushed run has it."""
    kind, _, message = text.partition(": ")
    return ev.ErrorInfo(kind, message) if kind else None


def _curve(run_id: str, key: str, points: list[Metric]) -> ev.CurveLogged:
    steps, times = [point.step for point in points], [point.timestamp for point in points]
    return ev.CurveLogged(run_id, key, steps, times, [ev.number_of(point.value) for point in points])


def model_event(model: LoggedModel, uri: str, file: Model, size: int) -> ev.ModelLogged:
    """A model that was copied.

    Args:
        model: As MLflow has it.
        uri: Where the copy is.
        file: Its MLmodel file.
        size: Bytes of the whole directory.
    """
    return ev.ModelLogged(
        model_id=model.model_id,
        run_id=model.run_id,
        name=model.name,
        time=model.creation_time,
        uri=uri,
        path=model.path or model.name,
        flavors=sorted(file.flavors),
        size=size,
        digest=str(file.digest or ""),
        signature=json.dumps(file.signature.to_dict()) if file.signature is not None else "",
        model_type=model.model_type,
        metadata=dict(file.metadata or {}),
        step=model.step,
    )


def model_notes(model: LoggedModel) -> Iterator[ev.Event]:
    """Tags and parameters of a logged model of MLflow 3, if it has any."""
    if model.tags or model.params:
        yield ev.ModelChanged(model.model_id, tags=dict(model.tags), params=dict(model.params))


def is_same(run: RunContents, ours: Run) -> bool:
    """Whether all of a run but its files and models is in our store already."""
    mine, data = ours.info, ours.data
    if run.status in ENDED and (mine.status, mine.end_time) != (run.status, _end_time(run)):
        return False
    if (run.name and mine.run_name != run.name) or mine.description != run.tags.get("mlflow.note.content", ""):
        return False
    counts = {key: len(points) for key, points in run.curves.items()}
    held = {key: summary.count for key, summary in data.series.items()}
    datasets = {(one.dataset.name, one.dataset.digest) for one in ours.inputs.dataset_inputs}
    return (
        counts == held
        and run.params == data.params
        and run.tags.items() <= data.tags.items()
        and {(one.dataset.name, one.dataset.digest) for one in run.inputs} <= datasets
    )
