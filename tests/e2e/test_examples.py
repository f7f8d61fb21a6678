"""The examples: plain programs that run as they are."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLAIN = sorted(path for path in (ROOT / "examples").glob("*.py") if path.stem != "notebook_style")
FIXTURE = ROOT / "tests" / "e2e" / "scripts" / "train.py"


def run(script: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """A script under plain Python, warnings as errors, in a folder of its own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AUTOTRACK_")}
    environ["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-W", "error", str(script)]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", [*PLAIN, FIXTURE], ids=lambda path: path.stem)
def test_untouched_examples_name_autotrack_nowhere_in_their_code(script: Path) -> None:
    """What is recorded without being asked is shown on code that does not know autotrack."""
    imported = [
        node for node in ast.walk(ast.parse(script.read_text("utf-8"))) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = {alias.name for node in imported for alias in node.names} | {
        getattr(node, "module", "") for node in imported
    }
    assert names
    assert not any(name and name.startswith("autotrack") for name in names)


@pytest.mark.parametrize("script", PLAIN, ids=lambda path: path.stem)
def test_an_example_runs_as_plain_python(script: Path, tmp_path: Path) -> None:
    """Each prints its result, warns of nothing, and leaves nothing behind in its folder."""
    done = run(script, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_fixture_program_runs_as_plain_python(tmp_path: Path) -> None:
    """The program that other tests compare with and without autotrack prints its eight lines."""
    done = run(FIXTURE, tmp_path)
    assert (done.returncode, done.stderr) == (0, "done\n")
    assert len(done.stdout.splitlines()) == 8


def test_the_notebook_example_records_and_loads_its_model(tmp_path: Path) -> None:
    """The explicit API end to end: a run with a curve and a model that loads again and predicts the same."""
    done = run(ROOT / "examples" / "notebook_style.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "metrics.test_accuracy" in done.stdout
    assert (tmp_path / ".autotrack" / "autotrack.db").is_file()
