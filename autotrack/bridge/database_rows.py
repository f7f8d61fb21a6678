"""Rows of MLflow's tables, made of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from autotrack.bridge.contents import RunContents
from autotrack.bridge.database import Row
from autotrack.bridge.mlflow_terms import finite
from autotrack.records import Metric

_ROWS = 10_000


def run_row(run: RunContents, experiment_id: int, uri: str) -> Row:
    """A row of `runs`; `uri` is where its files are."""
    return {
        "run_uuid": run.run_id,
        "name": run.name[:250],
        "source_type": "LOCAL",
        "source_name": run.source_name[:500],
        "entry_point_name": "",
        "user_id": run.user[:256],
        "status": run.status,
        "start_time": run.start_time,
        "end_time": run.end_time,
        "source_version": run.source_version[:50],
        "lifecycle_stage": "active",
        "artifact_uri": uri,
        "experiment_id": experiment_id,
    }


def changing_columns(row: Row) -> Row:
    """The columns of a run that may become others; where its files are stays as it was first said."""
    return {name: row[name] for name in ("name", "user_id", "status", "start_time", "end_time", "experiment_id")}


def point_row(key: str, point: Metric) -> tuple[str, int, int, float, bool]:
    """A row of `metrics`; NaN is 0 with a mark."""
    is_nan = math.isnan(point.value)
    return key, point.timestamp, point.step, 0.0 if is_nan else finite(point.value), is_nan


def rank(point: tuple[str, int, int, float, bool]) -> tuple[int, int, float]:
    """MLflow's latest value: at the highest step, then time, then value."""
    _, time, step, value, _ = point
    return step, time, value


def pieces(points: list[Any]) -> Iterable[list[Any]]:
    """Points by as many as one statement takes."""
    return (points[start : start + _ROWS] for start in range(0, len(points), _ROWS))
