"""What is said of a logged model after it was logged: tags, parameters and metrics, among the model's metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from autotrack import events as ev
from autotrack.store import loading, schema
from autotrack.store.curves import chunks
from autotrack.store.folding import as_json


def change_models(connection: Connection, changes: Sequence[ev.ModelChanged]) -> None:
    """Write down what was said of models, in the caller's transaction; a model that is not there has no place for it.

    Args:
        connection: A transaction of `store.transaction()`.
        changes: In their order.
    """
    by_id: dict[str, list[ev.ModelChanged]] = {}
    for change in changes:
        by_id.setdefault(change.model_id, []).append(change)
    for model_id in sorted(by_id):
        query = select(schema.models.c.metadata).where(schema.models.c.model_id == model_id).with_for_update()
        found = connection.execute(query).scalar()
        if found is not None:
            row = schema.models.update().where(schema.models.c.model_id == model_id)
            connection.execute(row.values(metadata=_changed(found, by_id[model_id])))


def keep_notes(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Put what is said of models that are logged once more into the rows that are to replace theirs.

    Args:
        connection: A transaction of `store.transaction()`.
        rows: Of `models`, with `metadata` as it is to be written.
    """
    by_id = {row["model_id"]: row for row in rows}
    columns = schema.models.c
    for some in chunks(sorted(by_id)):
        query = select(columns.model_id, columns.metadata).where(columns.model_id.in_(some))
        for model_id, text in connection.execute(query):
            notes = loading.json_object(text).get(loading.MODEL_NOTES)
            if notes:
                row = by_id[model_id]
                row["metadata"] = as_json({**loading.json_object(row["metadata"]), loading.MODEL_NOTES: notes})


def _changed(text: str, changes: Sequence[ev.ModelChanged]) -> str:
    metadata = loading.json_object(text)
    notes = msgspec.convert(metadata.get(loading.MODEL_NOTES, {}), ev.ModelNotes)
    metrics = {_place(metric): metric for metric in notes.metrics}
    tags: dict[str, str | None] = dict(notes.tags)
    for change in changes:
        tags.update(change.tags)
        notes.params.update(change.params)
        metrics.update({_place(metric): metric for metric in change.metrics})
    notes.tags, notes.metrics = _present(tags), list(metrics.values())
    return as_json({**metadata, loading.MODEL_NOTES: msgspec.to_builtins(notes)})


def _present(tags: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if value is not None}


def _place(metric: ev.ModelMetric) -> tuple[str, str, str]:
    return metric.key, metric.dataset_name, metric.dataset_digest
