"""Whole records by primary key, a constant number of statements for each 500 of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from sqlalchemy import Column, Connection, Select, bindparam, select

from autotrack import records
from autotrack.events import DatasetInfo, ErrorInfo, ModelNotes, TrialInfo, float_of
from autotrack.store import schema
from autotrack.store.curves import chunks, join
from autotrack.store.location import Location, artifact_uri
from autotrack.store.places import ROOT_TAG, full_uri

_decode = msgspec.json.Decoder().decode
_decode_error = msgspec.json.Decoder(ErrorInfo).decode
_decode_notes = msgspec.json.Decoder(ModelNotes).decode
_decode_trial = msgspec.json.Decoder(TrialInfo).decode

MODEL_NOTES = "autotrack.notes"
"""Where among a model's metadata stands what was said of it after it was logged."""

_series, _runs, _params, _tags = schema.metric_series.c, schema.runs.c, schema.params.c, schema.tags.c
_inputs, _datasets, _models = schema.inputs.c, schema.datasets.c, schema.models.c
_DATASET = tuple(_datasets[name] for name in DatasetInfo.__struct_fields__)


def _of(column: Column[int], *columns: Any) -> Select[Any]:
    """Rows of runs whose primary keys are the parameter `keys`."""
    return select(*columns).where(column.in_(bindparam("keys", expanding=True)))


_RUNS = (
    _of(
        _runs.id,
        schema.runs,
        schema.sessions.c.session_id.label("session_name"),
        schema.experiments.c.artifact_location,
    )
    .join(schema.experiments, schema.experiments.c.id == _runs.experiment)
    .outerjoin(schema.sessions, schema.sessions.c.id == _runs.session)
)
_EXTREMES = (_series.min, _series.min_special, _series.min_step, _series.max, _series.max_special, _series.max_step)
_LAST = (_series.last, _series.last_special, _series.last_step)
_SERIES = _of(_series.run, _series.run, _series.key, *_LAST, *_EXTREMES, _series.count)
_SERIES = _SERIES.order_by(_series.run, _series.key)
_PARAMS = _of(_params.run, _params.run, _params.key, _params.text, _params.json).order_by(_params.run, _params.key)
_TAGS = _of(_tags.run, _tags.run, _tags.key, _tags.value).order_by(_tags.run, _tags.key)
_INPUTS = (
    _of(_inputs.run, _inputs.run, _inputs.context, _inputs.tags, *_DATASET)
    .join(schema.datasets, _datasets.id == _inputs.dataset)
    .order_by(_inputs.run, _inputs.dataset, _inputs.context)
)
_MODELS = _of(_models.run, schema.models).order_by(_models.run, _models.creation_time, _models.id)


class _Parts:
    """What belongs to one run, as it comes in."""

    __slots__ = ("inputs", "metrics", "models", "params", "series", "tags", "values")

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.series: dict[str, records.MetricSummary] = {}
        self.params: dict[str, str] = {}
        self.values: dict[str, Any] = {}
        self.tags: dict[str, str] = {}
        self.inputs: list[records.DatasetInput] = []
        self.models: list[Any] = []


def runs(connection: Connection, keys: Sequence[int], location: Location) -> list[records.Run]:
    """Whole runs, in the order of their primary keys in `keys`.

    Args:
        connection: A reading transaction.
        keys: Primary keys of runs that are there.
        location: The store's, below which runs keep their files by default.
    """
    parts = {key: _Parts() for key in keys}
    rows: dict[int, Any] = {}
    for some in chunks(keys):
        which = {"keys": some}
        rows |= {row.id: row for row in connection.execute(_RUNS, which)}
        _load_metrics(parts, tuples(connection, _SERIES, which))
        _load_params(parts, tuples(connection, _PARAMS, which))
        for run, key, value in tuples(connection, _TAGS, which):
            parts[run].tags[key] = value
        for run, context, tags, *dataset in connection.execute(_INPUTS, which):
            info = records.DatasetInput(DatasetInfo(*dataset), context, json_object(tags))
            parts[run].inputs.append(info)
        for row in connection.execute(_MODELS, which):
            parts[row.run].models.append(row)
    return [_run(rows[key], parts[key], location) for key in keys]


def tuples(connection: Connection, query: Select[Any], parameters: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """The driver's own rows, for columns that it needs no help with: SQLAlchemy's cost as much again.

    One at a time: thousands that live at once would also keep the garbage collector busy.
    """
    with connection.execute(query, parameters) as result:
        if result.cursor is not None:
            yield from cast("Iterator[tuple[Any, ...]]", result.cursor)


def _load_metrics(parts: dict[int, _Parts], rows: Iterable[Any]) -> None:
    current, summary = None, records.MetricSummary
    for run, key, last, last_special, last_step, low, low_special, low_step, high, high_special, high_step, n in rows:
        if run != current:
            current = run
            metrics, series = parts[run].metrics, parts[run].series
        if last is None or last_special or low_special or high_special:
            last, low, high = join(last, last_special), join(low, low_special), join(high, high_special)
        metrics[key] = last
        series[key] = summary(last, last_step, low, low_step, high, high_step, n)


def _load_params(parts: dict[int, _Parts], rows: Iterable[Any]) -> None:
    for run, key, text, value in rows:
        mine = parts[run]
        mine.params[key] = text
        mine.values[key] = text if value is None else _param_value(value, text)


def _param_value(text: str, otherwise: str) -> Any:
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        # Python's own decoder knows NaN and infinities.
        return json.loads(text)
    except (ValueError, RecursionError):
        return otherwise


def _run(row: Any, parts: _Parts, location: Location) -> records.Run:
    error = None
    if row.error_type is not None:
        error = ErrorInfo(row.error_type, row.error_message, row.error_traceback, row.error_frame)
    info = records.RunInfo(
        run_id=row.run_id,
        run_name=row.name,
        experiment_id=str(row.experiment),
        status=row.status,
        start_time=row.start_time,
        end_time=row.end_time,
        user_id=row.user_id,
        lifecycle_stage=row.lifecycle,
        artifact_uri=artifact_uri(_root(parts.tags.get(ROOT_TAG) or row.artifact_location, location), row.run_id),
        session_id=row.session_name or "",
        parent_run_id=row.parent_run_id,
        source=row.source,
        description=row.description,
        degraded=row.degraded,
        error=error,
    )
    data = records.RunData(parts.metrics, parts.params, parts.tags, parts.values, parts.series)
    models = [model(one, row.run_id, location) for one in parts.models]
    return records.Run(info, data, records.RunInputs(parts.inputs), records.RunOutputs(models))


def model(row: Any, run_id: str, location: Location) -> records.LoggedModel:
    """A row of `models` as a record."""
    names = ("model_id", "name", "path", "size", "digest", "signature", "model_type", "creation_time", "step")
    plain = {name: getattr(row, name) for name in names}
    metadata = json_object(row.metadata)
    notes = _decode_notes(msgspec.json.encode(metadata.pop(MODEL_NOTES, {})))
    metrics = [
        records.ModelMetric(m.key, float_of(m.value), m.time, m.step, m.run_id, m.dataset_name, m.dataset_digest)
        for m in notes.metrics
    ]
    return records.LoggedModel(
        run_id=run_id,
        uri=full_uri(location, row.uri),
        flavors=_decode(row.flavors),
        metadata=metadata,
        tags=dict(sorted(notes.tags.items())),
        params=notes.params,
        metrics=metrics,
        **plain,
    )


def trial(content: str) -> records.Trial:
    """A row of `trials` as a record."""
    info = _decode_trial(content)
    return records.Trial(
        number=info.number,
        params={p.key: p.text if p.json is None else _param_value(p.json, p.text) for p in info.params},
        scores={name: [float_of(score) for score in scores] for name, scores in info.scores.items()},
        mean=None if info.mean is None else float_of(info.mean),
        std=None if info.std is None else float_of(info.std),
        rank=info.rank,
        fit_time=info.fit_time,
        score_time=info.score_time,
        state=info.state,
        resource=None if info.resource is None else float_of(info.resource),
        error=info.error,
        intermediate={step: float_of(value) for step, value in info.intermediate.items()},
        start_time=info.start_time,
        attributes=info.attributes,
    )


def fit(row: Any) -> records.Fit:
    """A row of `fits`, with the session's and the run's id, as a record."""
    names = ("fit_id", "session_id", "run_id", "number", "kind", "estimator", "method", "status", "start_time")
    return records.Fit(
        **{name: getattr(row, name) for name in (*names, "duration", "caller")},
        error=None if row.error is None else _decode_error(row.error),
        details=json_object(row.details),
    )


def session(row: Any) -> records.Session:
    """A row of `sessions`, with the environment's digest, as a record."""
    names = ("session_id", "start_time", "host", "pid", "program", "cwd", "parent_session_id")
    return records.Session(
        **{name: getattr(row, name) for name in names},
        user=row.user_id,
        argv=_decode(row.argv),
        environment_digest=row.digest,
    )


def experiments(connection: Connection, keys: Sequence[int], location: Location) -> list[records.Experiment]:
    """Whole experiments, in the order of their primary keys in `keys`."""
    table, tags = schema.experiments, schema.experiment_tags
    rows: dict[int, Any] = {}
    labels: dict[int, dict[str, str]] = {key: {} for key in keys}
    for some in chunks(keys):
        rows |= {row.id: row for row in connection.execute(select(table).where(table.c.id.in_(some)))}
        query = select(tags).where(tags.c.experiment.in_(some)).order_by(tags.c.experiment, tags.c.key)
        for key, name, value in connection.execute(query):
            labels[key][name] = value
    return [_experiment(rows[key], labels[key], location) for key in keys]


def _root(kept: str, location: Location) -> str:
    """Where files go, given the place that was written down; the store's own root where none was."""
    return full_uri(location, kept) or location.artifact_root


def _experiment(row: Any, tags: dict[str, str], location: Location) -> records.Experiment:
    return records.Experiment(
        experiment_id=str(row.id),
        name=row.name,
        lifecycle_stage=row.lifecycle,
        creation_time=row.creation_time,
        last_update_time=row.last_update_time,
        artifact_location=_root(row.artifact_location, location),
        tags=tags,
    )


def json_object(text: str) -> dict[str, Any]:
    """A column that holds a JSON object; an empty one where a server took only a piece of it."""
    try:
        found: dict[str, Any] = _decode(text)
    except msgspec.DecodeError:
        return {}
    return found
