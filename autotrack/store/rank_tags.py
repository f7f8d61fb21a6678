"""Tags that tell of the ranks of a distributed job, see `store.ranks`. Light: processes that train name them, too."""

from __future__ import annotations

import signal

from autotrack import events as ev

COUNT_TAG, FAILED_TAG = "ranks", "failed_rank"
PREFIX = "rank."
OPEN_PREFIX = "rank.open."

MAX_SUMMARY = 500


def facts_tag(rank: int) -> str:
    """Tag that tells of a rank's process."""
    return f"{PREFIX}{rank}"


def open_tag(rank: int) -> str:
    """Tag with the journal of a rank that is at it."""
    return f"{OPEN_PREFIX}{rank}"


def status_tag(rank: int) -> str:
    """Tag with what became of a rank."""
    return f"{PREFIX}{rank}.status"


def error_tag(rank: int) -> str:
    """Tag with why a rank failed."""
    return f"{PREFIX}{rank}.error"


def gone_tag(rank: int) -> str:
    """Tag with the time at which rank 0 saw a rank's process end, while it is not known whether that was in order."""
    return f"{PREFIX}gone.{rank}"


def exit_tag(rank: int) -> str:
    """Tag with a rank's exit code, where rank 0 saw its process end; negative: the signal that ended it."""
    return f"{PREFIX}{rank}.exit_code"


def error_of(exit_code: int) -> ev.ErrorInfo:
    """How a process ended, in words."""
    if exit_code >= 0:
        return ev.ErrorInfo("SystemExit", f"exit code {exit_code}")
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return ev.ErrorInfo(name, f"killed by {name}")


def summary_of(error: ev.ErrorInfo) -> str:
    """An error in one line."""
    text = f"{error.type}: {error.message}" if error.type and error.message else error.type or error.message
    return text[:MAX_SUMMARY]
