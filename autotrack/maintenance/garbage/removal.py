"""Removing what a plan names. Rows are marked first, then files go, then the rows: whatever is interrupted goes on."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from autotrack.artifacts.remote import failures
from autotrack.errors import ArtifactError
from autotrack.maintenance.checks.processes import PURGING, is_alive
from autotrack.maintenance.garbage.plan import PURGED, DoomedPlace, DoomedRun, has_runs, is_referenced, rows_of
from autotrack.maintenance.places import is_local
from autotrack.store import schema
from autotrack.store.curves import chunks
from autotrack.store.engine import Store, retried
from autotrack.store.reading import Reader
from autotrack.tracking import ingest

POINTS = 20_000
"""Points that are deleted in one transaction, about."""

GRACE = 2.0
"""Seconds between putting a model aside and removing it, where other processes record: one may be about to name it."""

_ASIDE = ".gc-"


@retried
def mark(store: Store, run: DoomedRun) -> bool:
    """Take a run out of everyone's sight; False where it was restored, resumed or removed meanwhile."""
    runs = schema.runs
    doomed = (runs.c.id == run.key) & (runs.c.lifecycle == "deleted") & (runs.c.status != "RUNNING")
    with store.transaction() as connection:
        connection.execute(runs.update().where(doomed).values(lifecycle=PURGING, run_id=PURGED + run.run_id))
        marked = (runs.c.id == run.key) & (runs.c.lifecycle == PURGING)
        return connection.execute(runs.select().where(marked)).first() is not None


def remove_run(store: Store, run: DoomedRun) -> None:
    """Remove a run that is marked: its points in batches, its files, then the rest of its rows.

    Raises:
        ArtifactError: Its files cannot be removed.
    """
    with store.reading() as connection:
        curves = rows_of(connection, run.key)
    for piece in _pieces(curves):
        _remove_points(store, piece)
    remove_tree(run.uri)
    _remove_row(store, run.key)


def _pieces(curves: list[tuple[int, int]]) -> Iterator[list[tuple[int, int, int]]]:
    """Ranges of points, about `POINTS` together."""
    piece: list[tuple[int, int, int]] = []
    weight = 0
    for series, count in curves:
        for start in range(0, count, POINTS):
            end = min(count, start + POINTS)
            piece.append((series, start, end))
            weight += end - start
            if weight >= POINTS:
                yield piece
                piece, weight = [], 0
    if piece:
        yield piece


@retried
def _remove_points(store: Store, piece: list[tuple[int, int, int]]) -> None:
    points = schema.metric_points
    with store.transaction() as connection:
        for series, start, end in piece:
            mine = (points.c.series == series) & (points.c.idx >= start) & (points.c.idx < end)
            connection.execute(points.delete().where(mine))


@retried
def _remove_row(store: Store, key: int) -> None:
    with store.transaction() as connection:
        connection.execute(schema.runs.delete().where(schema.runs.c.id == key, schema.runs.c.lifecycle == PURGING))


@retried
def remove_experiment(store: Store, key: int) -> bool:
    """Remove an experiment that is deleted and empty; False where it is not any more."""
    table = schema.experiments
    doomed = (table.c.id == key) & (table.c.lifecycle == "deleted") & ~has_runs(table.c.id)
    with store.transaction() as connection:
        connection.execute(table.delete().where(doomed))
        return connection.execute(table.select().where(table.c.id == key)).first() is None


@retried
def remove_journals(store: Store, journal_ids: list[str]) -> None:
    """Remove notes of journals."""
    table = schema.journals
    with store.transaction() as connection:
        for some in chunks(journal_ids):
            connection.execute(table.delete().where(table.c.journal_id.in_(some)))


def remove_models(reader: Reader, places: list[DoomedPlace]) -> list[DoomedPlace]:
    """Remove directories of models that nobody refers to, also not in what is pending.

    On local disks a directory is put aside first: a process that looks for an equal model from then on stores its
    own, and what one named shortly before is in its journal by the time that the tables are asked again.

    Returns:
        Those that were removed.

    Raises:
        ArtifactError: One cannot be removed.
    """
    store = reader.store
    aside = {place: _put_aside(place.uri) for place in places}
    if any(is_alive(info) for info in reader.journals()):
        time.sleep(GRACE)
    ingest.ingest_pending(store, store.location)
    removed = []
    for place, now_at in aside.items():
        if is_referenced(store, place.uri):
            _put_back(now_at, place.uri)
        else:
            remove_tree(now_at)
            removed.append(place)
    return removed


def _put_aside(uri: str) -> str:
    """Rename a local directory; where it is now."""
    if not is_local(uri) or not os.path.isdir(uri):
        return uri
    folder = Path(uri)
    target = folder.with_name(f"{_ASIDE}{folder.name}")
    if target.exists():  # an interrupted clean-up has left it, and the same model has been stored again since
        shutil.rmtree(target, ignore_errors=True)
    os.rename(folder, target)
    return str(target)


def _put_back(aside: str, uri: str) -> None:
    if aside == uri:
        return
    if os.path.isdir(uri):  # stored again meanwhile: equal content
        remove_tree(aside)
    else:
        os.rename(aside, uri)


def put_back_interrupted(root: Path) -> None:
    """Bring back what an interrupted clean-up had put aside: this one decides anew."""
    if root.is_dir():
        for folder in root.glob(f"{_ASIDE}*"):
            _put_back(str(folder), str(folder.with_name(folder.name.removeprefix(_ASIDE))))


def remove_tree(uri: str) -> None:
    """Remove a folder with all that is in it; one that is not there is fine. Links are removed, not followed.

    Raises:
        ArtifactError: It cannot be removed.
    """
    try:
        if not is_local(uri):
            _remove_remote(uri)
        elif os.path.isdir(uri) and not os.path.islink(uri):
            shutil.rmtree(uri)
        elif os.path.lexists(uri):
            os.unlink(uri)
    except FileNotFoundError:
        return  # another clean-up was faster
    except failures() as error:
        raise _refused(uri, error) from error


def _remove_remote(uri: str) -> None:
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        raise _refused(uri, error) from error
    if system.exists(path):
        system.rm(path, recursive=True)


def _refused(uri: str, error: Exception) -> ArtifactError:
    return ArtifactError(f"{uri}: it cannot be removed: {error}; the next autotrack gc goes on with it")
