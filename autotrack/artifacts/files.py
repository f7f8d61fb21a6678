"""The files below one root: a folder, or any URL that fsspec knows."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from autotrack import console
from autotrack.artifacts.folder import LocalFiles
from autotrack.artifacts.paths import checked_path, is_local, is_unfinished, shown
from autotrack.artifacts.remote import RemoteFiles, failures
from autotrack.atomic import replacing
from autotrack.errors import ArtifactError
from autotrack.progress_bar import progress_bar
from autotrack.records import FileInfo
from autotrack.streams import blocks, sha256_of_bytes

BIG = 16 * 1024 * 1024
"""Bytes from which on a transfer shows its progress."""

_REMEDIES = {
    errno.ENOSPC: "make room there, or use another artifact root",
    errno.EDQUOT: "make room there, or use another artifact root",
    errno.EACCES: "see who may write and read there",
    errno.EPERM: "see who may write and read there",
    errno.EROFS: "use another artifact root",
    errno.ENAMETOOLONG: "use a shorter name",
}


class Stored(NamedTuple):
    """A file that was stored."""

    path: str
    size: int
    digest: str
    """sha256 of its content, hexadecimal."""


class Artifacts:
    """The files below one root.

    Args:
        root: A folder, a `file:` URL of one, or a URL that fsspec knows (`s3://bucket/x`, `memory://x`).
        show_progress: On a terminal, show how far big files have come.

    Raises:
        ArtifactError: The root is of no kind that is known, or what it needs is not installed.
    """

    def __init__(self, root: str, show_progress: bool = False) -> None:
        self.root = root
        self._show_progress = show_progress
        self._files: LocalFiles | RemoteFiles = LocalFiles(root) if is_local(root) else RemoteFiles(root)

    def _error(self, path: str, error: Exception) -> ArtifactError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        remedy = _REMEDIES.get(getattr(error, "errno", None) or 0)
        hint = f"; {remedy}" if remedy else ""
        return ArtifactError(f"artifact {path!r} below {shown(self.root)}: {reason}{hint}")

    def _placed(self, path: str) -> str:
        """Where a file is written that is to be stored under a path."""
        return path

    def put_bytes(self, path: str, data: bytes) -> Stored:
        """Store a file's content.

        Raises:
            ArtifactError: The path is refused, or the file cannot be written.
        """
        return self._put(path, [data])

    def put_all(
        self, folder: str, files: Mapping[str, bytes], digests: Mapping[str, str] | None = None
    ) -> list[Stored]:
        """Store several files of a folder; of a local folder that is not there yet they appear all together.

        Args:
            folder: Path of the folder.
            files: Contents by relative paths in it, in the order in which they are to appear else.
            digests: SHA-256 of those of which it is known already, by the same paths.

        Raises:
            ArtifactError: A path is refused, or a file cannot be written.
        """
        place = checked_path(self._placed(folder))
        checked = {checked_path(name): data for name, data in files.items()}
        try:
            together = bool(checked) and isinstance(self._files, LocalFiles) and self._files.add_folder(place, checked)
        except failures() as error:
            raise self._error(folder, error) from error
        if not together:
            return [self.put_bytes(f"{folder}/{name}", data) for name, data in checked.items()]
        known = digests or {}
        return [
            Stored(f"{place}/{name}", len(data), known.get(name) or sha256_of_bytes(data))
            for name, data in checked.items()
        ]

    def put_file(self, local: Path, path: str) -> Stored:
        """Store a copy of a local file.

        Raises:
            ArtifactError: The file cannot be read, the path is refused, or it cannot be written.
        """
        with self._progress("storing", _size_of(local)) as advance:
            return self._put_file(local, path, advance)

    def _put_file(self, local: Path, path: str, advance: Callable[[int], None]) -> Stored:
        try:
            source = open(local, "rb")  # noqa: SIM115 - what fails while it is open is another error
        except (OSError, ValueError) as error:
            raise ArtifactError(f"file {local}: {getattr(error, 'strerror', None) or error}") from error
        with source:
            return self._put(path, blocks(source), advance)

    def put_folder(self, local: Path, path: str = "") -> list[Stored]:
        """Store copies of all files of a local folder.

        Links are followed, those that lead back into the folder once; of those that lead out of it a line on stderr
        tells.

        Raises:
            ArtifactError: As for `put_file`.
        """
        if not local.is_dir():
            raise ArtifactError(f"folder {local}: there is no such folder")
        found = sorted(_files_below(local))
        _tell_of_links(local, [file for _, file in found])
        with self._progress("storing", sum(_size_of(file) for _, file in found)) as advance:
            return [self._put_file(file, posixpath.join(path, name), advance) for name, file in found]

    def _put(self, path: str, blocks: Iterable[bytes], advance: Callable[[int], None] = lambda count: None) -> Stored:
        checked = checked_path(self._placed(path))
        digest, size = hashlib.sha256(), 0
        try:
            with self._files.writer(checked) as out:
                for block in blocks:
                    out.write(block)
                    digest.update(block)
                    size += len(block)
                    advance(len(block))
        except failures() as error:
            raise self._error(path, error) from error
        return Stored(checked, size, digest.hexdigest())

    def _progress(self, what: str, size: int | None) -> Any:
        shows = self._show_progress and not console.silent and (size is None or size >= BIG)
        return progress_bar(f"autotrack: {what}", size) if shows else contextlib.nullcontext(lambda count: None)

    def read_bytes(self, path: str) -> bytes:
        """Content of a file.

        Raises:
            ArtifactError: There is no such file, or the path is refused.
        """
        try:
            return self._files.read(checked_path(path))
        except failures() as error:
            raise self._error(path, error) from error

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder.

        Raises:
            ArtifactError: The path is refused, or the storage cannot be reached.
        """
        checked = checked_path(path) if path else ""
        try:
            return self._files.exists(checked)
        except failures() as error:
            raise self._error(path, error) from error

    def list(self, path: str = "") -> list[FileInfo]:
        """Files and folders directly below a path, by name; empty where there is none.

        Raises:
            ArtifactError: The path is refused, the folder cannot be read, or holds a name that would lead out of it.
        """
        checked = checked_path(path) if path else ""
        try:
            entries = self._files.ls(checked) if self._files.isdir(checked) else []
        except failures() as error:
            raise self._error(path, error) from error
        found = (FileInfo(self._inside(checked, entry.name), entry.is_dir, entry.size) for entry in entries)
        return sorted((info for info in found if not is_unfinished(info.path)), key=lambda info: info.path)

    def _inside(self, folder: str, name: str) -> str:
        """The path of something that the storage says is in a folder."""
        if name in ("", ".", "..") or "/" in name or (os.name == "nt" and "\\" in name):
            where = posixpath.join(folder, name)
            raise ArtifactError(
                f"artifact {where!r} below {shown(self.root)}: a name that leads out of its folder; nothing is read "
                "there until it is renamed or removed in the storage"
            )
        return posixpath.join(folder, name)

    def remove(self, path: str) -> None:
        """Remove a file.

        Raises:
            ArtifactError: There is no such file, or the path is refused.
        """
        try:
            self._files.remove(checked_path(path))
        except failures() as error:
            raise self._error(path, error) from error

    def download(self, path: str, folder: Path) -> Path:
        """Copy a file or folder into a local folder. Each file is there whole, or not at all.

        Returns:
            Where it lies now.

        Raises:
            ArtifactError: There is no such thing, the path is refused, or it cannot be written.
        """
        checked = checked_path(path) if path else ""
        if not self.exists(checked):
            raise ArtifactError(f"artifact {path!r} below {shown(self.root)}: there is no such file or folder")
        try:
            if self._files.isdir(checked):
                folders, files = self._tree(checked)
            else:
                folders, files = [], [FileInfo(checked, False, self._size(checked))]
            for name in folders:
                (folder / name).mkdir(parents=True, exist_ok=True)
            with self._progress("downloading", sum(info.file_size or 0 for info in files)) as advance:
                for info in files:
                    self._fetch(info.path, folder / info.path, advance)
        except failures() as error:
            raise self._error(path, error) from error
        return folder / checked if checked else folder

    def _size(self, path: str) -> int | None:
        around = self.list(posixpath.dirname(path)) if self._show_progress else []
        return next((info.file_size for info in around if info.path == path), None)

    def _tree(self, path: str) -> tuple[Sequence[str], Sequence[FileInfo]]:
        """All folders and files below a path, whose names were checked; a link that leads back up is refused."""
        folders: list[str] = []
        files: list[FileInfo] = []
        waiting: list[tuple[str, frozenset[str]]] = [(path, frozenset())]
        while waiting:
            place, above = waiting.pop()
            identity = self._files.identity(place)
            if identity in above:
                raise ArtifactError(f"artifact {place!r} below {shown(self.root)}: a link leads back up; remove it")
            folders.append(place)
            for info in self.list(place):
                checked_path(info.path)
                if info.is_dir:
                    waiting.append((info.path, above | {identity}))
                else:
                    files.append(info)
        return folders, sorted(files, key=lambda info: info.path)

    def _fetch(self, path: str, target: Path, advance: Callable[[int], None]) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as draft:
            self._files.fetch(path, draft, advance)


def _size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except (OSError, ValueError):
        return 0


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """All files below a folder: their paths with `/`, and where they are."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        # A link that leads back up would never end.
        seen.add(os.path.realpath(place))
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(place, name)) not in seen]
        for name in names:
            file = Path(place, name)
            if file.is_file():
                yield file.relative_to(folder).as_posix(), file


def _tell_of_links(folder: Path, files: Iterable[Path]) -> None:
    """Say which files of a folder are in truth elsewhere: a copy of them is stored."""
    top = os.path.realpath(folder)
    outside = [(file, real) for file in files if not (real := os.path.realpath(file)).startswith(top + os.sep)]
    if outside:
        file, real = outside[0]
        more = f", and {len(outside) - 1} files more" if len(outside) > 1 else ""
        console.say(f"links lead out of {folder}: a copy of {real} is stored as {file.relative_to(folder)}{more}")
