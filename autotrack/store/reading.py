"""Tables into records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, select

from autotrack import records
from autotrack.errors import InvalidArgumentError, NotFoundError
from autotrack.store import journals, loading, schema
from autotrack.store.curves import chunks, join
from autotrack.store.engine import Store
from autotrack.store.filters import experiment_vocabulary, run_vocabulary
from autotrack.store.folding import clip
from autotrack.store.managing import experiment_key
from autotrack.store.ordering import Part, Search

ViewType = Literal["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]
_STAGES = {"ACTIVE_ONLY": ("active",), "DELETED_ONLY": ("deleted",), "ALL": ("active", "deleted")}


class Reader:
    """Reads one store. Every method raises `StoreError` where the store cannot be read.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._location = store.location

    # Runs

    def run(self, run_id: str) -> records.Run:
        """A run with its last metric values, parameters, tags, inputs and outputs.

        Raises:
            NotFoundError: There is no such run.
        """
        with self.store.reading() as connection:
            return loading.runs(connection, [_run_key(connection, run_id)], self._location)[0]

    def runs(self, run_ids: Sequence[str]) -> list[records.Run]:
        """Several runs, in the given order; those that are not there are left out."""
        table = schema.runs.c
        keys: dict[str, int] = {}
        with self.store.reading() as connection:
            for some in chunks(list(run_ids)):
                query = select(table.run_id, table.id).where(table.run_id.in_(some))
                keys |= {row.run_id: row.id for row in connection.execute(query)}
            return loading.runs(connection, [keys[run_id] for run_id in run_ids if run_id in keys], self._location)

    def search_runs(
        self,
        experiment_ids: Sequence[str] | None = None,
        filter_string: str = "",
        run_view_type: ViewType = "ACTIVE_ONLY",
        max_results: int = 1000,
        order_by: Sequence[str] = (),
        page_token: str | None = None,
    ) -> records.Page[records.Run]:
        """Runs that a filter matches, in an order: one statement to find them, a few more to load them.

        Args:
            experiment_ids: Only runs of these experiments; None for all.
            filter_string: As `grammar` describes it.
            run_view_type: Which stages of life to look at.
            max_results: Runs in a page, 1 to 50,000.
            order_by: Clauses such as "metrics.loss desc"; then the latest start first.
            page_token: The `token` of the page before.

        Raises:
            FilterSyntaxError: The filter or the order does not parse.
            InvalidArgumentError: An argument is not usable, or the token is of another search.
        """
        runs = schema.runs.c
        conditions = [_one_of(runs.lifecycle, _stages(run_view_type))]
        if experiment_ids is not None:
            conditions.append(_one_of(runs.experiment, [experiment_key(one) for one in experiment_ids]))
        default = (Part(runs.start_time, True), Part(runs.id, True))
        scope = repr(("runs", run_view_type, experiment_ids and list(experiment_ids)))
        search = Search(filter_string, tuple(order_by), max_results, page_token, scope)
        vocabulary = run_vocabulary(self._location.artifact_root)
        with self.store.reading() as connection:
            keys, next_token = search.find(connection, self.store.dialect, vocabulary, default, conditions)
            return records.Page(loading.runs(connection, keys, self._location), next_token)

    def run_id_by_prefix(self, prefix: str) -> str:
        """The id of the one run whose id begins so.

        Raises:
            NotFoundError: There is none, or there are several.
        """
        table = schema.runs.c
        query = select(table.run_id).where(table.run_id.startswith(prefix, autoescape=True)).limit(4)
        with self.store.reading() as connection:
            found = sorted(connection.execute(query).scalars())
        if len(found) == 1:
            return str(found[0])
        hint = f"several begin so: {', '.join(found)}" if found else "ids are 32 hexadecimal digits"
        raise NotFoundError("run", prefix, hint if prefix else "an empty id names none")

    def latest_run_id(self) -> str:
        """The id of the run that started last.

        Raises:
            NotFoundError: There is no run.
        """
        table = schema.runs.c
        query = select(table.run_id).where(table.lifecycle == "active")
        return self._one_run(query.order_by(table.start_time.desc(), table.id.desc()), "@", "it is empty")

    def best_run_id(self, metric: str, maximise: bool = True) -> str:
        """The id of the run that reached the highest (or lowest) value of a metric at any step.

        Raises:
            NotFoundError: No run has a value of that metric.
        """
        runs, series = schema.runs.c, schema.metric_series.c
        value = series.max if maximise else series.min
        order = (value.desc(), series.run.desc()) if maximise else (value, series.run)
        query = (
            select(runs.run_id)
            .join_from(schema.metric_series, schema.runs, runs.id == series.run)
            .where(series.key == metric, value.is_not(None), runs.lifecycle == "active")
        )
        return self._one_run(query.order_by(*order), f"best:{metric}", f"none has logged the metric {metric!r}")

    def _one_run(self, query: Select[Any], key: str, hint: str) -> str:
        with self.store.reading() as connection:
            found = connection.execute(query.limit(1)).scalar()
        if found is None:
            raise NotFoundError("run", key, hint)
        return str(found)

    def metric_history(self, run_id: str, key: str) -> list[records.Metric]:
        """All points of a metric in the order in which they were logged; empty where there are none.

        Raises:
            NotFoundError: There is no such run.
        """
        series, points = schema.metric_series.c, schema.metric_points.c
        with self.store.reading() as connection:
            run = _run_key(connection, run_id)
            query = (
                select(points.value, points.special, points.timestamp, points.step)
                .join_from(schema.metric_points, schema.metric_series, series.id == points.series)
                .where(series.run == run, series.key == clip(key))
                .order_by(points.idx)
            )
            metric = records.Metric
            return [
                metric(key, value if special is None else join(value, special), time, step)
                for value, special, time, step in loading.tuples(connection, query, {})
            ]

    def trials(self, run_id: str) -> list[records.Trial]:
        """Trials of a run, by number.

        Raises:
            NotFoundError: There is no such run.
        """
        rows = self._of_run(schema.trials, run_id, schema.trials.c.number)
        with self.store.translated():
            return [loading.trial(row.content) for row in rows]

    def fits(self, run_id: str) -> list[records.Fit]:
        """Training calls of a run, by number.

        Raises:
            NotFoundError: There is no such run.
        """
        table = schema.fits.c
        with self.store.reading() as connection:
            run = _run_key(connection, run_id)
            return _fits(connection, table.run == run, table.number)

    def preparations(self, session_id: str) -> list[records.Fit]:
        """Preparation steps of a session (transformers fitted on their own), in their order; empty where none are."""
        fits, sessions = schema.fits.c, schema.sessions.c
        with self.store.reading() as connection:
            condition = (sessions.session_id == session_id) & fits.run.is_(None)
            return _fits(connection, condition, fits.start_time)

    def models(self, run_id: str) -> list[records.LoggedModel]:
        """Models that a run put out, oldest first.

        Raises:
            NotFoundError: There is no such run.
        """
        rows = self._of_run(schema.models, run_id, schema.models.c.creation_time, schema.models.c.id)
        with self.store.translated():
            return [loading.model(row, run_id, self._location) for row in rows]

    def artifacts(self, run_id: str) -> list[records.FileInfo]:
        """Files that a run has stored, by path.

        Raises:
            NotFoundError: There is no such run.
        """
        rows = self._of_run(schema.artifacts, run_id, schema.artifacts.c.key)
        return [records.FileInfo(row.path, False, row.size) for row in rows]

    def _of_run(self, table: Table, run_id: str, *order: Column[Any]) -> Sequence[Any]:
        with self.store.reading() as connection:
            run = _run_key(connection, run_id)
            return connection.execute(select(table).where(table.c.run == run).order_by(*order)).all()

    # Sessions and journals

    def session(self, session_id: str) -> records.Session:
        """A session.

        Raises:
            NotFoundError: There is no such session.
        """
        sessions, environments = schema.sessions, schema.environments
        query = (
            select(sessions, environments.c.digest)
            .outerjoin(environments, environments.c.id == sessions.c.environment)
            .where(sessions.c.session_id == session_id)
        )
        with self.store.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFoundError("session", session_id)
        with self.store.translated():
            return loading.session(row)

    def environment_of_run(self, run_id: str) -> records.Environment | None:
        """What a run ran in; None where it was not captured.

        Raises:
            NotFoundError: There is no such run.
        """
        environments, sessions, runs = schema.environments.c, schema.sessions.c, schema.runs.c
        with self.store.reading() as connection:
            run = _run_key(connection, run_id)
            query = (
                select(environments.digest, environments.content)
                .join_from(schema.environments, schema.sessions, sessions.environment == environments.id)
                .join(schema.runs, runs.session == sessions.id)
                .where(runs.id == run)
            )
            row = connection.execute(query).first()
        return None if row is None else records.Environment(row.digest, loading.json_object(row.content))

    def journals(self, with_open_runs: bool = False) -> list[records.JournalInfo]:
        """How far each journal has been moved, and who writes it.

        Args:
            with_open_runs: Only journals of processes that have a run in status RUNNING.
        """
        return journals.journals(self.store, with_open_runs)

    def journal_offset(self, journal_id: str) -> int:
        """How many bytes of a journal are in the store; 0 where it is not known."""
        return journals.journal_offset(self.store, journal_id)

    # Experiments

    def experiment(self, experiment_id: str) -> records.Experiment:
        """An experiment.

        Raises:
            NotFoundError: There is none of that id.
        """
        return self._experiment(schema.experiments.c.id == experiment_key(experiment_id), experiment_id)

    def experiment_by_name(self, name: str) -> records.Experiment:
        """An experiment.

        Raises:
            NotFoundError: There is none of that name.
        """
        return self._experiment(schema.experiments.c.name == clip(name), name)

    def _experiment(self, condition: ColumnElement[bool], key: str) -> records.Experiment:
        with self.store.reading() as connection:
            found = connection.execute(select(schema.experiments.c.id).where(condition)).scalar()
            if found is None:
                raise NotFoundError("experiment", str(key))
            return loading.experiments(connection, [found], self._location)[0]

    def search_experiments(
        self,
        view_type: ViewType = "ACTIVE_ONLY",
        max_results: int = 1000,
        filter_string: str = "",
        order_by: Sequence[str] = (),
        page_token: str | None = None,
    ) -> records.Page[records.Experiment]:
        """Experiments that a filter matches; arguments and errors as for `search_runs`, newest first by default."""
        table = schema.experiments.c
        conditions = [table.lifecycle.in_(_stages(view_type))]
        default = (Part(table.creation_time, True), Part(table.id, True))
        search = Search(filter_string, tuple(order_by), max_results, page_token, f"experiments {view_type}")
        with self.store.reading() as connection:
            dialect = self.store.dialect
            keys, next_token = search.find(connection, dialect, experiment_vocabulary(), default, conditions)
            return records.Page(loading.experiments(connection, keys, self._location), next_token)


def _stages(view_type: str) -> tuple[str, ...]:
    if view_type not in _STAGES:
        raise InvalidArgumentError("view type", view_type, " or ".join(_STAGES))
    return _STAGES[view_type]


def _one_of(column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """That a column has one of the values; a list of any length is written into the statement's text each time."""
    return column == values[0] if len(values) == 1 else column.in_(values)


def _run_key(connection: Connection, run_id: str) -> int:
    found = connection.execute(select(schema.runs.c.id).where(schema.runs.c.run_id == run_id)).scalar()
    if found is None:
        raise NotFoundError("run", str(run_id))
    return int(found)


def _fits(connection: Connection, condition: ColumnElement[bool], order: Column[Any]) -> list[records.Fit]:
    fits, sessions, runs = schema.fits, schema.sessions, schema.runs
    query = (
        select(fits, sessions.c.session_id, runs.c.run_id)
        .join(sessions, sessions.c.id == fits.c.session)
        .outerjoin(runs, runs.c.id == fits.c.run)
        .where(condition)
        .order_by(order, fits.c.id)
    )
    return [loading.fit(row) for row in connection.execute(query)]
