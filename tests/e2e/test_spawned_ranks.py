"""`torch.multiprocessing.spawn`: the processes that one call starts are the ranks of one run."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from gloo_jobs import not_aborted
from rank_programs import curve, facts, run, runs_of, write

from autotrack import Client

pytest.importorskip("torch")

PROGRAM = """
    import os, signal, socket, sys, time
    import torch
    import torch.distributed as dist
    import torch.multiprocessing as mp
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    def train(rank, size, what, port):
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = "127.0.0.1", str(port)
        dist.init_process_group("gloo", rank=rank, world_size=size)
        torch.manual_seed(0)
        inputs = torch.randn(32, 4)
        model = DistributedDataParallel(nn.Linear(4, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        losses = []
        for number in range(3):
            optimizer.zero_grad()
            loss = model(inputs[rank::size]).pow(2).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if rank == 0:
            print("losses", losses, flush=True)
        if what == "raise" and rank == 1:
            raise ValueError("bad shard:\\nthe third")
        if what == "kill" and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "leave" and rank == 1:
            os._exit(0)
        if what == "hand":
            by_hand(rank)
        if what in ("raise", "kill"):
            time.sleep(600)
        if what != "leave":
            dist.barrier()
            dist.destroy_process_group()

    def by_hand(rank):
        import autotrack
        autotrack.set_system_metrics_sampling_interval(0.05)
        with autotrack.start_run(run_name="by hand", log_system_metrics=True) as active:
            autotrack.log_metric("score", rank)
            key, client = f"system/rank_{rank}/process_cpu_utilization_percentage", autotrack.Client()
            deadline = time.monotonic() + 60
            while key not in client.get_run(active.info.run_id).data.metrics and time.monotonic() < deadline:
                time.sleep(0.1)
            dist.barrier()

    def free_port():
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            return one.getsockname()[1]

"""

SPAWN = """
    if __name__ == "__main__":
        for what in sys.argv[2:]:
            mp.start_processes(train, (2, what, free_port()), nprocs=2, start_method=sys.argv[1])
"""

OUTER = """
    import autotrack
    if __name__ == "__main__":
        with autotrack.start_run(run_name="outer"):
            mp.spawn(train, args=(2, sys.argv[1], free_port()), nprocs=2)
"""


def program(folder: Path, text: str) -> str:
    """A program that spawns two ranks."""
    return write(folder, textwrap.dedent(PROGRAM) + textwrap.dedent(text))


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_spawned_processes_are_one_run_a_call(tmp_path: Path, method: str) -> None:
    """Each call's loop is a run with the losses of rank 0; a run by hand has both ranks' points, and their load."""
    words = ("-m", "autotrack", program(tmp_path, SPAWN), method, "loop", "hand")
    done = not_aborted(lambda: run(tmp_path, *words), tmp_path / ".autotrack")
    assert done.returncode == 0, done.stderr
    first, second, hand = runs_of(tmp_path)
    losses = [json.loads(line.removeprefix("losses ")) for line in done.stdout.splitlines()]
    assert [curve(tmp_path, one, "loss") for one in (first, second)] == losses
    for one in (first, second, hand):
        assert (one.info.status, one.info.degraded, one.data.tags["ranks"]) == ("FINISHED", "", "2")
        assert [one.data.tags[f"rank.{rank}.status"] for rank in (0, 1)] == ["FINISHED"] * 2
        assert [facts(one, rank)["local_rank"] for rank in (0, 1)] == [0, 1]
        assert facts(one, 0)["pid"] != facts(one, 1)["pid"]
    assert [len(one.outputs.model_outputs) for one in (first, second)] == [1, 1]
    assert (hand.data.metrics["score"], hand.data.metrics["rank_1/score"]) == (0.0, 1.0)
    for rank in (0, 1):
        assert hand.data.metrics[f"system/rank_{rank}/process_memory_usage_megabytes"] > 1


@pytest.mark.parametrize(
    ("what", "error", "text"),
    [
        ("raise", "ValueError", "rank 1: bad shard:\nthe third"),
        ("kill", "SIGKILL", "rank 1: killed by SIGKILL"),
    ],
)
def test_a_spawned_rank_that_raises_or_is_killed_is_named(tmp_path: Path, what: str, error: str, text: str) -> None:
    """The run is FAILED with what that rank raised, or its signal; the program's own exception is the plain one."""
    script = program(tmp_path, SPAWN)
    words = ("-m", "autotrack", script, "spawn", what)
    done = not_aborted(lambda: run(tmp_path, *words), tmp_path / ".autotrack")
    assert done.returncode == 1
    assert "torch.multiprocessing.spawn.Process" in done.stderr
    (failed,) = runs_of(tmp_path)
    assert failed.info.error is not None
    assert (failed.info.status, failed.info.error.type, failed.info.error.message) == ("FAILED", error, text)
    assert (failed.data.tags["failed_rank"], failed.data.tags["rank.1.status"]) == ("1", "FAILED")
    if what == "raise":
        assert "in train" in failed.info.error.traceback


def test_a_spawned_rank_that_leaves_with_exit_code_0_has_not_failed(tmp_path: Path) -> None:
    """`os._exit(0)` says nothing, but the process that started it sees the exit code."""
    words = ("-m", "autotrack", program(tmp_path, SPAWN), "spawn", "leave")
    done = not_aborted(lambda: run(tmp_path, *words), tmp_path / ".autotrack")
    assert done.returncode == 0, done.stderr
    (one,) = runs_of(tmp_path)
    assert (one.info.status, one.data.tags["rank.1.status"], one.info.error) == ("FINISHED", "FINISHED", None)


def test_ranks_that_are_spawned_inside_a_run_train_in_it_once(tmp_path: Path) -> None:
    """In the run that the program opened rank 0 records, once; the other rank is there by its facts alone."""
    words = ("-m", "autotrack", program(tmp_path, OUTER), "loop")
    done = not_aborted(lambda: run(tmp_path, *words), tmp_path / ".autotrack")
    assert done.returncode == 0, done.stderr
    (outer,) = runs_of(tmp_path)
    assert (outer.info.run_name, outer.info.status, outer.data.tags["ranks"]) == ("outer", "FINISHED", "2")
    assert curve(tmp_path, outer, "loss") == json.loads(done.stdout.removeprefix("losses "))
    assert [outer.data.tags[f"rank.{rank}.status"] for rank in (0, 1)] == ["FINISHED"] * 2
    assert [facts(outer, rank)["device"] for rank in (0, 1)] == ["cpu"] * 2
    assert len(Client(tmp_path / ".autotrack").get_fits(outer.info.run_id)) == 1
