"""What is shipped: the wheel's content, and that an installation of it works."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import autotrack

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / "sitecustomize_hook").is_dir(), reason="not a checkout, nothing to build from"
)


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program with nothing of this process's Python settings; return what it wrote to stdout."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AUTOTRACK_", "PYTHON", "COV_"))
    }
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """Paths of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment that the wheel is installed into; dependencies are this one's."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    folder = home / ("Scripts" if os.name == "nt" else "bin")
    run(getattr(sys, "_base_executable", sys.executable), "-m", "venv", "--without-pip", home, cwd=home.parent)
    pip = (sys.executable, "-m", "pip", "--python", folder / "python", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=home.parent)
    packages = run(folder / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip()
    own = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    (Path(packages) / "dependencies.pth").write_text("\n".join(own), "utf-8")
    return folder


def test_wheel_holds_every_module(names: set[str]) -> None:
    """Each Python file of the package, migrations included, and the marker that it is typed, are in the wheel."""
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "autotrack").rglob("*.py")}
    assert modules <= names
    assert {"autotrack/py.typed", "autotrack/store/migrations/env.py"} <= names
    assert any(name.startswith("autotrack/store/migrations/versions/") for name in names)


def test_hook_is_inside_the_package_and_not_on_the_path(names: set[str]) -> None:
    """An installed autotrack must not be every program's `sitecustomize`."""
    hooks = {name for name in names if "sitecustomize" in name}
    assert hooks == {"autotrack/sitecustomize_hook/sitecustomize.py"}


def test_wheel_holds_nothing_else(names: set[str]) -> None:
    """No tests, benchmarks or left-overs."""
    assert {name.partition("/")[0] for name in names} == {"autotrack", f"autotrack-{autotrack.__version__}.dist-info"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_wheel_carries_licence_and_entry_points(wheel: Path, names: set[str]) -> None:
    """The licence text, the program `autotrack` and the pytest plugin are declared."""
    info = f"autotrack-{autotrack.__version__}.dist-info"
    assert f"{info}/licenses/LICENSE" in names
    with zipfile.ZipFile(wheel) as archive:
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
        metadata = archive.read(f"{info}/METADATA").decode()
    assert "autotrack = autotrack.cli:main" in entry_points
    assert "autotrack = autotrack.testing" in entry_points
    assert f"Version: {autotrack.__version__}\n" in metadata
    assert "License-Expression: Apache-2.0\n" in metadata


def test_installed_launcher_runs_a_program_under_the_hook(scripts: Path, tmp_path: Path) -> None:
    """`python -m autotrack -c ...` finds the hook where the wheel puts it, and activates."""
    code = (
        "import os, autotrack.bootstrap as b; print(b.STATE.active, b.STATE.source, os.environ['AUTOTRACK_HOOK_DIR'])"
    )
    active, source, hook = run(scripts / "python", "-m", "autotrack", "-c", code, cwd=tmp_path).split(maxsplit=2)
    assert (active, source) == ("True", "hook")
    assert Path(hook.strip()).parts[-2:] == ("autotrack", "sitecustomize_hook")


def test_installed_programs_say_their_version(scripts: Path, tmp_path: Path) -> None:
    """Both ways to call it give the version of the package."""
    expected = f"autotrack {autotrack.__version__}\n"
    assert run(scripts / "python", "-m", "autotrack", "--version", cwd=tmp_path) == expected
    assert run(scripts / "autotrack", "--version", cwd=tmp_path) == expected


def test_installed_package_records_a_fit(scripts: Path, tmp_path: Path) -> None:
    """An untouched program under the installed launcher leaves a run in `.autotrack`."""
    (tmp_path / "train.py").write_text(
        "from sklearn.linear_model import LinearRegression\n"
        "print(LinearRegression().fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0]).predict([[3.0]]).round(6))\n"
    )
    assert run(scripts / "python", "-m", "autotrack", "train.py", cwd=tmp_path) == "[3.]\n"
    look = "import autotrack; print(*(run.info.run_name for run in autotrack.search_runs(output_format='list')))"
    assert run(scripts / "python", "-c", look, cwd=tmp_path) == "LinearRegression\n"
