"""Interpreters of their own for what must stay out of the environment that the suite runs in: MLflow, other agents.

Each is a virtual environment in a git-ignored folder of the checkout, made once and again when its requirements change.
Where that fails the tests are skipped, unless `AUTOTRACK_TEST_<NAME>_REQUIRED` is set. `AUTOTRACK_TEST_<NAME>_PYTHON`
names an interpreter to use instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]


class MadeEnvironment(NamedTuple):
    """What an interpreter of its own consists of."""

    name: str
    """In the variables that name or require it: "MLFLOW"."""
    title: str
    """For people: "MLflow 3.17.2"."""
    folder: Path
    """Where it is made, below a folder of the checkout that git ignores."""
    requirements: list[str]
    """As pip takes them."""
    behind: tuple[str, ...] = ()
    """Folders whose modules it finds too, behind its own packages."""

    def python(self) -> str:
        """The interpreter; made now if it is not there. Skips or fails the test where that is not possible."""
        named = os.environ.get(f"AUTOTRACK_TEST_{self.name}_PYTHON")
        if named:
            return named
        with _locked(self.folder.parent):
            problem = self._installed()
        if problem and os.environ.get(f"AUTOTRACK_TEST_{self.name}_REQUIRED"):
            pytest.fail(problem)
        if problem:
            pytest.skip(problem)
        return str(self._executable)

    @property
    def _executable(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def _installed(self) -> str:
        """Make the environment unless it is there; gives back what went wrong."""
        wanted = [*sorted(self.requirements), *self.behind]
        done = self.folder / "installed.json"
        if done.exists() and json.loads(done.read_text("utf-8")) == wanted:
            return ""
        python = str(self._executable)
        install = [python, "-m", "pip", "install", "--quiet", *self.requirements]
        for command in ([sys.executable, "-m", "venv", "--clear", str(self.folder)], install):
            made = subprocess.run(command, capture_output=True, text=True)
            if made.returncode:
                return f"{self.title} cannot be installed: {made.stderr.strip()[-500:]}"
        self._find_behind(python)
        done.write_text(json.dumps(wanted), "utf-8")
        return ""

    def _find_behind(self, python: str) -> None:
        asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
        packages = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
        (Path(packages) / "behind.pth").write_text("".join(f"{folder}\n" for folder in self.behind), "utf-8")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep the suite's other workers from installing at the same time."""
    folder.mkdir(exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
