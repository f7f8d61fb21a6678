"""Programs of several ranks: how the tests write them, run them and look at what they left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from autotrack import Client
from autotrack.records import Run

ROOT = Path(__file__).parents[1]

TORCHRUN = ("-m", "torch.distributed.run")

LAUNCHERS = ("RANK", "SLURM_", "OMPI_", "PMI_", "WORLD_SIZE", "LOCAL_RANK", "AUTOTRACK_", "MASTER_", "TORCHELASTIC_")


def environ(**variables: str) -> dict[str, str]:
    """An environment in which nothing has been launched."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHERS)}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "AUTOTRACK_TICK_SECONDS": "0.1", **variables}


def write(folder: Path, text: str, top: str = "") -> str:
    """A program, and a store beside it."""
    (folder / ".autotrack").mkdir()
    file = folder / "train.py"
    file.write_text(textwrap.dedent(top) + textwrap.dedent(text), encoding="utf-8")
    return str(file)


def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environ(**variables),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def runs_of(folder: Path) -> list[Run]:
    """All runs, the oldest first."""
    return sorted(Client(folder / ".autotrack").search_runs(), key=lambda one: one.info.start_time)


def curve(folder: Path, one: Run, key: str) -> list[float]:
    """Values of a curve."""
    return [point.value for point in Client(folder / ".autotrack").get_metric_history(one.info.run_id, key)]


def facts(one: Run, rank: int) -> dict[str, Any]:
    """What a run says of a rank."""
    found: dict[str, Any] = json.loads(one.data.tags[f"rank.{rank}"])
    return found
