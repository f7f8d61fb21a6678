"""A disk that fills up or becomes read-only under a program: real file systems, mounted for the test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autotrack import Client
from autotrack.maintenance.checks import check_store
from autotrack.store.engine import Store
from autotrack.store.location import locate
from autotrack.tracking import recorders

ROOT = Path(__file__).resolve().parents[2]

Mount = Callable[[str], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Mount]]:
    """A disk of its own in memory, and how to mount it otherwise: `mount("ro")`, `mount("size=8m")`."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a disk")
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here (a container without the right to)")
    try:
        yield place, lambda options: _mount(place, options)
    finally:
        recorders.forget_store(locate(place / "store"))
        Store.forget(locate(place / "store"))
        subprocess.run(["umount", "-l", str(place)], check=True)


def _mount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def _bound() -> list[str]:
    """A command before the command: nobody may write what is not to be written, not even root."""
    if os.name != "posix":
        pytest.skip("modes of files are POSIX's")
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root may write everything, and there is no setpriv to take that from it")
    return [setpriv, "--bounding-set=-dac_override,-dac_read_search"]


class Program:
    """A program that stops where it says a word, until it is let go on."""

    def __init__(self, source: str, folder: Path, scratch: Path, argument: str = "", as_others: bool = False) -> None:
        code = "import sys\nimport autotrack\n" + textwrap.dedent(TALK) + textwrap.dedent(source)
        environ = {"PYTHONPATH": str(ROOT), "AUTOTRACK_TRACKING_URI": str(folder), "TMPDIR": str(scratch)}
        command = [*(_bound() if as_others else ()), sys.executable, "-c", code, argument]
        self.child = subprocess.Popen(
            command, env={**os.environ, **environ}, cwd=scratch, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def hear(self, word: str) -> None:
        """It is there now."""
        assert self.child.stdout is not None
        heard = self.child.stdout.readline()
        assert heard == f"{word}\n", self.child.communicate()[1]

    def go_on(self) -> None:
        """Let it go on."""
        assert self.child.stdin is not None
        self.child.stdin.write("\n")
        self.child.stdin.flush()

    def end(self) -> str:
        """Let it go on to its end, without trouble; what it wrote to stderr."""
        _, said = self.child.communicate("\n", timeout=120)
        assert self.child.returncode == 0, said
        return said


TALK = """
def say(word):
    print(word, flush=True)
    sys.stdin.readline()

def points(first, last):
    for step in range(first, last):
        autotrack.log_metric("loss", step / 8, step=step)
"""


def steps_of(folder: Path) -> list[int]:
    """Steps of the one run's curve, which is finished."""
    client = Client(folder)
    (run,) = client.search_runs()
    assert run.info.status == "FINISHED"
    return [point.step for point in client.get_metric_history(run.info.run_id, "loss")]


def test_a_disk_that_is_full_for_the_database_and_the_journal_loses_nothing(
    disk: tuple[Path, Mount], tmp_path: Path
) -> None:
    """Both are on it; more is logged than fits. Once there is room it is all there, and the run says what happened."""
    place, mount = disk
    program = Program(
        """
        with autotrack.start_run():
            points(0, 100)
            autotrack.flush(20)
            say("small")
            points(100, 9_000)
            print(autotrack.flush(20))
            say("full")
            points(9_000, 9_100)
            print(autotrack.flush(20))
        """,
        place / "store",
        tmp_path,
    )
    program.hear("small")
    program.go_on()
    program.hear("False")
    program.hear("full")
    mount("size=64m")
    said = program.end()
    assert said.count("autotrack:") == 1, said
    assert "Traceback" not in said
    assert steps_of(place / "store") == list(range(9_100))
    (run,) = Client(place / "store").search_runs()
    assert "No space left" in run.info.degraded
    assert check_store(place / "store").findings == []


def test_a_store_that_becomes_read_only_in_the_middle_of_a_run_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program that is at it goes on; one that starts meanwhile records into the temporary folder, and says so."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    folder = tmp_path / "store"
    source = """
        with autotrack.start_run(run_name=sys.argv[1]):
            points(0, 100)
            autotrack.flush(20)
            say("here")
            points(100, 200)
        """
    early = Program(source, folder, tmp_path / "tmp", "early", as_others=True)
    early.hear("here")
    everything = [folder, *folder.rglob("*")]
    modes = [(path, path.stat().st_mode) for path in everything]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    late = Program(source, folder, tmp_path / "tmp", "late", as_others=True)
    late.hear("here")
    complaints = late.end(), early.end()
    for path, mode in modes:
        path.chmod(mode)
    for said in complaints:
        assert "Traceback" not in said
        assert said.count("nothing is lost") <= 1
    assert "readonly" in complaints[0]
    assert list((tmp_path / "tmp").rglob("*.jsonl"))
    client = Client(folder)
    for run in client.search_runs():
        assert run.info.status == "FINISHED"
        assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == list(range(200))
    assert sorted(run.info.run_name for run in client.search_runs()) == ["early", "late"]
    assert check_store(folder).findings == []
    recorders.forget_store(locate(folder))
    Store.forget(locate(folder))
