"""Files over the bridge: whole folders, without doubling what lies on the same disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from autotrack.artifacts import Artifacts, checked_path
from autotrack.errors import ArtifactError
from autotrack.records import FileInfo


def local_folder(uri: str) -> Path | None:
    """The local folder that an artifact URI names; None for a URL of anything else."""
    if uri.startswith("file:"):
        return Path(unquote(urlsplit(uri).path))
    return None if "://" in uri or uri.startswith("mlflow-artifacts:") else Path(uri)


def file_uri(root: str) -> str:
    """A folder as a `file:` URL, as MLflow writes it; a URL as it is."""
    folder = local_folder(root)
    return root.rstrip("/") if folder is None else Path(os.path.abspath(folder)).as_uri()


def walk(files: Artifacts, path: str = "") -> Iterator[FileInfo]:
    """All files below a path."""
    for info in files.list(path):
        if info.is_dir:
            yield from walk(files, info.path)
        else:
            yield info


def copy_missing(source: str, target: str, below: str = "") -> int:
    """Bring all files of a folder below another one; those that are there with the same size are passed over.

    On one disk files are linked, not copied: autotrack replaces files, it never writes into them.

    Args:
        source: Folder or URL.
        target: The same.
        below: Path below the target.

    Returns:
        How many files were brought.

    Raises:
        ArtifactError: A file cannot be read or written.
    """
    origin, goal = Artifacts(source), Artifacts(target)
    count = 0
    for info in walk(origin):
        place = f"{below}/{info.path}" if below else info.path
        if size_of(goal, place) != info.file_size:
            _bring(origin, info.path, goal, place)
            count += 1
    return count


def put_missing(target: str, files: dict[str, bytes]) -> int:
    """Write files that are not there, or differ.

    Returns:
        How many.

    Raises:
        ArtifactError: A file cannot be written.
    """
    goal = Artifacts(target)
    missing = [path for path, data in files.items() if not goal.exists(path) or goal.read_bytes(path) != data]
    for path in missing:
        goal.put_bytes(path, files[path])
    return len(missing)


def size_of(files: Artifacts, path: str) -> int | None:
    """Bytes of a file; None where there is none."""
    folder, _, _ = path.rpartition("/")
    if folder and not files.exists(folder):
        return None
    return next((info.file_size for info in files.list(folder) if info.path == path and not info.is_dir), None)


def _bring(origin: Artifacts, path: str, goal: Artifacts, place: str) -> None:
    here, there = local_folder(origin.root), local_folder(goal.root)
    if here is not None and there is not None and _linked(here / path, there / checked_path(place)):
        return
    if here is not None:
        goal.put_file(here / path, place)
        return
    with tempfile.TemporaryDirectory(prefix="autotrack-") as folder:
        goal.put_file(origin.download(path, Path(folder)), place)


def _linked(file: Path, target: Path) -> bool:
    """Make a hard link; False where the file system has none, or this is another one."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        os.link(file, target)
    except OSError:
        return False
    return True


@contextmanager
def as_local(uri: str) -> Iterator[Path]:
    """A local folder with the files of a folder or URL; a copy of a remote one is gone afterwards.

    Raises:
        ArtifactError: It cannot be read.
    """
    folder = local_folder(uri)
    if folder is not None:
        if not folder.is_dir():
            raise ArtifactError(f"folder {folder}: there is no such folder")
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="autotrack-") as place:
        yield Artifacts(uri).download("", Path(place))


class Places:
    """Where an MLflow database says that files are, as this machine finds them.

    Args:
        proxied: Folder or URL of what the database calls `mlflow-artifacts:`; empty where that is not known.
        file: The SQLite file, beside which relative paths are looked for too.
    """

    def __init__(self, proxied: str, file: Path | None) -> None:
        self._proxied = proxied
        self._file = file

    @contextmanager
    def fetched(self, uri: str, remarks: list[str]) -> Iterator[Path | None]:
        """A local folder with the files of an artifact URI; None where there are none, or they cannot be had."""
        place = self._place(uri)
        folder = None if place is None else local_folder(place)
        if place is None:
            hint = f"{uri.partition(':')[0]}: files are known to the server alone: pull from it by http"
            if hint not in remarks:
                remarks.append(hint)
            yield None
        elif folder is not None:
            yield folder if folder.is_dir() else None
        else:
            with as_local(place) as copy:
                yield copy

    def _place(self, uri: str) -> str | None:
        if uri.startswith("mlflow-artifacts:"):
            path = urlsplit(uri).path.lstrip("/")
            return f"{self._proxied}/{path}" if self._proxied else None
        folder = local_folder(uri)
        if folder is not None and not folder.is_absolute() and self._file is not None and not folder.is_dir():
            return str(self._file.parent / folder)
        return uri
