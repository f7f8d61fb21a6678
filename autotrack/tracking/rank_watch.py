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
from autotrack.tracking import job as jobs
from autotrack.tracking import resting
from autotrack.tracking.job import Job
from autotrack.tracking.run import RunWriter

SEARCH_SECONDS = 60.0
"""How long the others are looked for; a launcher starts them all together."""

PAUSE = 0.5

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
        _thread, _pid = threading.Thread(target=_guarded, args=(job,), name="autotrack-ranks", daemon=True), os.getpid()
        with contextlib.suppress(RuntimeError):  # the interpreter is shutting down
            _thread.start()


def _guarded(job: Job) -> None:
    guard.call(_health, "ranks", _look_after, job)


def _look_after(job: Job) -> None:
    handles: dict[int, int] = {}
    seen: set[int] = set()
    poll = select.poll()
    deadline = time.monotonic() + SEARCH_SECONDS
    while True:
        searching = time.monotonic() < deadline and len(seen) < (job.local_size or job.size) - 1
        if searching:
            for rank, pid in others(job).items():
                if rank not in seen:
                    seen.add(rank)
                    handle = os.pidfd_open(pid)
                    handles[handle] = rank
                    poll.register(handle, select.POLLIN)
        if not handles and not searching:
            return
        for handle, _ in poll.poll(PAUSE * 1_000 if searching else None):
            with resting.work():
                _note(handles.pop(handle))
            poll.unregister(handle)
            os.close(handle)


def _note(rank: int) -> None:
    now = clock.now()
    for run in (one for one in list(_runs) if one.status == "RUNNING"):
        run.gone_ranks.append(rank)
        run.recorder.write(events.RankGone(run.run_id, rank, now))
        run.read_ring()  # this process may be next


def others(job: Job) -> dict[int, int]:
    """Processes that the same launcher started for other ranks, by rank."""
    own = dict(job.naming)
    name = next(iter(own))
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdecimal() or jobs.parent_by_proc(int(entry)) != job.launcher:
            continue
        environ = jobs.environ_by_proc(int(entry)) or {}
        if environ.get(name, "").isdecimal() and environ[name] != own[name]:
            found[int(environ[name])] = int(entry)
    return found
