"""Files on what fsspec reaches: S3, Google Cloud Storage, Azure, SFTP, memory and all else that it knows."""

from __future__ import annotations

import contextlib
import posixpath
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from autotrack.artifacts.folder import Entry
from autotrack.artifacts.paths import IS_FOLDER, shown
from autotrack.errors import ArtifactError

UPLOADS_WHOLE = {"s3", "s3a", "gs", "gcs"}
"""Protocols whose upload can be completed, or thrown away, at its end: no temporary name, no copy on the server."""

_VERSION = "?versionId="
"""What the client of S3 takes for a part of the address."""

_PACKAGES = {
    "s3": "autotrack[s3]",
    "s3a": "autotrack[s3]",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
}

_FAILURES = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
    ("fsspec.exceptions", "FSTimeoutError"),
    ("asyncio", "TimeoutError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("azure.core.exceptions", "AzureError"),
    ("paramiko", "SSHException"),
    ("requests", "RequestException"),
)
"""What clients of storage raise beside OSError."""


def failures() -> tuple[type[Exception], ...]:
    """The errors by which storage says that it failed; of the clients that are loaded."""
    loaded = ((sys.modules.get(module), name) for module, name in _FAILURES)
    found = (getattr(module, name, None) for module, name in loaded if module is not None)
    # ValueError: of names that cannot be written in UTF-8, and of values that the far side refuses.
    return (OSError, ValueError, *(kind for kind in found if isinstance(kind, type)))


class RemoteFiles:
    """Files below a URL, by relative paths that were checked.

    Args:
        root: The URL. Credentials and other options are fsspec's and its clients' own to find.

    Raises:
        ArtifactError: The URL is of no kind that is known, or what it needs is not installed.
    """

    def __init__(self, root: str) -> None:
        import fsspec

        protocol = root.partition("://")[0]
        try:
            self._fs, self._base = fsspec.core.url_to_fs(root)
        except ImportError as error:
            package = _PACKAGES.get(protocol)
            hint = f"; install it with: pip install '{package}'" if package else ""
            raise ArtifactError(f"artifact root {shown(root)}: {error}{hint}") from error
        except failures() as error:
            raise ArtifactError(f"artifact root {shown(root)}: {error}") from error
        self._root = root
        self._uploads_whole = protocol in UPLOADS_WHOLE
        self._knows_versions = protocol in ("s3", "s3a")

    def _at(self, path: str) -> str:
        """The path as the filesystem has it; what was known of it is forgotten, since others write there too."""
        if self._knows_versions and _VERSION in path:
            raise ArtifactError(
                f"artifact path {path!r} below {shown(self._root)}: what follows {_VERSION!r} would be taken for a "
                "version's number; use another name"
            )
        at = posixpath.join(self._base, path) if path else str(self._base)
        self._fs.invalidate_cache(at)
        return at

    def identity(self, path: str) -> str:
        """What a folder is known by."""
        return path

    def isdir(self, path: str) -> bool:
        """Whether there is a folder."""
        return bool(self._fs.isdir(self._at(path)))

    def exists(self, path: str) -> bool:
        """Whether there is anything."""
        return bool(self._fs.exists(self._at(path)))

    @contextmanager
    def writer(self, path: str) -> Iterator[IO[bytes]]:
        """A file that appears when the block ends, and not at all where it fails."""
        if self.isdir(path):
            raise IsADirectoryError(None, IS_FOLDER)
        for above in _folders_above(path):
            if self._fs.isfile(self._at(above)):
                raise NotADirectoryError(None, f"{above!r} is a file, and no folder")
        with self._upload(self._at(path)) if self._uploads_whole else self._renamed(self._at(path)) as out:
            yield out

    @contextmanager
    def _upload(self, target: str) -> Iterator[IO[bytes]]:
        out = self._fs.open(target, "wb", autocommit=False)
        with contextlib.ExitStack() as undoing:
            undoing.callback(_discard, out)
            yield out
            out.close()
            out.commit()
            undoing.pop_all()

    @contextmanager
    def _renamed(self, target: str) -> Iterator[IO[bytes]]:
        folder = posixpath.dirname(target)
        temporary = posixpath.join(folder, f".{uuid.uuid4().hex}.part")
        self._fs.makedirs(folder, exist_ok=True)
        with contextlib.ExitStack() as undoing:
            undoing.callback(self._give_up, temporary)
            with self._fs.open(temporary, "wb") as out:
                yield out
            self._move(temporary, target)
            undoing.pop_all()

    def _give_up(self, temporary: str) -> None:
        with contextlib.suppress(*failures()):
            self._fs.rm_file(temporary)

    def _move(self, temporary: str, target: str) -> None:
        import fsspec

        if type(self._fs).mv is fsspec.AbstractFileSystem.mv:  # that one takes `[x]` and `*` for patterns
            self._fs.cp_file(temporary, target)
            self._fs.rm_file(temporary)
        else:
            self._fs.mv(temporary, target)

    def read(self, path: str) -> bytes:
        """A file's content, by one request: another writer may replace the file at any moment."""
        data: bytes = self._fs.cat_file(self._at(path))
        return data

    def fetch(self, path: str, local: str, on_bytes: Callable[[int], None]) -> None:
        """Copy a file's content to a local path."""
        self._fs.get_file(self._at(path), local, callback=_callback(on_bytes))

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._fs.rm_file(self._at(path))

    def ls(self, path: str) -> list[Entry]:
        """What is directly in a folder. The names are the far side's: they were not checked."""
        at = self._at(path)
        found = ((self._name(str(row["name"]), at), row) for row in self._fs.ls(at, detail=True))
        return [
            Entry(name, row["type"] == "directory", _size(row))
            for name, row in found
            if name  # without: the mark that some consoles leave for a folder
        ]

    def _name(self, full: str, folder: str) -> str:
        """What stands behind the folder in an entry's full name."""
        prefix = folder.rstrip("/") + "/"
        name = full[len(prefix) :] if full.startswith(prefix) else posixpath.basename(full.rstrip("/"))
        return name.rstrip("/")


def _discard(out: Any) -> None:
    """Give an upload up: nothing of it appears."""
    with contextlib.suppress(*failures()):
        out.discard()
    out.closed = True  # else what collects the object would upload its rest


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _size(row: dict[str, Any]) -> int | None:
    return None if row["type"] == "directory" or row.get("size") is None else int(row["size"])


def _callback(on_bytes: Callable[[int], None]) -> Any:
    """fsspec's way of saying how far a transfer has come."""
    import fsspec.callbacks

    class Counting(fsspec.callbacks.Callback):  # type: ignore[misc]
        def relative_update(self, inc: int = 1) -> None:
            on_bytes(inc)

    return Counting()
