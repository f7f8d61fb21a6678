from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from autotrack import cli
from autotrack.settings import Settings

ROOT = Path(cli.__file__).resolve().parents[2]

DIES = """
    import autotrack, os, signal
    with autotrack.start_run():
        autotrack.flush()
        for step in range(100):
            autotrack.log_metric("loss", 1.0, step=step)
        os.kill(os.getpid(), signal.SIGKILL)
"""

TROUBLE = """
    import autotrack
    from autotrack.hooks import guard
    autotrack.autolog()
    {record}
    with guard.shield(guard.health("sklearn"), "on_fit"):
        raise ValueError("made up, password=hunter2secret")
"""


def examined(autotrack: Callable, *words: object) -> tuple[dict[str, Any], int]:
    """What `autotrack doctor --json` found, and its status."""
    shown = autotrack("doctor", "--json", *words)
    return json.loads(shown.out), shown.status


@pytest.fixture
def copy(recorded: Path, tmp_path: Path) -> Path:
    """A store that the test may change."""
    shutil.copytree(recorded, tmp_path / "copy")
    return tmp_path / "copy"


def content_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder; SQLite's shared memory comes and goes with its readers."""
    files = (file for file in folder.rglob("*") if file.is_file() and not file.name.endswith(("-shm", "-wal")))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_healthy_set_up_is_status_0(recorded: Path, autotrack: Callable) -> None:
    """Where all is well doctor says so, with the store's integrity, schema and number of runs, and changes nothing."""
    before = content_of(recorded)
    shown = autotrack("doctor", "--store", recorded)
    assert shown.status == 0, shown.out
    assert shown.out.endswith("\nNo problems found.\n")
    assert "integrity  ok" in shown.out
    assert "runs       9, 1 deleted" in shown.out
    assert content_of(recorded) == before


def test_every_setting_is_shown_with_its_origin(
    recorded: Path, autotrack: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each setting has its value, and where that came from: default, environment or a file."""
    (tmp_path / "autotrack.yaml").write_text("experiment: from file\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOTRACK_LOG_MODELS", "no")
    found, status = examined(autotrack, "--store", recorded)
    assert status == 0
    values = found["settings"]["values"]
    assert list(values) == list(Settings.__struct_fields__)
    assert values["log_models"] == {"value": False, "source": "environment AUTOTRACK_LOG_MODELS"}
    assert values["experiment"] == {"value": "from file", "source": str(tmp_path / "autotrack.yaml")}
    assert values["silent"] == {"value": False, "source": "default"}


def test_misspelt_variable_is_a_problem(recorded: Path, autotrack: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown AUTOTRACK_ variable is status 1, with the name that was probably meant."""
    monkeypatch.setenv("AUTOTRACK_EXPERIMNT", "x")
    shown = autotrack("doctor", "--store", recorded)
    assert shown.status == 1
    assert "AUTOTRACK_EXPERIMNT is not known; did you mean AUTOTRACK_EXPERIMENT?" in shown.out


def test_unusable_setting_is_a_problem_and_the_rest_is_examined(
    recorded: Path, autotrack: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that cannot be read is named; the other checks are made all the same."""
    monkeypatch.setenv("AUTOTRACK_DRAIN_SECONDS", "soon")
    found, status = examined(autotrack, "--store", recorded)
    assert status == 1
    assert any("AUTOTRACK_DRAIN_SECONDS" in problem for problem in found["problems"])
    assert found["store"]["runs"]["all"] == 9


def test_credentials_are_not_shown(autotrack: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password of a store's URL stands nowhere in what doctor prints."""
    monkeypatch.setenv("AUTOTRACK_TRACKING_URI", "postgresql://me:geheim@127.0.0.1:1/none")
    for words in ((), ("--json",)):
        shown = autotrack("doctor", *words)
        assert shown.status == 1
        assert "geheim" not in shown.out + shown.err
        assert "postgresql://127.0.0.1:1/none" in shown.out


def test_place_without_a_store_is_no_problem(tmp_path: Path, autotrack: Callable) -> None:
    """Before the first run there is nothing wrong, and looking makes nothing."""
    shown = autotrack("doctor", "--store", tmp_path / "none")
    assert shown.status == 0
    assert "nothing is recorded yet" in shown.out
    assert not (tmp_path / "none").exists()


def test_store_that_cannot_be_made_is_a_problem(tmp_path: Path, autotrack: Callable, run_child: Callable) -> None:
    """Below a file no folder can be made: doctor says so, and finds what was recorded meanwhile and what was said."""
    (tmp_path / "file").touch()
    store, temporary = str(tmp_path / "file" / "store"), str(tmp_path)
    source = """
        import autotrack
        autotrack.start_run()
        autotrack.log_metric("loss", 1.0)
    """
    variables = {"AUTOTRACK_TRACKING_URI": store, "TMPDIR": temporary}
    assert run_child(tmp_path, source, **variables).returncode == 0
    doctor = "from autotrack.cli import main; main(['doctor', '--json'])"
    found = json.loads(run_child(tmp_path, doctor, **variables).stdout)
    assert f"it cannot be made, since {tmp_path / 'file'} is no folder" in found["problems"][0]
    assert found["journals"]["fallback_used"]
    assert found["journals"]["pending"] > 0
    assert "cannot make the folder" in found["past_trouble"][0]["parts"][0]["recent"][0]["message"]


def test_file_that_is_no_database_is_a_problem(tmp_path: Path, autotrack: Callable) -> None:
    """A damaged file is named with what to do about it, and left alone."""
    file = tmp_path / "broken.db"
    file.write_bytes(b"no database " * 100)
    found, status = examined(autotrack, "--store", file)
    assert status == 1
    assert any("file is not a database" in problem for problem in found["problems"])
    assert file.read_bytes() == b"no database " * 100


def test_damaged_page_is_found(copy: Path, autotrack: Callable) -> None:
    """A database that opens, but has a page overwritten, does not pass as sound."""
    file = copy / "autotrack.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'params'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with open(file, "r+b") as stream:
        stream.seek((page - 1) * size)
        stream.write(b"\x07" * size)
    found, status = examined(autotrack, "--store", copy)
    assert status == 1
    assert any("damaged" in problem for problem in found["problems"])


def test_newer_schema_is_a_problem(copy: Path, autotrack: Callable) -> None:
    """A database of a newer autotrack is named as that."""
    with closing(sqlite3.connect(copy / "autotrack.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    found, status = examined(autotrack, "--store", copy)
    assert status == 1
    assert any("revision 9999" in problem and "upgrade autotrack" in problem for problem in found["problems"])


def test_backlog_of_a_killed_process_is_shown(tmp_path: Path, autotrack: Callable, run_child: Callable) -> None:
    """What a killed process had logged waits in its journal: doctor counts it and leaves it, `ls` moves it."""
    assert run_child(tmp_path, DIES, AUTOTRACK_TICK_SECONDS="600").returncode == -9
    store = tmp_path / ".autotrack"
    for _ in range(2):
        found, status = examined(autotrack, "--store", store)
        (journal,) = found["journals"]["files"]
        assert (status, journal["process"], journal["problem"]) == (0, "gone", "")
        assert found["journals"]["pending"] == journal["pending"] > 1000
    assert "waits" in autotrack("doctor", "--store", store).out
    (row,) = autotrack("ls", "--store", store, "--columns", "status,loss").out.splitlines()[1:]
    assert row.split()[1:] == ["KILLED", "1"]
    assert examined(autotrack, "--store", store)[0]["journals"]["pending"] == 0


def test_journals_that_cannot_be_read_are_problems(copy: Path, autotrack: Callable) -> None:
    """A file that is no journal, one of a newer format and one with damaged lines are each named."""
    (folder,) = (copy / "journal").iterdir()
    moved = copy / "journal" / autotrack_key(copy)
    folder.rename(moved)
    (moved / "alien.jsonl").write_text("not a journal\n")
    (moved / "newer.jsonl").write_text('{"t":"journal","version":99}\n')
    (good,) = (file for file in moved.glob("*.jsonl") if file.stem not in ("alien", "newer"))
    torn = moved / "torn.jsonl"
    torn.write_bytes(good.read_bytes().split(b"\n")[0] + b'\n{"t":"m","run_\n')
    found, status = examined(autotrack, "--store", copy)
    assert status == 1
    text = "\n".join(found["problems"])
    for words in ("alien.jsonl: the first line is no journal's", "journal format 99", "torn.jsonl: 1 lines"):
        assert words in text


def autotrack_key(store: Path) -> str:
    """Name of a store's folder of journals."""
    from autotrack.store.location import locate

    return locate(store).key


def test_frameworks_are_told_without_being_imported(recorded: Path, run_child: Callable) -> None:
    """The installed version comes from the package's metadata; no framework and no patching is loaded."""
    source = f"""
        import sys
        from autotrack.cli import main
        assert main(["doctor", "--store", {str(recorded)!r}]) == 0
        assert not {{"sklearn", "numpy", "pandas", "torch", "wrapt"}} & set(sys.modules)
    """
    done = run_child(recorded.parent, source)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sklearn  " in done.stdout
    assert "ready" in done.stdout


def test_switched_off_integration_says_why(
    recorded: Path, autotrack: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that turn an integration off are given as the reason."""
    monkeypatch.setenv("AUTOTRACK_INTEGRATIONS", "torch")
    found, _ = examined(autotrack, "--store", recorded)
    sklearn = next(one for one in found["integrations"] if one["name"] == "sklearn")
    assert (sklearn["state"], sklearn["reason"]) == ("off", "the setting integrations does not name it")
    monkeypatch.setenv("AUTOTRACK_DISABLE", "1")
    found, _ = examined(autotrack, "--store", recorded)
    assert {one["state"] for one in found["integrations"]} <= {"off", "not installed"}


def test_probe_patches_each_framework_in_a_process_of_its_own(recorded: Path, run_child: Callable) -> None:
    """--probe imports what is installed elsewhere and lists the patches; nothing is recorded by that."""
    before = content_of(recorded)
    source = f"""
        import sys
        from autotrack.cli import main
        status = main(["doctor", "--probe", "--verbose", "--store", {str(recorded)!r}])
        assert "sklearn" not in sys.modules
        sys.exit(status)
    """
    done = run_child(recorded.parent, source)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "active" in done.stdout
    assert "sklearn.utils.parallel.Parallel.__call__: applied" in done.stdout
    assert content_of(recorded) == before


def test_framework_that_cannot_be_imported_is_a_problem(recorded: Path, tmp_path: Path, run_child: Callable) -> None:
    """A framework whose import kills the process is reported by --probe, with how that process ended."""
    (tmp_path / "sklearn").mkdir()
    (tmp_path / "sklearn" / "__init__.py").write_text("import os; print('dying'); os._exit(3)\n")
    source = f"""
        import sys
        from autotrack.cli import main
        sys.exit(main(["doctor", "--probe", "--store", {str(recorded)!r}]))
    """
    done = run_child(tmp_path, source)
    assert done.returncode == 1
    assert "integration sklearn: the process that imports it failed: " in done.stdout
    assert "code 3" in done.stdout


@pytest.mark.parametrize("record", ["with autotrack.start_run(): pass", "pass"])
def test_trouble_of_past_sessions_is_found(
    tmp_path: Path, autotrack: Callable, run_child: Callable, record: str
) -> None:
    """An internal error that the program did not notice is a problem afterwards, also where nothing was recorded."""
    done = run_child(tmp_path, TROUBLE.format(record=record))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    shown = autotrack("doctor", "--store", tmp_path / ".autotrack")
    assert shown.status == 1
    assert "internal errors in past sessions (1 reports), the latest in sklearn: ValueError: made up" in shown.out
    assert "Traceback (most recent call last):" in shown.out
    assert "hunter2secret" not in shown.out


def test_past_trouble_can_be_forgotten(tmp_path: Path, autotrack: Callable, run_child: Callable) -> None:
    """--forget shows the trouble a last time; then all is well again."""
    run_child(tmp_path, TROUBLE.format(record="pass"))
    store = tmp_path / ".autotrack"
    assert autotrack("doctor", "--forget", "--store", store).status == 1
    assert autotrack("doctor", "--store", store).status == 0


def doctor_in(environment: dict[str, str], *launcher: str) -> dict[str, Any]:
    """What doctor finds in a process of this environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTOTRACK_")}
    words = [sys.executable, *launcher, "-m", "autotrack.cli", "doctor", "--json", "--store", environment.pop("STORE")]
    done = subprocess.run(words, env={**kept, **environment}, capture_output=True, text=True)
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_hook_that_ran_is_shown(recorded: Path) -> None:
    """Under the launcher, doctor sees the hook at the front of PYTHONPATH and what it decided."""
    found = doctor_in({"STORE": str(recorded), "PYTHONPATH": str(ROOT)}, "-m", "autotrack")
    assert found["problems"] == []
    assert found["hook"]["position_on_pythonpath"] == 0
    assert found["hook"]["verdict"] == "active (role main, by hook)"
    assert found["hook"]["process"]["active"]


def test_agent_that_keeps_the_hook_from_running_is_a_problem(recorded: Path, tmp_path: Path) -> None:
    """Another agent's `sitecustomize` in front, which does not load the next one, is named, with the way out."""
    agent = tmp_path / "opentelemetry" / "auto_instrumentation"
    agent.mkdir(parents=True)
    (agent / "sitecustomize.py").write_text("")
    path = os.pathsep.join([str(agent), str(ROOT / "sitecustomize_hook"), str(ROOT)])
    found = doctor_in({"STORE": str(recorded), "PYTHONPATH": path, "AUTOTRACK_ACTIVE": "1"})
    assert found["hook"]["in_front"] == [str(agent)]
    (problem,) = found["problems"]
    assert f"OpenTelemetry ({agent}) stands in front of it" in problem
    assert "put `autotrack run` innermost" in problem
