"""Programs that autotrack asks: bounded in time and output, and not recorded themselves."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from autotrack import config
from autotrack.tracking.helper_process import run

SHOW_ENVIRONMENT = [sys.executable, "-S", "-c", "import json, os; print(json.dumps(dict(os.environ)))"]


def python(code: str) -> list[str]:
    """Command line that runs a piece of Python."""
    return [sys.executable, "-S", "-c", code]


def test_output_of_a_program_is_read() -> None:
    """All of stdout is returned, stderr only on request, and stdin is empty."""
    code = "import sys; print('out', repr(sys.stdin.read()), flush=True); print('err', file=sys.stderr)"
    assert run(python(code), 1000) == (b"out ''\n", "", False)
    assert run(python(code), 1000, errors=True).data == b"out ''\nerr\n"


def test_a_failing_program_is_a_problem_and_no_error() -> None:
    """A non-zero exit code and a program that is not there are told in words."""
    assert run(python("raise SystemExit(3)"), 1000).problem.endswith("ended with code 3")
    assert "cannot be started" in run(["no-such-program-here"], 1000).problem
    assert "cannot be started" in run(["nul\0byte"], 1000).problem


def test_endless_output_is_cut() -> None:
    """A program that never stops writing is stopped, and the output is marked as cut."""
    output = run(python("while True: print('x' * 1000)"), 10_000)
    assert (len(output.data), output.problem, output.clipped) == (10_000, "", True)


def test_a_program_that_hangs_is_ended_with_its_children() -> None:
    """At the time limit the whole group goes, also where a child holds the pipe open."""
    code = "import os, time; print('begun', flush=True); os.fork(); time.sleep(600)"
    output = run(python(code), 1000, seconds=0.5)
    assert output.data == b"begun\n"
    assert output.problem.endswith("took longer than 0.5 s")


def test_variables_are_set_and_removed_for_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given variables are added, those given as None are not there; this process keeps its own."""
    monkeypatch.setenv("GIT_DIR", "x")
    seen = json.loads(run(SHOW_ENVIRONMENT, 100_000, {"GIT_DIR": None, "ADDED": "1"}).data)
    assert "GIT_DIR" not in seen
    assert seen["ADDED"] == "1"
    assert os.environ["GIT_DIR"] == "x"


def test_the_agents_own_programs_are_not_instrumented(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Under zero-code start, a program that autotrack starts gets the user's PYTHONPATH without the hook (S22)."""
    hook = str(tmp_path / "hook")
    monkeypatch.setenv("AUTOTRACK_ACTIVE", "1")
    monkeypatch.setenv("AUTOTRACK_HOOK_DIR", hook)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([hook, "mine", "yours"]))
    seen = json.loads(run(SHOW_ENVIRONMENT, 100_000).data)
    assert seen["PYTHONPATH"] == os.pathsep.join(["mine", "yours"])
    assert "AUTOTRACK_ACTIVE" not in seen
    assert "AUTOTRACK_HOOK_DIR" not in seen
    monkeypatch.setenv("PYTHONPATH", hook)
    assert "PYTHONPATH" not in config.helper_environment()
