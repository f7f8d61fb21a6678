"""The journal: one append-only file a process, one event a line.

`Journal.append` is all that a logging call costs: one `os.write` on a file opened with O_APPEND. What was appended
is in the page cache and so survives the death of the process (with `durability="fsync"`, of the machine).

File: `<store folder>/journal/<store key>/<journal id>.jsonl`, UTF-8, one JSON object a line as `events` defines
them. The first line is a `JournalOpened` with the version of the format; the last, after an orderly end, is a
`JournalClosed`. `journal_reading.py` reads it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec

from autotrack import clock, events
from autotrack.errors import StoreError
from autotrack.store.location import Location
from autotrack.tracking import liveness

MAX_BACKLOG = 64 * 1024 * 1024
"""Bytes of events that are kept in memory while the disk takes none; twice as many of those that are no metrics."""

STORE_FILE = "store"
"""File beside the journals that says whose they are: stores that share a folder know of each other by it."""

_write = os.write
_POINTS = (b'{"t":"m"', b'{"t":"ms"')
_GONE = (errno.EBADF, getattr(errno, "ESTALE", errno.EBADF))


class Journal:
    """The journal that this process writes. Safe to use from several threads, and from signal handlers.

    Attributes:
        path: Its file.
        opened: Its first line.
        failure: Why events had to be kept in memory, last time that happened; empty when it never did.
        failures: How many times the disk has begun to take no more.
        lost: How many events were dropped since the backlog in memory was full.
    """

    def __init__(self, location: Location, session_id: str) -> None:
        who = liveness.identity()
        self.opened = events.JournalOpened(
            version=events.FORMAT_VERSION,
            journal_id=clock.new_id(),
            session_id=session_id,
            store=location.safe_url,
            host=who.host,
            boot_id=who.boot_id,
            pid=who.pid,
            process_started=who.started,
            time=clock.now(),
            sealed=True,
        )
        self.path, self._fd = _create(location, self.opened.journal_id)
        self.failure = ""
        self.failures = 0
        self.lost = 0
        self._location = location
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._torn = False
        self._slow = False
        """Something waits, or the file is closed: the quick way is barred."""
        self._draining = False
        self._folder_synced = False
        # Reentrant: a signal handler may log in the midst of an append of the thread that it interrupts.
        self._lock = threading.RLock()
        self.append(events.encode(self.opened))

    @property
    def journal_id(self) -> str:
        """Its id, and the stem of its file's name."""
        return self.opened.journal_id

    def append(self, line: bytes) -> bool:
        """Append one encoded event. Never raises for want of disk: the event then waits in memory.

        Returns:
            False when the journal is closed; the event is not in it then.
        """
        with self._lock:
            if self._slow:
                return self._append_later(line)
            try:
                if _write(self._fd, line) == len(line):
                    return True
                self._torn = True
                self._fail(OSError(errno.ENOSPC, "the disk took part of a line"))
            except OSError as error:
                self._fail(error)
            self._push(line)
        return True

    def _append_later(self, line: bytes) -> bool:
        """The slow path: what waits goes first, so that order is kept."""
        if self._fd < 0:
            return False
        self._push(line)
        self._drain_backlog()
        return True

    def _fail(self, error: OSError) -> None:
        self.failures += not self._backlog
        self._slow = True
        self.failure = f"{self.path}: {error.strerror or error}"

    def _push(self, line: bytes) -> None:
        # Points of curves go first: a run without its end or its parameters is worse than one with gaps.
        bound = MAX_BACKLOG if line.startswith(_POINTS) else 2 * MAX_BACKLOG
        if self._backlog_bytes + len(line) > bound:
            self.lost += 1
            return
        self._backlog.append(line)
        self._backlog_bytes += len(line)

    def _drain_backlog(self) -> None:
        if self._draining:  # a signal handler interrupted the one that drains
            return
        self._draining = True
        try:
            while self._backlog and self._write_first():
                self._backlog_bytes -= len(self._backlog.popleft())
            self._slow = bool(self._backlog) or self._torn
        finally:
            self._draining = False

    def _write_first(self) -> bool:
        """Write the line that has waited longest; a torn line in the file is ended first, or it would swallow it."""
        line = self._backlog[0]
        whole = b"\n" + line if self._torn else line
        try:
            written = os.write(self._fd, whole)
        except OSError as error:
            self._fail(error)
            self._reopen(error)
            return False
        self._torn = written != len(whole)
        return not self._torn

    def _reopen(self, error: OSError) -> None:
        """The program has closed all files that it knows nothing of, or a network drive has forgotten this one."""
        if error.errno in _GONE:
            try:
                self._fd = _open(self.path, os.O_APPEND)
            except OSError as again:
                self._fail(again)

    def waiting(self) -> int:
        """Events that wait in memory since the disk takes none; tries to write them first."""
        if self._backlog:
            with self._lock:
                if self._fd >= 0:
                    self._drain_backlog()
        return len(self._backlog)

    def restore(self) -> bool:
        """Put the file back, with all that is in it, where somebody has deleted it under the program.

        Returns:
            Whether it was gone, and is there again.

        Raises:
            OSError: It cannot be made again.
        """
        if self.path.exists():
            return False
        with self._lock:
            # A file that was moved away is written on where it is now.
            if self._fd < 0 or os.fstat(self._fd).st_nlink:
                return False
            prepare_folder(self._location)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = _open(self.path, os.O_CREAT)
            try:
                _copy(self._fd, fresh)
            except OSError:
                os.close(fresh)
                self.path.unlink(missing_ok=True)
                raise
            gone, self._fd = self._fd, fresh
            os.close(gone)
        return True

    def size(self) -> int:
        """Bytes in the file.

        Raises:
            OSError: The file is gone.
        """
        return self.path.stat().st_size

    def sync(self) -> None:
        """Have the machine write what it holds of the file to the disk.

        Raises:
            OSError: The disk has failed.
        """
        with self._lock:
            if self._fd < 0:
                return
            os.fsync(self._fd)
            if not self._folder_synced and os.name == "posix":
                _sync_folder(self.path.parent)
                self._folder_synced = True

    def close(self) -> int:
        """Write the last line and close the file; what the disk has not taken goes to another place.

        Returns:
            How many events could not be written anywhere.
        """
        with self._lock:
            if self._fd < 0:
                return 0
            self.append(events.encode(events.JournalClosed(time=clock.now())))
            # The number may belong to another file from here on.
            handle, self._fd, self._slow = self._fd, -1, True
            os.close(handle)
            return self._rescue() if self._backlog else 0

    def _rescue(self) -> int:
        """Write what waits into a journal of its own in the temporary folder, which may be on another disk."""
        opened = msgspec.structs.replace(self.opened, journal_id=clock.new_id())
        handle = -1
        try:
            handle = _open(prepare_fallback(self._location) / f"{opened.journal_id}.jsonl", os.O_CREAT)
            _write_whole(handle, b"".join([events.encode(opened), *self._backlog]))
        except OSError:
            return len(self._backlog)
        finally:
            if handle >= 0:
                os.close(handle)
        self._backlog.clear()
        return 0

    def abandon(self) -> None:
        """In a forked child: let go of the parent's file without a word in it."""
        self._lock = threading.RLock()
        handle, self._fd, self._slow = self._fd, -1, True
        if handle >= 0:
            os.close(handle)


def _write_whole(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _copy(source: int, target: int) -> None:
    """Copy an open file, which may have no name any more, to the end of another."""
    at = 0
    while data := os.pread(source, 1024 * 1024, at):
        _write_whole(target, data)
        at += len(data)


def _sync_folder(folder: Path) -> None:
    """A new file's name is on the disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open(path: Path, flags: int) -> int:
    return os.open(path, os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | flags, 0o600)


def _create(location: Location, journal_id: str) -> tuple[Path, int]:
    problem: OSError | None = None
    for prepare in (prepare_folder, prepare_fallback):
        try:
            path = prepare(location) / f"{journal_id}.jsonl"
            return path, _open(path, os.O_CREAT)
        except OSError as error:
            problem = problem or error
    raise StoreError(
        location.safe_url,
        f"no journal can be written: {problem}",
        "make the folder writable, or set AUTOTRACK_TRACKING_URI to another place",
    )


def prepare_folder(location: Location) -> Path:
    """Make the folder for a store's journals; a new `.autotrack` above it is kept out of version control.

    Raises:
        OSError: It cannot be made.
    """
    folder = location.journal_folder
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / STORE_FILE).exists():
        with contextlib.suppress(OSError):
            (folder / STORE_FILE).write_text(f"{location.safe_url}\n", "utf-8")
    home = next((parent for parent in folder.parents if parent.name == ".autotrack"), None)
    if home is not None and not (home / ".gitignore").exists():
        with contextlib.suppress(OSError):
            (home / ".gitignore").write_text("*\n", "utf-8")
    return folder


def prepare_fallback(location: Location) -> Path:
    """Make the folder that journals go to when the store's own takes none.

    Raises:
        OSError: It cannot be made, or another user has made it.
    """
    folder = location.fallback_journal_folder
    folder.parents[1].mkdir(mode=0o700, exist_ok=True)
    if not _is_own(folder.parents[1]):
        raise PermissionError(errno.EACCES, f"{folder.parents[1]} belongs to another user")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def folders(location: Location) -> Iterator[Path]:
    """Where a store's journals are: folders that exist and that nobody else can have put anything into."""
    if location.journal_folder.is_dir():
        yield location.journal_folder
    fallback = location.fallback_journal_folder
    if fallback.is_dir() and _is_own(fallback.parents[1]):
        yield fallback


def _is_own(folder: Path) -> bool:
    """Anybody may make a folder in the temporary one."""
    return os.name != "posix" or folder.lstat().st_uid == os.getuid()
