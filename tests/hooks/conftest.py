"""What the tests of the hooks share: patchers that clean up, child interpreters, modules to import."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autotrack.hooks import guard, imports

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _honest_shield() -> Iterator[None]:
    """The shield raises in tests; those about the shield itself ask for `production`."""
    before = guard.reraise, guard.silent
    guard.reraise = True
    yield
    guard.reraise, guard.silent = before


@pytest.fixture
def production() -> None:
    """The shield as users have it: errors are recorded and swallowed."""
    guard.reraise = False


@pytest.fixture
def health(request: pytest.FixtureRequest) -> guard.Health:
    """A health of the test's own."""
    return guard.health(request.node.nodeid)


@pytest.fixture
def finder() -> Iterator[None]:
    """The import finder, installed for the test."""
    installed = imports._finder in sys.meta_path
    imports.install()
    yield
    if not installed:
        imports.uninstall()


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Path]]:
    """Write `name.py` (or `name/__init__.py` for "name/__init__") where it can be imported, for this test only."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)

    def write(name: str, source: str) -> Path:
        path = folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    yield write
    for name in set(sys.modules) - before:
        path_of = getattr(sys.modules[name], "__file__", None) or ""
        if str(folder) in path_of or name.startswith("shelf_"):
            del sys.modules[name]


@pytest.fixture
def child(tmp_path: Path) -> Callable[..., str]:
    """Run code in a fresh interpreter, in an empty folder; its stdout. Fails the test if the code fails."""

    def run(code: str, *, path: tuple[Path, ...] = (), autotrack: bool = True, **env: str) -> str:
        prefix = "" if autotrack else "import sys; sys.modules['autotrack'] = None\n"
        places = [*map(str, path), str(ROOT)]
        done = subprocess.run(
            [sys.executable, "-c", prefix + textwrap.dedent(code)],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places), **env},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
