"""Rank 0 looks after the ranks beside it: who is gone first, if all are in the end?

A launcher that loses a rank ends the others at once, so that they can tell nothing, and whoever looks afterwards finds
all of them dead. So a thread of rank 0's waits for the ends of the processes on its machine that its launcher started
for the other ranks, and writes down each as it comes. It waits in the kernel, and costs nothing meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
from weakref import WeakSet

from autotrack import clock, events
from autotrack.hooks import guard
from autotrack.store.rank_tags import exit_tag
from autotrack.tracking import job as jobs
from autotrack.tracking import resting
from autotrack.tracking.job import Job
from autotrack.tracking.run import RunWriter

SEARCH_SECONDS = 60.0
"""How long the others are looked for; a launcher starts them all together."""

PAUSE = 0.5

_EXIT_FIELD = 49
"""Place of a process's status among the fields of `/proc/<pid>/stat` that follow its name."""

_health = guard.health("tracking", breaker=False)
_runs: WeakSet[RunWriter] = WeakSet()
_thread: threading.Thread | None = None
_pid = 0


def watch(run: RunWriter, job: Job) -> None:
    """Tell a run of rank 0's which of the other ranks end while it is open."""
    global _thread, _pid
    if not hasattr(os, "pidfd_open") or not sys.platform.startswith("linux") or sys.is_finalizing():
        return
    if not job.naming:  # nothing tells which process is which rank; the one that started them sees them end
        return
    _runs.add(run)
    if _thread is None or _pid != os.getpid():
        watched = _Watched(job)
        # At once, where that is cheap: one may be gone before the thread has got to it.
        guard.call(_health, "ranks", watched.search, jobs.children_by_proc(job.launcher))
        arguments = (watched,)
        _thread, _pid = (
            threading.Thread(target=_guarded, args=arguments, name="autotrack-ranks", daemon=True),
            os.getpid(),
        )
        with contextlib.suppress(RuntimeError):  # the interpreter is shutting down
            _thread.start()


class _Watched:
    """The other ranks' processes, as far as they have been found."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.handles: dict[int, tuple[int, int]] = {}
        """Of those that live: rank and process id."""
        self.poll = select.poll()
        self._seen: set[int] = set()
        self._deadline = time.monotonic() + SEARCH_SECONDS

    def is_searching(self) -> bool:
        """Whether there may be more."""
        return time.monotonic() < self._deadline and len(self._seen) < (self.job.local_size or self.job.size) - 1

    def search(self, children: list[int] | None) -> None:
        """Look for more of them, among the launcher's children where those are known."""
        for rank, pid in others(self.job, children or []).items():
            if rank not in self._seen:
                self._seen.add(rank)
                with contextlib.suppress(ProcessLookupError):
                    handle = os.pidfd_open(pid)
                    self.handles[handle] = rank, pid
                    self.poll.register(handle, select.POLLIN)


def _guarded(watched: _Watched) -> None:
    guard.call(_health, "ranks", _look_after, watched)


def _look_after(watched: _Watched) -> None:
    while True:
        searching = watched.is_searching()
        if searching:
            children = jobs.children_by_proc(watched.job.launcher)
            watched.search(_processes() if children is None else children)
        if not watched.handles and not searching:
            return
        for handle, _ in watched.poll.poll(PAUSE * 1_000 if searching else None):
            with resting.work():
                _note(*watched.handles.pop(handle))
            watched.poll.unregister(handle)
            os.close(handle)


def _note(rank: int, pid: int) -> None:
    now, code = clock.now(), exit_code_of(pid)
    for run in (one for one in list(_runs) if one.status == "RUNNING"):
        run.gone_ranks.append(rank)
        run.recorder.write(events.RankGone(run.run_id, rank, now))
        if code is not None:
            run.recorder.write(events.TagsSet(run.run_id, {exit_tag(rank): str(code)}))
        run.read_ring()  # this process may be next


def exit_code_of(pid: int) -> int | None:
    """How a process ended that its launcher has not asked about yet; None where the system does not tell any more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        status = int(fields[_EXIT_FIELD])
    except (OSError, IndexError, ValueError):
        return None
    return os.waitstatus_to_exitcode(status) if fields[0] == b"Z" else None


def others(job: Job, candidates: list[int]) -> dict[int, int]:
    """Processes that the same launcher started for other ranks, by rank."""
    own = dict(job.naming)
    name = next(iter(own))
    found = {}
    for pid in candidates:
        if jobs.parent_by_proc(pid) != job.launcher:
            continue
        environ = jobs.environ_by_proc(pid) or {}
        if environ.get(name, "").isdecimal() and environ[name] != own[name]:
            found[int(environ[name])] = pid
    return found


def _processes() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdecimal()]
