"""What went wrong inside autotrack, kept for `autotrack doctor` beyond the end of the process.

One JSON file a process, `<store folder>/health/<store key>/<session id>-<pid>.json`, written at its end and only where
there is something to tell; the newest `KEPT` stay. Where the store's folder cannot be written (which may be the very
trouble), it stands beside the fallback journals.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from autotrack import __version__, clock, records
from autotrack.atomic import replacing
from autotrack.hooks import guard
from autotrack.store.location import Location
from autotrack.tracking.journal import prepare_folder
from autotrack.tracking.redaction import redact

FORMAT_VERSION = 1
KEPT = 50
"""Reports that are kept in a folder."""

MAX_TROUBLES = 3
"""The newest troubles of each part that are kept."""

MAX_TEXT = 8_000
"""Characters of one traceback that are kept, counted from its end."""

MAX_FILE = 4 * 1024 * 1024
"""Bytes of a report that are read."""


class Trouble(records.Record, frozen=True):
    """One thing that went wrong."""

    where: str
    message: str
    traceback: str = ""
    time: int = 0


class PartHealth(records.Record, frozen=True):
    """How one integration, or one of autotrack's own parts, fared."""

    name: str
    status: str = ""
    reason: str = ""
    version: str | None = None
    errors: int = 0
    """Internal errors; 0 where there was only trouble from outside (a store that was away)."""
    recent: list[Trouble] = []

    @property
    def failed(self) -> bool:
        """Whether something of autotrack's own did not work."""
        return bool(self.errors) or self.status in ("failed", "broken")


class HealthReport(records.Record, frozen=True):
    """What one process had to tell."""

    session_id: str
    pid: int
    time: int
    """When it ended, ms since the epoch."""
    program: str = ""
    parts: list[PartHealth] = []
    autotrack: str = ""
    version: int = FORMAT_VERSION


def folders(location: Location) -> tuple[Path, Path]:
    """Where reports are, and where they are when that cannot be written."""
    own, fallback = location.journal_folder, location.fallback_journal_folder
    return own.parent.parent / "health" / location.key, fallback.parent.parent / "health" / location.key


def write(location: Location, session_id: str, program: str) -> Path | None:
    """Write the report of this process, replacing an earlier one of its own.

    Args:
        location: The store that it recorded into.
        session_id: Its session.
        program: What it ran.

    Returns:
        The file; None where there is nothing to tell.

    Raises:
        OSError: It can be written nowhere.
    """
    parts = [_part(health) for health in guard.troubled()]
    if not parts:
        return None
    report = HealthReport(session_id, os.getpid(), clock.now(), program, parts, __version__)
    name, data = f"{session_id}-{report.pid}.json", report.to_json().encode()
    own, fallback = folders(location)
    try:
        prepare_folder(location)  # a new `.autotrack` is kept out of version control by this
        return _store(own, name, data)
    except OSError:
        return _store(fallback, name, data)


def _part(health: guard.Health) -> PartHealth:
    recent = [
        Trouble(record.where, redact(record.message), redact(record.traceback[-MAX_TEXT:]), record.time)
        for record in list(health.recent)[-MAX_TROUBLES:]
    ]
    return PartHealth(health.name, health.status, redact(health.reason), health.version, health.errors, recent)


def _store(folder: Path, name: str, data: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    with replacing(target) as draft, open(draft, "wb") as out:
        out.write(data)
    for old in _newest_first(folder.glob("*.json"))[KEPT:]:
        old.unlink(missing_ok=True)
    return target


def _newest_first(files: Iterable[Path]) -> list[Path]:
    dated = []
    for file in files:
        try:
            dated.append((file.stat().st_mtime_ns, file.name, file))
        except OSError:  # pruned by another process just now
            continue
    return [file for _, _, file in sorted(dated, reverse=True)]


def files(location: Location) -> list[Path]:
    """All reports of a store, newest first."""
    return _newest_first(file for folder in folders(location) for file in folder.glob("*.json"))


def read(location: Location, limit: int = 10) -> list[HealthReport]:
    """The newest reports of a store, newest first; files that are damaged or of a newer format are left out."""
    found: list[HealthReport] = []
    for file in files(location):
        if len(found) == limit:
            break
        try:
            with open(file, "rb") as stream:
                report = msgspec.json.decode(stream.read(MAX_FILE), type=HealthReport)
        except (OSError, msgspec.DecodeError):
            continue
        if report.version <= FORMAT_VERSION:
            found.append(report)
    return found


def forget(location: Location) -> int:
    """Remove all reports of a store.

    Returns:
        How many there were.

    Raises:
        OSError: One cannot be removed.
    """
    found = files(location)
    for file in found:
        file.unlink(missing_ok=True)
    return len(found)
