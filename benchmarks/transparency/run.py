"""Transparency: other projects' tests, and programs, with autotrack on and off; every outcome has to be the same.

    python benchmarks/transparency/run.py [--only NAME ...] [--match EXPRESSION] [--json FILE] [--keep FOLDER]

scikit-learn's tests come from the package that is installed. Each suite runs twice, one process of pytest a side:
plain, and under `python -m autotrack` with every integration active, all recorded into a store of its own. Compared
are the outcome of every test, the warnings that it let through, and the CPU time of the whole process. Programs are
compared by what they print, their exit status and the files that they write. Of the store it is checked that no run is
left RUNNING or KILLED, that none is degraded for a reason of autotrack's, that a FAILED one belongs to a test that
passes without autotrack too, and that there is nothing for `autotrack doctor` to tell. POSIX only. Exits with status 1
where something differs, or takes more than its share of time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import recorded
from suites import HERE, PACKAGE, PROGRAMS, SUITES, Program, Suite, copy_tests

ROOT = HERE.parents[1]
SIDES = ("plain", "autotrack")

BUDGET = 1.3
"""Times the CPU of the plain side, at most, in all suites together."""

A_RUN = 0.06
"""Seconds of CPU that a run may cost (design, section 11): counts where the fits of a suite take next to nothing."""

START = 3.0
"""Seconds of CPU that are not held against one suite or program: start, environment, the store's creation."""

EXPECTED_REASONS = (
    "the model is not recorded: ", "recording was switched off during the training call", "get_params of ",
)  # fmt: skip
"""Of degraded runs that are not autotrack's fault: models that nobody can pickle, tests that change what is patched,
estimators whose own `get_params` fails."""

LAST_LINES = 4
"""Of a traceback that are shown; the file of `--json` has it whole."""

Test = dict[str, Any]


class Side(NamedTuple):
    """What one side came to."""

    status: int
    output: str
    errors: str
    cpu: float
    wall: float


def run_side(side: str, command: list[str], folder: Path, store: Path) -> Side:
    """One child process, from start to end."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AUTOTRACK_", "PYTHON"))}
    environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environ |= {"PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE))), "PYTHONHASHSEED": "0", "MPLBACKEND": "agg"}
    environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "AUTOTRACK_TRACKING_URI": str(store)}
    launcher = ["-m", "autotrack"] if side == "autotrack" else []
    texts = [folder.parent / f"{side}-{name}.txt" for name in ("stdout", "stderr")]
    with texts[0].open("wb") as out, texts[1].open("wb") as err:
        begin = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, *launcher, *command], env=environ, cwd=folder, stdin=subprocess.DEVNULL,
            stdout=out, stderr=err,
        )  # fmt: skip
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begin
    child.returncode = os.waitstatus_to_exitcode(status)
    output, errors = (text.read_text("utf-8", "replace") for text in texts)
    return Side(child.returncode, output, errors, usage.ru_utime + usage.ru_stime, wall)


def tests_of(file: Path) -> dict[str, Test]:
    """The outcomes that the plugin wrote, by test."""
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return {one["test"]: one for one in map(json.loads, lines)}


def run_suite(suite: Suite, work: Path, match: str | None) -> dict[str, Any]:
    """Both sides of a suite, compared."""
    sides, tests = {}, {}
    for side in SIDES:
        folder = work / side / "tests"
        copy_tests(suite.files, folder)
        file = work / f"{side}.jsonl"
        command = ["-m", "pytest", PACKAGE, "-q", "-p", "outcomes", "--outcomes", str(file), "-p", "no:cacheprovider"]
        command += ["-c", os.devnull, "--rootdir", str(folder), "-W", "default", *suite.options]
        command += ["-k", match] if match else []
        command += ["-p", "autotrack.testing", "--autotrack"] if side == "autotrack" else []
        sides[side] = run_side(side, command, folder, work / f"store-{side}")
        tests[side] = tests_of(file)
        if sides[side].status not in (0, 1):
            raise SystemExit(
                f"{suite.name}, {side}: pytest ended with status {sides[side].status}\n"
                f"{sides[side].output[-3000:]}\n{sides[side].errors[-3000:]}"
            )
    differences = list(differences_of(tests["plain"], tests["autotrack"]))
    found = recorded.read(work / "store-autotrack")
    differences += trouble_of(found, list(tests["autotrack"].values()))
    return {
        **summary_of(suite.name, sides, found, differences),
        "tests": len(tests["plain"]),
        "outcomes": dict(Counter(one["outcome"] for one in tests["plain"].values())),
        "warnings": [warnings_of(tests[side]) for side in SIDES],
    }


def differences_of(plain: dict[str, Test], on: dict[str, Test]) -> list[str]:
    """Tests with another outcome, or with other warnings."""
    found = [f"{test} ran on one side only" for test in sorted(plain.keys() ^ on.keys())]
    for test in sorted(plain.keys() & on.keys()):
        one, other = plain[test], on[test]
        if one["outcome"] != other["outcome"]:
            found.append(f"{test}: {one['outcome']} plain, {other['outcome']} recorded\n{one['why'] + other['why']}")
        elif one["warnings"] != other["warnings"]:
            found.append(f"{test}: warnings {one['warnings']} plain, {other['warnings']} recorded")
    return found


def warnings_of(tests: dict[str, Test]) -> int:
    """How many warnings all tests let through."""
    return sum(sum(one["warnings"].values()) for one in tests.values())


def trouble_of(found: recorded.Recorded, tests: list[Test]) -> list[str]:
    """What is wrong with the runs."""
    wrong = [f"doctor: {text}" for text in found.troubles]
    for run in found.runs:
        info = run.info
        where = f"run {info.run_name} of {(recorded.test_of(run, tests) or {}).get('test', 'no test')}"
        if info.status not in ("FINISHED", "FAILED"):
            wrong.append(f"{where} is {info.status}")
        if info.status == "FAILED" and tests and not recorded.test_of(run, tests):
            wrong.append(f"{where} is FAILED")
        if info.degraded and not info.degraded.startswith(EXPECTED_REASONS):
            wrong.append(f"{where} is degraded: {info.degraded}")
    return wrong


def run_program(program: Program, work: Path) -> dict[str, Any]:
    """Both sides of a program, compared."""
    sides, files = {}, {}
    for side in SIDES:
        folder = work / side / "program"
        folder.mkdir(parents=True)
        command = [str(HERE / "programs" / program.file), *program.arguments]
        sides[side] = run_side(side, command, folder, work / f"store-{side}")
        files[side] = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    plain, on = (sides[side] for side in SIDES)
    differences = [] if plain.status == 0 else [f"plain: ends with status {plain.status}\n{plain.errors[-2000:]}"]
    if plain.status != on.status:
        differences.append(f"status {plain.status} plain, {on.status} recorded")
    for what, one, other in (("stdout", plain.output, on.output), ("stderr", plain.errors, on.errors)):
        differences += [f"{what}: {line}" for line in lines_that_differ(one, other)]
    differences += [
        f"file {name} differs" for name in sorted({*files["plain"], *files["autotrack"]})
        if files["plain"].get(name) != files["autotrack"].get(name)
    ]  # fmt: skip
    found = recorded.read(work / "store-autotrack")
    differences += trouble_of(found, [])
    if program.runs is None:
        return summary_of(program.name, sides, found, differences)
    if found.names() != program.runs:
        differences.append(f"runs {found.names()}, expected {program.runs}")
    if found.statuses().get("FAILED", 0) != program.failing:
        differences.append(f"{found.statuses()}, expected {program.failing} FAILED")
    return summary_of(program.name, sides, found, differences)


def lines_that_differ(one: str, other: str) -> list[str]:
    """The lines of two texts that are not the same."""
    import difflib

    lines = difflib.unified_diff(one.splitlines(), other.splitlines(), "plain", "recorded", lineterm="", n=0)
    return list(lines)[:40]


def summary_of(name: str, sides: dict[str, Side], found: recorded.Recorded, differences: list[str]) -> dict[str, Any]:
    """What suites and programs have in common."""
    plain, on = (sides[side] for side in SIDES)
    return {
        "name": name,
        "cpu": [plain.cpu, on.cpu],
        "wall": [plain.wall, on.wall],
        "ratio": on.cpu / plain.cpu,
        "slow": on.cpu > BUDGET * plain.cpu + START + A_RUN * len(found.runs),
        "runs": len(found.runs),
        "ms_a_run": 1000 * (on.cpu - plain.cpu) / len(found.runs) if found.runs else None,
        "statuses": found.statuses(),
        "models": found.fits,
        "degraded": found.degraded(),
        "differences": differences,
    }


def print_result(result: dict[str, Any]) -> None:
    """One suite or program, for people."""
    cpu, runs = result["cpu"], ", ".join(f"{count} {status}" for status, count in sorted(result["statuses"].items()))
    verdict = "OVER" if result["slow"] else "ok"
    cost = f", {result['ms_a_run']:.0f} ms each" if result["runs"] else ""
    counts = f"{len(result['differences'])} differences"
    print(
        f"{result['name']:<24} {result.get('tests', ''):>6} tests  {counts:>16}   {cpu[0]:>7.1f} s plain "
        f"{cpu[1]:>7.1f} s recorded "
        f"= {result['ratio']:.2f} x {verdict:<4}  runs: {runs or 'none'}{cost}"
    )
    for outcome in ("outcomes", "degraded"):
        if result.get(outcome):
            print(f"    {outcome}: " + ", ".join(f"{count} {what}" for what, count in result[outcome].items()))
    for difference in result["differences"]:
        first, *more = difference.rstrip().split("\n")
        print("\n      ".join(["    * " + first, *more[-LAST_LINES:]]))
    sys.stdout.flush()


def main() -> None:
    """Run what was asked for, and say what differs."""
    everything = {one.name: one for one in (*SUITES, *PROGRAMS)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=everything, help=", ".join(everything))
    parser.add_argument("--match", metavar="EXPRESSION", help="only tests that fit it, as pytest's -k")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep stores and outputs there")
    parser.add_argument("--program", nargs="+", metavar="FILE", help="compare a program of yours, with its arguments")
    options = parser.parse_args()
    names = options.only or list(everything)
    if options.program:
        file, *arguments = options.program
        own = Program(Path(file).stem, str(Path(file).resolve()), None, tuple(arguments))
        everything, names = {own.name: own}, [own.name]
    results = []
    with tempfile.TemporaryDirectory(prefix="transparency-") as temporary:
        for name in names:
            what = everything[name]
            work = (options.keep or Path(temporary)).resolve() / name
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            results.append(run_suite(what, work, options.match) if isinstance(what, Suite) else run_program(what, work))
            print_result(results[-1])  # what a suite leaves stays till the end: disks are slow where much was removed
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1))
    plain, on = (sum(result["cpu"][side] for result in results) for side in (0, 1))
    print(f"all: {plain:.1f} s plain, {on:.1f} s recorded = {on / plain:.2f} x")
    over = on > BUDGET * plain + START * len(results)
    sys.exit(over or any(result["differences"] or result["slow"] for result in results))


if __name__ == "__main__":
    main()
