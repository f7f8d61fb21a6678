"""Events as rows: what of a session, a run and a dataset is set, given what the store has of them. No SQL here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from autotrack import events as ev
from autotrack.store import schema
from autotrack.store.folding import DEGRADED_LENGTH, RunChange, Status, as_json, clip

Row = dict[str, Any]


def empty_session(now: int) -> Row:
    """A session that is mentioned before its start is known."""
    texts = dict.fromkeys(("host", "user_id", "program", "cwd"), "")
    return {**texts, "start_time": now, "pid": 0, "argv": "[]", "parent_session_id": None, "environment": None}


def session_row(event: ev.SessionStarted) -> Row:
    """What of a session is set when it starts."""
    row: Row = msgspec.structs.asdict(event)
    row["start_time"] = row.pop("time")
    row["user_id"] = row.pop("user")
    row["argv"] = as_json(event.argv)
    return row


def empty_run(time: int, journal_id: str) -> Row:
    """A run that is mentioned before its start is known."""
    absent = ("session", "parent_run_id", "end_time", "deleted_time")
    errors = ("error_type", "error_message", "error_traceback", "error_frame")
    return {
        **dict.fromkeys((*absent, *errors)),
        **dict.fromkeys(("name", "user_id", "source", "description", "degraded"), ""),
        "experiment": schema.DEFAULT_EXPERIMENT_ID,
        "status": "RUNNING",
        "status_time": 0,
        "start_time": time,
        "lifecycle": "active",
        "journal_id": journal_id,
    }


def run_columns(
    row: Any, change: RunChange, sessions: Mapping[str, int], experiments: Mapping[str, int], journal_id: str
) -> Row:
    """What of a run is set anew."""
    columns: Row = {}
    reasons = list(change.degraded)
    started = change.started
    if started is None and change.joined is not None and row.session is None:
        columns = _joined_columns(row, change.joined, experiments)
    if started is not None:
        place = clip(started.experiment) if started.experiment_id is None else f"#{started.experiment_id}"
        if place not in experiments:
            reasons.append(f"experiment id {started.experiment_id} is not in this store")
        columns = {
            "experiment": experiments.get(place, schema.DEFAULT_EXPERIMENT_ID),
            "session": sessions[started.session_id],
            "parent_run_id": started.parent_run_id,
            "start_time": started.time,
            "user_id": started.user,
            "source": started.source,
            # Another process may have renamed the run before its start was known here.
            "name": row.name or started.name,
            "description": row.description or started.description or "",
        }
    if change.name is not None:
        columns["name"] = change.name
    if change.description is not None:
        columns["description"] = change.description
    if change.status is not None:
        columns |= _status_columns(row, change.status, journal_id)
    degraded = _with_reasons(row.degraded, reasons)
    return columns if degraded == row.degraded else columns | {"degraded": degraded}


def dataset_identity(dataset: ev.DatasetInfo) -> str:
    """A hash over all that is known of a dataset."""
    return hashlib.sha256(msgspec.json.encode(dataset)).hexdigest()


def _joined_columns(row: Any, joined: ev.RankJoined, experiments: Mapping[str, int]) -> Row:
    """What a rank knows of a run that rank 0 has not told of; what that one tells takes its place."""
    place = clip(joined.experiment) if joined.experiment_id is None else f"#{joined.experiment_id}"
    return {
        "experiment": experiments.get(place, schema.DEFAULT_EXPERIMENT_ID),
        "name": row.name or joined.name,
        "user_id": joined.user,
        "source": joined.source,
    }


def _status_columns(row: Any, status: Status, journal_id: str) -> Row:
    """A status counts unless a later one is known from another journal; within one journal the order counts."""
    if row.journal_id != journal_id and status.time < row.status_time:
        return {}
    columns = status.columns()
    return columns | {"journal_id": journal_id} if status.opened else columns


def _with_reasons(text: str, reasons: Iterable[str]) -> str:
    for reason in reasons:
        if reason and reason not in text:
            text = f"{text}; {reason}" if text else reason
    return text if len(text) <= DEGRADED_LENGTH else text[: DEGRADED_LENGTH - 1] + "…"
