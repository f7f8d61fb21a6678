"""Faults of the machine and of the program, with real processes: what had been logged is there afterwards."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autotrack import Client
from autotrack.errors import SchemaVersionError, StoreError
from autotrack.records import Run
from autotrack.store.engine import Store
from autotrack.store.location import locate

posix = pytest.mark.skipif(os.name != "posix", reason="signals and resource limits are POSIX's")
ROOT = Path(__file__).resolve().parents[2]
Python = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the children record to."""
    yield tmp_path / "store"
    Store.forget(locate(tmp_path / "store"))


def start(source: str, folder: Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start a program that records into a folder."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "AUTOTRACK_TRACKING_URI": str(folder), **options.pop("env", {})}
    command = [sys.executable, "-c", textwrap.dedent(source), options.pop("argument", "")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environ, **{**pipes, **options})


def only_run(folder: Path) -> Run:
    """The one run of a store."""
    (run,) = Client(folder).search_runs()
    return run


def steps(folder: Path, key: str = "loss") -> list[int]:
    """Steps of the one run's curve, in their order."""
    client = Client(folder)
    (run,) = client.search_runs()
    return [metric.step for metric in client.get_metric_history(run.info.run_id, key)]


LOOP = """
    import os
    import autotrack
    autotrack.start_run()
    step = 0
    while True:
        autotrack.log_metric("loss", 0.5, step=step)
        os.write(1, b"%d\\n" % step)
        step += 1
"""


@posix
@pytest.mark.parametrize("seed", range(4))
def test_every_metric_whose_call_had_returned_survives_kill_minus_nine(folder: Path, seed: int) -> None:
    """The child says so after each call; it is killed at a random moment, and all that it said is in the store."""
    # Unbuffered: `communicate` reads behind what a buffer would still hold.
    child = start(LOOP, folder, bufsize=0)
    assert child.stdout is not None
    wanted = random.Random(seed).randint(1, 30_000)
    said = -1
    for line in child.stdout:
        said = int(line)
        if said >= wanted:
            break
    child.kill()
    rest, _ = child.communicate()
    whole = rest.rpartition(b"\n")[0].split(b"\n")
    said = int(whole[-1] or said)
    found = steps(folder)
    assert found[: said + 1] == list(range(said + 1))
    assert len(found) <= said + 2, "at most the call that had not returned is there besides"
    assert only_run(folder).info.status == "KILLED"


ENDINGS = [
    ("with autotrack.start_run(): raise SystemExit(0)", 0, "FINISHED", ""),
    ("with autotrack.start_run(): sys.exit(3)", 3, "FAILED", "SystemExit"),
    ("with autotrack.start_run(): 1 / 0", 1, "FAILED", "ZeroDivisionError"),
    ("autotrack.start_run(); sys.exit(0)", 0, "FINISHED", ""),
    ("autotrack.start_run(); sys.exit()", 0, "FINISHED", ""),
    ("autotrack.start_run(); sys.exit(3)", 3, "FAILED", "SystemExit"),
    ("autotrack.start_run(); sys.exit('no data')", 1, "FAILED", "SystemExit"),
    ("autotrack.start_run(); 1 / 0", 1, "FAILED", "ZeroDivisionError"),
    ("autotrack.start_run()", 0, "FINISHED", ""),
    ("autotrack.start_run(); os._exit(5)", 5, "KILLED", ""),
    ("autotrack.start_run(); raise KeyboardInterrupt", None, "KILLED", "KeyboardInterrupt"),
    ("with autotrack.start_run(): raise KeyboardInterrupt", None, "KILLED", "KeyboardInterrupt"),
    ("autotrack.start_run(); signal.raise_signal(signal.SIGTERM)", None, "KILLED", ""),
]


@posix
@pytest.mark.parametrize(("source", "code", "status", "error"), ENDINGS)
def test_how_the_program_ended_is_the_status_of_its_run(
    run_python: Python, folder: Path, source: str, code: int | None, status: str, error: str
) -> None:
    """Each way of ending a program, with and without `with`: the status, the type of the error, the exit code."""
    script = f"import os, signal, sys\nimport autotrack\nautotrack.set_tracking_uri({str(folder)!r})\n{source}\n"
    done = run_python(script, status=None)
    if code is not None:
        assert done.returncode == code, done.stderr
    info = only_run(folder).info
    assert info.status == status
    assert (info.error.type if info.error else "") == error
    assert info.end_time is not None


def test_a_caught_exit_is_no_failure(run_python: Python, folder: Path) -> None:
    """A program that catches `SystemExit` and goes on to another run has not failed."""
    run_python(f"""
        import sys
        import autotrack
        autotrack.set_tracking_uri({str(folder)!r})
        try:
            sys.exit(3)
        except SystemExit:
            pass
        autotrack.start_run()
    """)
    assert only_run(folder).info.status == "FINISHED"


def test_an_error_is_kept_with_its_cause_and_without_our_frames(
    run_python: Python, folder: Path, tmp_path: Path
) -> None:
    """Type, message, traceback, cause and the line of the user's own code; no frame of autotrack's."""
    (tmp_path / "train.py").write_text(
        textwrap.dedent(f"""
        import autotrack
        autotrack.set_tracking_uri({str(folder)!r})
        class DataError(Exception):
            pass
        def load():
            try:
                open("/nowhere/data.csv")
            except OSError as error:
                raise DataError("no data: 5 rows") from error
        with autotrack.start_run():
            load()
        """)
    )
    run_python(tmp_path / "train.py", status=1)
    error = only_run(folder).info.error
    assert error is not None
    assert (error.type, error.message) == ("__main__.DataError", "no data: 5 rows")
    assert error.frame.endswith("train.py:10 in load")
    assert "in load" in error.traceback
    assert "FileNotFoundError" in error.traceback
    assert "direct cause" in error.traceback
    assert "autotrack/tracking" not in error.traceback


def test_the_programs_own_exception_is_the_same_object_with_the_same_traceback(
    run_python: Python, folder: Path
) -> None:
    """Leaving `with start_run()` changes nothing of an exception, even one that cannot be printed."""
    done = run_python(f"""
        import autotrack
        autotrack.set_tracking_uri({str(folder)!r})
        class Unprintable(Exception):
            def __str__(self):
                raise MemoryError("no text")
        mine = Unprintable()
        try:
            with autotrack.start_run():
                raise mine
        except Unprintable as error:
            assert error is mine and error.__context__ is None and error.__cause__ is None
            print("same")
    """)
    assert done.stdout == "same\n"
    assert only_run(folder).info.status == "FAILED"


@posix
def test_ctrl_c_in_a_real_child_ends_its_run_as_killed(folder: Path) -> None:
    """SIGINT from outside, as a terminal sends it."""
    child = start(LOOP, folder)
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert only_run(folder).info.status == "KILLED"


@posix
def test_a_signal_handler_may_log_and_end_the_run(folder: Path) -> None:
    """It interrupts a loop of `log_metric` at any place, many times, and never waits for what it has interrupted."""
    child = start(
        """
        import os, signal
        import autotrack
        autotrack.start_run()
        alarms = 0
        def on_alarm(*_):
            global alarms
            alarms += 1
            autotrack.log_metric("alarms", alarms, step=alarms)
        signal.signal(signal.SIGALRM, on_alarm)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0005)
        for step in range(20_000):
            autotrack.log_metric("loss", 0.5, step=step)
        signal.setitimer(signal.ITIMER_REAL, 0)
        autotrack.end_run("KILLED")
        print(alarms)
        """,
        folder,
    )
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err.decode()
    assert steps(folder) == list(range(20_000))
    assert sorted(steps(folder, "alarms")) == list(range(1, int(out) + 1))
    assert only_run(folder).info.status == "KILLED"


DISK = """
    import resource, sys
    import autotrack
    run = autotrack.start_run()
    autotrack.flush()
    store = autotrack.get_tracking_uri()
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
    for step in range(3000):
        autotrack.log_metric("loss", 0.5, step=step)
    print(autotrack.flush(), flush=True)
    {then}
"""


@posix
def test_a_full_disk_loses_nothing_and_is_told_once(folder: Path) -> None:
    """The kernel takes part of a line, then none; once there is room all is written in order, and the run says so."""
    then = "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))"
    child = start(DISK.format(then=then), folder)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err.decode()
    assert out.decode().strip() == "False"
    assert err.decode().count("autotrack:") == 1, err.decode()
    assert steps(folder) == list(range(3000))
    info = only_run(folder).info
    assert info.status == "FINISHED"
    assert "File too large" in info.degraded


@posix
def test_a_disk_that_stays_full_to_the_end_sends_the_rest_to_the_temporary_folder(folder: Path, tmp_path: Path) -> None:
    """What waits in memory when the program ends goes to another place, where the next reader finds it."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    child = start(
        """
        import os, resource
        import autotrack
        run = autotrack.start_run()
        autotrack.flush()
        from autotrack.tracking import recorders
        room = os.stat(recorders.current().journal.path).st_size + 100
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        for step in range(100):
            autotrack.log_metric("loss", 0.5, step=step)
        # The other disk has room.
        import autotrack.tracking.journal as journals
        whole = journals._write_whole
        def with_room(handle, data):
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            whole(handle, data)
        journals._write_whole = with_room
        """,
        folder,
        env={"TMPDIR": str(scratch), "AUTOTRACK_DRAIN_SECONDS": "2"},
    )
    _, err = child.communicate(timeout=120)
    assert child.returncode == 0, err.decode()
    (rescued,) = scratch.rglob("*.jsonl")
    os.environ["TMPDIR"], before = str(scratch), os.environ.get("TMPDIR")
    try:
        import tempfile

        tempfile.tempdir = None
        assert sorted(steps(folder)) == list(range(100))
    finally:
        tempfile.tempdir = None
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before
    assert rescued.exists()


@posix
def test_what_does_not_fit_in_memory_either_is_counted_on_the_run(folder: Path) -> None:
    """Beyond the bound events are dropped, and the run says how many."""
    then = "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))"
    bound = "import autotrack.tracking.journal as j; j.MAX_BACKLOG = 20_000; run = autotrack.start_run()"
    child = start(DISK.format(then=then).replace("run = autotrack.start_run()", bound), folder)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 0, err.decode()
    found = steps(folder)
    assert found == list(range(len(found)))
    assert 0 < len(found) < 3000
    assert f"{3000 - len(found)} events are lost" in only_run(folder).info.degraded


def test_a_locked_store_does_not_hold_up_the_training_thread(folder: Path) -> None:
    """Another program holds the database for itself: logging goes on, one warning, and all is there afterwards."""
    Client(folder).create_experiment("made so that the database is there")
    Store.forget(locate(folder))
    other = sqlite3.connect(folder / "autotrack.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    child = start(
        """
        import autotrack.store.dialects as dialects
        dialects.BUSY_MS = 200
        import autotrack
        autotrack.start_run()
        for step in range(5000):
            autotrack.log_metric("loss", 0.5, step=step)
        print("logged", flush=True)
        print(autotrack.flush(10), flush=True)
        input()
        """,
        folder,
        stdin=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"logged\n"
    assert child.stdout.readline() == b"False\n"
    other.execute("ROLLBACK")
    other.close()
    _, err = child.communicate(b"\n", timeout=120)
    assert child.returncode == 0, err.decode()
    assert err.decode().count("autotrack:") == 1, err.decode()
    assert "locked" in err.decode()
    assert steps(folder) == list(range(5000))
    assert only_run(folder).info.status == "FINISHED"


def break_unwritable(folder: Path) -> None:
    """Nothing can be made in it, whoever tries."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the store's folder should be")


def break_corrupt(folder: Path) -> None:
    """The database file is none."""
    folder.mkdir(parents=True)
    (folder / "autotrack.db").write_bytes(b"this is no database " * 500)


def make_used(folder: Path, statement: str) -> None:
    """A store that was in use, and what is then done to its database by hand."""
    Client(folder).create_experiment("x")
    Store.forget(locate(folder))
    with sqlite3.connect(folder / "autotrack.db") as connection:
        connection.execute(statement)
    connection.close()


def break_flipped(folder: Path) -> None:
    """The disk has lost a bit of each page of a database that was in use."""
    make_used(folder, "PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray((folder / "autotrack.db").read_bytes())
    for page in range(4096, len(data), 4096):
        data[page] ^= 0x10
    (folder / "autotrack.db").write_bytes(data)


def break_newer(folder: Path) -> None:
    """A later version has been here."""
    make_used(folder, "UPDATE alembic_version SET version_num = 'from the future'")


BROKEN: dict[str, tuple[Callable[[Path], None], type[StoreError], str]] = {
    "unwritable": (break_unwritable, StoreError, "cannot make the folder"),
    "corrupt": (break_corrupt, StoreError, "not a database"),
    "flipped": (break_flipped, StoreError, "malformed"),
    "newer": (break_newer, SchemaVersionError, "from the future"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_the_explicit_api_says_clearly_what_is_wrong_with_the_store(folder: Path, kind: str) -> None:
    """Reading and managing raise one error that names the store, the reason and what to do."""
    spoil, error, message = BROKEN[kind]
    spoil(folder)
    with pytest.raises(error, match=message) as caught:
        Client(folder).search_runs()
    assert str(folder) in str(caught.value)
    with pytest.raises(error, match=message):
        Client(folder).create_experiment("y")


@pytest.mark.parametrize("kind", BROKEN)
def test_training_goes_on_over_a_broken_store_and_nothing_is_lost(
    run_python: Python, folder: Path, tmp_path: Path, kind: str
) -> None:
    """An untouched script prints what it would without autotrack; one line on stderr; mended, the store has the run."""
    pytest.importorskip("sklearn")
    spoil, _, message = BROKEN[kind]
    spoil(folder)
    script = """
        from sklearn.linear_model import LogisticRegression
        model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
        print(model.predict([[5.0]]))
    """
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    settings = {"AUTOTRACK_TRACKING_URI": str(folder), "TMPDIR": str(scratch), "AUTOTRACK_DRAIN_SECONDS": "20"}
    done = run_python("-m", "autotrack", "-c", textwrap.dedent(script), env=settings)
    assert done.stdout == "[1]\n"
    assert message in done.stderr
    assert len([line for line in done.stderr.splitlines() if "nothing is lost" in line]) == 1
    assert "Traceback" not in done.stderr
    mend(folder)
    listed = run_python("import autotrack\nprint(len(autotrack.search_runs(output_format='list')))", env=settings)
    assert listed.stdout == "1\n"


def mend(folder: Path) -> None:
    """Take away what is broken; a new store is made."""
    if folder.is_file():
        folder.unlink()
    else:
        (folder / "autotrack.db").unlink()
        for leftover in folder.glob("autotrack.db-*"):
            leftover.unlink()


def test_an_explicit_run_over_a_broken_store_records_all_the_same(run_python: Python, folder: Path) -> None:
    """`start_run` and `log_metric` need no database; only what reads it raises."""
    break_corrupt(folder)
    done = run_python(f"""
        import autotrack
        autotrack.set_tracking_uri({str(folder)!r})
        autotrack.set_experiment("mine")
        with autotrack.start_run() as run:
            autotrack.log_metric("loss", 0.5)
        try:
            autotrack.get_run(run.info.run_id)
        except autotrack.AutotrackError as error:
            print(type(error).__name__)
    """)
    assert done.stdout == "StoreError\n"
    mend(folder)
    assert only_run(folder).data.metrics == {"loss": 0.5}
    assert Client(folder).get_experiment_by_name("mine") is not None


def test_a_store_that_is_deleted_under_a_program_does_not_hold_up_its_end(folder: Path, run_python: Python) -> None:
    """Somebody removes the folder while the program runs: it ends at once, with its own exit code."""
    done = run_python(
        f"""
        import shutil, sys, time
        import autotrack
        autotrack.set_tracking_uri({str(folder)!r})
        autotrack.start_run()
        autotrack.flush()
        shutil.rmtree({str(folder)!r})
        began = time.monotonic()
        autotrack.log_metric("loss", 1.0)
        autotrack.flush()
        autotrack.end_run()
        import atexit
        print("ok", flush=True)
        """,
        env={"AUTOTRACK_DRAIN_SECONDS": "1000"},
        timeout=60,
    )
    assert done.stdout == "ok\n"


@posix
@pytest.mark.parametrize("gone", ["all", "database", "journals"])
def test_a_store_that_is_deleted_under_a_program_is_made_again_with_all_of_its_runs(folder: Path, gone: str) -> None:
    """The program's journal holds all that it has recorded; what is read meanwhile is the new store, not the old."""
    child = start(
        """
        import os, pathlib, shutil, sys
        import autotrack
        place = pathlib.Path(os.environ["AUTOTRACK_TRACKING_URI"])
        with autotrack.start_run(run_name="first"):
            autotrack.log_metric("loss", 0.25)
        with autotrack.start_run(run_name="second"):
            for step in range(100):
                autotrack.log_metric("loss", 0.5, step=step)
            assert autotrack.flush()
            if sys.argv[1] != "journals":
                for file in place.glob("autotrack.db*"):
                    file.unlink()
            if sys.argv[1] != "database":
                shutil.rmtree(place if sys.argv[1] == "all" else place / "journal")
            for step in range(100, 200):
                autotrack.log_metric("loss", 0.5, step=step)
            assert autotrack.flush()
            assert len(autotrack.search_runs(output_format="list")) == 2
        with autotrack.start_run(run_name="third"):
            autotrack.log_metric("loss", 0.75)
        """,
        folder,
        argument=gone,
    )
    out, err = child.communicate(timeout=120)
    assert (child.returncode, out, err) == (0, b"", b"")
    runs = {run.info.run_name: run for run in Client(folder).search_runs()}
    assert {(name, run.info.status, run.info.degraded) for name, run in runs.items()} == {
        (name, "FINISHED", "") for name in ("first", "second", "third")
    }
    points = Client(folder).get_metric_history(runs["second"].info.run_id, "loss")
    assert [point.step for point in points] == list(range(200))


@pytest.mark.parametrize("durability", ["cache", "fsync"])
def test_many_processes_that_record_into_one_store_lose_nothing(folder: Path, durability: str) -> None:
    """Four processes with three runs of a hundred points each, at once."""
    source = """
        import autotrack
        for number in range(3):
            with autotrack.start_run():
                for step in range(100):
                    autotrack.log_metric("loss", number, step=step)
    """
    children = [start(source, folder, env={"AUTOTRACK_DURABILITY": durability}) for _ in range(4)]
    for child in children:
        _, err = child.communicate(timeout=240)
        assert child.returncode == 0, err.decode()
        assert b"autotrack: store" not in err
    client = Client(folder)
    runs = client.search_runs()
    assert len(runs) == 12
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        assert [m.step for m in client.get_metric_history(run.info.run_id, "loss")] == list(range(100))


def test_the_exit_waits_no_longer_than_it_may_and_says_so(folder: Path, run_python: Python) -> None:
    """Work behind the training that never ends is given up after `drain_seconds`, with one line on stderr."""
    done = run_python(
        f"""
        import threading
        import autotrack
        autotrack.set_tracking_uri({str(folder)!r})
        autotrack.start_run()
        from autotrack.tracking import recorders
        recorders.current().worker.submit(threading.Event().wait)
        """,
        env={"AUTOTRACK_DRAIN_SECONDS": "0.5", "AUTOTRACK_CAPTURE_ENVIRONMENT": "0"},
        timeout=60,
    )
    assert "1 recordings were not finished" in done.stderr
    assert only_run(folder).info.status == "FINISHED"


WAITS = """
    import threading
    import autotrack
    autotrack.start_run()
    autotrack.log_metric("loss", 1.0)
    from autotrack.tracking import recorders
    recorders.current().worker.submit(threading.Event().wait)
    print("waits", flush=True)
"""


@posix
def test_ctrl_c_while_the_exit_waits_leaves_at_once_and_keeps_the_journal(folder: Path) -> None:
    """A person at a terminal sees that it waits, and need not; what was recorded is moved by the next reader."""
    import pty

    leader, follower = pty.openpty()
    slow = {"AUTOTRACK_DRAIN_SECONDS": "600", "AUTOTRACK_CAPTURE_ENVIRONMENT": "0"}
    child = start(WAITS, folder, env=slow, stderr=follower)
    shown = b""
    while b"recording" not in shown:
        shown += os.read(leader, 1024)
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 0
    while b"not waited for" not in shown:
        shown += os.read(leader, 1024)
    os.close(follower)
    os.close(leader)
    assert b"Traceback" not in shown
    assert only_run(folder).info.status == "FINISHED"
    assert only_run(folder).data.metrics == {"loss": 1.0}


@posix
def test_a_wait_at_exit_says_nothing_into_a_log(folder: Path) -> None:
    """Where stderr is no terminal it holds what plain Python would have written, however long the exit takes."""
    child = start(WAITS.replace("(threading.Event().wait)", "(lambda: threading.Event().wait(2.5))"), folder)
    assert child.communicate(timeout=60) == (b"waits\n", b"")
    assert child.returncode == 0


def test_threads_that_log_on_while_the_program_ends_are_no_trouble(folder: Path, run_python: Python) -> None:
    """Daemon threads log through the whole exit; nothing is printed, and what was logged before the end is there."""
    done = run_python(f"""
        import itertools, threading
        import autotrack
        autotrack.set_tracking_uri({str(folder)!r})
        run = autotrack.start_run()
        for step in range(100):
            autotrack.log_metric("loss", 0.5, step=step)
        def forever():
            from autotrack import Client
            client = Client()
            writer = client.writer_of_open_run(run.info.run_id)
            for step in itertools.count():
                writer.log_metric("noise", 1.0, step)
        for _ in range(3):
            threading.Thread(target=forever, daemon=True).start()
    """)
    assert done.stderr == ""
    assert steps(folder) == list(range(100))


def test_logging_from_an_exit_handler_that_runs_after_ours_is_kept(folder: Path, run_python: Python) -> None:
    """The journal is closed by then, and no thread can be started any more: the next reader finds it all the same."""
    done = run_python(f"""
        import atexit
        import autotrack
        def late():
            with autotrack.start_run(run_name="late"):
                autotrack.log_metric("loss", 2.0)
        atexit.register(late)
        autotrack.set_tracking_uri({str(folder)!r})
        with autotrack.start_run(run_name="early"):
            pass
    """)
    assert done.stderr == ""
    runs = {run.info.run_name: run for run in Client(folder).search_runs()}
    assert set(runs) == {"early", "late"}
    assert runs["late"].data.metrics == {"loss": 2.0}
    assert runs["late"].info.status == "FINISHED"


@posix
@pytest.mark.parametrize("end", ["kill", "os._exit", "SIGTERM"])
def test_a_program_that_dies_in_the_middle_of_a_fit_leaves_all_that_it_had_recorded(folder: Path, end: str) -> None:
    """P3, P4: the run and its fit are KILLED, with the parameters; nothing waits for what will not come."""
    pytest.importorskip("sklearn")
    source = """
        import os, sys, time
        import autotrack
        autotrack.autolog()
        from sklearn.base import BaseEstimator
        class Endless(BaseEstimator):
            def __init__(self, C=0.5):
                self.C = C
            def fit(self, X, y=None):
                print("fitting", flush=True)
                if sys.argv[-1] == "os._exit":
                    os._exit(3)
                time.sleep(600)
        Endless(C=0.25).fit([[0.0], [1.0]])
    """
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "AUTOTRACK_TRACKING_URI": str(folder)}
    command = [sys.executable, "-c", textwrap.dedent(source), end]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environ)
    assert child.stdout is not None
    assert child.stdout.readline() == b"fitting\n"
    if end != "os._exit":
        child.send_signal(signal.SIGKILL if end == "kill" else signal.SIGTERM)
    child.communicate(timeout=60)
    run = only_run(folder)
    assert (run.info.run_name, run.info.status) == ("Endless", "KILLED")
    assert run.data.params["C"] == "0.25"
    (fit,) = Client(folder).get_fits(run.info.run_id)
    assert fit.status == "KILLED"


def test_a_model_that_is_being_stored_at_exit_is_stored(folder: Path, tmp_path: Path) -> None:
    """What is written at exit outlives the finalizers, and nothing else is left, here or in the temporary folder."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    program = start(
        """
        import sys
        import threading
        import weakref
        import autotrack
        from sklearn.linear_model import LinearRegression

        storing, exiting = threading.Event(), threading.Event()

        def wait_for_exit(event, arguments):
            if event == "open" and "/artifacts/models/" in str(arguments[0]) and not exiting.is_set():
                storing.set()
                assert exiting.wait(120)

        with autotrack.start_run():
            marker = LinearRegression()
            weakref.finalize(marker, exiting.set)
            sys.addaudithook(wait_for_exit)
            autotrack.autolog()
            LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])
        assert storing.wait(120)
        """,
        folder,
        env={"TMPDIR": str(scratch)},
    )
    _, complaints = program.communicate(timeout=300)
    assert (program.returncode, complaints) == (0, b"")
    run = only_run(folder)
    assert run.info.degraded == ""
    assert [model.name for model in run.outputs.model_outputs] == ["model"]
    assert list(scratch.iterdir()) == []
    assert not list(folder.rglob("*.part"))
