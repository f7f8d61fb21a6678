"""The environment of a session: what is in it, that it is stable, and that taking it disturbs nothing."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import msgspec
import pytest

from autotrack.settings import Settings
from autotrack.tracking import environment
from autotrack.tracking.redaction import REDACTED

ROOT = Path(environment.__file__).parents[2]


@pytest.fixture
def fresh_packages() -> None:
    """The list of packages is read anew."""
    environment.packages.cache_clear()


def normalised(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def run_python(*arguments: str, cwd: Path) -> str:
    """Output of a Python child that finds autotrack."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    command = [sys.executable, *arguments[:-1], code + arguments[-1] if arguments[-2:-1] == ("-c",) else arguments[-1]]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def test_the_environment_holds_machine_python_and_packages(tmp_path: Path) -> None:
    """Each part is there, of the right kind, and the whole can be stored as JSON."""
    digest, content = environment.capture(Settings(), tmp_path)
    assert re.fullmatch(r"[0-9a-f]{64}", digest)
    assert content["python"]["version"] == sys.version
    assert content["os"]["system"]
    assert content["cpu"]["count"] >= content["cpu"]["usable"] >= 1
    assert content["memory"]["bytes"] > 2**20
    assert content["packages"]["msgspec"] == metadata.version("msgspec")
    assert "git" not in content
    assert msgspec.json.decode(msgspec.json.encode(content)) == content


def test_equal_environments_have_one_digest_across_processes(tmp_path: Path) -> None:
    """Nothing that changes from process to process is in the content: the environment is stored once."""
    code = (
        "from pathlib import Path\n"
        "from autotrack.settings import Settings; from autotrack.tracking import environment\n"
        f"print(environment.capture(Settings(), Path({str(tmp_path)!r}))[0])"
    )
    assert run_python("-c", code, cwd=tmp_path) == run_python("-c", code, cwd=tmp_path)


def test_another_environment_has_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable on the list and a new file in the repository each change the digest."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    settings = Settings(environment_variables=("OMP_NUM_THREADS",))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    digests = {environment.capture(settings, tmp_path)[0]}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    digests.add(environment.capture(settings, tmp_path)[0])
    (tmp_path / "new.py").write_text("x = 1\n")
    digest, content = environment.capture(settings, tmp_path)
    assert len(digests | {digest}) == 3
    assert content["git"]["untracked"] == {"new.py": "x = 1\n"}


def test_only_listed_variables_are_recorded_and_secrets_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables come by allow-list; a secret on the list is redacted by its name or its form."""
    monkeypatch.setenv("MY_API_KEY", "abc")
    monkeypatch.setenv("MY_PROXY", "http://me:pw@proxy:80")
    monkeypatch.setenv("MY_MODE", "fast")
    monkeypatch.setenv("UNLISTED", "1")
    settings = Settings(environment_variables=("MY_API_KEY", "MY_PROXY", "MY_MODE", "NOT_SET"))
    content = environment.capture(settings, tmp_path)[1]
    expected = {"MY_API_KEY": REDACTED, "MY_PROXY": f"http://{REDACTED}@proxy:80", "MY_MODE": "fast"}
    assert content["variables"] == expected


def test_text_that_is_no_unicode_can_be_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with bytes that are no UTF-8 becomes text that JSON takes."""
    monkeypatch.setenv("MY_MODE", "caf\udce9")
    content = environment.capture(Settings(environment_variables=("MY_MODE",)), tmp_path)[1]
    assert content["variables"]["MY_MODE"].startswith("caf")
    assert msgspec.json.encode(content)


@pytest.mark.usefixtures("fresh_packages")
def test_packages_are_those_that_importlib_metadata_knows() -> None:
    """Reading names of folders gives what opening every metadata file gives."""
    known: dict[str, str] = {}
    for item in metadata.distributions():
        if item.metadata["Name"]:
            known.setdefault(normalised(item.metadata["Name"]), item.version)
    found = environment.packages()
    assert found == known
    assert list(found) == sorted(found)


@pytest.mark.usefixtures("fresh_packages")
def test_packages_of_every_form_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wheels, eggs, development installs and zip files count; leftovers of a broken removal do not."""
    first, second, packed = tmp_path / "first", tmp_path / "second", tmp_path / "packed.zip"
    for folder in ("Wheel_Name-1.0+cu121.dist-info", "broken-2.0.dist-info", "~umpy-3.0.dist-info"):
        (first / folder).mkdir(parents=True)
    (first / "Wheel_Name-1.0+cu121.dist-info" / "METADATA").write_text("Name: Wheel.Name\nVersion: 1.0+cu121\n")
    (first / "~umpy-3.0.dist-info" / "METADATA").write_text("Name: numpy\nVersion: 3.0\n")
    (first / "egg-4.0-py3.11.egg").mkdir()
    (first / "old-5.0-py3.11.egg-info").write_text("Name: old\nVersion: 5.0\n")
    (first / "develop.egg-info").mkdir()
    (first / "develop.egg-info" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: develop\nVersion: 6.0\n")
    (second / "wheel_name-0.1.dist-info").mkdir(parents=True)
    (second / "wheel_name-0.1.dist-info" / "METADATA").write_text("Name: wheel-name\nVersion: 0.1\n")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("zipped-7.0.dist-info/METADATA", "Name: zipped\nVersion: 7.0\n")
    monkeypatch.setattr(sys, "path", [str(first), str(second), str(packed), str(tmp_path / "missing")])
    found = environment.packages()
    environment.packages.cache_clear()
    assert found == {
        "develop": "6.0",
        "egg": "4.0",
        "old": "5.0",
        "wheel-name": "1.0+cu121",
        "zipped": "7.0",
    }


def test_gpus_are_read_off_the_drivers_files(tmp_path: Path) -> None:
    """Model and driver version come from what the driver shows under /proc, one entry per device."""
    driver = tmp_path / "driver" / "nvidia"
    for bus in ("0000:01:00.0", "0000:02:00.0"):
        (driver / "gpus" / bus).mkdir(parents=True)
        (driver / "gpus" / bus / "information").write_text(f"Model: \t\t NVIDIA A100\nIRQ: 1\nBus Location: {bus}\n")
    (driver / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun 6\nGCC 9\n")
    assert environment._gpus(tmp_path) == [{"model": "NVIDIA A100", "driver": "535.54.03"}] * 2
    (driver / "version").write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.1  Release\n")
    assert environment._gpus(tmp_path)[0]["driver"] == "570.1"


def test_capturing_imports_no_framework_and_keeps_the_random_state(tmp_path: Path) -> None:
    """The program's random stream, working directory, warning filters and loaded frameworks stay as they are."""
    code = """
import os, random, sys, warnings
from pathlib import Path
from autotrack.settings import Settings
from autotrack.tracking import environment
state = lambda: (random.getstate(), os.getcwd(), warnings.filters[:], dict(os.environ))
before = state()
environment.capture(Settings(), Path(os.getcwd()))
print(state() == before, sorted({"torch", "numpy", "sqlalchemy", "sklearn", "pandas", "psutil"} & set(sys.modules)))
"""
    assert run_python("-c", code, cwd=tmp_path) == "True []\n"


def test_the_program_folder_is_the_scripts(tmp_path: Path) -> None:
    """A script's own folder counts, wherever it is started from; without a script it is the current folder."""
    (tmp_path / "project").mkdir()
    script = tmp_path / "project" / "train.py"
    code = "from autotrack.tracking.environment import program_folder; print(program_folder())"
    script.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}")
    assert run_python(str(script), cwd=tmp_path) == f"{script.parent}\n"
    assert run_python("-c", code, cwd=tmp_path) == f"{tmp_path}\n"


def test_a_launcher_that_is_installed_with_python_is_not_the_program(tmp_path: Path) -> None:
    """Under `python -m unittest` and the like the user's code is where the program was started."""
    (tmp_path / "test_it.py").write_text(
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import unittest\n"
        "from autotrack.tracking.environment import program_folder\n"
        "class T(unittest.TestCase):\n"
        "    def test_folder(self):\n"
        "        print(program_folder())\n"
    )
    assert run_python("-m", "unittest", cwd=tmp_path) == f"{tmp_path}\n"
