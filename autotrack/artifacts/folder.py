"""Files below a local folder. Not by fsspec: a plain folder does not pay for importing it.

No link leads out of the folder: what it leads to is neither read nor written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, NamedTuple, TypeVar

from autotrack.artifacts.paths import IS_FOLDER, folder_of
from autotrack.atomic import replacing
from autotrack.errors import ArtifactError
from autotrack.streams import blocks

T = TypeVar("T")


class Entry(NamedTuple):
    """What a folder holds."""

    name: str
    is_dir: bool
    size: int | None
    """In bytes; None for folders, and where nobody knows."""


class LocalFiles:
    """Files below a folder, by relative paths that were checked.

    Args:
        root: A path, or a `file:` URL.
    """

    def __init__(self, root: str) -> None:
        self._base = folder_of(root)

    def _at(self, path: str) -> str:
        """The absolute path.

        Raises:
            ArtifactError: A link leads out of the folder.
        """
        at = os.path.join(self._base, path) if path else self._base
        if path and self._passes_link(path) and not self._is_inside(at):
            raise ArtifactError(
                f"artifact {path!r} below {self._base}: a link leads out of the folder, to {os.path.realpath(at)}; "
                "remove the link, or put a copy of what it leads to in its place"
            )
        return at

    def _passes_link(self, path: str) -> bool:
        """Whether any part of a path may be a link: mostly none is, and to look is cheaper than to resolve them all."""
        if os.name == "nt":  # where folders can lead elsewhere in other ways, too
            return True
        at = self._base
        for part in path.split("/"):
            at = os.path.join(at, part)
            if os.path.islink(at):
                return True
        return False

    def _is_inside(self, at: str) -> bool:
        root, real = os.path.realpath(self._base), os.path.realpath(at)
        return real == root or real.startswith(root.rstrip(os.sep) + os.sep)

    def identity(self, path: str) -> str:
        """What a folder is known by, whatever links lead to it."""
        return os.path.realpath(self._at(path))

    def isdir(self, path: str) -> bool:
        """Whether there is a folder."""
        return os.path.isdir(self._at(path))

    def exists(self, path: str) -> bool:
        """Whether there is anything."""
        return os.path.exists(os.path.join(self._base, path)) and os.path.exists(self._at(path))

    @contextmanager
    def writer(self, path: str) -> Iterator[IO[bytes]]:
        """A file that appears when the block ends, and not at all where it fails."""
        target = self._at(path)
        if os.path.isdir(target):
            raise IsADirectoryError(None, IS_FOLDER)
        with replacing(target) as draft, _made(draft, lambda: open(draft, "wb")) as out:
            yield out

    def add_folder(self, path: str, files: Mapping[str, bytes]) -> bool:
        """Make a folder that appears with all its files in it; False, and nothing is done, where there is one.

        Few calls of the system's: with each the interpreter is let go of, and a training that waits for it woken up.

        Args:
            path: The folder.
            files: Contents, of one file at least, by relative paths in it that were checked.
        """
        target = self._at(path)
        if os.path.lexists(target):
            return False
        try:
            with replacing(target) as draft:
                for name, data in files.items():
                    _write_new(os.path.join(draft, name), data)
        except OSError:
            if os.path.isdir(target):  # another process was faster
                return False
            raise
        return True

    def read(self, path: str) -> bytes:
        """A file's content."""
        with open(self._at(path), "rb") as source:
            return source.read()

    def fetch(self, path: str, local: str, on_bytes: Callable[[int], None]) -> None:
        """Copy a file's content to a local path."""
        with open(self._at(path), "rb") as source, open(local, "wb") as out:
            for block in blocks(source):
                out.write(block)
                on_bytes(len(block))

    def remove(self, path: str) -> None:
        """Remove a file."""
        os.remove(self._at(path))

    def ls(self, path: str) -> list[Entry]:
        """What is directly in a folder; a link counts as what it leads to, unless that lies outside."""
        with os.scandir(self._at(path)) as entries:
            return [self._entry(entry) for entry in entries]

    def _entry(self, entry: os.DirEntry[str]) -> Entry:
        if entry.is_symlink() and not self._is_inside(entry.path):
            return Entry(entry.name, False, None)
        if entry.is_dir():
            return Entry(entry.name, True, None)
        try:
            return Entry(entry.name, False, entry.stat().st_size)
        except OSError:  # a link that leads nowhere
            return Entry(entry.name, False, None)


def _write_new(file: str, data: bytes) -> None:
    """A new file with this content."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = _made(file, lambda: os.open(file, flags, 0o666))
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def _made(file: str, make: Callable[[], T]) -> T:
    """Make a file, and the folders that lead to it; mostly they are there."""
    try:
        return make()
    except FileNotFoundError:
        os.makedirs(os.path.dirname(file), exist_ok=True)
        return make()
