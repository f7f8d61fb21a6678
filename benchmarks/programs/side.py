"""The side that a child process measures: autotrack, MLflow, or neither.

    python PROGRAM SIDE FOLDER [COUNT]

SIDE is `plain`, `autotrack` or `mlflow`; FOLDER is empty and the child's own. Each program prints one JSON object.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

NAME = sys.argv[1]
FOLDER = sys.argv[2]
COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 0


def tracker() -> Any:
    """The module that is measured, recording into the child's folder; None for plain Python."""
    if NAME == "plain":
        return None
    if NAME == "mlflow":
        import mlflow

        mlflow.set_tracking_uri(f"sqlite:///{FOLDER}/mlflow.db")
        mlflow.set_experiment("benchmark")
        return mlflow
    import autotrack

    autotrack.set_tracking_uri(FOLDER)
    return autotrack


def automatic() -> Any:
    """The same, with everything on that it records by itself."""
    module = tracker()
    if NAME == "mlflow":
        module.sklearn.autolog(silent=True)
    elif module is not None:
        module.autolog()
    return module


def settle(module: Any) -> None:
    """Wait until what was recorded is in the database."""
    if NAME == "autotrack" and not module.flush():
        raise SystemExit("what was recorded did not reach the database")


def database_bytes() -> int:
    """Size of the database, with its write-ahead log."""
    names = [name for name in os.listdir(FOLDER) if ".db" in name and not name.endswith("-shm")]
    return sum(os.path.getsize(os.path.join(FOLDER, name)) for name in names)


def resident_bytes() -> int:
    """Memory of this process, as the kernel counts it."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:  # not Linux: the highest so far, in bytes on macOS
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def fill_cache(module: Any) -> None:
    """SQLite keeps up to 16 MB of a database's pages, a bound and no leak: reach it before memory is looked at."""
    if NAME == "autotrack":
        with module.start_run(run_name="filler"):
            for step in range(1_000_000):
                module.log_metric("filler", step * 0.37, step=step)
        settle(module)


def growth(work: Callable[[], object], count: int, module: Any) -> dict[str, float]:
    """Do something again and again, the first time in order to have all loaded; how memory grows the next time.

    It goes up and down by a buffer or two, so of the two times that follow the one with less memory counts: what is
    never given back is there after both.
    """

    def level() -> int:
        work()
        settle(module)
        gc.collect()
        return resident_bytes()

    before, after = level(), min(level(), level())
    return {"grown_per_thousand": 1000 * (after - before) / count, "resident_mb": before / 1e6}


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds by the clock, and of this thread's CPU time."""
    wall, thread = time.perf_counter(), time.thread_time()
    work()
    return 1000 * (time.perf_counter() - wall), 1000 * (time.thread_time() - thread)


def by_turns(module: Any, make: Callable[[int], Callable[[], object]], pairs: int) -> dict[str, float]:
    """Do something recorded and plain, by turns: what recording adds, in ms of this thread's CPU and of all CPU.

    Args:
        module: What records.
        make: Makes what is done for the pair of that number; 0 is done first, and not measured.
        pairs: How many are measured.
    """

    def once(recorded: bool, number: int) -> tuple[float, float]:
        work = make(number)
        cpu = time.process_time()
        with contextlib.nullcontext() if recorded else module.disabled():
            _, thread = timed(work)
        settle(module)
        return thread, 1000 * (time.process_time() - cpu)

    once(True, 0)
    once(False, 0)
    measured = []
    for number in range(1, pairs + 1):
        first, second = (once(number % 2 == turn, number) for turn in (0, 1))
        measured.append((first, second) if number % 2 == 0 else (second, first))
    return {
        "plain_ms": statistics.median(plain[0] for _, plain in measured),
        "added_ms": statistics.median(recorded[0] - plain[0] for recorded, plain in measured),
        "added_cpu_ms": statistics.median(recorded[1] - plain[1] for recorded, plain in measured),
    }


def percentiles(nanoseconds: list[int]) -> dict[str, float]:
    """The median of some times, and the 99th percentile."""
    ordered = sorted(nanoseconds)
    return {"p50_us": ordered[len(ordered) // 2] / 1000, "p99_us": ordered[len(ordered) * 99 // 100] / 1000}


def timed_cpu(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of this process's CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def cpu_ms() -> float:
    """CPU time of this process, and of its children that have ended."""
    return 1000 * sum(os.times()[:4])


def report(**figures: float) -> None:
    """Hand the figures over to `run.py`: one line of JSON on stdout."""
    print(json.dumps(figures))
