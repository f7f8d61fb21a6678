"""The job that a process is a rank of: what its ranks have in common, read off the launcher's variables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autotrack import process
from autotrack.tracking import job as jobs

TORCHRUN = {
    "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "node",
    "MASTER_PORT": "29500", "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0",
}  # fmt: skip
OVER_NODES = {**TORCHRUN, "WORLD_SIZE": "4", "RANK": "3"}


@pytest.fixture(autouse=True)
def _as_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite may itself be run by a tool."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "train.py"])


def read(environ: dict[str, str], pid: int | None = None) -> jobs.Job | None:
    """The job of a process, this one by default, as if it had been started with that environment."""
    return jobs.read(environ, os.getpid() if pid is None else pid)


def key_of(environ: dict[str, str], **changes: str) -> str:
    """What the ranks of a job have in common."""
    found = read({**environ, **changes})
    assert found is not None
    return found.key


def test_ranks_that_one_launcher_started_have_one_key_and_no_other_job_has_it() -> None:
    """On one machine: of two ranks the same, of a restart another, and so of another launcher's ranks."""
    found = read(TORCHRUN)
    assert found is not None
    assert (found.rank, found.size, found.local_rank, found.local_size) == (1, 2, 1, 2)
    assert (found.launcher, found.restart) == (os.getppid(), 0)
    assert key_of(TORCHRUN, RANK="0", LOCAL_RANK="0") == found.key
    assert key_of(TORCHRUN, TORCHELASTIC_RESTART_COUNT="1") not in ("", found.key)
    other = read(TORCHRUN, os.getppid())
    assert other is not None
    assert other.key not in ("", found.key)
    assert found.run_id("fluent", 1) != found.run_id("fluent", 2) != found.run_id("torch", 2)
    assert len(found.run_id("fluent", 1)) == 32


def test_ranks_on_several_machines_share_what_names_their_job_alone() -> None:
    """Without a name that tells it from other jobs there is no key: each rank is on its own then."""
    assert key_of(OVER_NODES) == ""
    named = key_of(OVER_NODES, TORCHELASTIC_RUN_ID="job7")
    other = read({**OVER_NODES, "TORCHELASTIC_RUN_ID": "job7", "RANK": "0", "LOCAL_RANK": "0"}, os.getppid())
    assert other is not None
    assert named == other.key != ""
    assert key_of(OVER_NODES, AUTOTRACK_JOB_ID="mine") == key_of(OVER_NODES, AUTOTRACK_JOB_ID="mine", RANK="2") != ""
    slurm = {"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}
    assert key_of(slurm) == key_of(slurm, SLURM_PROCID="1") != ""
    assert key_of(slurm) != key_of(slurm, SLURM_STEP_ID="1")


def test_what_is_no_rank_has_no_job() -> None:
    """One process alone; a rank's child, which inherits its variables; what Lightning starts has a rank but no key."""
    assert read({"RANK": "0", "WORLD_SIZE": "1"}) is None
    assert read({}) is None
    own = process.claim_of(os.getpid(), TORCHRUN)
    assert read({**TORCHRUN, "AUTOTRACK_RANK": own}) is not None
    assert read({**TORCHRUN, "AUTOTRACK_RANK": own}, os.getppid()) is None
    # A launcher that is a rank itself, of machines, starts ranks.
    launcher = process.claim_of(1, {"RANK": "0", "WORLD_SIZE": "2"})
    assert read({**TORCHRUN, "AUTOTRACK_RANK": launcher}) is not None
    assert key_of({"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}) == ""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a shell and /proc")
def test_a_wrapper_around_a_rank_is_not_taken_for_the_launcher() -> None:
    """A shell that each rank is started through has the rank's variables; what started the shell is the launcher."""
    program = "from autotrack.tracking import job; print(job.current().launcher)"
    environ = {**os.environ, **TORCHRUN, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = ["sh", "-c", f'"{sys.executable}" -c "{program}"; true']
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=100, check=True)
    assert int(done.stdout) == os.getpid()
