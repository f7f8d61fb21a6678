"""What is changed in the store directly, not by way of a journal: experiments, deleting, ending what was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, select
from sqlalchemy.exc import IntegrityError

from autotrack import clock
from autotrack.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from autotrack.store import schema
from autotrack.store.engine import Store, retried
from autotrack.store.folding import clip
from autotrack.store.places import kept_uri


def experiment_key(experiment_id: str) -> int:
    """An experiment's primary key; one that no experiment has where the text is no number."""
    text = str(experiment_id)
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 19 else -1


@retried
def create_experiment(
    store: Store, name: str, artifact_location: str = "", tags: Mapping[str, str] | None = None
) -> str:
    """Make an experiment.

    Args:
        store: Where.
        name: 1 to 500 characters, not taken.
        artifact_location: Folder or URL for the files of its runs; empty for the store's own.
        tags: Its tags.

    Returns:
        Its id.

    Raises:
        AlreadyExistsError: There is one of that name, perhaps a deleted one.
        InvalidArgumentError: The name is empty or too long.
        StoreError: The store cannot be written.
    """
    _check_name(name)
    table = schema.experiments
    with store.transaction() as connection:
        _refuse_taken(connection, name)
        try:
            place = kept_uri(store.location, artifact_location.rstrip("/"))
            connection.execute(table.insert(), [new_experiment(name, clock.now(), place)])
        except IntegrityError:
            raise AlreadyExistsError("experiment", name) from None
        key = connection.execute(select(table.c.id).where(table.c.name == name)).scalar_one()
        for tag, value in (tags or {}).items():
            _set_tag(store, connection, key, tag, value)
    return str(key)


@retried
def ensure_experiment(store: Store, name: str) -> str:
    """Make an experiment unless there is one of that name, perhaps a deleted one; safe to call from many processes.

    Returns:
        Its id.

    Raises:
        InvalidArgumentError: The name is empty or too long.
        StoreError: The store cannot be written.
    """
    _check_name(name)
    table = schema.experiments
    query = select(table.c.id).where(table.c.name == name)
    with store.reading() as connection:
        key = connection.execute(query).scalar()
    if key is None:
        with store.transaction() as connection:
            row = new_experiment(name, clock.now())
            connection.execute(store.dialect.insert_missing(table, ("name",)), [row])
            key = connection.execute(query).scalar_one()
    return str(key)


def new_experiment(name: str, now: int, artifact_location: str = "") -> dict[str, Any]:
    """A row of `experiments`."""
    row = {"name": name, "artifact_location": artifact_location, "lifecycle": "active"}
    return {**row, "creation_time": now, "last_update_time": now}


@retried
def rename_experiment(store: Store, experiment_id: str, name: str) -> None:
    """Rename an experiment.

    Raises:
        NotFoundError: There is no such experiment.
        AlreadyExistsError: There is one of the new name.
        InvalidArgumentError: The name is empty or too long.
        StoreError: The store cannot be written.
    """
    _check_name(name)
    key = experiment_key(experiment_id)
    with store.transaction() as connection:
        _refuse_taken(connection, name, key)
        try:
            _change_experiment(connection, experiment_id, name=name, last_update_time=clock.now())
        except IntegrityError:
            raise AlreadyExistsError("experiment", name) from None


@retried
def delete_experiment(store: Store, experiment_id: str) -> None:
    """Mark an experiment and its active runs as deleted.

    Raises:
        NotFoundError: There is no such experiment.
        StoreError: The store cannot be written.
    """
    now, runs, key = clock.now(), schema.runs, experiment_key(experiment_id)
    with store.transaction() as connection:
        _change_experiment(connection, experiment_id, lifecycle="deleted", last_update_time=now)
        mine = (runs.c.experiment == key) & (runs.c.lifecycle == "active")
        connection.execute(runs.update().where(mine).values(lifecycle="deleted", deleted_time=now))


@retried
def restore_experiment(store: Store, experiment_id: str) -> None:
    """Bring a deleted experiment back, with the runs that were deleted together with it.

    Raises:
        NotFoundError: There is no such experiment.
        StoreError: The store cannot be written.
    """
    runs, experiments, key = schema.runs, schema.experiments, experiment_key(experiment_id)
    with store.transaction() as connection:
        query = select(experiments.c.last_update_time).where(
            experiments.c.id == key, experiments.c.lifecycle == "deleted"
        )
        deleted = connection.execute(query).scalar()
        _change_experiment(connection, experiment_id, lifecycle="active", last_update_time=clock.now())
        mine = (runs.c.experiment == key) & (runs.c.lifecycle == "deleted") & (runs.c.deleted_time == deleted)
        connection.execute(runs.update().where(mine).values(lifecycle="active", deleted_time=None))


@retried
def set_experiment_tag(store: Store, experiment_id: str, key: str, value: str) -> None:
    """Set a tag of an experiment.

    Raises:
        NotFoundError: There is no such experiment.
        StoreError: The store cannot be written.
    """
    experiment = experiment_key(experiment_id)
    with store.transaction() as connection:
        _change_experiment(connection, experiment_id, last_update_time=clock.now())
        _set_tag(store, connection, experiment, key, value)


@retried
def delete_experiment_tag(store: Store, experiment_id: str, key: str) -> None:
    """Remove a tag of an experiment.

    Raises:
        NotFoundError: There is no such experiment, or it has no such tag.
        StoreError: The store cannot be written.
    """
    tags, experiment = schema.experiment_tags, experiment_key(experiment_id)
    mine = (tags.c.experiment == experiment) & (tags.c.key == clip(key))
    with store.transaction() as connection:
        _change_experiment(connection, experiment_id, last_update_time=clock.now())
        _require(connection, "tag", key, mine, f"experiment {experiment_id} has other tags")
        connection.execute(tags.delete().where(mine))


def delete_run(store: Store, run_id: str) -> None:
    """Mark a run as deleted.

    Raises:
        NotFoundError: There is no such run.
        StoreError: The store cannot be written.
    """
    _change_run(store, run_id, lifecycle="deleted", deleted_time=clock.now())


def restore_run(store: Store, run_id: str) -> None:
    """Bring a deleted run back.

    Raises:
        NotFoundError: There is no such run.
        StoreError: The store cannot be written.
    """
    _change_run(store, run_id, lifecycle="active", deleted_time=None)


@retried
def finish_lost_runs(store: Store, journal_ids: Sequence[str]) -> list[str]:
    """End, as KILLED, the runs whose process is gone; each ends when its process was last known to be alive.

    Real events that come to light later still count: this is a guess, so it sets no time of its status.

    Args:
        store: Where.
        journal_ids: Journals of processes that are gone.

    Returns:
        Ids of the runs that were ended.

    Raises:
        StoreError: The store cannot be written.
    """
    runs, journals, fits = schema.runs, schema.journals, schema.fits
    query = (
        select(runs.c.id, runs.c.run_id, runs.c.start_time, journals.c.heartbeat)
        .join(journals, journals.c.journal_id == runs.c.journal_id)
        .where(runs.c.status == "RUNNING")
    )
    ended = []
    with store.transaction() as connection:
        for journal_id in journal_ids:
            for key, run_id, start, heartbeat in connection.execute(query.where(runs.c.journal_id == journal_id)).all():
                values = {"status": "KILLED", "end_time": max(start, heartbeat), "status_time": 0}
                connection.execute(runs.update().where(runs.c.id == key).values(values))
                running = (fits.c.run == key) & (fits.c.status == "RUNNING")
                connection.execute(fits.update().where(running).values(status="KILLED"))
                ended.append(run_id)
    return ended


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name or len(name) > schema.KEY_LENGTH:
        raise InvalidArgumentError("experiment name", name, f"text of 1 to {schema.KEY_LENGTH} characters")


def _refuse_taken(connection: Connection, name: str, own: int | None = None) -> None:
    table = schema.experiments
    row = connection.execute(select(table.c.id, table.c.lifecycle).where(table.c.name == name)).first()
    if row is not None and row.id != own:
        hint = f"it is deleted; restore it: restore_experiment('{row.id}')" if row.lifecycle == "deleted" else ""
        raise AlreadyExistsError("experiment", name, hint)


def _set_tag(store: Store, connection: Connection, experiment: int, key: str, value: str) -> None:
    row = {"experiment": experiment, "key": clip(key), "value": value}
    connection.execute(store.dialect.upsert(schema.experiment_tags, ("experiment", "key")), [row])


def _change_experiment(connection: Connection, experiment_id: str, **values: Any) -> None:
    table, key = schema.experiments, experiment_key(experiment_id)
    _require(connection, "experiment", str(experiment_id), table.c.id == key)
    connection.execute(table.update().where(table.c.id == key).values(values))


@retried
def _change_run(store: Store, run_id: str, **values: Any) -> None:
    table = schema.runs
    with store.transaction() as connection:
        _require(connection, "run", run_id, table.c.run_id == run_id)
        connection.execute(table.update().where(table.c.run_id == run_id).values(values))


def _require(connection: Connection, kind: str, key: str, condition: ColumnElement[bool], hint: str = "") -> None:
    # Not by the update's row count: MySQL does not count rows that were so already.
    if connection.execute(select(1).where(condition)).first() is None:
        raise NotFoundError(kind, key, hint)
