"""The budgets of the design (section 11), measured beside plain Python and MLflow.

    python benchmarks/run.py [--mlflow-python PATH | --no-peers] [--only NAME ...] [--repeats N] [--write]

Each case is measured in whole child processes, the sides taking turns, so that a machine that is slow for a while is
slow for all of them. Of the repeats the median counts. MLflow has an interpreter of its own, and so have W&B and
trackio, which are measured where they do the same; they are made once in `.mlflow`, and get fewer repeats and counts,
since some take so long. `--write` puts the figures into `benchmarks/results.json`, which README.md's table is made of:
those of a part of the cases beside what is there. The cases of servers run where BENCHMARK_POSTGRES_URL and
BENCHMARK_MARIADB_URL name one; each child makes a database of its own there, and drops it. POSIX only. Exits with
status 1 where a budget is exceeded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import results
from cases import CASES, Case, Figures, Row, environment
from environments import PEERS, python_of
from results import shown

SIDES = ("autotrack", "plain", *PEERS)
WIDTHS = (53, 10, 11, 11, 11, 9)

Pythons = Mapping[str, str]
"""The interpreters of other trackers, by side."""

Measured = dict[str, list[Figures]]
"""What the children of each side have reported."""


def run_child(case: Case, side: str, pythons: Pythons) -> Figures:
    """One child process, and what it has measured."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        command = [folder if part == "FOLDER" else part for part in case.commands[side]]
        output, errors = Path(folder, "stdout.txt"), Path(folder, "stderr.txt")
        with output.open("wb") as out, errors.open("wb") as err:
            begin = time.perf_counter()
            child = subprocess.Popen(
                [pythons.get(side, sys.executable), *command],
                env=environment(case.hooked and side == "autotrack"), cwd=folder, stdout=out, stderr=err,
            )  # fmt: skip
            _, status, usage = os.wait4(child.pid, 0)
            wall = 1000 * (time.perf_counter() - begin)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{case.name}, {side}: ended with status {child.returncode}\n{errors.read_text()[-3000:]}")
        lines = output.read_text().splitlines()
    # Some trackers have something to say of their own, also when the program has ended.
    reported = json.loads(next((line for line in reversed(lines) if line.startswith("{")), "{}"))
    return {**reported, "wall": wall, "cpu": 1000 * (usage.ru_utime + usage.ru_stime)}


def measure(case: Case, pythons: Pythons, repeats: int) -> Measured:
    """All repeats of a case, the sides taking turns."""
    sides = [side for side in SIDES if side in case.commands and (side not in PEERS or side in pythons)]
    measured: Measured = {side: [] for side in sides}
    for number in range(repeats):
        for side in sides:
            if side not in PEERS or number < case.few:
                measured[side].append(run_child(case, side, pythons))
    return measured


def value_of(row: Row, measured: Measured, side: str) -> float | None:
    """A side's figure; None where it was not measured."""
    figures = measured.get(side)
    if not figures or row.figure not in figures[0]:
        return None
    return row.best([one[row.figure] for one in figures])


def compared(row: Row, value: float | None, plain: float | None) -> float | None:
    """A figure in the way that its budget speaks of it."""
    if value is None or row.compare == "as it is":
        return value
    if plain is None:
        return None
    return value - plain if row.compare == "over plain" else value / plain


def line_of(row: Row, measured: Measured) -> dict[str, object]:
    """One line of the table, as plain values."""
    plain = value_of(row, measured, "plain")
    peers = {side: compared(row, value_of(row, measured, side), plain) for side in PEERS}
    ours, theirs = compared(row, value_of(row, measured, "autotrack"), plain), peers["mlflow"]
    verdict = ""
    if row.budget is not None and ours is not None:
        verdict = "ok" if (ours >= row.budget if row.at_least else ours <= row.budget) else "OVER"
    ratio = None
    if ours and theirs and ours > 0 and row.compare != "times plain":
        ratio = ours / theirs if row.at_least else theirs / ours
    return {
        "what": row.label, "unit": row.unit, "budget": row.budget, "autotrack": ours, "plain": plain,
        **peers, "mlflow_over_autotrack": ratio, "verdict": verdict,
    }  # fmt: skip


def print_line(line: Mapping[str, object]) -> None:
    """Print one case's figures as a row of the table."""
    unit = str(line["unit"])
    # What plain Python takes is in the unit of the measurement, whatever the budget compares.
    plain = "" if unit == "x plain" else shown(line["plain"])
    ratio = line["mlflow_over_autotrack"]
    cells = [
        shown(line["budget"]), shown(line["autotrack"]), plain, shown(line["mlflow"]),
        f"{shown(ratio)} x" if ratio is not None else "",
    ]  # fmt: skip
    label = f"{line['what']} [{unit}]" if unit else str(line["what"])
    columns = "".join(cell.rjust(width) for cell, width in zip(cells, WIDTHS[1:], strict=True))
    print(f"{label:{WIDTHS[0]}}{columns}  {line['verdict']}", flush=True)


def print_head() -> None:
    """Print what the machine is, and the head of the table."""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores, load {load}")
    print(
        "autotrack and MLflow: the figure that has a budget (over plain Python where that has a column); the median of"
    )
    print("the repeats. The last figure: how many times better autotrack is than MLflow.")
    heads = ("", "budget", "autotrack", "plain", "MLflow", "times")
    print(
        f"{heads[0]:{WIDTHS[0]}}"
        + "".join(head.rjust(width) for head, width in zip(heads[1:], WIDTHS[1:], strict=True))
    )


def lines_of(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Measure case by case."""
    for case in CASES:
        if case.needs is not None and case.needs not in os.environ:
            continue
        if not options.only or case.name in options.only:
            measured = measure(case, options.pythons, options.repeats or case.repeats)
            for row in case.rows:
                yield {"case": case.name, **line_of(row, measured)}


def pythons_for(options: argparse.Namespace) -> dict[str, str]:
    """The interpreters of those that the chosen cases need."""
    chosen = [case for case in CASES if not options.only or case.name in options.only]
    needed = [side for side in PEERS if any(side in case.commands for case in chosen)]
    found = {side: python for side in needed if (python := python_of(side)) is not None}
    return {**found, **({"mlflow": options.mlflow_python} if options.mlflow_python else {})}


def main() -> int:
    """Measure, print, and say by the exit status whether all budgets were kept."""
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlflow-python", metavar="PATH", help="interpreter that has mlflow and scikit-learn")
    parser.add_argument("--no-peers", action="store_true", help="leave the columns of others empty")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--repeats", type=int, metavar="N", help="instead of each case's own number")
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {results.FILE.name}")
    options = parser.parse_args()
    options.pythons = {} if options.no_peers else pythons_for(options)
    print_head()
    lines = []
    for line in lines_of(options):
        print_line(line)
        lines.append(line)
        if options.write:  # at once: whoever stops it keeps what there is
            results.keep(lines, options.pythons)
    return int(any(line["verdict"] == "OVER" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
