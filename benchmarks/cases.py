"""What is measured, and against which budget (design, section 11)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
HOOK = ROOT / "sitecustomize_hook"

Figures = Mapping[str, float]
"""What one child process has measured; `cpu` (ms) and `wall` (ms) of the whole process among it."""

HEAVY = ("wrapt", "sqlalchemy", "numpy", "asyncio", "pandas", "sklearn", "fsspec", "msgspec", "yaml")
"""Modules that switching autologging on may not load."""

_SWITCH_ON = {"autotrack": "import autotrack; autotrack.autolog()", "mlflow": "import mlflow; mlflow.autolog()"}
_IMPORT = {"wandb": "import wandb", "trackio": "import trackio"}
"""Of those that record nothing by themselves."""
_LIST_HEAVY = f"import json, sys; print(json.dumps({{'heavy': sum(m in sys.modules for m in {HEAVY!r})}}))"


class Row(NamedTuple):
    """One line of the table: a figure, and what it may be."""

    label: str
    unit: str
    figure: str
    """Its name in what the child reports."""
    budget: float | None = None
    """At most that, in the unit; where `at_least`, at least that."""
    compare: str = "as it is"
    """"over plain": the difference to plain Python counts; "times plain": the ratio."""
    best: Callable[[list[float]], float] = median
    """How the repeats of one side become one figure."""
    at_least: bool = False
    """More is better."""


class Case(NamedTuple):
    """One thing that is measured, each side in whole child processes that take turns."""

    name: str
    commands: Mapping[str, list[str]]
    """Arguments of the interpreter by side; `FOLDER` stands for an empty folder."""
    rows: list[Row]
    hooked: bool = False
    """autotrack's side runs with the zero-code hook on PYTHONPATH."""
    repeats: int = 3
    few: int = 1
    """How many times the sides of others are measured, at most."""
    needs: str | None = None
    """A variable of the environment without which the case is passed over."""


def program(name: str, counts: Mapping[str, int], *more: str) -> dict[str, list[str]]:
    """The command line of a program for each side: its name among `programs`, and how often it does what it does."""
    path = str(HERE / "programs" / f"{name}.py")
    return {side: [path, side, "FOLDER", str(count), *more] for side, count in counts.items()}


def others(count: int) -> dict[str, list[str]]:
    """The command lines for trackers that only log what they are told."""
    return program("other_trackers", dict.fromkeys(("wandb", "trackio"), count))


def ingest(engine: str, budget: float | None, few: int) -> Case:
    """Points into one engine. A server's case is measured where the environment names the server."""
    server = {"postgresql": "BENCHMARK_POSTGRES_URL", "mariadb": "BENCHMARK_MARIADB_URL"}.get(engine)
    suffix = "" if server is None else f"_{engine}"
    rows = [
        Row(f"ingest, points per second, {engine}", "/s", "per_s", budget, at_least=True),
        Row(f"ingest, points per second of CPU, {engine}", "/s", "per_cpu_s", at_least=True),
    ]
    # MLflow gets fewer points; both figures are for each point.
    commands = program("store_ingest", {"autotrack": 500_000, "mlflow": 20_000}, engine)
    return Case(f"store_ingest{suffix}", commands, rows, repeats=5, few=few, needs=server)


def environment(hooked: bool) -> dict[str, str]:
    """Of a child: nothing of the caller's autotrack, one thread for linear algebra, no words to anybody's servers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTOTRACK_", "PYTHON"))}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
    if not hooked:
        return {**kept, **threads, **quiet, "PYTHONPATH": str(ROOT)}
    path = f"{HOOK}{os.pathsep}{ROOT}"
    return {**kept, **threads, **quiet, "PYTHONPATH": path, "AUTOTRACK_ACTIVE": "1", "AUTOTRACK_PROTOCOL": "1"}


CASES = [
    Case(
        "import",
        {"plain": ["-c", "pass"]} | {side: ["-c", code] for side, code in (_SWITCH_ON | _IMPORT).items()},
        [Row("import and autolog(), CPU over bare Python", "ms", "cpu", 40, "over plain")],
        repeats=15,
        few=3,
    ),
    Case(
        "modules",
        {side: ["-c", f"{code}; {_LIST_HEAVY}"] for side, code in _SWITCH_ON.items()},
        [Row(f"modules it loads of {len(HEAVY)} heavy ones", "", "heavy", 0)],
        repeats=1,
    ),
    Case(
        "hook",
        {"plain": ["-c", "pass"], "autotrack": ["-c", "pass"]},
        [Row("zero-code hook in a child, CPU", "ms", "cpu", 10, "over plain")],
        hooked=True,
        repeats=15,
    ),
    Case(
        "launcher",
        {"plain": ["-c", "pass"], "autotrack": ["-m", "autotrack", "-c", "pass"]},
        [Row("python -m autotrack, CPU", "ms", "cpu", None, "over plain")],
        repeats=15,
    ),
    Case(
        "log_metric",
        program("log_metric", {"autotrack": 100_000, "mlflow": 500}) | others(10_000),
        [
            Row("log_metric, median", "us", "p50_us", 8),
            Row("log_metric, 99th percentile", "us", "p99_us", 50),
            Row("log_metric, points per second, all in SQL", "/s", "stored_per_s", 100_000, at_least=True),
            Row("log_metric, points per second, calls alone", "/s", "logged_per_s", at_least=True),
            Row("database, bytes per point", "B", "bytes_per_point", 35),
        ],
    ),
    Case(
        "iris",
        program("fit_iris", {"plain": 40, "autotrack": 40, "mlflow": 3}),
        [
            Row("iris fit, added to the training thread", "ms", "fit_ms", 5, "over plain"),
            Row("iris fit, CPU of that thread", "ms", "thread_ms", None, "over plain"),
            Row("iris fit, CPU in all, background included", "ms", "cpu_ms", 60, "over plain"),
            Row("iris, the first fit of a process, added", "ms", "first_ms", None, "over plain"),
            Row("iris, the first fit of a process, CPU in all", "ms", "first_cpu_ms", None, "over plain"),
            Row("iris fits in a row, added to each", "ms", "in_a_row_ms", None, "over plain"),
        ],
        repeats=5,
    ),
    Case(
        "grid",
        program("grid_search", {"plain": 3, "autotrack": 3, "mlflow": 1}),
        [
            Row("GridSearchCV, 8 x 3", "x plain", "search_ms", 1.05, "times plain"),
            Row("GridSearchCV, added", "ms", "search_ms", None, "over plain"),
            Row("GridSearchCV, first of a process, added", "ms", "first_ms", None, "over plain"),
        ],
        repeats=5,
    ),
    Case(
        "boosting",
        program("boosting", {"autotrack": 10}),
        [
            Row("LightGBM, 1,000 rounds, a valid set: CPU", "x plain", "thread_ratio", 1.02),
            Row("LightGBM, the same: by the clock", "x plain", "wall_ratio"),
            Row("LightGBM, the same: added", "ms", "added_ms"),
        ],
        repeats=1,
    ),
    Case(
        "training_loop",
        program("training_loop", {"autotrack": 20}),
        [
            Row("PyTorch, a step of a plain loop: CPU", "x plain", "thread_ratio", 1.01),
            Row("PyTorch, the same: by the clock", "x plain", "wall_ratio"),
            Row("PyTorch, the step, plain: CPU", "us", "step_us"),
            Row("PyTorch, the same: added", "us", "added_us"),
            Row("PyTorch, the loop's first three steps: added, CPU", "ms", "begin_ms"),
            Row("PyTorch, a step after them: CPU", "x plain", "later_ratio"),
        ],
        repeats=1,
    ),
    ingest("sqlite", 200_000, few=2),
    ingest("postgresql", 100_000, few=2),
    ingest("mariadb", None, few=2),
    Case(
        "store_history",
        program("store_history", {"autotrack": 1_000_000, "mlflow": 100_000}),
        [
            Row("history of 1,000,000 points (MLflow: 100,000, x 10)", "s", "million_s", 1),
            Row("the same, CPU", "s", "million_cpu_s"),
        ],
    ),
    Case(
        "store_search",
        program("search_runs", {"autotrack": 10_000, "mlflow": 10_000}),
        [
            Row("search_runs, one metric, order by another", "ms", "main_ms", 20),
            Row("search_runs, slowest query of MLflow's grammar", "ms", "worst_common_ms", 20),
            Row("search_runs, slowest query", "ms", "worst_ms", 20),
            Row("search_runs, one metric, order by another: CPU", "ms", "main_cpu_ms"),
            Row("search_runs, slowest query: CPU", "ms", "worst_cpu_ms"),
        ],
        repeats=2,
    ),
    Case(
        "first_run",
        program("first_run", {"autotrack": 0, "mlflow": 0}) | others(0),
        [
            Row("new store, first run, cold process: wall", "ms", "wall", 500),
            Row("new store, first run, cold process: CPU", "ms", "cpu"),
        ],
        repeats=7,
        few=2,
    ),
    Case(
        "memory",
        program("many_fits", {"plain": 10_000, "autotrack": 10_000, "mlflow": 40}),
        [Row("memory, 10,000 fits (MLflow: 40): growth per fit", "B", "grown_per_fit", 200)],
        repeats=1,
    ),
    Case(
        "memory_steps",
        program("many_steps", {"plain": 100_000, "autotrack": 100_000}),
        [Row("memory, 100,000 PyTorch steps: growth per 1,000", "B", "grown_per_thousand", 20_000)],
        repeats=1,
    ),
    Case(
        "memory_metrics",
        program("many_metrics", {"autotrack": 2_000_000, "mlflow": 500}),
        [Row("memory, the second 1,000,000 points: growth per 1,000", "B", "grown_per_thousand", 2_000)],
        repeats=1,
    ),
    Case(
        "own_tests",
        program("own_tests", {"plain": 0, "autotrack": 0}),
        [
            Row("scikit-learn's own tests, three files: time", "x plain", "tests_s", 1.3, "times plain"),
            Row("scikit-learn's own tests: more that fail", "", "failed", 0, "over plain"),
        ],
        repeats=1,
    ),
]
