"""Out of a store: a run as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from autotrack import events as ev
from autotrack.errors import NotFoundError
from autotrack.store import schema
from autotrack.store.curves import chunks, join
from autotrack.store.engine import Store
from autotrack.store.location import Location
from autotrack.store.places import full_uri
from autotrack.store.replay.items import PIECE, ExperimentState, Item, OpenJournal, Point, RunState
from autotrack.store.replay.registry import versions_of


def run_events(store: Store, run_id: str) -> Iterator[Item]:
    """All that a store has about a run, as a stream: bounded memory, however long its curves are.

    Args:
        store: Where from.
        run_id: Whole id of the run; a deleted one counts too.

    Yields:
        Its experiment, sessions and environments, its start, curves (whole histories, in the order in which they were
        logged), parameters, tags, datasets, fits (the preparation steps of its session too), trials, models, artifacts,
        versions of registered models, and its end.

    Raises:
        NotFoundError: There is no such run.
        StoreError: The store cannot be read.
    """
    with store.reading() as connection:
        row = _run_row(connection, run_id)
        beginning = [*_beginning(connection, row)]
        rest = [
            *_belongings(connection, row, store.location),
            *versions_of(connection, row, store.location),
            *_end(row),
        ]
        columns = schema.metric_series.c
        query = select(columns.id, columns.key, columns["count"]).where(columns.run == row.id).order_by(columns.id)
        series = connection.execute(query).all()
    yield from beginning
    for key, name, count in series:
        yield from _curve(store, run_id, key, name, count)
    yield from rest


def _run_row(connection: Connection, run_id: str) -> Any:
    runs, sessions = schema.runs, schema.sessions
    query = (
        select(runs, sessions.c.session_id.label("session_name"))
        .outerjoin(sessions, sessions.c.id == runs.c.session)
        .where(runs.c.run_id == run_id)
    )
    row = connection.execute(query).first()
    if row is None:
        raise NotFoundError("run", run_id)
    return row


def _beginning(connection: Connection, row: Any) -> Iterator[Item]:
    experiment = _experiment(connection, row.experiment)
    yield experiment
    yield from _sessions(connection, row)
    if row.status == "RUNNING" and row.journal_id is not None:
        table = schema.journals
        journal = connection.execute(select(table).where(table.c.journal_id == row.journal_id)).first()
        if journal is not None and journal.closed is None:
            yield OpenJournal(**{name: getattr(journal, name) for name in OpenJournal.__struct_fields__})
    if row.session_name is not None:
        yield ev.RunStarted(
            run_id=row.run_id,
            session_id=row.session_name,
            time=row.start_time,
            name=row.name,
            experiment=experiment.name,
            parent_run_id=row.parent_run_id,
            source=row.source,
            user=row.user_id,
            description=row.description,
        )


def _experiment(connection: Connection, key: int) -> ExperimentState:
    table, labels = schema.experiments, schema.experiment_tags
    row = connection.execute(select(table).where(table.c.id == key)).one()
    query = select(labels.c.key, labels.c.value).where(labels.c.experiment == key).order_by(labels.c.key)
    tags = {row.key: row.value for row in connection.execute(query)}
    return ExperimentState(row.name, row.creation_time, row.last_update_time, row.lifecycle, tags)


def _sessions(connection: Connection, run: Any) -> Iterator[Item]:
    """The run's session, and those of fits that were made when it had been resumed."""
    sessions, environments, fits = schema.sessions, schema.environments, schema.fits
    keys = set(connection.execute(select(fits.c.session).where(fits.c.run == run.id).distinct()).scalars())
    query = (
        select(sessions, environments.c.digest, environments.c.content)
        .outerjoin(environments, environments.c.id == sessions.c.environment)
        .where(sessions.c.id.in_(keys | ({run.session} - {None})))
        .order_by(sessions.c.id)
    )
    for row in connection.execute(query):
        yield ev.SessionStarted(
            session_id=row.session_id,
            time=row.start_time,
            host=row.host,
            pid=row.pid,
            user=row.user_id,
            program=row.program,
            argv=_json(row.argv),
            cwd=row.cwd,
            parent_session_id=row.parent_session_id,
        )
        if row.digest is not None:
            yield ev.EnvironmentCaptured(row.session_id, row.digest, _json(row.content))


def _curve(store: Store, run_id: str, series: int, key: str, count: int) -> Iterator[ev.CurveLogged]:
    """A curve as far as it was long when the stream began."""
    for start in range(0, count, PIECE):
        with store.reading() as connection:
            points = points_of(connection, series, start, min(start + PIECE, count))
        if points:
            steps, times, values = (list(column) for column in zip(*points, strict=True))
            yield ev.CurveLogged(run_id, key, steps, times, [ev.number_of(value) for value in values])


def _belongings(connection: Connection, run: Any, location: Location) -> Iterator[ev.Event]:
    """What a run has besides curves."""
    run_id = run.run_id
    yield ev.RunUpdated(run_id, run.name, run.description)
    params = schema.params
    rows = connection.execute(select(params).where(params.c.run == run.id).order_by(params.c.key)).all()
    for some in chunks(rows):
        yield ev.ParamsLogged(run_id, [ev.Param(row.key, row.text, row.json) for row in some])
    tags = schema.tags
    rows = connection.execute(select(tags).where(tags.c.run == run.id).order_by(tags.c.key)).all()
    for some in chunks(rows):
        yield ev.TagsSet(run_id, {row.key: row.value for row in some})
    yield from _inputs(connection, run)
    yield from _fits(connection, run)
    yield from _trials(connection, run)
    yield from _outputs(connection, run, location)
    if run.degraded:
        yield ev.RunDegraded(run_id, run.degraded)


def _inputs(connection: Connection, run: Any) -> Iterator[ev.Event]:
    inputs, datasets = schema.inputs, schema.datasets
    query = (
        select(datasets, inputs.c.context, inputs.c.tags, inputs.c.fit_id)
        .join_from(inputs, datasets, datasets.c.id == inputs.c.dataset)
        .where(inputs.c.run == run.id)
        .order_by(inputs.c.dataset, inputs.c.context)
    )
    for row in connection.execute(query):
        dataset = ev.DatasetInfo(**{name: getattr(row, name) for name in ev.DatasetInfo.__struct_fields__})
        yield ev.DatasetLogged(run.run_id, dataset, row.context, _json(row.tags), row.fit_id)


def _fits(connection: Connection, run: Any) -> Iterator[ev.Event]:
    fits, sessions = schema.fits, schema.sessions
    mine = fits.c.run == run.id
    prepared = fits.c.run.is_(None) & (fits.c.session == run.session)
    query = (
        select(fits, sessions.c.session_id)
        .join(sessions, sessions.c.id == fits.c.session)
        .where(mine | prepared)
        .order_by(fits.c.id)
    )
    plain = ("number", "kind", "estimator", "method", "status", "duration", "caller")
    for row in connection.execute(query):
        yield ev.FitLogged(
            fit_id=row.fit_id,
            session_id=row.session_id,
            time=row.start_time,
            run_id=None if row.run is None else run.run_id,
            error=None if row.error is None else msgspec.json.decode(row.error, type=ev.ErrorInfo),
            details=_json(row.details),
            **{name: getattr(row, name) for name in plain},
        )


def _trials(connection: Connection, run: Any) -> Iterator[ev.Event]:
    table = schema.trials
    by_fit: dict[str | None, list[ev.TrialInfo]] = {}
    for row in connection.execute(select(table).where(table.c.run == run.id).order_by(table.c.number)):
        by_fit.setdefault(row.fit_id, []).append(msgspec.json.decode(row.content, type=ev.TrialInfo))
    for fit_id, trials in by_fit.items():
        for some in chunks(trials):
            yield ev.TrialsLogged(run.run_id, list(some), fit_id)


def _outputs(connection: Connection, run: Any, location: Location) -> Iterator[ev.Event]:
    models, artifacts = schema.models, schema.artifacts
    plain = ("model_id", "name", "path", "size", "digest", "signature", "model_type", "step")
    for row in connection.execute(select(models).where(models.c.run == run.id).order_by(models.c.id)):
        yield ev.ModelLogged(
            run_id=run.run_id,
            time=row.creation_time,
            uri=full_uri(location, row.uri),
            flavors=_json(row.flavors),
            metadata=_json(row.metadata),
            **{name: getattr(row, name) for name in plain},
        )
    for row in connection.execute(select(artifacts).where(artifacts.c.run == run.id).order_by(artifacts.c.key)):
        yield ev.ArtifactLogged(run.run_id, row.path, row.size, row.digest, row.time)


def _end(row: Any) -> Iterator[Item]:
    if row.status != "RUNNING":
        error = None
        if row.error_type is not None:
            error = ev.ErrorInfo(row.error_type, row.error_message, row.error_traceback, row.error_frame)
        time = row.status_time if row.end_time is None else row.end_time
        yield ev.RunEnded(row.run_id, row.status, time, error)
    yield RunState(row.run_id, row.start_time, row.status_time, row.lifecycle, row.deleted_time)


def _json(text: str) -> Any:
    return msgspec.json.decode(text)


def points_of(connection: Connection, series: int, start: int, end: int) -> list[Point]:
    """Points of a series (by its primary key), those with these numbers."""
    table = schema.metric_points.c
    query = (
        select(table.step, table.timestamp, table.value, table.special)
        .where(table.series == series, table.idx >= start, table.idx < end)
        .order_by(table.idx)
    )
    return [(step, time, join(value, special)) for step, time, value, special in connection.execute(query)]
