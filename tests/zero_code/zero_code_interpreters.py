"""Real interpreters for the tests of the zero-code start: children with a clean environment, and virtual environments
built by hand (three small files, a millisecond) with autotrack installed or not."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOOK = ROOT / "sitecustomize_hook"
THIS_VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


class Outcome(NamedTuple):
    """What a user sees of a process."""

    stdout: str
    stderr: str
    status: int


def clean_environment(**more: str) -> dict[str, str]:
    """This environment without what steers Python, autotrack or distributed jobs."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AUTOTRACK_", "PYTHON", "COVERAGE_", "COV_CORE_", "SLURM_", "OMPI_", "PMI_"))
        and name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "VIRTUAL_ENV")
    }
    return {**kept, **more}


class Interpreter(NamedTuple):
    """A Python to start children with."""

    executable: str

    def run(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        stdin: str = "",
        replace: dict[str, str] | None = None,
        **environment: str,
    ) -> Outcome:
        """Run `python arguments...` in a clean environment with these variables added (or in `replace` alone)."""
        done = subprocess.run(
            [self.executable, *map(str, arguments)],
            cwd=cwd or Path(self.executable).parent,
            input=stdin,
            env=clean_environment(**environment) if replace is None else replace,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
        )
        return Outcome(done.stdout, done.stderr, done.returncode)

    def launched(self, *arguments: str | Path, flags: tuple[str, ...] = (), **options: object) -> Outcome:
        """Run `python flags... -m autotrack arguments...`."""
        return self.run(*flags, "-m", "autotrack", *arguments, **options)  # type: ignore[arg-type]

    def hooked(
        self, *arguments: str | Path, path: tuple[Path, ...] = (), hook: Path = HOOK, **options: object
    ) -> Outcome:
        """Run `python arguments...` as a child of a launched program: the hook first on PYTHONPATH."""
        entries = os.pathsep.join(map(str, (hook, *path)))
        variables: dict[str, object] = {"AUTOTRACK_ACTIVE": "1", "AUTOTRACK_PROTOCOL": "1", "PYTHONPATH": entries}
        return self.run(*arguments, **{**variables, **options})  # type: ignore[arg-type]


def make_environment(folder: Path, base: str, version: str, *paths: Path) -> Interpreter:
    """Make a virtual environment whose site-packages lead to `paths`."""
    packages = folder / "lib" / f"python{version}" / "site-packages"
    packages.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(base)
    (folder / "pyvenv.cfg").write_text(f"home = {Path(base).parent}\ninclude-system-site-packages = false\n")
    (packages / "installed.pth").write_text("".join(f"{path}\n" for path in paths))
    return Interpreter(str(folder / "bin" / "python"))


@functools.cache
def find_interpreter(version: str) -> str | None:
    """A working interpreter of this version: on PATH, or installed beside the running one."""
    name = f"python{version}"
    beside = sorted(Path(sys.base_prefix).parent.glob(f"*/bin/{name}"))
    for candidate in filter(None, (shutil.which(name), *map(str, beside))):
        probe = subprocess.run(
            [candidate, "-c", "import sys; sys.stdout.write(sys.executable)"], capture_output=True, text=True
        )
        if probe.returncode == 0:
            return probe.stdout
    return None


def other_interpreter(version: str) -> str:
    """As `find_interpreter`; skips the test where there is none."""
    found = find_interpreter(version)
    if found is None:
        pytest.skip(f"Python {version} is not installed here")
    return found
