"""Files: those that the tables name, and those that they do not."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from autotrack.artifacts import Artifacts, checked_path
from autotrack.artifacts.paths import is_unfinished
from autotrack.errors import ArtifactError
from autotrack.maintenance.checks.findings import Finding
from autotrack.maintenance.places import MODELS, is_local, place_of_model, run_roots
from autotrack.store import schema
from autotrack.store.engine import Store
from autotrack.store.location import FILE_SUFFIXES, SQLITE, Location, sqlite_file
from autotrack.store.places import full_uri
from autotrack.streams import sha256_of
from autotrack.tracking import journal

YOUNG = 3600.0
"""Seconds: younger files may be of a run that is being written."""

PAGE = 500

RUN_ID = re.compile(r"[0-9a-f]{32}")


class Listed(NamedTuple):
    """A file as the tables have it."""

    run_id: str
    path: str
    size: int
    digest: str


def check_artifacts(store: Store, hashes: bool, checked: dict[str, int]) -> Iterator[Finding]:
    """Artifacts that are listed but missing, or other than they were."""
    checked["artifacts"] = 0
    for page in _pages(store):
        roots = run_roots(store, {listed.run_id for listed in page})
        for listed in page:
            checked["artifacts"] += 1
            problem = _problem(roots[listed.run_id], listed, hashes)
            if problem:
                remedy = "bring it back from a copy, or log it again"
                yield Finding("artifact", f"{listed.run_id}: {listed.path}", problem, remedy)


def _pages(store: Store) -> Iterator[list[Listed]]:
    artifacts, runs = schema.artifacts.c, schema.runs.c
    query = (
        select(artifacts.run, artifacts.key, runs.run_id, artifacts.path, artifacts.size, artifacts.digest)
        .join(schema.runs, runs.id == artifacts.run)
        .order_by(artifacts.run, artifacts.key)
        .limit(PAGE)
    )
    at: tuple[int, str] | None = None
    while True:
        later = query
        if at is not None:
            beyond = (artifacts.run > at[0]) | ((artifacts.run == at[0]) & (artifacts.key > at[1]))
            later = query.where(beyond)
        with store.reading() as connection:
            rows = connection.execute(later).all()
        if not rows:
            return
        at = (rows[-1].run, rows[-1].key)
        yield [Listed(*row[2:]) for row in rows]


def _problem(root: str, listed: Listed, hashes: bool) -> str:
    """What is wrong with a file; empty where nothing is."""
    try:
        if is_local(root):
            file = Path(root, checked_path(listed.path))
            return _difference(file, listed, hashes) if file.is_file() else "it is missing"
        return _remote_problem(Artifacts(root), listed, hashes)
    except (ArtifactError, OSError) as error:
        return f"it cannot be read: {error}"


def _remote_problem(artifacts: Artifacts, listed: Listed, hashes: bool) -> str:
    if not artifacts.exists(listed.path):
        return "it is missing"
    if not hashes:
        return ""
    scratch = Path(tempfile.mkdtemp(prefix="autotrack-"))
    try:
        return _difference(artifacts.download(listed.path, scratch), listed, hashes)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _difference(file: Path, listed: Listed, hashes: bool) -> str:
    size = file.stat().st_size
    if size != listed.size:
        return f"it has {size} bytes, it had {listed.size}"
    if hashes and len(listed.digest) == 64 and sha256_of(file) != listed.digest:
        return "its content has changed since it was logged"
    return ""


def check_models(store: Store, checked: dict[str, int]) -> Iterator[Finding]:
    """Models whose directory is gone; registered versions that need one are told with them."""
    models, runs = schema.models.c, schema.runs.c
    query = select(models.model_id, models.name, models.uri, runs.run_id).join(schema.runs, runs.id == models.run)
    with store.reading() as connection:
        rows = connection.execute(query.order_by(models.id)).all()
        versions = _versions(store)
    checked["models"] = len(rows)
    there: dict[str, bool] = {}
    for row in rows:
        uri = full_uri(store.location, row.uri)
        if uri not in there:
            there[uri] = _has_model(uri)
        if not there[uri]:
            needed = f"; {', '.join(versions[row.model_id])} needs it" if row.model_id in versions else ""
            problem = f"{uri} has no MLmodel{needed}"
            remedy = "bring the directory back from a copy, or import the run from an archive"
            yield Finding("model", f"{row.run_id}: {row.name}", problem, remedy)


def _versions(store: Store) -> dict[str, list[str]]:
    """Versions of registered models by the id of the logged model that they are."""
    versions, models = schema.model_versions.c, schema.registered_models.c
    query = select(versions.model_id, models.name, versions.version).join(
        schema.registered_models, models.id == versions.model
    )
    found: dict[str, list[str]] = {}
    with store.reading() as connection:
        for model_id, name, version in connection.execute(query.where(versions.model_id.is_not(None))):
            found.setdefault(model_id, []).append(f"models:/{name}/{version}")
    return found


def _has_model(uri: str) -> bool:
    place = place_of_model(uri)
    try:
        return Artifacts(place.root).exists(f"{place.folder}/MLmodel")
    except ArtifactError:
        return False


def check_strays(store: Store) -> Iterator[Finding]:
    """Files below the store's own folder that no row names; on remote storage nobody looks for them."""
    root = store.location.artifact_root
    if not is_local(root) or not Path(root).is_dir() or is_shared(store.location):
        return
    for folder in unknown_folders(store, Path(root)):
        size, count = weight(folder)
        problem = f"{count} files, {size} bytes, of a run or model that the store does not have"
        yield Finding("files", str(folder), problem, "remove them: autotrack gc --yes")
    unfinished = set(left_overs(store, Path(root)))
    for path in sorted(unfinished):
        problem = f"{weight(path)[0]} bytes, left over by a process that died while it wrote them"
        yield Finding("files", str(path), problem, "remove them: autotrack gc --yes")
    known = _runs_below(store, Path(root))
    for run_id, paths in _named(store, known):
        folder = Path(root, run_id)
        unnamed = (path for path in _old_files(folder) if path not in paths)
        extra = [path for path in unnamed if unfinished.isdisjoint((folder / path, *(folder / path).parents))]
        if extra:
            shown = ", ".join(extra[:3]) + (", ..." if len(extra) > 3 else "")
            problem = f"{len(extra)} files that no row names: {shown}"
            yield Finding("files", str(Path(root, run_id)), problem, "log them (log_artifact), or remove them by hand")


def is_shared(location: Location) -> bool:
    """Whether other stores keep their files below the same root, whose runs this one does not know."""
    if sqlite_file(location.url) is None:
        return True  # a server's files lie in the folder of the project, as those of its SQLite store do
    if sum(path.suffix in FILE_SUFFIXES for path in location.folder.iterdir()) > 1:
        return True
    beside = location.journal_folder.parent
    others = (path / journal.STORE_FILE for path in beside.iterdir()) if beside.is_dir() else ()
    # A SQLite store's other name is that of the place where its folder was before.
    return any(path.is_file() and not path.read_text("utf-8").startswith(SQLITE) for path in others)


def unknown_folders(store: Store, root: Path, now: float | None = None) -> list[Path]:
    """Folders of runs and models that the store does not have, left-overs of writing too, where none of it is young."""
    runs = {folder.name: folder for folder in _folders(root) if RUN_ID.fullmatch(folder.name)}
    models = {folder.name: folder for folder in _folders(root / MODELS)}
    used = referenced_models(store, models.keys())
    known = run_roots(store, runs)
    lost = [folder for name, folder in runs.items() if name not in known]
    lost += [folder for name, folder in models.items() if name not in used]
    return sorted(folder for folder in lost if not is_young(folder, now))


def left_overs(store: Store, root: Path, now: float | None = None) -> list[Path]:
    """Files and folders, in those of runs that the store has, that were being written when a process died.

    Nobody sees them (`Artifacts.list` leaves them out), and no process goes on with them: each writes its own.
    """
    runs = (root / run_id for run_id in _runs_below(store, root))
    found = {path for folder in runs for path in folder.rglob(".*.part") if is_unfinished(path.name)}
    return sorted(path for path in found if found.isdisjoint(path.parents) and not is_young(path, now))


def referenced_models(store: Store, names: Iterable[str]) -> set[str]:
    """Those of the directories of models that a logged model or a registered version refers to."""
    wanted = set(names)
    uris: set[str] = set()
    if wanted:
        with store.reading() as connection:
            uris.update(connection.execute(select(schema.models.c.uri)).scalars())
            uris.update(connection.execute(select(schema.model_versions.c.source)).scalars())
    # A source may name a file in the directory, or the directory with a slash behind it.
    return {part for uri in uris for part in uri.split("/") if part in wanted}


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return [entry for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink()]


def _runs_below(store: Store, root: Path) -> list[str]:
    names = [folder.name for folder in _folders(root) if RUN_ID.fullmatch(folder.name)]
    return sorted(run_roots(store, names))


def _named(store: Store, run_ids: list[str]) -> Iterator[tuple[str, set[str]]]:
    artifacts, runs = schema.artifacts.c, schema.runs.c
    query = select(artifacts.path).join(schema.runs, runs.id == artifacts.run)
    for run_id in run_ids:
        with store.reading() as connection:
            yield run_id, set(connection.execute(query.where(runs.run_id == run_id)).scalars())


def _old_files(folder: Path) -> list[str]:
    limit = time.time() - YOUNG
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_mtime < limit)
    return [path.relative_to(folder).as_posix() for path in found]


def is_young(folder: Path, now: float | None = None) -> bool:
    """Whether anything in a folder was written within the last hour."""
    limit = (time.time() if now is None else now) - YOUNG
    return any(path.lstat().st_mtime > limit for path in (folder, *folder.rglob("*")))


def weight(path: Path) -> tuple[int, int]:
    """Bytes and number of the files below a folder; of a file, its own."""
    below = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    sizes = [one.lstat().st_size for one in below if not one.is_dir() or one.is_symlink()]
    return sum(sizes), len(sizes)
