"""Moves what the journals of other processes hold into the store, and clears up behind processes that are gone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autotrack import clock
from autotrack.errors import JournalFormatError
from autotrack.store.location import Location
from autotrack.tracking import journal as journals
from autotrack.tracking import liveness, lost_ranks
from autotrack.tracking.ingest.moving import ingest_file

if TYPE_CHECKING:
    from autotrack.records import JournalInfo
    from autotrack.store.engine import Store

PRUNE_AFTER = 600.0
"""Seconds that a journal is kept after it has been moved and its process has ended."""

PRUNE_ELSEWHERE_AFTER = 7 * 86_400.0
"""The same, where the process may have ended or not."""


def files(location: Location) -> list[Path]:
    """All journals of a store."""
    return [path for folder in journals.folders(location) for path in sorted(folder.glob("*.jsonl"))]


def ingest_pending(store: Store, location: Location, own: Path | None = None) -> list[str]:
    """Move what all journals hold into the store, end the runs of processes that are gone, drop finished journals.

    Args:
        store: Where to.
        location: Where the journals are.
        own: This process's journal, which its own thread moves.

    Returns:
        What could not be read, for `autotrack doctor`.

    Raises:
        StoreError: The store cannot be written.
    """
    from autotrack.store.journals import journals as known_journals

    paths = {path.stem: path for path in files(location) if path != own}
    known = {info.journal_id: info for info in known_journals(store)} if paths else {}
    problems = []
    for journal_id, path in paths.items():
        info = known.get(journal_id)
        try:
            if info is None:
                ingest_file(store, path)
            elif ingest_file(store, path, info.offset) == info.offset and _is_finished(info, path):
                path.unlink(missing_ok=True)
        except (JournalFormatError, OSError) as error:
            problems.append(str(error))
    finish_lost(store, paths)
    return problems


def finish_lost(store: Store, paths: Mapping[str, Path] | None = None) -> None:
    """Show as KILLED the runs whose process is gone without an end, and end the ranks that are gone like that.

    Args:
        store: Where.
        paths: Journals by id, which may hold what their process wrote between the last look at them and its end.

    Raises:
        StoreError: The store cannot be written.
    """
    from autotrack.store.journals import journals as known_journals
    from autotrack.store.managing import finish_lost_runs

    now = clock.now()
    lost = [info for info in known_journals(store, with_open_runs=True) if _is_over(info, now)]
    for info in lost:
        path = (paths or {}).get(info.journal_id)
        if path is not None:
            with contextlib.suppress(JournalFormatError, OSError):
                ingest_file(store, path)
    if lost:
        finish_lost_runs(store, [info.journal_id for info in lost])
    lost_ranks.finish(store, paths or {}, now, ingest_file)


def _is_over(info: JournalInfo, now: int) -> bool:
    """Whether the process that writes a journal has closed it, or is gone."""
    who = liveness.Identity(info.host, info.boot_id, info.pid, info.process_started)
    return info.closed is not None or not liveness.is_alive(who, info.heartbeat, now)


def _is_finished(info: JournalInfo, path: Path) -> bool:
    """Whether a journal that has been moved as far as it is whole can be dropped."""
    # Later than any checkpoint of the database: a power loss may take back its last commits, and the offset with them.
    # A process elsewhere that gives no sign of life may be asleep, and go on writing after its machine wakes up.
    certain = info.closed is not None or liveness.is_here(info.host, info.boot_id)
    age = time.time() - path.stat().st_mtime
    return age > (PRUNE_AFTER if certain else PRUNE_ELSEWHERE_AFTER) and _is_over(info, clock.now())
