"""What of a run was recorded, what was left out and why, and what recording it took: read from the store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from autotrack import records
from autotrack.tracking.cost import COST_TAG, SKIPPED_TAG

if TYPE_CHECKING:
    from autotrack.store.reading import Reader

LIMITS = {
    "autotrack.figures": ("figures", "{}"),
    "autotrack.training_metrics": (
        "rows of training metrics",
        "they are {}: the settings training_metrics_seconds and max_sample_size allow for more",
    ),
}
"""Tags that say of a run that only a part of something was recorded."""


class RunCost(records.Record, frozen=True):
    """What autotrack took in the process that recorded a run, in milliseconds, as far as it can be told apart."""

    handlers_ms: float = 0.0
    """On the threads that train, before and after the hooked calls."""
    calls: int = 0
    """How many of those there were."""
    steps_ms: float = 0.0
    """On the threads that train, in steps of plain loops: some of them are timed."""
    steps: int = 0
    logging_ms: float = 0.0
    """In the program's calls of `log_metric`: some of them are timed."""
    logged: int = 0
    storing_ms: float = 0.0
    """In its calls that store files and models."""
    background_ms: float = 0.0
    """Processor time behind the training: models, training metrics, digests."""
    ingest_ms: float = 0.0
    """Processor time of moving the run into the store."""
    hooked: dict[str, str] = {}
    """Integrations that were at work, with their versions, or why they were not."""

    @property
    def training_ms(self) -> float:
        """What the program has waited for."""
        return self.handlers_ms + self.steps_ms + self.logging_ms + self.storing_ms


class Explanation(records.Record, frozen=True):
    """A run, explained."""

    run_id: str
    run_name: str
    status: str
    recorded: dict[str, int] = {}
    """How many of each kind of thing the store has."""
    skipped: dict[str, str] = {}
    """What was left out, and why."""
    degraded: str = ""
    """What could not be recorded."""
    cost: RunCost | None = None
    """None where it is not known: the process was killed, or is another version's."""
    duration_ms: int | None = None
    """How long the run took; None while it is running."""


def explained(reader: Reader, run_id: str) -> Explanation:
    """Explain a run.

    Raises:
        NotFoundError: There is no such run.
    """
    run, fits = reader.run(run_id), reader.fits(run_id)
    info, data = run.info, run.data
    recorded = {
        "parameters": len(data.params),
        "metrics": len(data.series),
        "points of metrics": sum(summary.count for summary in data.series.values()),
        "tags": sum(not key.startswith((COST_TAG, SKIPPED_TAG)) for key in data.tags),
        "datasets": len(run.inputs.dataset_inputs),
        "models": len(run.outputs.model_outputs),
        "artifacts": len(reader.artifacts(run_id)),
        "trials": len(reader.trials(run_id)),
        "training calls": len(fits),
        "environment": int(reader.environment_of_run(run_id) is not None),
    }
    said = {key[len(SKIPPED_TAG) :]: value for key, value in data.tags.items() if key.startswith(SKIPPED_TAG)}
    return Explanation(
        run_id=info.run_id,
        run_name=info.run_name,
        status=info.status,
        recorded=recorded,
        skipped={**_understood(run, fits, said), **_limited(data.tags), **said},
        degraded=info.degraded,
        cost=_cost_of(data.tags.get(COST_TAG, "")),
        duration_ms=None if info.end_time is None else info.end_time - info.start_time,
    )


def _cost_of(text: str) -> RunCost | None:
    try:
        return msgspec.convert(json.loads(text), RunCost, strict=False) if text else None
    except (ValueError, msgspec.ValidationError):
        return None


def _understood(run: records.Run, fits: Sequence[records.Fit], said: dict[str, str]) -> dict[str, str]:
    """What is missing without a word: the run's own story says why."""
    found: dict[str, str] = {}
    reason = _reason(run.info, fits)
    if not run.outputs.model_outputs and "model" not in said:
        found["model"] = reason
    integration = run.data.tags.get("autotrack.integration", "")
    has_metrics = any(key.startswith("training_") for key in run.data.series)
    if integration == "sklearn" and not has_metrics and "training_metrics" not in said:
        found["training_metrics"] = reason
    if not run.inputs.dataset_inputs and "dataset" not in said:
        found["dataset"] = reason or ("the loop made no pass over a DataLoader" if integration == "torch" else "")
    return {what: why for what, why in found.items() if why}


def _limited(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: text.format(tags[tag]) for tag, (name, text) in LIMITS.items() if tag in tags}


def _reason(info: records.RunInfo, fits: Sequence[records.Fit]) -> str:
    """Why nothing came of a run's training; empty where that is not known."""
    if not fits:
        return "no training call was recorded in this run"
    if all(fit.status == "FAILED" for fit in fits):
        return "the training failed"
    if info.status == "KILLED":
        return "the process was killed before it was recorded"
    if all(fit.kind == "cross_validation" for fit in fits):
        return "a cross-validation leaves no fitted model"
    if all(fit.kind == "evaluation" for fit in fits):
        return "nothing was trained: the calls were evaluations"
    return "it goes on" if info.status == "RUNNING" else ""


def as_plain(found: Explanation) -> dict[str, Any]:
    """The explanation as plain values, with the sum of what the program has waited for."""
    plain = found.to_dict()
    if found.cost is not None:
        plain["cost"]["training_ms"] = round(found.cost.training_ms, 3)
    return plain
