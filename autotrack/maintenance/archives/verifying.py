"""An archive, opened and checked: nothing of it is used before all of it has been."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import msgspec

from autotrack import events as ev
from autotrack.artifacts import checked_path
from autotrack.errors import ArchiveError, ArtifactError
from autotrack.maintenance.archives import format as fmt
from autotrack.progress_bar import progress_bar
from autotrack.store.replay import ExperimentState, Item, decode
from autotrack.streams import blocks

MAX_MANIFEST = 1024**3
"""Largest manifest in bytes: about five million files."""

MAX_LINE = 512 * 1024**2
"""Longest line of a stream in bytes."""

MAX_RATIO = 200
"""How many times its own size the content of an archive may have, where it is more than `HARMLESS`."""

HARMLESS = 1024**3
"""Bytes of content that are no danger, however well they are packed."""

_DEFLATED = 1_040
"""No deflated stream grows to more than this many times its size."""

_ENCRYPTED = 0x1

_STRANGE = (ev.JournalOpened, ev.JournalClosed, ev.TagDeleted, ev.ModelRegistered, ev.ModelChanged)
"""Events that no stream of a run has."""


class Archive:
    """An archive that is open; `check` first.

    Args:
        path: The file.

    Raises:
        ArchiveError: It cannot be opened, or is no archive of a version that is known.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = open(path, "rb")  # noqa: SIM115 - stays open until `close`
        except OSError as error:
            raise ArchiveError(f"archive {path}: {error.strerror or error}") from error
        try:
            with self._refusing():
                self._zip = zipfile.ZipFile(self._file)
                self.manifest = self._manifest()
        except ArchiveError:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self._file.close()

    def refuse(self, reason: str) -> ArchiveError:
        """The error that says why."""
        return ArchiveError(f"archive {self.path}: {reason}; nothing was imported")

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
            raise self.refuse(f"it is damaged or cut off ({error or type(error).__name__}); copy it again") from error
        except (msgspec.DecodeError, RecursionError) as error:
            raise self.refuse(f"its content is not readable ({error})") from error
        except OSError as error:
            raise self.refuse(f"it cannot be read ({error.strerror or error})") from error

    def _manifest(self) -> fmt.Manifest:
        infos = self._zip.infolist()
        found = [info for info in infos if info.filename == fmt.MANIFEST]
        if len(found) != 1 or found[0].file_size > MAX_MANIFEST:
            raise self.refuse(f"it has {len(found)} readable members {fmt.MANIFEST}; is it an archive of autotrack?")
        self._check_headers(infos)
        with self._zip.open(found[0]) as member:
            data = member.read(MAX_MANIFEST + 1)
        header = msgspec.json.decode(data, type=fmt.Header)
        if header.format != fmt.FORMAT:
            raise self.refuse(f"its format is {header.format!r}; expected {fmt.FORMAT!r}")
        if not 1 <= header.version <= fmt.VERSION:
            reason = f"its format has version {header.version}, this autotrack knows up to {fmt.VERSION}"
            raise self.refuse(f"{reason}: upgrade autotrack")
        return msgspec.json.decode(data, type=fmt.Manifest)

    def _check_headers(self, infos: list[zipfile.ZipInfo]) -> None:
        """Nothing but plain files, each once, whose sizes can be true."""
        names = set()
        packed = 0
        for info in infos:
            if info.filename in names:
                raise self.refuse(f"it has two members {info.filename!r}")
            names.add(info.filename)
            if info.filename != fmt.MANIFEST and not fmt.MEMBER.fullmatch(info.filename):
                raise self.refuse(f"it has a member of the name {info.filename!r}, which no archive of autotrack has")
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG) or info.flag_bits & _ENCRYPTED:
                raise self.refuse(f"its member {info.filename!r} is no plain file")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise self.refuse(f"its member {info.filename!r} is packed in a way that no archive of autotrack is")
            if info.file_size > info.compress_size * _DEFLATED + 64:
                raise self.refuse(f"its member {info.filename!r} claims to hold more than it can")
            packed += info.compress_size
        if packed > os.fstat(self._file.fileno()).st_size:
            raise self.refuse("its members overlap")

    def check(self, any_size: bool = False) -> None:
        """Read all of it and compare it with the manifest.

        Args:
            any_size: Take it though its content is very much larger than it is itself.

        Raises:
            ArchiveError: It is damaged, hostile, or too large.
        """
        self._check_names()
        self._check_size(any_size)
        members = self.manifest.members
        with progress_bar("checking", sum(member.size for member in members.values())) as advance:
            for name, member in members.items():
                self._check_member(name, member, advance)
        for run in self.manifest.runs:
            for _ in self.items(run):
                pass

    def _check_names(self) -> None:
        manifest = self.manifest
        there = {info.filename: info.file_size for info in self._zip.infolist() if info.filename != fmt.MANIFEST}
        if there != {name: member.size for name, member in manifest.members.items()}:
            raise self.refuse("its members are not those that its manifest names")
        ids = [run.run_id for run in manifest.runs]
        streams = {run.stream for run in manifest.runs}
        if len(set(ids)) != len(ids) or len(streams) != len(ids):
            raise self.refuse("it has a run twice")
        files = [*self._files()]
        wanted = streams | {fmt.file_member(file.sha256) for file in files}
        if wanted != set(there):
            raise self.refuse("its runs and its members do not belong together")
        for name, member in manifest.members.items():
            if name.startswith("files/") and name != fmt.file_member(member.sha256):
                raise self.refuse(f"its member {name!r} has another hash")
        for run in manifest.runs:
            self._check_paths(run.files)
            for model in run.models:
                self._check_paths(model.files)
        self._check_ids(ids)

    def _check_ids(self, ids: list[str]) -> None:
        """A run's id becomes the name of a folder."""
        for run_id in ids:
            if not run_id or len(run_id) > 64 or not run_id.replace("-", "").replace("_", "").isalnum():
                raise self.refuse(f"it has a run of the id {run_id!r}")

    def _files(self) -> Iterator[fmt.FileEntry]:
        for run in self.manifest.runs:
            yield from run.files
            for model in run.models:
                yield from model.files

    def _check_paths(self, files: list[fmt.FileEntry]) -> None:
        seen = set()
        for file in files:
            try:
                path = checked_path(file.path)
            except ArtifactError as error:
                raise self.refuse(str(error)) from None
            if path != file.path or path in seen:
                raise self.refuse(f"it has the path {file.path!r}, twice or not in its one form")
            seen.add(path)

    def _check_size(self, any_size: bool) -> None:
        content = sum(member.size for member in self.manifest.members.values())
        own = os.fstat(self._file.fileno()).st_size
        if content > HARMLESS and content > own * MAX_RATIO and not any_size:
            reason = f"it holds {content} bytes in {own}, {content // own} times its size"
            raise self.refuse(f"{reason}: if you trust where it is from, import it with any_size (--any-size)")

    def _check_member(self, name: str, member: fmt.Member, advance: Callable[[int], None]) -> None:
        digest, size = hashlib.sha256(), 0
        with self._refusing(), self._zip.open(name) as file:
            for block in blocks(file):
                digest.update(block)
                size += len(block)
                advance(len(block))
                if size > member.size:
                    break
        if size != member.size or digest.hexdigest() != member.sha256:
            raise self.refuse(f"the content of {name!r} is not what the manifest says; copy the archive again")

    def open(self, sha256: str) -> IO[bytes]:
        """The content of a file."""
        with self._refusing():
            return self._zip.open(fmt.file_member(sha256))

    def items(self, run: fmt.RunEntry) -> Iterator[Item]:
        """A run's stream.

        Raises:
            ArchiveError: A line is not readable, or is about another run.
        """
        with self._refusing(), self._zip.open(run.stream) as file:
            while line := file.readline(MAX_LINE):
                item = decode(line)
                self._check_item(run, item)
                yield item

    def _check_item(self, run: fmt.RunEntry, item: Item) -> None:
        """A stream is about its run, and goes where the manifest says."""
        about = getattr(item, "run_id", run.run_id)
        strange = isinstance(item, _STRANGE)
        if strange or about not in (run.run_id, None):
            raise self.refuse(f"the stream of run {run.run_id} has a line that does not belong there")
        if isinstance(item, ExperimentState) and item.name != run.experiment:
            raise self.refuse(f"the stream of run {run.run_id} names another experiment than the manifest")
        if isinstance(item, ev.RunStarted) and (item.experiment != run.experiment or item.experiment_id is not None):
            raise self.refuse(f"the stream of run {run.run_id} names another experiment than the manifest")
