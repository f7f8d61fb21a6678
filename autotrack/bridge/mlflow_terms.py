"""What MLflow says in a way of its own, wherever it is kept: numbers, and the models that a run has logged."""

from __future__ import annotations

import datetime
import json
import math
import sys
from collections.abc import Mapping
from typing import Any

from autotrack.events import DatasetInfo
from autotrack.records import DatasetInput, LoggedModel
from autotrack.tracking.datasets import CONTEXT_TAG

LARGEST = sys.float_info.max
"""MLflow has no infinities: it keeps the largest float of that sign."""

HISTORY = "mlflow.log-model.history"
"""Tag by which MLflow 2 says which models a run has logged."""


def finite(value: float) -> float:
    """A value as MLflow keeps it: the largest float for an infinity."""
    return value if math.isnan(value) else max(-LARGEST, min(LARGEST, value))


def dataset_input(fields: Mapping[str, Any], tags: Mapping[str, str]) -> DatasetInput:
    """What went into a run, as a record.

    Args:
        fields: The dataset's, by the names of `DatasetInfo`; None or nothing where it has none.
        tags: The input's; one of them is its context.
    """
    dataset = DatasetInfo(**{name: fields.get(name) or "" for name in DatasetInfo.__struct_fields__})
    labels = {key: value for key, value in tags.items() if key != CONTEXT_TAG}
    return DatasetInput(dataset, tags.get(CONTEXT_TAG, ""), labels)


def model_history(run_id: str, models: list[LoggedModel], limit: int) -> str:
    """MLflow 2's way of saying which models a run has logged: a tag, which holds the last ones that fit into it."""
    entries = [
        {
            "run_id": run_id,
            "artifact_path": model.path or model.name,
            "utc_time_created": _utc(model.creation_time),
            "model_uuid": model.model_id,
            "flavors": {flavor: {} for flavor in model.flavors},
        }
        for model in models
    ]
    while len(text := json.dumps(entries)) > limit:
        entries.pop(0)
    return text


def model_entries(text: str) -> list[dict[str, Any]]:
    """What that tag lists; nothing where somebody else has written it."""
    try:
        entries = json.loads(text or "[]")
    except ValueError:
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _utc(time: int) -> str:
    moment = datetime.datetime.fromtimestamp(time / 1000, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
