"""Smaller questions to the store: sessions, runs that hold a file, children of a run."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from autotrack import records
from autotrack.store import loading, schema
from autotrack.store.engine import Store
from autotrack.store.filters import Field, Vocabulary
from autotrack.store.folding import clip
from autotrack.store.managing import experiment_key
from autotrack.store.ordering import Part, Search

_runs, _sessions = schema.runs.c, schema.sessions.c


def sessions(
    store: Store, filter_string: str, max_results: int, order_by: Sequence[str], page_token: str | None
) -> records.Page[records.Session]:
    """Sessions that a filter matches, the newest first unless `order_by` says otherwise.

    Args:
        store: Where.
        filter_string: Names `session_id`, `start_time`, `host`, `pid`, `user`, `program` and `cwd`.
        max_results: Sessions in a page.
        order_by: Clauses such as "host".
        page_token: The `token` of the page before.

    Raises:
        FilterSyntaxError: The filter or the order does not parse.
        InvalidArgumentError: `max_results` is not usable, or the token is of another search.
        StoreError: The store cannot be read.
    """
    texts = {"session_id": "session_id", "host": "host", "user": "user_id", "program": "program", "cwd": "cwd"}
    fields = {name: Field(_sessions[column]) for name, column in texts.items()}
    fields |= {name: Field(_sessions[name], is_number=True) for name in ("start_time", "pid")}
    vocabulary = Vocabulary(_sessions.id, fields, {"id": "session_id", "created": "start_time"}, {})
    default = (Part(_sessions.start_time, True), Part(_sessions.id, True))
    search = Search(filter_string, tuple(order_by), max_results, page_token, "sessions")
    environments = schema.environments
    rows = select(schema.sessions, environments.c.digest).outerjoin(
        environments, environments.c.id == _sessions.environment
    )
    with store.reading() as connection:
        keys, token = search.find(connection, store.dialect, vocabulary, default, ())
        found = {row.id: row for row in connection.execute(rows.where(_sessions.id.in_(keys)))} if keys else {}
    with store.translated():
        return records.Page([loading.session(found[key]) for key in keys], token)


def runs_with_artifact(
    store: Store, path: str, experiment_id: str | None = None, run_ids: Sequence[str] | None = None
) -> list[str]:
    """Ids of runs that are not deleted and hold a file, the oldest first.

    Args:
        store: Where.
        path: The file's path among a run's artifacts.
        experiment_id: Only runs of this experiment.
        run_ids: Only these runs.

    Raises:
        StoreError: The store cannot be read.
    """
    files = schema.artifacts.c
    query = (
        select(_runs.run_id)
        .join_from(schema.artifacts, schema.runs, _runs.id == files.run)
        .where(files.key == clip(path), _runs.lifecycle == "active")
        .order_by(_runs.start_time, _runs.id)
    )
    if experiment_id is not None:
        query = query.where(_runs.experiment == experiment_key(experiment_id))
    with store.reading() as connection:
        found = [str(run_id) for run_id in connection.execute(query).scalars()]
    return found if run_ids is None else [run_id for run_id in found if run_id in set(run_ids)]


def promoted_trial(store: Store, run_id: str, tag: str, number: int) -> str | None:
    """Id of the run that a trial of a run was promoted to and that is not deleted; None where it was not.

    Args:
        store: Where.
        run_id: The search's run.
        tag: The tag of the promoted run that has the trial's number.
        number: The trial's number.

    Raises:
        StoreError: The store cannot be read.
    """
    tags = schema.tags.c
    mine = (_runs.parent_run_id == run_id) & (_runs.lifecycle == "active")
    query = (
        select(_runs.run_id)
        .join_from(schema.runs, schema.tags, tags.run == _runs.id)
        .where(mine, tags.key == tag, tags.value == str(number))
        .order_by(_runs.id)
    )
    with store.reading() as connection:
        found = connection.execute(query).scalars().first()
    return None if found is None else str(found)
