"""The ranks of a distributed job in the store: tags of the run that they share, and what a failed one means for it.

A run of several ranks has the tags `ranks` (how many there are), `rank.<n>` (JSON: host, pid, local rank, device),
`rank.<n>.status` and, of one that failed, `rank.<n>.error`, of one that rank 0 saw end, `rank.<n>.exit_code`;
`failed_rank` names the one that the run's failure is put down to. While a rank is at it, `rank.open.<n>` tells which
journal its process writes.

Rule: a run fails when one of its ranks does, whatever rank 0 says of it, and with the error of the rank that failed
first. A rank that was found dead comes before those that raised something `MARGIN` ms before that was seen or later:
their exceptions come of its death, which nobody sees at once. Journals are read in any order, so the rule looks at the
times alone. A run that is opened again afterwards is open.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from autotrack import events as ev
from autotrack.store import schema
from autotrack.store.engine import Store, retried
from autotrack.store.rank_tags import (
    FAILED_TAG,
    OPEN_PREFIX,
    error_of,
    exit_tag,
    facts_tag,
    gone_tag,
    open_tag,
    status_tag,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotrack.store.folding import RunChange

MARGIN = 10_000
"""Milliseconds that may pass from a rank's death until it is seen; meanwhile the others' communication breaks."""

_ERROR_COLUMNS = ("error_type", "error_message", "error_traceback", "error_frame")

Row = dict[str, Any]


class Settled(NamedTuple):
    """What becomes of a run in view of its ranks."""

    columns: Row
    """What of it is set anew."""
    rank: str | None
    """The rank whose failure is the run's; None where none is."""


def blamed(connection: Connection, failed: Iterable[Any]) -> dict[int, str]:
    """Of failed runs, by primary key, the rank that the failure was put down to."""
    keys = sorted(row.id for row in failed)
    table = schema.tags.c
    query = select(table.run, table.value).where(table.key == FAILED_TAG, table.run.in_(keys))
    return {row.run: row.value for row in connection.execute(query)} if keys else {}


def settled(row: Any, columns: Mapping[str, Any], change: RunChange, by_rank: str | None) -> Settled:
    """Apply the rule of this module.

    Args:
        row: The run as it is.
        columns: What a batch of events would set of it, apart from its ranks.
        change: That batch's events of the run.
        by_rank: The rank that its failure was put down to so far.
    """
    now, rank = dict(columns), by_rank
    if rank is not None and "status" in now:
        if _stands(row, now, change):
            end = max((time for time in (row.end_time, now.get("end_time")) if time is not None), default=None)
            for name in ("status", "status_time", *_ERROR_COLUMNS):
                now.pop(name, None)
            now["end_time"] = end
        else:
            rank = None
    for ended in change.rank_ends:
        if _is_worse(row, now, ended) or (rank is None and _is_own(row, now, ended)):
            now |= _failed(row, now, ended)
            rank = str(ended.rank)
    if change.rank_ends and "status" not in now and row.session is None and change.started is None:
        now |= _of_orphan(row, change.rank_ends[-1])
    return Settled(now, rank)


def _stands(row: Any, now: Row, change: RunChange) -> bool:
    """Whether a rank's failure stands against what the run's own process says."""
    opened = change.status.since if change.status is not None and change.status.opened else 0
    if opened > row.status_time and row.session is not None:
        return False
    return not (now["status"] == "FAILED" and now["status_time"] < row.status_time)


def _is_worse(row: Any, now: Row, ended: ev.RankEnded) -> bool:
    """Whether a rank's end is the reason why the run failed, as far as is known."""
    if ended.status != "FAILED":
        return False
    status, time = now.get("status", row.status), now.get("status_time", row.status_time)
    if status == "FAILED":
        return bool(_since(ended) < time)
    # Of a run that was opened again since: that rank failed in the attempt before.
    return not (status == "RUNNING" and time > ended.time)


def _is_own(row: Any, now: Row, ended: ev.RankEnded) -> bool:
    """Whether it is the failure that rank 0 told of as the run's own."""
    return ended.rank == 0 and ended.status == "FAILED" == now.get("status", row.status)


def _since(ended: ev.RankEnded) -> int:
    return ended.time - MARGIN if ended.killed else ended.time


def _failed(row: Any, now: Row, ended: ev.RankEnded) -> Row:
    error = ended.error or ev.ErrorInfo("")
    end = max(time for time in (row.end_time, now.get("end_time"), ended.time) if time is not None)
    return {
        "status": "FAILED",
        "status_time": _since(ended),
        "end_time": end,
        "error_type": error.type,
        "error_message": f"rank {ended.rank}{ended.host and f' on {ended.host}'}: {error.message}",
        "error_traceback": error.traceback,
        "error_frame": error.frame,
    }


def _of_orphan(row: Any, ended: ev.RankEnded) -> Row:
    """A rank has ended, and rank 0 has told nothing so far; what it tells counts, however early it was."""
    return {"status": ended.status, "status_time": 0, "end_time": ended.time} if row.status != "FAILED" else {}


class OpenRank(NamedTuple):
    """A rank that has not said that it has ended, of a run that has."""

    run_id: str
    rank: int
    journal_id: str
    status: str
    """The run's."""
    gone: int | None
    """When rank 0 saw its process end."""
    exit_code: int | None
    """How it ended, as far as rank 0 could see."""
    known: bool
    """What became of it is known all the same: the one who started it has told."""


def open_ranks(store: Store) -> list[OpenRank]:
    """Ranks that are not known to have ended, of runs that are not open.

    Raises:
        StoreError: The store cannot be read.
    """
    tags, runs = schema.tags.c, schema.runs.c
    query = (
        select(runs.id, runs.run_id, runs.status, tags.key, tags.value)
        .join(runs.id.table, runs.id == tags.run)
        .where(tags.key > OPEN_PREFIX, tags.key < OPEN_PREFIX[:-1] + chr(ord(".") + 1), runs.status != "RUNNING")
    )
    found = []
    with store.reading() as connection:
        for run, run_id, status, key, journal_id in connection.execute(query).all():
            number = key.removeprefix(OPEN_PREFIX)
            if not number.isdecimal():
                continue
            rank = int(number)
            wanted = (gone_tag(rank), status_tag(rank), exit_tag(rank))
            told = select(tags.key, tags.value).where(tags.run == run, tags.key.in_(wanted))
            others = {told_row.key: told_row.value for told_row in connection.execute(told)}
            gone, code = _number(others.get(gone_tag(rank))), _number(others.get(exit_tag(rank)))
            found.append(OpenRank(run_id, rank, journal_id, status, gone, code, status_tag(rank) in others))
    return found


def _number(text: str | None) -> int | None:
    return int(text) if text and text.removeprefix("-").isdecimal() else None


@retried
def finish_lost_ranks(store: Store, lost: Iterable[OpenRank]) -> None:
    """End ranks whose process is gone without a word.

    Such a rank was killed, unless rank 0 has seen that it left with exit code 0. That makes a failure of a run that
    rank 0 has finished, or of one whose rank 0 saw it go and came to no good end itself. Where all are gone, and none
    was seen to go first, the run was killed as a whole.

    Args:
        store: Where.
        lost: The ranks.

    Raises:
        StoreError: The store cannot be written.
    """
    from autotrack.store.writing import Writer

    writer = Writer(store)
    with store.transaction() as connection:
        for one in lost:
            writer.apply(connection, _end_of(connection, one), one.journal_id)


def _end_of(connection: Connection, lost: OpenRank) -> list[ev.Event]:
    if lost.known:
        return [ev.TagDeleted(lost.run_id, tag(lost.rank)) for tag in (open_tag, gone_tag)]
    runs, journals = schema.runs.c, schema.journals.c
    beat = select(journals.heartbeat).where(journals.journal_id == lost.journal_id)
    time = lost.gone or connection.execute(beat).scalar() or 0
    if lost.exit_code == 0:
        return [ev.RankEnded(lost.run_id, lost.rank, "FINISHED", time)]
    if lost.rank and (lost.gone is not None or lost.status == "FINISHED"):
        error = ev.ErrorInfo("killed", "its process ended without a word: it was killed, or left by os._exit()")
        if lost.exit_code is not None:
            error = error_of(lost.exit_code)
        end = connection.execute(select(runs.end_time).where(runs.run_id == lost.run_id)).scalar()
        host = _host_elsewhere(connection, lost)
        return [ev.RankEnded(lost.run_id, lost.rank, "FAILED", time or end or 0, error, killed=True, host=host)]
    return [ev.RankEnded(lost.run_id, lost.rank, "KILLED", time)]


def _host_elsewhere(connection: Connection, lost: OpenRank) -> str:
    """The machine that a rank was on, where that was not rank 0's."""
    tags, runs, journals = schema.tags.c, schema.runs.c, schema.journals.c
    query = select(tags.value).join(runs.id.table, runs.id == tags.run)
    facts = connection.execute(query.where(runs.run_id == lost.run_id, tags.key == facts_tag(0))).scalar()
    host = connection.execute(select(journals.host).where(journals.journal_id == lost.journal_id)).scalar()
    try:
        first = json.loads(facts or "{}").get("host")
    except (ValueError, AttributeError):
        return ""
    return str(host) if host and first and host != first else ""
