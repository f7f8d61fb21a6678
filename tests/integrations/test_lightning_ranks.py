"""The ranks of a Lightning job are one run, whichever way its processes are started."""

from __future__ import annotations

import sys
import textwrap

import pytest
from gloo_jobs import not_aborted

import autotrack

TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2")

LOAD = """
    import time
    import autotrack
    autotrack.set_system_metrics_sampling_interval(0.05)
    autotrack.enable_system_metrics_logging()

    class WaitForLoad(pl.Callback):
        def on_train_end(self, trainer, module):
            client, keys = autotrack.Client(), [f"system/rank_{rank}/process_memory_usage_megabytes" for rank in (0, 1)]
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                if any(set(keys) <= set(run.data.metrics) for run in client.search_runs()):
                    break
                time.sleep(0.1)
            trainer.strategy.barrier()
"""
"""Ranks that go on until the load of each of them is recorded."""

PROGRAM = """
    import sys

    import {package} as pl
    import torch
    from torch.utils.data import DataLoader, TensorDataset
    {top}

    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def training_step(self, batch, index):
            loss = self.layer(batch[0]).pow(2).mean()
            self.log("loss", loss)
            return loss

        def validation_step(self, batch, index):
            self.log("val_loss", self.layer(batch[0]).pow(2).mean(), sync_dist=True)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)


    if __name__ == "__main__":
        data = DataLoader(TensorDataset(torch.ones(32, 2)), batch_size=4)
        trainer = pl.Trainer(
            accelerator="cpu", devices=2, strategy="{strategy}", max_epochs=2, log_every_n_steps=1, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            callbacks=[{callbacks}],
        )
        net = Net()
        trainer.fit(net, data, data)
        if trainer.is_global_zero:
            print(float(net.layer.weight.sum()))
"""


@pytest.mark.parametrize(
    ("package", "strategy", "zero_code"),
    [
        ("lightning.pytorch", "ddp", True),
        ("pytorch_lightning", "ddp", False),
        ("lightning.pytorch", "ddp_spawn", True),
        ("pytorch_lightning", "ddp_spawn", False),
        ("lightning.pytorch", "ddp_fork", False),
    ],
)
def test_the_ranks_of_a_job_are_one_run(run_python, tmp_path, package, strategy, zero_code):
    """Rank zero writes curves and parameters, also from a process of its own; no other rank opens a run."""
    if sys.platform == "win32" and strategy == "ddp_fork":
        pytest.skip("no fork here")
    top = "" if zero_code else "import autotrack; autotrack.autolog()"
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(PROGRAM).format(package=package, strategy=strategy, top=top, callbacks=""), encoding="utf-8"
    )
    store = str(tmp_path / "store")
    command = ["-m", "autotrack", script] if zero_code else [script]
    variables = {"AUTOTRACK_TRACKING_URI": store, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    done = not_aborted(lambda: run_python(*command, env=variables, timeout=200, status=None), tmp_path / "store")
    assert done.returncode == 0, done.stderr
    client = autotrack.Client(store)
    (run,) = client.search_runs()
    assert (run.info.status, run.info.degraded, run.info.run_name) == ("FINISHED", "", "Net")
    points = client.get_metric_history(run.info.run_id, "loss")
    assert [point.step for point in points] == list(range(8))
    assert [point.step for point in client.get_metric_history(run.info.run_id, "val_loss")] == [3, 7]
    params = run.data.param_values
    assert (params["trainer.world_size"], params["optimizer.lr"]) == (2, 0.1)
    assert len(run.outputs.model_outputs) == 1


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
@pytest.mark.parametrize("zero_code", [True, False])
def test_the_ranks_under_torchrun_are_one_run(run_python, tmp_path, package, zero_code):
    """One run with the curves of rank 0; both ranks with how they ended, and the load of each."""
    source = textwrap.dedent(PROGRAM).format(
        package=package, strategy="ddp", top=textwrap.dedent(LOAD), callbacks="WaitForLoad()"
    )
    script = tmp_path / "train.py"
    script.write_text(source if zero_code else "import autotrack; autotrack.autolog()\n" + source, encoding="utf-8")
    store = tmp_path / "store"
    command = [*(["-m", "autotrack"] if zero_code else []), *TORCHRUN, script]
    variables = {"AUTOTRACK_TRACKING_URI": str(store), "OMP_NUM_THREADS": "1", "AUTOTRACK_TICK_SECONDS": "0.1"}
    done = not_aborted(lambda: run_python(*command, env=variables, timeout=200, status=None), store)
    assert done.returncode == 0, done.stderr
    client = autotrack.Client(store)
    (run,) = client.search_runs()
    assert (run.info.status, run.info.degraded, run.info.run_name) == ("FINISHED", "", "Net")
    assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == list(range(8))
    assert (run.data.tags["ranks"], len(run.outputs.model_outputs)) == ("2", 1)
    assert [run.data.tags[f"rank.{rank}.status"] for rank in (0, 1)] == ["FINISHED"] * 2
    for rank in (0, 1):
        assert run.data.metrics[f"system/rank_{rank}/process_memory_usage_megabytes"] > 1
