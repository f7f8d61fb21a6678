"""A job on two machines, each with a name, processes and journals of its own, that record into one database."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from gloo_jobs import ABORTED, ATTEMPTS
from rank_programs import TORCHRUN, environ, facts

from autotrack import Client
from autotrack.store.engine import Store
from autotrack.store.location import locate
from autotrack.tracking import recorders

pytest.importorskip("torch")

HOSTS = ("ant", "bee")

ADDRESS = "127.0.0.2"
"""Of the first machine: no name for "here", as the addresses of machines are none."""

UNSHARE = ("unshare", "--uts", "--mount", "--pid", "--fork", "--mount-proc")

MACHINE = "hostname {host} && mount --bind {boot} /proc/sys/kernel/random/boot_id && exec {command}"

PROGRAM = """
    import os, signal, sys, time
    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for number in range(3):
        optimizer.zero_grad()
        loss = model(torch.ones(2, 4)).pow(2).mean()
        loss.backward()
        optimizer.step()
    if sys.argv[1] == "kill":
        if rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        dist.barrier()
    import autotrack
    with autotrack.start_run(run_name="by hand"):
        autotrack.log_metric("score", rank)
    dist.barrier()
    dist.destroy_process_group()
"""


def machines_can_be_made() -> bool:
    """Whether this user may make namespaces."""
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "hostname", "ant"], capture_output=True, check=False).returncode == 0


def start(folder: Path, number: int, url: str, port: int, what: str) -> subprocess.Popen[str]:
    """torchrun on a machine of its own: another name, boot, and other processes; its journals stay there."""
    place = folder / HOSTS[number]
    (place / ".autotrack").mkdir(parents=True)
    (place / "boot_id").write_text(f"0000-{number}\n")
    (place / "train.py").write_text(textwrap.dedent(PROGRAM), encoding="utf-8")
    nodes = ["--nnodes", "2", "--node-rank", str(number), "--nproc-per-node", "1", "--rdzv-id", "job7"]
    address = ["--master-addr", ADDRESS, "--master-port", str(port)]
    command = [sys.executable, "-m", "autotrack", *TORCHRUN, *nodes, *address, str(place / "train.py"), what]
    script = MACHINE.format(host=HOSTS[number], boot=place / "boot_id", command=shlex.join(command))
    variables = environ(AUTOTRACK_TRACKING_URI=url, GLOO_SOCKET_IFNAME="lo")
    return subprocess.Popen(
        [*UNSHARE, "sh", "-c", script], cwd=place, env=variables, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def job(folder: Path, url: str, what: str) -> list[tuple[int, str]]:
    """Exit codes of the launchers, and what they said."""
    with socket.socket() as free:
        free.bind((ADDRESS, 0))
        port = free.getsockname()[1]
    launchers = [start(folder, number, url, port, what) for number in (0, 1)]
    try:
        said = [one.communicate(timeout=200)[1] for one in launchers]
    finally:
        for one in launchers:
            if one.poll() is None:
                os.killpg(one.pid, signal.SIGKILL)
                one.wait()
    return [(one.returncode, text) for one, text in zip(launchers, said, strict=True)]


def done(folder: Path, url: str, what: str) -> list[tuple[int, str]]:
    """The same, once more where gloo has aborted a rank; what such an attempt recorded is deleted."""
    for attempt in range(ATTEMPTS):
        ended = job(folder / str(attempt), url, what)
        if not any(ABORTED in text for _, text in ended):
            break
        for one in Client(url).search_runs():
            Client(url).delete_run(one.info.run_id)
    return ended


@pytest.fixture
def store(postgres_url: str) -> object:
    """A database, of which this process is only a reader."""
    if not machines_can_be_made():
        pytest.skip("making namespaces (unshare) is not permitted here")
    yield postgres_url
    recorders.forget_store(locate(postgres_url))
    Store.forget(locate(postgres_url))


def test_two_machines_are_one_run(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by the job's id alone: each rank with its host, the loss of rank 0, the points of both."""
    monkeypatch.chdir(tmp_path)
    assert [code for code, _ in done(tmp_path, store, "go")] == [0, 0]
    runs = {one.info.run_name: one for one in Client(store).search_runs()}
    assert sorted(runs) == ["Linear", "by hand"]
    for one in runs.values():
        assert (one.info.status, one.info.degraded, one.data.tags["ranks"]) == ("FINISHED", "", "2")
        assert [facts(one, rank)["host"] for rank in (0, 1)] == list(HOSTS)
        assert [one.data.tags[f"rank.{rank}.status"] for rank in (0, 1)] == ["FINISHED"] * 2
    assert len(Client(store).get_metric_history(runs["Linear"].info.run_id, "loss")) == 3
    assert runs["by hand"].data.metrics == {"score": 0.0, "rank_1/score": 1.0}


def test_a_rank_killed_on_the_second_machine_is_named_with_it(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its launcher there tells the database, where nobody else looks at that machine's journals any more."""
    monkeypatch.chdir(tmp_path)
    assert [code for code, _ in done(tmp_path, store, "kill")] == [1, 1]
    (failed,) = Client(store).search_runs()
    assert failed.info.error is not None
    assert (failed.info.status, failed.info.error.type) == ("FAILED", "SIGKILL")
    assert failed.info.error.message == "rank 1 on bee: killed by SIGKILL"
    assert (failed.data.tags["failed_rank"], failed.data.tags["rank.1.status"]) == ("1", "FAILED")
