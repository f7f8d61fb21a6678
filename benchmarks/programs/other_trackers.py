"""W&B offline and trackio: `log` of one metric, as `log_metric` measures it of autotrack and MLflow.

They have no call that waits until all is on disk, so a whole second run is timed, from its first `log` until `finish`
has returned. With a COUNT of 0: a first run of one parameter and one metric, as in `first_run`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import side

os.environ.update(WANDB_MODE="offline", WANDB_DIR=side.FOLDER, WANDB_SILENT="true", TRACKIO_DIR=side.FOLDER)


def begun(**config: float) -> Any:
    """A run that is open."""
    if side.NAME == "wandb":
        import wandb

        return wandb.init(project="benchmark", dir=side.FOLDER, config=config)
    import trackio

    return trackio.init(project="benchmark", config=config)


def folder_bytes() -> int:
    """All that is in the folder: one writes logs of its own, the other a database."""
    return sum(path.stat().st_size for path in Path(side.FOLDER).rglob("*") if path.is_file())


run = begun(alpha=0.5)
run.log({"loss": 0.25})
if not side.COUNT:
    run.finish()
    side.report(bytes=folder_bytes())
    raise SystemExit

times = []
for step in range(1, side.COUNT + 1):
    value = step * 0.37
    begin = time.perf_counter_ns()
    run.log({"timed": value}, step=step)
    times.append(time.perf_counter_ns() - begin)
run.finish()

run = begun()
before = folder_bytes()
begin = time.perf_counter()
for step in range(side.COUNT):
    run.log({"loss": step * 0.37}, step=step)
logged = time.perf_counter() - begin
run.finish()
stored = time.perf_counter() - begin
side.report(
    **side.percentiles(times),
    logged_per_s=side.COUNT / logged,
    stored_per_s=side.COUNT / stored,
    bytes_per_point=(folder_bytes() - before) / side.COUNT,
)
