"""Distributed jobs, really launched: their ranks are one run, and one that fails is named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from gloo_jobs import not_aborted
from rank_programs import TORCHRUN, curve, environ, facts, run, runs_of, write

from autotrack import Client

TOP = """
    import os, signal, sys, time
    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    inputs = torch.randn(32, 4)
    model = DistributedDataParallel(nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step():
        optimizer.zero_grad()
        loss = model(inputs[rank::size]).pow(2).mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    """
"""Data-parallel training, up to a step of it."""


LOGGED = """
    losses = [step() for _ in range(3)]
    if rank == 0:
        print("losses", losses, flush=True)
    del model, optimizer

    import autotrack as mlflow

    mlflow.set_system_metrics_sampling_interval(0.05)
    with mlflow.start_run(run_name="by hand", log_system_metrics=True) as active:
        mlflow.log_params({"lr": 0.1, "rank": rank})
        if rank == 2:
            mlflow.log_param("only", "two")
        mlflow.set_tag("said_by", rank)
        for value in (1.0, 2.0):
            mlflow.log_metric("score", value + 10 * rank)
        mlflow.log_metrics({"a": rank, "b": rank}, step=4)
        mlflow.log_text(f"rank {rank}", "notes/who.txt")
        os.mkdir(f"folder-{rank}")
        open(f"folder-{rank}/mine.txt", "w").write(f"of rank {rank}")
        mlflow.log_artifacts(f"folder-{rank}", "all")
        mlflow.log_table({"rank": [rank]}, "table.json")
        mlflow.log_table({"rank": [rank]}, "table.json")
        key, client = f"system/rank_{rank}/process_cpu_utilization_percentage", mlflow.Client()
        deadline = time.monotonic() + 60
        while key not in client.get_run(active.info.run_id).data.metrics and time.monotonic() < deadline:
            time.sleep(0.1)
        dist.barrier()
    with mlflow.start_run(run_id=active.info.run_id):
        mlflow.log_metric("again", rank)
        dist.barrier()
    dist.destroy_process_group()
"""


def test_four_ranks_write_into_one_run_each_under_its_own_name(tmp_path: Path) -> None:
    """Under plain torchrun: points, files, facts and load of each rank; of what all say, what rank 0 says."""
    pytest.importorskip("torch")
    script = write(tmp_path, "import autotrack; autotrack.autolog()\n" + textwrap.dedent(TOP) + textwrap.dedent(LOGGED))
    words = (*TORCHRUN, "--nproc-per-node", "4", script)
    done = not_aborted(lambda: run(tmp_path, *words), tmp_path / ".autotrack")
    assert done.returncode == 0, done.stderr
    loop, hand = runs_of(tmp_path)
    assert [one.info.status for one in (loop, hand)] == ["FINISHED"] * 2
    assert [one.info.degraded for one in (loop, hand)] == [""] * 2

    losses = json.loads(done.stdout.removeprefix("losses "))
    assert curve(tmp_path, loop, "loss") == losses
    assert [key for key in loop.data.metrics if key.startswith("rank_")] == []
    assert len(loop.outputs.model_outputs) == 1
    for one in (loop, hand):
        assert one.data.tags["ranks"] == "4"
        told = [facts(one, rank) for rank in range(4)]
        assert [fact["local_rank"] for fact in told] == [0, 1, 2, 3]
        assert len({fact["pid"] for fact in told}) == len({fact["session_id"] for fact in told}) == 4
        assert [one.data.tags[f"rank.{rank}.status"] for rank in range(4)] == ["FINISHED"] * 4
    assert [facts(loop, rank)["device"] for rank in range(4)] == ["cpu"] * 4
    assert loop.data.params["model"] == "Linear"

    assert (hand.info.run_name, hand.info.session_id) == ("by hand", facts(hand, 0)["session_id"])
    own = {key: value for key, value in hand.data.params.items() if not key.startswith("seed.")}
    assert own == {"lr": "0.1", "rank": "0", "only": "two"}
    assert hand.data.tags["said_by"] == "0"
    prefixes = ["", "rank_1/", "rank_2/", "rank_3/"]
    for rank, prefix in enumerate(prefixes):
        assert curve(tmp_path, hand, prefix + "score") == [10 * rank + 1, 10 * rank + 2]
        assert [hand.data.metrics[prefix + key] for key in ("a", "b", "again")] == [rank] * 3
        assert hand.data.metrics[f"system/rank_{rank}/process_memory_usage_megabytes"] > 1
    assert "system/cpu_utilization_percentage" in hand.data.metrics
    assert "system/rank_1/cpu_utilization_percentage" not in hand.data.metrics
    client = Client(tmp_path / ".autotrack")
    for rank, prefix in enumerate(prefixes):
        assert client.load_text(hand.info.run_id, prefix + "notes/who.txt") == f"rank {rank}"
        assert client.load_text(hand.info.run_id, prefix + "all/mine.txt") == f"of rank {rank}"
        assert client.load_dict(hand.info.run_id, prefix + "table.json")["data"] == [[rank], [rank]]


AGAIN = """
    import os, sys
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "1":  # gloo itself does not always come up a second time
        import autotrack
        with autotrack.start_run(run_name="second"):
            autotrack.log_metric("rank", int(os.environ["RANK"]))
        sys.exit()
"""

KILLED = """
    from pathlib import Path

    def are_written(what):
        return any(what in file.read_text("utf-8") for file in Path(".autotrack/journal").rglob("*.jsonl"))

    for number in range(6):
        if number == 3 and rank == 1:
            while not are_written('"loss"'):  # rank 0 stands still meanwhile
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGKILL)
        step()
"""


def test_a_killed_rank_is_named_by_torchrun_and_a_restart_is_a_run_of_its_own(tmp_path: Path) -> None:
    """Zero-code: the launcher knows the signal, whatever rank 0 came to say; the second attempt is untouched by it."""
    pytest.importorskip("torch")
    script = write(tmp_path, KILLED, textwrap.dedent(AGAIN) + textwrap.dedent(TOP))
    words = (*TORCHRUN, "--nproc-per-node", "2", "--max-restarts", "1", script)
    done = run(tmp_path, "-m", "autotrack", *words)
    assert done.returncode == 0, done.stderr
    failed, well = runs_of(tmp_path)
    assert failed.info.error is not None
    assert (failed.info.status, failed.info.error.message) == ("FAILED", "rank 1: killed by SIGKILL")
    assert (failed.data.tags["failed_rank"], failed.data.tags["rank.1.status"]) == ("1", "FAILED")
    assert curve(tmp_path, failed, "loss")
    assert (well.info.run_name, well.info.status, well.info.error) == ("second", "FINISHED", None)
    assert well.data.metrics == {"rank": 0.0, "rank_1/rank": 1.0}
    assert [facts(well, rank)["restart"] for rank in (0, 1)] == [1, 1]
    assert "failed_rank" not in well.data.tags
    journals = (tmp_path / ".autotrack" / "journal").rglob("*.jsonl")
    assert sum(file.read_text("utf-8").count('"killed":true') for file in journals) == 1


ALONE = """
    for number in range(3):
        step()
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="rank 0 sees others end on Linux alone")
def test_a_killed_rank_is_named_where_rank_0_is_ended_for_it_and_nobody_else_tells(tmp_path: Path) -> None:
    """Plain torchrun sends rank 0 a SIGTERM; that rank 1 was gone before it, rank 0 has seen; its points are kept."""
    pytest.importorskip("torch")
    script = write(tmp_path, "import autotrack; autotrack.autolog()\n" + textwrap.dedent(TOP) + textwrap.dedent(ALONE))
    done = run(tmp_path, *TORCHRUN, "--nproc-per-node", "2", "--monitor-interval", "2", script)
    assert done.returncode == 1
    (failed,) = runs_of(tmp_path)
    assert failed.info.error is not None
    assert (failed.info.status, failed.info.error.message[:7]) == ("FAILED", "rank 1:")
    assert failed.data.tags["failed_rank"] == "1"
    assert [failed.data.tags[f"rank.{rank}.status"] for rank in (0, 1)] == ["KILLED", "FAILED"]
    assert len(curve(tmp_path, failed, "loss")) == 3
    assert [one.info.status for one in runs_of(tmp_path)] == ["FAILED"]


def test_accelerate_launch_is_one_run(tmp_path: Path) -> None:
    """`accelerate launch` on two processes: one run with both ranks (by `--cpu` alone it starts one process)."""
    pytest.importorskip("accelerate")
    script = write(
        tmp_path,
        """
        import torch
        from accelerate import Accelerator

        accelerator = Accelerator(cpu=True)
        model = torch.nn.Linear(4, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model, optimizer = accelerator.prepare(model, optimizer)
        for _ in range(4):
            optimizer.zero_grad()
            loss = model(torch.ones(2, 4)).pow(2).mean()
            accelerator.backward(loss)
            optimizer.step()
        accelerator.end_training()
        """,
    )
    launch = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1")
    options = ("--mixed_precision", "no", "--dynamo_backend", "no")
    done = not_aborted(lambda: run(tmp_path, "-m", "autotrack", *launch, *options, script), tmp_path / ".autotrack")
    assert done.returncode == 0, done.stderr
    (one,) = runs_of(tmp_path)
    assert (one.info.status, one.data.tags["ranks"]) == ("FINISHED", "2")
    assert [facts(one, rank)["local_rank"] for rank in (0, 1)] == [0, 1]
    assert len(curve(tmp_path, one, "loss")) == 4


TASK = """
import os, subprocess, sys, time
from pathlib import Path

import autotrack

autotrack.autolog()
rank, what = int(os.environ["SLURM_PROCID"]), sys.argv[1]
if what == "fit":
    from sklearn.linear_model import Ridge

    Ridge().fit([[0.0], [1.0]], [0.0, 1.0])
    child = "import autotrack\\nwith autotrack.start_run(run_name='child'): pass"
    if rank == 1:
        subprocess.run([sys.executable, "-c", child], check=True)
while what in ("leave", "lose") and rank == 0 and not Path(f"ready.{what}.1").exists():
    time.sleep(0.02)
autotrack.log_metric("m", rank)
autotrack.flush()
Path(f"ready.{what}.{rank}").touch()
if what == "raise" and rank == 1:
    raise ValueError("bad shard")
while what == "leave" and not Path("ready.leave.0" if rank else "go").exists():
    time.sleep(0.02)
if what == "leave" and rank == 1:
    os._exit(0)
while what in ("wait", "lose") or (what == "kill" and rank == 1):
    time.sleep(1)
"""


def tasks(folder: Path, what: str, step: str = "") -> list[subprocess.Popen[bytes]]:
    """Two processes as SLURM's `srun` starts them."""
    found = []
    for rank in range(2):
        variables = {
            "SLURM_PROCID": str(rank),
            "SLURM_NTASKS": "2",
            "SLURM_JOB_ID": "77",
            "SLURM_STEP_ID": step or what,
        }
        words = [sys.executable, str(folder / "train.py"), what]
        found.append(subprocess.Popen(words, cwd=folder, env=environ(**variables), stderr=subprocess.DEVNULL))
    return found


def wait_for(folder: Path, what: str, processes: list[subprocess.Popen[bytes]]) -> None:
    """Until both have recorded something."""
    import time

    while not all((folder / f"ready.{what}.{rank}").exists() for rank in range(2)):
        assert all(process.poll() is None or process.returncode == 0 for process in processes)
        time.sleep(0.05)


def test_tasks_of_a_scheduler_are_one_run(tmp_path: Path) -> None:
    """SLURM's variables; a fit in another rank opens no run, a program that a rank starts is none of the ranks."""
    pytest.importorskip("sklearn")
    write(tmp_path, TASK)
    assert [task.wait(120) for task in tasks(tmp_path, "fit")] == [0, 0]
    runs = {one.info.run_name: one for one in runs_of(tmp_path)}
    fit, child = runs.pop("Ridge"), runs.pop("child")
    (hand,) = runs.values()
    assert (hand.info.status, hand.data.metrics) == ("FINISHED", {"m": 0.0, "rank_1/m": 1.0})
    assert (hand.data.tags["ranks"], fit.data.tags["rank.0.status"]) == ("2", "FINISHED")
    assert "rank.1" not in fit.data.tags
    assert "ranks" not in child.data.tags

    # Another command in the same step: nothing goes into the runs of the first one.
    assert [task.wait(120) for task in tasks(tmp_path, "again", "fit")] == [0, 0]
    assert len(runs_of(tmp_path)) == 5
    again = Client(tmp_path / ".autotrack").get_run(hand.info.run_id)
    assert (again.data.metrics, len(curve(tmp_path, again, "m"))) == (hand.data.metrics, 1)


def test_tasks_that_raise_or_are_killed_fail_the_run(tmp_path: Path) -> None:
    """Though rank 0 comes to a good end; where all are killed together nobody is to blame."""
    write(tmp_path, TASK)
    assert [task.wait(120) for task in tasks(tmp_path, "raise")] == [0, 1]
    killed = tasks(tmp_path, "kill")
    wait_for(tmp_path, "kill", killed)
    assert killed[0].wait(120) == 0
    os.kill(killed[1].pid, signal.SIGKILL)
    killed[1].wait()
    cancelled = tasks(tmp_path, "wait")
    wait_for(tmp_path, "wait", cancelled)
    for task in cancelled:
        task.terminate()
        task.wait()
    for _ in range(2):
        raised, lost, gone = runs_of(tmp_path)
        assert raised.info.error is not None
        assert (raised.info.status, raised.info.error.message) == ("FAILED", "rank 1: bad shard")
        assert (raised.info.error.type, "bad shard" in raised.info.error.traceback) == ("ValueError", True)
        assert (lost.info.status, lost.data.tags["failed_rank"]) == ("FAILED", "1")
        assert (gone.info.status, gone.info.error, gone.data.tags.get("failed_rank")) == ("KILLED", None, None)


def wait_for_words(folder: Path, words: str) -> None:
    """Until a journal has them."""
    import time

    deadline = time.monotonic() + 120
    while not any(words in file.read_text("utf-8") for file in (folder / ".autotrack" / "journal").rglob("*.jsonl")):
        assert time.monotonic() < deadline, words
        time.sleep(0.02)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="rank 0 sees others end on Linux alone")
def test_rank_0_sees_how_the_others_end(tmp_path: Path) -> None:
    """With no launcher that tells: one that leaves by `os._exit(0)` has ended well; one that is killed before rank 0 is
    ended for it has failed the run, by its signal.
    """
    write(tmp_path, TASK)
    left = tasks(tmp_path, "leave")
    wait_for_words(tmp_path, '"rank.1.exit_code":"0"')
    (tmp_path / "go").touch()
    assert [task.wait(120) for task in left] == [0, 0]
    lost = tasks(tmp_path, "lose")
    while not (tmp_path / "ready.lose.0").exists():
        assert lost[0].poll() is None
    os.kill(lost[1].pid, signal.SIGKILL)
    wait_for_words(tmp_path, '"rank.1.exit_code":"-9"')
    lost[0].terminate()
    assert [task.wait(120) for task in lost] == [-signal.SIGTERM, -signal.SIGKILL]
    well, failed = runs_of(tmp_path)
    assert (well.info.status, well.info.error, well.data.tags["rank.1.status"]) == ("FINISHED", None, "FINISHED")
    assert failed.info.error is not None
    assert (failed.info.status, failed.info.error.message) == ("FAILED", "rank 1: killed by SIGKILL")
    assert [failed.data.tags[f"rank.{rank}.status"] for rank in (0, 1)] == ["KILLED", "FAILED"]
