"""Which process wrote this, and is it still there?

A process is named by host, boot, pid and start time: pids are used again, hosts are rebooted, containers share
a kernel.
"""

from __future__ import annotations

import os
import socket
import sys
from functools import lru_cache
from typing import NamedTuple

LOST_AFTER = 180_000
"""Milliseconds without a heartbeat after which a process on another host counts as gone."""


class Identity(NamedTuple):
    """A process, for ever."""

    host: str
    boot_id: str
    pid: int
    started: int


def identity() -> Identity:
    """This process."""
    pid = os.getpid()
    return Identity(socket.gethostname(), boot_id(), pid, process_started(pid) or 0)


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Id of this boot of this machine, and of the pid namespace on it."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        return f"{boot}:{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def process_started(pid: int) -> int | None:
    """When a process began, in the OS's own count; None when there is no such process (a zombie counts as none)."""
    if sys.platform.startswith("linux"):
        return _started_by_proc(pid)
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time() * 1000)
    except psutil.Error:
        return None


def _started_by_proc(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command name, in parentheses, may hold blanks and parentheses: count from the last one.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def is_here(host: str, boot: str) -> bool:
    """Whether a process of that host and boot would be seen from here."""
    return host == socket.gethostname() and boot == boot_id()


def is_alive(who: Identity, heartbeat: int, now: int) -> bool:
    """Whether a process is still there.

    Args:
        who: The process.
        heartbeat: When the store last heard of it, ms since the epoch; only this tells of processes on other hosts.
        now: ms since the epoch.
    """
    if is_here(who.host, who.boot_id):
        started = process_started(who.pid)
        return started == who.started if started is not None else _is_hidden(who.pid)
    if who.host == socket.gethostname() and who.boot_id.partition(":")[0] != boot_id().partition(":")[0]:
        return False
    return now - heartbeat < LOST_AFTER


def _is_hidden(pid: int) -> bool:
    """Some machines show nobody the processes of others (`hidepid`); that one is there may be asked all the same."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False
