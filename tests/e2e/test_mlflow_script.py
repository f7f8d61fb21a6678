"""A long ordinary MLflow script prints, with autotrack in MLflow's place, what it prints with MLflow."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow_environment import mlflow_environ

SCRIPT = Path(__file__).parent / "scripts" / "mlflow_script.py"
PRINTED = SCRIPT.with_suffix(".jsonl")
"""What it prints with MLflow 3.17.2."""


def facts(text: str) -> list[Any]:
    """What was printed, line by line."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_long_mlflow_script_runs_unchanged(run_python: Callable[..., Any], tmp_path: Path) -> None:
    """Experiments, nested runs, failures, searches, the client and files: fact by fact what MLflow prints."""
    pytest.importorskip("pandas")
    printed = facts(run_python(SCRIPT, str(tmp_path / "store")).stdout)
    expected = facts(PRINTED.read_text("utf-8"))
    for ours, theirs in zip(printed, expected, strict=True):
        assert ours == theirs


def test_what_the_script_is_expected_to_print_is_what_mlflow_prints(mlflow_python: str, tmp_path: Path) -> None:
    """The facts above are a real MLflow's; only the import differs."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.read_text("utf-8").replace("import autotrack as mlflow", "import mlflow"), "utf-8")
    done = subprocess.run(
        [mlflow_python, str(script), f"sqlite:///{tmp_path / 'mlflow.db'}"],
        env=mlflow_environ(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert facts(done.stdout) == facts(PRINTED.read_text("utf-8"))
