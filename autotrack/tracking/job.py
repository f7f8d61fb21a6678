"""The distributed job that this process is a rank of, as its launcher's environment variables tell.

All ranks come to one id for a run without a word between them: it is made of what they have in common, and of how many
runs a rank opened before. In common they have the process that launched them, where all are on this machine, and else
what the launcher or the scheduler calls the job. Where there is neither, each rank is on its own.

The processes that `torch.multiprocessing.spawn` starts have no such variables: that they belong together is known from
their parent (`groups`), and which ranks they are once they have opened their process group.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from autotrack import config, process
from autotrack.events import EndStatus, ErrorInfo, RankEnded
from autotrack.tracking import groups, liveness

_RANKS = tuple(name for name, _ in process.RANK_VARIABLES)
_LOCAL_RANKS = ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")
_LOCAL_SIZES = ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")
_NODES = ("SLURM_STEP_NUM_NODES", "SLURM_NNODES", "SLURM_JOB_NUM_NODES")
_ADDRESS = ("MASTER_ADDR", "MASTER_PORT")
_TORCH = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT")
_SCHEDULERS = ("AUTOTRACK_JOB_ID", "SLURM_JOB_ID", "SLURM_STEP_ID", "PMIX_NAMESPACE", "PBS_JOBID", "LSB_JOBID")
_CLAIM = "AUTOTRACK_RANK"

VARIABLES = (
    *_RANKS, *(size for _, size in process.RANK_VARIABLES), *_LOCAL_RANKS, *process.LOCAL_RANK_VARIABLES,
    *_LOCAL_SIZES, *_NODES, *_ADDRESS, *_TORCH, *_SCHEDULERS, _CLAIM,
)  # fmt: skip

_NAMING = process.NAMING_VARIABLES

_HERE = ("localhost", "127.0.0.1", "::1")

_DEPTH = 20
"""Ancestors that are looked at in search of the launcher."""


class Job(NamedTuple):
    """A distributed job, seen from one of its ranks."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    """Ranks on this machine; 0 where that is not known."""
    key: str
    """What all ranks have in common; empty where nothing is known that no other job has."""
    restart: int
    """How many times torchrun has restarted its ranks."""
    launcher: int
    """Process id of what started this rank, and those beside it."""
    naming: tuple[tuple[str, str], ...]
    """The variables that tell this rank from others."""
    pid: int

    @property
    def host(self) -> str:
        """This machine's name, where the job is known to have others."""
        return liveness.identity().host if 0 < self.local_size < self.size else ""

    def run_id(self, source: str, number: int) -> str:
        """The id of the run of that number that the program or an integration opens, the same in all ranks."""
        return hashlib.sha256(f"{self.key}/{source}/{number}".encode()).hexdigest()[:32]

    def rank_end(self, run_id: str, status: EndStatus, time: int, error: ErrorInfo | None) -> RankEnded:
        """The event that this rank's part in a run is over."""
        return RankEnded(run_id, self.rank, status, time, error, host=self.host)


_found: tuple[int, Job | None] | None = None


def current() -> Job | None:
    """The job that this process is a rank of; None where it is none, or one of a rank's children."""
    global _found
    pid = os.getpid()
    if _found is None:
        config.claim_rank()
        _found = pid, read(config.environment_variables(VARIABLES), pid)
    if _found[0] == pid and _found[1] is not None:
        return _found[1]
    group = groups.own()
    job = None if group is None else _of_group(group, pid)
    if job is not None:
        _found = pid, job
    return job


def is_other() -> bool:
    """Whether this process is another rank than 0 of a job."""
    job = current()
    return job is not None and job.rank > 0


def forget() -> None:
    """Read anew, as a fresh process would (between tests)."""
    global _found
    _found = None
    groups.forget()


def _of_group(group: groups.Group, pid: int) -> Job | None:
    """The job that a group is, or a part of; None unless this process has opened its process group."""
    torch: Any = sys.modules.get("torch.distributed")
    if torch is None or not torch.is_available() or not torch.is_initialized():
        return None
    rank, size = torch.get_rank(), torch.get_world_size()
    if size < 2 or rank < 0:
        return None
    if size == group.size:
        names = [group.name]
    else:  # other machines' processes belong to it
        names = _names(config.environment_variables(VARIABLES))
        names += [str(group.number)] if names else []
    key = hashlib.sha256("\n".join([*names, str(size)]).encode()).hexdigest() if names else ""
    return Job(rank, size, rank % group.size, group.size, key, 0, os.getppid(), (), pid)


def read(environ: Mapping[str, str], pid: int) -> Job | None:
    """What a process's environment tells of its job.

    Args:
        environ: Those of `VARIABLES` that are set.
        pid: The process.
    """
    rank, size = process.rank_of(environ)
    if size < 2 or process.role_of(sys.orig_argv, {}) != "main":
        return None
    claim, own = environ.get(_CLAIM, ""), process.claim_of(pid, environ)
    if claim != own and claim.partition(" ")[2] == own.partition(" ")[2] and claim:
        return None  # a rank's child, which inherited its variables
    naming = tuple((name, environ[name]) for name in _NAMING if name in environ)
    local_rank = _number(environ, _LOCAL_RANKS, rank)
    local_size = _number(environ, _LOCAL_SIZES, 0)
    is_told = any(name in environ for name in _RANKS)
    one_machine = local_size == size or _number(environ, _NODES, 0) == 1 or environ.get("MASTER_ADDR") in _HERE
    launcher = launcher_of(pid, dict(naming))
    names = _names(environ) if is_told else []
    if one_machine and is_told:
        local_size = size
        names.append(f"{liveness.boot_id()}:{launcher}:{liveness.process_started(launcher)}")
    key = ""
    if names:
        restart = environ.get("TORCHELASTIC_RESTART_COUNT", "")
        key = hashlib.sha256("\n".join([*names, restart, str(size)]).encode()).hexdigest()
    restarts = _number(environ, ("TORCHELASTIC_RESTART_COUNT",), 0)
    return Job(rank, size, local_rank, local_size, key, restarts, launcher, naming, pid)


def _names(environ: Mapping[str, str]) -> list[str]:
    """What launcher and scheduler call the job, where no other one is called so."""
    names = [f"{name}={environ[name]}" for name in _SCHEDULERS if environ.get(name)]
    if environ.get("TORCHELASTIC_RUN_ID", "none") != "none":
        names += [f"{name}={environ.get(name, '')}" for name in ("TORCHELASTIC_RUN_ID", *_ADDRESS)]
    return names


def _number(environ: Mapping[str, str], names: tuple[str, ...], default: int) -> int:
    return next((int(environ[name]) for name in names if environ.get(name, "").isdecimal()), default)


def launcher_of(pid: int, naming: Mapping[str, str]) -> int:
    """The process that started a rank: the first of its ancestors that is not of the same rank, as wrappers are."""
    parent_of, environ_of = _views()
    for _ in range(_DEPTH):
        pid = parent_of(pid)
        if pid <= 1 or not is_of(environ_of(pid), naming):
            break
    return pid


def is_of(environ: Mapping[str, str] | None, naming: Mapping[str, str]) -> bool:
    """Whether a process with that environment belongs to the rank that these variables name."""
    if environ is None or not naming:
        return False
    return all(environ.get(name) == naming.get(name) for name in _NAMING)


def _views() -> tuple[Callable[[int], int], Callable[[int], Mapping[str, str] | None]]:
    if sys.platform.startswith("linux"):
        return parent_by_proc, environ_by_proc
    import psutil

    def parent_of(pid: int) -> int:
        try:
            return int(psutil.Process(pid).ppid())
        except psutil.Error:
            return 0

    def environ_of(pid: int) -> Mapping[str, str] | None:
        try:
            found: Mapping[str, str] = psutil.Process(pid).environ()
        except (psutil.Error, OSError):
            return None
        return found

    return parent_of, environ_of


def parent_by_proc(pid: int) -> int:
    """A process's parent, as Linux tells; 0 where it does not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def children_by_proc(pid: int) -> list[int] | None:
    """A process's children, as Linux tells; None where it does not."""
    try:
        found = []
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(child) for child in file.read().split()]
    except (OSError, ValueError):
        return None
    return found


def environ_by_proc(pid: int) -> dict[str, str] | None:
    """The environment that a process was started with, as Linux tells; None where it does not, or not this user."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().decode(errors="replace").split("\0")
    except OSError:
        return None
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
