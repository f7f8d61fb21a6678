"""Fixtures of the zero-code tests, which start real interpreters."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from agents_environment import agents  # noqa: F401 - a fixture
from zero_code_interpreters import ROOT, THIS_VERSION, Interpreter, make_environment

if os.name != "posix":
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def base_executable() -> str:
    """The interpreter under the running virtual environment, or itself."""
    return str(getattr(sys, "_base_executable", sys.executable))


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory, base_executable: str) -> Interpreter:
    """An interpreter of the running version with autotrack installed."""
    return make_environment(tmp_path_factory.mktemp("installed") / "venv", base_executable, THIS_VERSION, ROOT)


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory, base_executable: str) -> Interpreter:
    """An interpreter of the running version without autotrack."""
    return make_environment(tmp_path_factory.mktemp("stranger") / "venv", base_executable, THIS_VERSION)


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    """Write a program into a folder of its own."""

    def write(text: str, name: str = "program.py") -> Path:
        path = tmp_path / "programs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    return write
