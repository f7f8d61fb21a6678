"""Into a store: streams, exactly once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from autotrack import clock
from autotrack import events as ev
from autotrack.errors import AlreadyExistsError
from autotrack.store import schema
from autotrack.store.curves import chunks
from autotrack.store.engine import Store, retried
from autotrack.store.folding import clip
from autotrack.store.replay.items import (
    PIECE,
    ExperimentState,
    Item,
    OpenJournal,
    Point,
    RegisteredModelState,
    RunState,
    VersionState,
)
from autotrack.store.replay.reading import points_of
from autotrack.store.replay.registry import write_model, write_version
from autotrack.store.writing import Writer, advance_journal

_INT64 = 2**63

_STATES = (ExperimentState, OpenJournal, RegisteredModelState, VersionState, RunState)
"""Items that are no events."""


def write_events(store: Store, items: Iterable[Item], experiment: str | None = None) -> list[str]:
    """Write streams of runs into a store, in bounded transactions; doing it again changes nothing.

    The stream counts: parameters, tags and all else that has a name are set to what it says. Points have no name, so
    those of a curve that is there already are compared with the stream's first ones, and the rest is appended. A run
    that is not there to its end is RUNNING until the stream is written again.

    Args:
        store: Where to.
        items: Streams as of `run_events`, one after the other. Events of other origin are taken too: then the order of
            the points of a curve has to be the same each time.
        experiment: Name of the experiment that all runs go to; None for that of the stream.

    Returns:
        Ids of the runs, in their order.

    Raises:
        AlreadyExistsError: Another run of that id is there, or a curve that is no beginning of the stream's.
        StoreError: The store cannot be written.
    """
    target = _Target(store, experiment)
    for item in items:
        target.take(item)
    target.flush()
    return list(target.runs)


class _Target:
    """A store that streams are being written into."""

    def __init__(self, store: Store, experiment: str | None) -> None:
        self.runs: dict[str, None] = {}
        self._store = store
        self._writer = Writer(store)
        self._experiment = experiment
        self._own = f"replay-{clock.new_id()}"
        self._journal = self._own
        self._batch: list[Item] = []
        self._weight = 0
        self._passed: dict[tuple[str, str], int] = {}
        """How many points of each curve the stream has had."""

    def take(self, item: Item) -> None:
        """Add an item; write what has come together where it is much."""
        if isinstance(item, OpenJournal):
            self._continue_as(item.journal_id)
        elif isinstance(item, ev.RunStarted):
            self.runs[item.run_id] = None
            before = self._batch[-1] if self._batch else None
            self._continue_as(before.journal_id if isinstance(before, OpenJournal) else self._own)
            if self._experiment is not None:
                item = msgspec.structs.replace(item, experiment=self._experiment, experiment_id=None)
        elif isinstance(item, ExperimentState) and self._experiment is not None:
            return
        self._batch.append(item)
        self._weight += _weight(item)
        if self._weight >= PIECE and not isinstance(item, OpenJournal):
            self.flush()

    def _continue_as(self, journal_id: str) -> None:
        """A transaction holds what counts as one journal's."""
        if journal_id != self._journal:
            self.flush()
            self._journal = journal_id

    def flush(self) -> None:
        """Write what has come together."""
        if self._batch:
            self._passed |= _apply(self._store, self._writer, self._batch, self._journal, self._passed)
        self._batch, self._weight = [], 0


def _weight(item: Item) -> int:
    if isinstance(item, ev.CurveLogged):
        return len(item.values) + 1
    if isinstance(item, (ev.ParamsLogged, ev.TrialsLogged)):
        return 1 + len(item.params if isinstance(item, ev.ParamsLogged) else item.trials) * 5
    return 5


@retried
def _apply(
    store: Store, writer: Writer, items: list[Item], journal_id: str, passed: dict[tuple[str, str], int]
) -> dict[tuple[str, str], int]:
    """Write items in one transaction.

    Returns:
        How many points of each curve in it the stream has had.
    """
    curves: dict[tuple[str, str], list[Point]] = {}
    others: list[ev.Event] = []
    for item in items:
        if isinstance(item, (ev.CurveLogged, ev.MetricLogged, ev.MetricsLogged)):
            _collect(item, curves)
        elif not isinstance(item, _STATES):
            others.append(item)
    with store.transaction() as connection:
        _refuse_strangers(connection, [item for item in others if isinstance(item, ev.RunStarted)])
        for item in items:
            if isinstance(item, ExperimentState):
                _write_experiment(store, connection, item)
            elif isinstance(item, OpenJournal):
                _write_journal(connection, item)
        # Makes the runs, and locks them: nobody else appends to their curves meanwhile.
        others += [ev.RunUpdated(run_id) for run_id in dict.fromkeys(run_id for run_id, _ in curves)]
        for some in _one_model_each(others):
            writer.apply(connection, some, journal_id)
        news = [_missing(connection, place, points, passed.get(place, 0)) for place, points in curves.items()]
        writer.apply(connection, [curve for curve in news if curve is not None], journal_id)
        for item in items:
            if isinstance(item, RunState):
                _write_state(connection, item)
            elif isinstance(item, RegisteredModelState):
                write_model(store, connection, item)
            elif isinstance(item, VersionState):
                write_version(store, connection, item)
    return {place: passed.get(place, 0) + len(points) for place, points in curves.items()}


def _collect(event: ev.CurveLogged | ev.MetricLogged | ev.MetricsLogged, curves: dict[Any, list[Point]]) -> None:
    """Points as the store will have them."""
    if isinstance(event, ev.CurveLogged):
        rows = [(event.key, *row) for row in zip(event.steps, event.times, event.values, strict=True)]
    elif isinstance(event, ev.MetricLogged):
        rows = [(event.key, event.step, event.time, event.value)]
    else:
        rows = [(key, event.step, event.time, value) for key, value in event.metrics.items()]
    for key, step, time, value in rows:
        point = (_into_range(step), _into_range(time), ev.float_of(value))
        curves.setdefault((event.run_id, key), []).append(point)


def _one_model_each(events: list[ev.Event]) -> Iterator[list[ev.Event]]:
    """Pieces with one model at most: of those with one name the last counts, so their order must stay."""
    piece: list[ev.Event] = []
    for event in events:
        piece.append(event)
        if isinstance(event, ev.ModelLogged):
            yield piece
            piece = []
    yield piece


def _refuse_strangers(connection: Connection, started: list[ev.RunStarted]) -> None:
    runs = schema.runs.c
    times = {event.run_id: event.time for event in started}
    for some in chunks(sorted(times)):
        query = select(runs.run_id, runs.start_time).where(runs.run_id.in_(some), runs.session.is_not(None))
        for run_id, start_time in connection.execute(query):
            if start_time != times[run_id]:
                raise AlreadyExistsError("run", run_id, "another one of that id, which started at another time")


def _write_experiment(store: Store, connection: Connection, state: ExperimentState) -> None:
    table, tags = schema.experiments, schema.experiment_tags
    row = msgspec.structs.asdict(state)
    labels = row.pop("tags")
    connection.execute(store.dialect.insert_missing(table, ("name",)), [{**row, "artifact_location": ""}])
    if labels:
        key = connection.execute(select(table.c.id).where(table.c.name == state.name)).scalar_one()
        rows = [{"experiment": key, "key": clip(name), "value": value} for name, value in labels.items()]
        connection.execute(store.dialect.insert_missing(tags, ("experiment", "key")), rows)


def _write_journal(connection: Connection, journal: OpenJournal) -> None:
    row = msgspec.structs.asdict(journal)
    heartbeat, opened = row.pop("heartbeat"), row.pop("opened")
    first = ev.JournalOpened(version=ev.FORMAT_VERSION, store="", time=opened, **row)
    advance_journal(connection, first, 0, 0, heartbeat)


def _missing(connection: Connection, place: tuple[str, str], points: list[Point], passed: int) -> ev.CurveLogged | None:
    """Those of a curve's points that are not in the store yet.

    Args:
        connection: The writing transaction; the run is locked.
        place: Run id and key.
        points: What the stream has now.
        passed: How many points of the curve it has had before.
    """
    run_id, key = place
    series, runs = schema.metric_series.c, schema.runs.c
    query = (
        select(series.id, series["count"].label("length"))
        .join_from(schema.metric_series, schema.runs, runs.id == series.run)
        .where(runs.run_id == run_id, series.key == clip(key))
    )
    row = connection.execute(query).first()
    known = max(0, min(row.length - passed, len(points))) if row is not None else 0
    if row is not None and known and not _same(points_of(connection, row.id, passed, passed + known), points[:known]):
        raise AlreadyExistsError("run", run_id, f"its metric {key!r} has other points there; delete that run first")
    if known == len(points):
        return None
    steps, times, values = (list(column) for column in zip(*points[known:], strict=True))
    return ev.CurveLogged(run_id, key, steps, times, [ev.number_of(value) for value in values])


def _same(left: list[Point], right: list[Point]) -> bool:
    return len(left) == len(right) and all(
        a[:2] == b[:2] and (a[2] == b[2] or (math.isnan(a[2]) and math.isnan(b[2])))
        for a, b in zip(left, right, strict=True)
    )


def _write_state(connection: Connection, state: RunState) -> None:
    row = msgspec.structs.asdict(state)
    run_id = row.pop("run_id")
    connection.execute(schema.runs.update().where(schema.runs.c.run_id == run_id).values(row))


def _into_range(number: int) -> int:
    return max(-_INT64, min(_INT64 - 1, number))
