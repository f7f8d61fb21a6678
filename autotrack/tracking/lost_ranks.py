"""Ranks whose process is gone without a word, found by whoever looks next."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autotrack.errors import JournalFormatError
from autotrack.tracking import liveness

if TYPE_CHECKING:
    from autotrack.records import JournalInfo
    from autotrack.store.engine import Store

LOST_ELSEWHERE_AFTER = 1_800_000
"""Milliseconds without a heartbeat after which a rank on another machine counts as gone: its run fails by that."""


def finish(store: Store, paths: Mapping[str, Path], now: int, ingest: Callable[[Store, Path], object]) -> None:
    """End the ranks that are lost, of runs that are not open.

    Args:
        store: Where.
        paths: Journals by id, which may hold what a rank wrote between the last look at them and its end.
        now: ms since the epoch.
        ingest: Moves a journal into the store.

    Raises:
        StoreError: The store cannot be written.
    """
    from autotrack.store import ranks

    found = ranks.open_ranks(store)
    if not found:
        return
    from autotrack.store.journals import journals as known_journals

    known = {info.journal_id: info for info in known_journals(store)}
    lost = {one.journal_id for one in found if one.journal_id in known and _is_lost(known[one.journal_id], now)}
    for journal_id in lost:
        if journal_id in paths:
            with contextlib.suppress(JournalFormatError, OSError):
                ingest(store, paths[journal_id])
    if lost:  # some have told their end meanwhile
        ranks.finish_lost_ranks(store, [one for one in ranks.open_ranks(store) if one.journal_id in lost])


def _is_lost(info: JournalInfo, now: int) -> bool:
    if info.closed is not None:
        return True
    who = liveness.Identity(info.host, info.boot_id, info.pid, info.process_started)
    if liveness.is_here(info.host, info.boot_id):
        return not liveness.is_alive(who, info.heartbeat, now)
    return now - info.heartbeat > LOST_ELSEWHERE_AFTER
