"""What may go, and what must stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, exists, func, select

from autotrack import clock
from autotrack.artifacts import Artifacts
from autotrack.errors import ArtifactError, InvalidArgumentError, NotFoundError
from autotrack.maintenance.checks.files import is_shared, left_overs, unknown_folders, weight
from autotrack.maintenance.checks.processes import PURGING, is_alive
from autotrack.maintenance.places import is_local, place_of_model, run_roots, walk
from autotrack.store import schema
from autotrack.store.engine import Store
from autotrack.store.managing import experiment_key
from autotrack.store.places import full_uri
from autotrack.store.reading import Reader
from autotrack.tracking import ingest, liveness

PURGED = "purged-"
"""How the id of a run begins that is being removed: nobody finds it any more, and the next clean-up goes on with it."""

JOURNAL_AGE = 30 * 86_400_000
"""Milliseconds that the note of a journal is kept after the last sign of its process."""

_runs, _models, _versions = schema.runs.c, schema.models.c, schema.model_versions.c


class DoomedRun(NamedTuple):
    """A run that is to go."""

    key: int
    run_id: str
    """As it was; in the table it may begin with `PURGED` by now."""
    name: str
    uri: str
    """Of its files."""
    size: int


class DoomedPlace(NamedTuple):
    """A folder, or a model's directory, that is to go."""

    uri: str
    size: int


class Plan(NamedTuple):
    """All that is to go."""

    runs: list[DoomedRun]
    experiments: list[tuple[int, str]]
    """Primary keys and names."""
    models: list[DoomedPlace]
    folders: list[DoomedPlace]
    """Of runs that the store does not have, and left-overs of writing, which may be files."""
    journals: list[str]
    """Ids of journals that are in the tables and gone as files."""
    kept: list[str]
    """What was asked for, or is deleted, and has to stay: with the reason."""


def make_plan(reader: Reader, cutoff: int, run_ids: Sequence[str], experiments: Sequence[str]) -> Plan:
    """Look for what may go.

    Args:
        reader: The store, with all that is pending moved into it.
        cutoff: What was deleted later stays, ms since the epoch.
        run_ids: These runs alone; empty for all that are deleted.
        experiments: The runs of these experiments alone (names or ids), and they themselves.

    Raises:
        NotFoundError: There is no such run or experiment.
        InvalidArgumentError: A run that is named is not deleted.
    """
    store = reader.store
    kept: list[str] = []
    keys = [_experiment(store, name) for name in experiments]
    runs = list(_doomed_runs(store, cutoff, run_ids, keys, kept))
    everything = not run_ids and not keys
    with store.reading() as connection:
        doomed = {run.key for run in runs}
        gone = _doomed_experiments(connection, cutoff, keys, doomed) if everything or keys else []
        uris = _model_uris(connection, store, doomed)
    if is_shared(store.location) and uris:
        kept.append(f"{len(uris)} models: other stores keep theirs in the same folder, and may refer to these")
        uris = []
    return Plan(
        runs=runs,
        experiments=gone,
        models=[DoomedPlace(uri, size_of(uri)) for uri in uris],
        folders=_strays(store, {*uris, *(run.uri for run in runs)}) if everything else [],
        journals=_old_journals(reader) if everything else [],
        kept=kept,
    )


def _experiment(store: Store, name: str) -> int:
    table = schema.experiments.c
    with store.reading() as connection:
        by_name = connection.execute(select(table.id).where(table.name == name)).scalar()
        if by_name is not None:
            return int(by_name)
        by_id = connection.execute(select(table.id).where(table.id == experiment_key(name))).scalar()
    if by_id is None:
        raise NotFoundError("experiment", name)
    return int(by_id)


def _doomed_runs(
    store: Store, cutoff: int, run_ids: Sequence[str], experiments: Sequence[int], kept: list[str]
) -> Iterator[DoomedRun]:
    query = select(_runs.id, _runs.run_id, _runs.name, _runs.status, _runs.lifecycle, _runs.deleted_time)
    if run_ids:
        query = query.where(_runs.run_id.in_(list(run_ids)))
    else:
        query = query.where(_runs.lifecycle.in_(("deleted", PURGING)))
    if experiments:
        query = query.where(_runs.experiment.in_(list(experiments)))
    with store.reading() as connection:
        rows = connection.execute(query.order_by(_runs.id)).all()
        needed = _needed(connection)
    for missing in sorted(set(run_ids) - {row.run_id for row in rows}):
        raise NotFoundError("run", missing)
    roots = run_roots(store, [row.run_id for row in rows])
    for row in rows:
        if row.lifecycle == "active":
            raise InvalidArgumentError("run", row.run_id, "a deleted run; delete it first (delete_run)")
        if row.lifecycle == "deleted":  # else it is one whose removal broke off
            if (row.deleted_time or 0) > cutoff:
                continue
            reason = "it is being written" if row.status == "RUNNING" else needed.get(row.id)
            if reason:
                kept.append(f"run {row.run_id}: {reason}")
                continue
        run_id = row.run_id.removeprefix(PURGED) if row.lifecycle == PURGING else row.run_id
        uri = f"{roots[row.run_id].rpartition('/')[0]}/{run_id}"
        yield DoomedRun(row.id, run_id, row.name, uri, size_of(uri))


def _needed(connection: Connection) -> dict[int, str]:
    """Runs that versions of registered models are from, by primary key, each with a reason to stay."""
    names = schema.registered_models.c
    versions = select(names.name, _versions.version).join_from(
        schema.registered_models, schema.model_versions, names.id == _versions.model
    )
    by_run = versions.add_columns(_runs.id).join(schema.runs, _runs.run_id == _versions.run_id)
    by_model = versions.add_columns(_models.run).join(schema.models, _models.model_id == _versions.model_id)
    found: dict[int, str] = {}
    for query in (by_run, by_model):
        for name, version, key in connection.execute(query):
            found[key] = f"models:/{name}/{version} needs it"
    return found


def _doomed_experiments(
    connection: Connection, cutoff: int, keys: Sequence[int], runs: set[int]
) -> list[tuple[int, str]]:
    """Deleted experiments that have no run but those that go."""
    table = schema.experiments.c
    query = select(table.id, table.name).where(
        table.lifecycle == "deleted", table.id != schema.DEFAULT_EXPERIMENT_ID, table.last_update_time <= cutoff
    )
    if keys:
        query = query.where(table.id.in_(list(keys)))
    found = []
    for key, name in connection.execute(query.order_by(table.id)).all():
        of_it = set(connection.execute(select(_runs.id).where(_runs.experiment == key)).scalars())
        if of_it <= runs:
            found.append((int(key), str(name)))
    return found


def _model_uris(connection: Connection, store: Store, runs: set[int]) -> list[str]:
    """Directories of models that runs which go put out, and nobody else refers to."""
    going: set[str] = set()
    staying: set[str] = set()
    for run, uri in connection.execute(select(_models.run, _models.uri)):
        (going if run in runs else staying).add(full_uri(store.location, uri).rstrip("/"))
    sources = {full_uri(store.location, one) for one in connection.execute(select(_versions.source)).scalars()}
    return sorted(uri for uri in going - staying if not any(refers(source, uri) for source in sources))


def refers(source: str, uri: str) -> bool:
    """Whether what a registered version is made of lies in a model's directory."""
    return f"{source.rstrip('/')}/".startswith(f"{uri}/")


def _strays(store: Store, known: set[str]) -> list[DoomedPlace]:
    root = store.location.artifact_root
    if not is_local(root) or not Path(root).is_dir() or is_shared(store.location):
        return []
    found = unknown_folders(store, Path(root)) + left_overs(store, Path(root))
    # What is left over in a run's folder goes with it, where that goes.
    return [
        DoomedPlace(str(path), weight(path)[0]) for path in found if known.isdisjoint(map(str, (path, *path.parents)))
    ]


def _old_journals(reader: Reader) -> list[str]:
    """Notes of journals whose process was on this machine and is gone, and whose file is gone too."""
    # The file of another machine's journal may be there still, and would be moved a second time without its note.
    files = {path.stem for path in ingest.files(reader.store.location)}
    running = {info.journal_id for info in reader.journals(with_open_runs=True)}
    host = liveness.identity().host
    limit = clock.now() - JOURNAL_AGE
    return [
        info.journal_id
        for info in reader.journals()
        if info.journal_id not in files | running
        and info.host == host
        and info.heartbeat < limit
        and not is_alive(info)
    ]


def size_of(uri: str) -> int:
    """Bytes of the files below a folder or URL; 0 where it is not there."""
    if is_local(uri):
        return weight(Path(uri))[0] if Path(uri).is_dir() else 0
    place = place_of_model(uri)
    try:
        return sum(info.file_size or 0 for info in walk(Artifacts(place.root), place.folder))
    except ArtifactError:
        return 0


def is_referenced(store: Store, uri: str) -> bool:
    """Whether a logged model or a registered version lies in a directory, at this moment."""
    with store.reading() as connection:
        uris = connection.execute(select(_models.uri).union(select(_versions.source))).scalars()
        return any(refers(full_uri(store.location, one), uri) for one in uris)


def rows_of(connection: Connection, key: int) -> list[tuple[int, int]]:
    """The curves of a run: primary keys, and how many points they may have."""
    series, points = schema.metric_series.c, schema.metric_points.c
    query = (
        select(series.id, func.coalesce(func.max(points.idx) + 1, 0))
        .outerjoin(schema.metric_points, points.series == series.id)
        .where(series.run == key)
        .group_by(series.id)
        .order_by(series.id)
    )
    return [(int(one), int(count)) for one, count in connection.execute(query)]


def has_runs(experiment: Any) -> Any:
    """The condition that an experiment has runs."""
    return exists().where(_runs.experiment == experiment)
