"""The PyTorch examples, untouched: the same output as under plain Python, and the runs that README tells of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gloo_jobs import not_aborted

from autotrack import Client
from autotrack.records import Run

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "torch"

EXPECTED: dict[str, tuple[int, dict[str, int]]] = {
    "linear_by_hand": (1, {"mse": 50}),
    "mlp_with_validation": (1, {"loss": 150, "val_loss": 5, "epoch": 5}),
    "small_cnn": (1, {"train_loss": 18, "grad_norm": 18, "epoch": 2}),
    "gan": (1, {"errD_real": 40, "errD_fake": 40, "errG": 40}),
    "rnn_with_lbfgs": (1, {"loss": 6}),
    "folds": (5, {"loss": 30, "test_loss": 1}),
    "mixed_precision": (1, {"loss": 20, "grad_norm": 20}),
}
"""Runs of each example, and how many points which curves of each run have."""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A program in a folder of its own, which is where its runs go."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AUTOTRACK_")}
    environ |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    folder.mkdir(exist_ok=True)
    (folder / ".autotrack").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False
    )


def points(client: Client, one: Run, key: str) -> list[Any]:
    """Points of a curve."""
    return client.get_metric_history(one.info.run_id, key)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_is_recorded_and_its_output_is_that_of_plain_python(name: str, tmp_path: Path) -> None:
    """What it prints, final weights and random numbers among it, is the same; each run has its curves and a model."""
    script = str(EXAMPLES / f"{name}.py")
    plain = run(tmp_path / "plain", script)
    recorded = run(tmp_path / "recorded", "-m", "autotrack", script)
    assert plain.stdout
    assert (recorded.returncode, recorded.stdout, recorded.stderr) == (0, plain.stdout, plain.stderr)
    client = Client(tmp_path / "recorded" / ".autotrack")
    runs = client.search_runs()
    count, curves = EXPECTED[name]
    assert [(one.info.status, one.info.degraded) for one in runs] == [("FINISHED", "")] * count
    for one in runs:
        assert {key: len(points(client, one, key)) for key in curves} == curves
        assert bool(one.outputs.model_outputs) == (name != "linear_by_hand")


def test_two_ranks_are_one_run(tmp_path: Path) -> None:
    """Under torchrun rank 0 records, with the losses that it saw; the others open no run."""
    words = ("torch.distributed.run", "--nproc-per-node", "2", str(EXAMPLES / "two_ranks.py"))
    plain = not_aborted(lambda: run(tmp_path / "plain", "-m", *words), tmp_path / "plain" / ".autotrack")
    launch = ("-m", "autotrack", "-m", *words)
    recorded = not_aborted(lambda: run(tmp_path / "recorded", *launch), tmp_path / "recorded" / ".autotrack")
    assert plain.returncode == 0, plain.stderr
    assert (recorded.returncode, recorded.stdout) == (0, plain.stdout)
    client = Client(tmp_path / "recorded" / ".autotrack")
    (one,) = client.search_runs()
    assert one.info.status == "FINISHED"
    assert [point.step for point in points(client, one, "loss")] == list(range(20))
    assert one.data.params["model"] == "Linear"
