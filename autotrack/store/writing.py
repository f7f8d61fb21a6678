"""Events into tables, inside the caller's transaction.

Exactly-once is the caller's: it advances the journal's offset (`advance_journal`) in the transaction that applies the
events before it. Journals are read in any order, so a run may be written to before its start is known: its row is
made then, and filled in when the start comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, bindparam, select

from autotrack import clock
from autotrack import events as ev
from autotrack.store import rank_tags, ranks, registry, schema
from autotrack.store.curves import chunks, write_points
from autotrack.store.engine import Store
from autotrack.store.folding import Batch, as_json, clip, number_of_json
from autotrack.store.journals import advance_journal, beat, beat_journal
from autotrack.store.managing import (
    create_experiment,
    delete_experiment,
    delete_run,
    ensure_experiment,
    finish_lost_runs,
    new_experiment,
    rename_experiment,
    restore_experiment,
    restore_run,
    set_experiment_tag,
)
from autotrack.store.model_notes import change_models, keep_notes
from autotrack.store.places import kept_uri
from autotrack.store.rows import Row, dataset_identity, empty_run, empty_session, run_columns, session_row

__all__ = [
    "Writer",
    "advance_journal",
    "beat",
    "beat_journal",
    "create_experiment",
    "delete_experiment",
    "delete_run",
    "ensure_experiment",
    "finish_lost_runs",
    "rename_experiment",
    "restore_experiment",
    "restore_run",
    "set_experiment_tag",
]

_READ = ("id", "name", "description", "degraded", "status", "status_time", "end_time", "journal_id", "session")
"""What has to be known of a run before it is changed."""


class Writer:
    """Writes events into one store.

    Args:
        store: The store; connections given to `apply` must be its own.
    """

    def __init__(self, store: Store) -> None:
        self._dialect = store.dialect
        self._location = store.location

    def apply(self, connection: Connection, events: Sequence[ev.Event], journal_id: str) -> None:
        """Write a piece of a journal; the caller commits.

        Args:
            connection: A transaction of `store.transaction()`.
            events: The events in their order; a journal's first and last line are passed over.
            journal_id: Whose they are.
        """
        batch = Batch(self._of_runs_that_are_there(connection, events))
        sessions = self._write_sessions(connection, batch)
        runs = self._write_runs(connection, batch, sessions, journal_id)
        self._write_params(connection, batch, runs)
        self._write_tags(connection, batch, runs)
        write_points(connection, self._dialect, runs, batch.points)
        self._write_inputs(connection, batch, runs)
        self._write_fits(connection, batch, runs, sessions)
        self._write_trials(connection, batch, runs)
        self._write_models(connection, batch, runs)
        registry.apply(connection, self._dialect, self._location, batch.registered.values())
        change_models(connection, batch.model_changes)
        self._write_artifacts(connection, batch, runs)

    def _of_runs_that_are_there(self, connection: Connection, events: Sequence[ev.Event]) -> Sequence[ev.Event]:
        """The events, but for what is said late of runs that have been removed: it would bring them back."""
        late = {event.run_id for event in events if type(event) is ev.TagsSet and event.late}
        if not late:
            return events
        there = self.known_runs(connection, late) | {event.run_id for event in events if type(event) is ev.RunStarted}
        gone = late - there
        return [event for event in events if not (type(event) is ev.TagsSet and event.late and event.run_id in gone)]

    def known_runs(self, connection: Connection, run_ids: Iterable[str]) -> set[str]:
        """Those of some run ids that the store has a run of."""
        return set(_ids(connection, schema.runs, "run_id", sorted(run_ids)))

    def _insert(
        self, connection: Connection, table: Table, keys: Sequence[str], rows: Iterable[Row], replace: bool = True
    ) -> None:
        """Insert rows; one whose key is there gets the new values, or is left alone."""
        ordered = sorted(rows, key=lambda row: [row[key] for key in keys])
        if ordered:
            self._dialect.insert_rows(connection, table, keys, self._storable(ordered), replace)

    def _update(self, connection: Connection, table: Table, key: str, rows: Iterable[Row]) -> None:
        """Update rows by a key column; those that set the same columns go together."""
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in rows:
            groups.setdefault(tuple(row), []).append(row)
        for names, group in groups.items():
            if len(names) > 1:
                self._dialect.update_rows(connection, table, key, self._storable(group))

    def _storable(self, rows: Iterable[Row]) -> list[Row]:
        storable = self._dialect.storable
        return [{name: storable(value) for name, value in row.items()} for row in rows]

    def _resolve(
        self, connection: Connection, table: Table, key: str, names: Iterable[str], make: Callable[[str], Row]
    ) -> dict[str, int]:
        """Primary keys of rows by their unique name; those that are not there are made."""
        wanted = sorted(set(names))
        found = _ids(connection, table, key, wanted)
        missing = [name for name in wanted if name not in found]
        if missing:
            rows = [{key: name, **make(name)} for name in missing]
            self._dialect.insert_rows(connection, table, (key,), self._storable(rows), replace=False)
            found |= _ids(connection, table, key, missing)
        return found

    def _write_sessions(self, connection: Connection, batch: Batch) -> dict[str, int]:
        now = clock.now()
        ids = self._resolve(connection, schema.sessions, "session_id", batch.sessions, lambda _: empty_session(now))
        started = [session_row(event) for event in batch.sessions.values() if event is not None]
        self._update(connection, schema.sessions, "session_id", started)
        contents = {event.digest: event.content for event in batch.environments.values()}
        digests = self._resolve(
            connection, schema.environments, "digest", contents, lambda digest: {"content": as_json(contents[digest])}
        )
        links = [
            {"session_id": session_id, "environment": digests[event.digest]}
            for session_id, event in batch.environments.items()
        ]
        self._update(connection, schema.sessions, "session_id", links)
        return ids

    def _write_runs(
        self, connection: Connection, batch: Batch, sessions: Mapping[str, int], journal_id: str
    ) -> dict[str, int]:
        """Make and change runs.

        Returns:
            Primary keys of all runs that the batch names.
        """
        experiments = self._experiments(connection, batch)

        def placeholder(run_id: str) -> Row:
            return empty_run(batch.runs[run_id].first_time, journal_id)

        ids = self._resolve(connection, schema.runs, "run_id", batch.runs, placeholder)
        rows: dict[int, Any] = {}
        columns = [schema.runs.c[name] for name in _READ]
        for some in chunks(sorted(ids.values())):
            query = select(*columns).where(schema.runs.c.id.in_(some)).order_by(schema.runs.c.id).with_for_update()
            rows |= {row.id: row for row in connection.execute(query)}
        blamed = ranks.blamed(connection, [row for row in rows.values() if row.status == "FAILED"])
        updates = []
        for run_id, change in batch.runs.items():
            row = rows[ids[run_id]]
            columns_of_run = run_columns(row, change, sessions, experiments, journal_id)
            by_rank = blamed.get(row.id)
            settled = ranks.settled(row, columns_of_run, change, by_rank)
            if settled.rank != by_rank:
                batch.tags[run_id, rank_tags.FAILED_TAG] = settled.rank
            updates.append({"run_id": run_id, **settled.columns})
        self._update(connection, schema.runs, "run_id", updates)
        return ids

    def _experiments(self, connection: Connection, batch: Batch) -> dict[str, int]:
        """Primary keys of experiments, by name (made where there is none) and by `#` and id."""
        changes = batch.runs.values()
        started = [told for change in changes if (told := change.started or change.joined) is not None]
        named = {clip(event.experiment) for event in started if event.experiment_id is None}
        now = clock.now()
        found = self._resolve(connection, schema.experiments, "name", named, lambda name: new_experiment(name, now))
        numbers = {event.experiment_id for event in started if event.experiment_id is not None}
        wanted = [int(number) for number in numbers if number.isdecimal() and len(number) < 19]
        table = schema.experiments
        for some in chunks(sorted(wanted)):
            for (number,) in connection.execute(select(table.c.id).where(table.c.id.in_(some))):
                found[f"#{number}"] = number
        return found

    def _write_params(self, connection: Connection, batch: Batch, runs: Mapping[str, int]) -> None:
        def rows(params: Mapping[tuple[str, str], ev.Param]) -> list[Row]:
            return [
                {
                    "run": runs[run_id],
                    "key": key,
                    "text": param.text,
                    "json": param.json,
                    "number": number_of_json(param.json),
                }
                for (run_id, key), param in params.items()
            ]

        self._insert(connection, schema.params, ("run", "key"), rows(batch.weak_params), replace=False)
        self._insert(connection, schema.params, ("run", "key"), rows(batch.params))

    def _write_tags(self, connection: Connection, batch: Batch, runs: Mapping[str, int]) -> None:
        weak = [{"run": runs[run_id], "key": key, "value": value} for (run_id, key), value in batch.weak_tags.items()]
        self._insert(connection, schema.tags, ("run", "key"), weak, replace=False)
        rows: list[Row] = []
        gone: list[Row] = []
        for (run_id, key), value in batch.tags.items():
            row = {"run": runs[run_id], "key": key, "value": value}
            (gone if value is None else rows).append(row)
        self._insert(connection, schema.tags, ("run", "key"), rows)
        if gone:
            columns = schema.tags.c
            statement = schema.tags.delete().where(columns.run == bindparam("r"), columns.key == bindparam("k"))
            connection.execute(statement, [{"r": row["run"], "k": row["key"]} for row in gone])

    def _write_inputs(self, connection: Connection, batch: Batch, runs: Mapping[str, int]) -> None:
        details = {dataset_identity(event.dataset): event.dataset for event in batch.inputs}

        def dataset(identity: str) -> Row:
            row: Row = msgspec.structs.asdict(details[identity])
            return {**row, "name": clip(row["name"]), "digest": clip(row["digest"])}

        ids = self._resolve(connection, schema.datasets, "identity", details, dataset)
        rows = {}
        for event in batch.inputs:
            place = (runs[event.run_id], ids[dataset_identity(event.dataset)], clip(event.context, 100))
            keys = dict(zip(("run", "dataset", "context"), place, strict=True))
            rows[place] = {**keys, "tags": as_json(event.tags), "fit_id": event.fit_id}
        self._insert(connection, schema.inputs, ("run", "dataset", "context"), rows.values())

    def _write_fits(
        self, connection: Connection, batch: Batch, runs: Mapping[str, int], sessions: Mapping[str, int]
    ) -> None:
        rows = []
        for event in batch.fits.values():
            row = msgspec.structs.asdict(event)
            row["session"] = sessions[row.pop("session_id")]
            run_id = row.pop("run_id")
            row["run"] = None if run_id is None else runs[run_id]
            row["start_time"] = row.pop("time")
            row["error"] = as_json(event.error) if event.error else None
            row["details"] = as_json(event.details)
            rows.append(row)
        self._insert(connection, schema.fits, ("fit_id",), rows)

    def _write_trials(self, connection: Connection, batch: Batch, runs: Mapping[str, int]) -> None:
        rows = (
            {
                "run": runs[run_id],
                "number": number,
                "fit_id": fit_id,
                "state": trial.state,
                "rank": trial.rank,
                "mean": None if trial.mean is None or isinstance(trial.mean, str) else trial.mean,
                "content": as_json(trial),
            }
            for (run_id, number), (trial, fit_id) in batch.trials.items()
        )
        self._insert(connection, schema.trials, ("run", "number"), rows)

    def _write_models(self, connection: Connection, batch: Batch, runs: Mapping[str, int]) -> None:
        rows = []
        for event in batch.models.values():
            row = msgspec.structs.asdict(event)
            row["run"] = runs[row.pop("run_id")]
            row["creation_time"] = row.pop("time")
            row["uri"] = kept_uri(self._location, event.uri)
            row["digest"] = clip(event.digest, 64)
            row["flavors"] = as_json(event.flavors)
            row["metadata"] = as_json(event.metadata)
            rows.append(row)
        keep_notes(connection, rows)
        self._insert(connection, schema.models, ("model_id",), rows)

    def _write_artifacts(self, connection: Connection, batch: Batch, runs: Mapping[str, int]) -> None:
        rows = (
            {
                "run": runs[run_id],
                "key": key,
                "path": event.path,
                "size": event.size,
                "digest": clip(event.digest, 64),
                "time": event.time,
            }
            for (run_id, key), event in batch.artifacts.items()
        )
        self._insert(connection, schema.artifacts, ("run", "key"), rows)


def _ids(connection: Connection, table: Table, key: str, names: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in chunks(names):
        rows = connection.execute(select(table.c.id, table.c[key]).where(table.c[key].in_(some)))
        found |= {name: identifier for identifier, name in rows}
    return found
