"""The recorder: forks, several stores, exit, background work, what the journal cannot hold as it is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autotrack
from autotrack import Client, events
from autotrack.hooks import guard
from autotrack.store.location import locate
from autotrack.testing import TemporaryStore
from autotrack.tracking import recorder, recorders, scope
from autotrack.tracking import worker as workers
from autotrack.tracking.values import encoded
from autotrack.tracking.worker import Worker

OWN_THREADS = "ignore:This process:DeprecationWarning"
"""From Python 3.12 on a fork warns where the program has other threads, be they those of a library."""

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
Python = Callable[..., Any]


def runs_in(folder: Path) -> dict[str, Any]:
    """The runs of a store by name."""
    return {run.info.run_name: run for run in Client(folder).search_runs()}


# Forks


@forks
def test_a_forked_child_writes_a_journal_of_its_own(run_python: Python, tmp_path: Path) -> None:
    """What a child logs into the parent's run goes through the child's journal; the parent's is not touched."""
    done = run_python(
        f"""
        import os
        import autotrack
        from autotrack.tracking import recorder, recorders
        autotrack.set_tracking_uri({str(tmp_path / "store")!r})
        with autotrack.start_run(run_name="parent"):
            path = recorders.current().journal.path
            autotrack.log_metric("parent", 1.0)
            size = path.stat().st_size
            if os.fork() == 0:
                autotrack.log_metric("child", 2.0)
                assert recorders.current().journal.path != path
                assert path.stat().st_size == size
                autotrack.flush()
                os._exit(0)
            os.wait()
    """,
        env={"PYTHONWARNINGS": OWN_THREADS} if sys.version_info[:2] == (3, 13) else {},  # see test_resting
    )
    assert done.stderr == ""
    run = runs_in(tmp_path / "store")["parent"]
    assert run.data.metrics == {"parent": 1.0, "child": 2.0}
    assert run.info.status == "FINISHED"


@forks
@pytest.mark.parametrize("leave", ["sys.exit(3)", "raise ValueError", "os._exit(3)", "sys.exit(0)"])
def test_a_child_that_leaves_the_parents_run_does_not_end_it(run_python: Python, tmp_path: Path, leave: str) -> None:
    """`os.fork` inside `with start_run()`: however the child goes, the run is the parent's."""
    run_python(f"""
        import os, sys
        import autotrack
        autotrack.set_tracking_uri({str(tmp_path / "store")!r})
        with autotrack.start_run(run_name="parent"):
            if os.fork() == 0:
                {leave}
            os.wait()
            run = autotrack.get_run(autotrack.active_run().info.run_id)
            assert run.info.status == "RUNNING", run.info
            autotrack.log_metric("after", 1.0)
    """)
    run = runs_in(tmp_path / "store")["parent"]
    assert run.info.status == "FINISHED"
    assert run.info.error is None
    assert run.data.metrics == {"after": 1.0}


@forks
def test_a_child_forked_in_the_middle_of_a_fit_writes_nothing_into_the_run(run_python: Python, tmp_path: Path) -> None:
    """E20: workers of a data loader train and evaluate what they like; the parent's run knows nothing of it."""
    pytest.importorskip("sklearn")
    done = run_python(
        f"""
        import os
        import autotrack
        autotrack.set_tracking_uri({str(tmp_path / "store")!r})
        autotrack.autolog(log_models=False)
        from sklearn.base import BaseEstimator
        from sklearn.linear_model import LogisticRegression
        class Loader(BaseEstimator):
            def fit(self, X, y=None):
                for _ in range(3):
                    if os.fork() == 0:
                        LogisticRegression().fit(X, y)
                        raise SystemExit(0)
                for _ in range(3):
                    os.wait()
                return self
        Loader().fit([[0.0], [1.0]], [0, 1])
    """,
        env={"PYTHONWARNINGS": OWN_THREADS},
    )
    assert done.stderr == ""
    (run,) = Client(tmp_path / "store").search_runs()
    assert (run.info.run_name, run.info.status) == ("Loader", "FINISHED")
    (fit,) = Client(tmp_path / "store").get_fits(run.info.run_id)
    assert fit.status == "FINISHED"


@forks
def test_children_of_every_kind_of_pool_record_their_own_runs(run_python: Python, tmp_path: Path) -> None:
    """Runs that children open are theirs: ended by them, or by the end of their process, as that ended."""
    run_python(f"""
        import multiprocessing
        import autotrack
        def train(name):
            with autotrack.start_run(run_name=name):
                autotrack.log_metric("x", 1.0)
        def leaves_open(name):
            autotrack.start_run(run_name=name)
            autotrack.log_metric("x", 1.0)
        def fails(name):
            leaves_open(name)
            raise ValueError("no")
        if __name__ == "__main__":
            autotrack.set_tracking_uri({str(tmp_path / "store")!r})
            context = multiprocessing.get_context("fork")
            autotrack.start_run(run_name="parent")
            autotrack.end_run()
            with context.Pool(2) as pool:
                pool.map(train, ["a", "b", "c"])
            for target in (leaves_open, fails):
                child = context.Process(target=target, args=(target.__name__,))
                child.start()
                child.join()
    """)
    runs = runs_in(tmp_path / "store")
    assert {name: run.info.status for name, run in runs.items()} == {
        "parent": "FINISHED", "a": "FINISHED", "b": "FINISHED", "c": "FINISHED",
        "leaves_open": "FINISHED", "fails": "FAILED",
    }  # fmt: skip
    assert all(run.data.metrics == {"x": 1.0} for name, run in runs.items() if name != "parent")
    assert len({run.info.session_id for run in runs.values()}) == 1


@forks
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_how_a_childs_function_ended_is_the_end_of_what_it_left_open(
    run_python: Python, tmp_path: Path, method: str
) -> None:
    """From Python 3.13 on a child's exit handlers run when its exception is gone: it is told all the same."""
    ends = {
        "pass": ("FINISHED", None),
        "raise ValueError('no')": ("FAILED", "ValueError"),
        "raise KeyboardInterrupt": ("KILLED", "KeyboardInterrupt"),
        "raise SystemExit(4)": ("FAILED", "SystemExit"),
        "raise SystemExit(0)": ("FINISHED", None),
        "sys.exit(3)": ("FAILED", "SystemExit"),
        "sys.exit(0)": ("FINISHED", None),
    }
    script = tmp_path / "children.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "import autotrack\n"
        f"class Child(multiprocessing.get_context({method!r}).Process):\n"
        "    def run(self):\n"
        "        autotrack.start_run(run_name=self.name)\n"
        "        autotrack.log_metric('x', 1.0)\n"
        "        exec(self.name)\n"
        "if __name__ == '__main__':\n"
        f"    for end in {list(ends)!r}:\n"
        "        child = Child(name=end)\n"
        "        child.start()\n"
        "        child.join()\n"
    )
    run_python(script, env={"AUTOTRACK_TRACKING_URI": str(tmp_path / "store")})
    runs = runs_in(tmp_path / "store")
    found = {name: (run.info.status, run.info.error and run.info.error.type) for name, run in runs.items()}
    assert found == ends
    assert runs["raise ValueError('no')"].info.error.message == "no"


def test_spawned_children_record_into_the_session_of_their_parent(run_python: Python, tmp_path: Path) -> None:
    """A child that starts from nothing finds the store and the session by what it inherits."""
    script = tmp_path / "spawning.py"
    script.write_text(
        "import multiprocessing\n"
        "import autotrack\n"
        "def train(name):\n"
        "    autotrack.start_run(run_name=name)\n"
        "    autotrack.log_metric('x', 1.0)\n"
        "if __name__ == '__main__':\n"
        "    with autotrack.start_run(run_name='parent'):\n"
        "        child = multiprocessing.get_context('spawn').Process(target=train, args=('child',))\n"
        "        child.start()\n"
        "        child.join()\n"
        "        assert child.exitcode == 0\n"
    )
    run_python(script, env={"AUTOTRACK_TRACKING_URI": str(tmp_path / "store")})
    runs = runs_in(tmp_path / "store")
    assert {name: run.info.status for name, run in runs.items()} == {"parent": "FINISHED", "child": "FINISHED"}
    assert runs["child"].data.metrics == {"x": 1.0}


@forks
def test_child_forked_during_a_late_import_can_import_the_same(run_python: Python, tmp_path: Path) -> None:
    """A fork waits for an import that another thread makes late: the child does not inherit the module's held lock."""
    (tmp_path / "slow_to_load.py").write_text("import sys, time\nsys.loading.set()\ntime.sleep(0.3)\n")
    source = f"""
    import os, signal, sys, threading
    from autotrack.late import loading
    sys.path.insert(0, {str(tmp_path)!r})
    sys.loading = threading.Event()
    def load():
        with loading():
            import slow_to_load
    thread = threading.Thread(target=load)
    thread.start()
    sys.loading.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        import slow_to_load
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()
    """
    assert run_python(source).returncode == 0


@forks
def test_twenty_children_forked_while_everything_is_busy_all_return(run_python: Python, tmp_path: Path) -> None:
    """Threads of the parent log and work behind the scenes as it forks: no child waits for a lock that nobody frees."""
    done = run_python(
        f"""
        import os, threading, itertools
        import autotrack
        from autotrack.tracking import recorder, recorders
        autotrack.set_tracking_uri({str(tmp_path / "store")!r})
        run = autotrack.start_run(run_name="parent")
        current = recorders.current()
        stop = threading.Event()
        def busy():
            for step in itertools.count():
                if stop.is_set():
                    return
                autotrack.log_metric("noise", 1.0, step=step, run_id=run.info.run_id)
                current.worker.submit(lambda: None)
                stop.wait(0.0005)
        threads = [threading.Thread(target=busy) for _ in range(3)]
        for thread in threads:
            thread.start()
        children = []
        for number in range(20):
            child = os.fork()
            if child == 0:
                autotrack.log_metric("child", 1.0, step=number)
                current.worker.submit(lambda: None)
                assert autotrack.flush()
                os._exit(0)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        stop.set()
        for thread in threads:
            thread.join()
        assert codes == [0] * 20, codes
        """,
        env={"PYTHONWARNINGS": OWN_THREADS},
        timeout=300,
    )
    assert done.stderr == ""
    client = Client(tmp_path / "store")
    (run,) = client.search_runs()
    history = client.get_metric_history(run.info.run_id, "child")
    assert sorted(metric.step for metric in history) == list(range(20))


@forks
def test_the_end_of_the_parent_does_not_wait_for_its_children(tmp_path: Path) -> None:
    """A child that lives on (a server that was started) keeps nobody from leaving."""
    source = (
        "import os, time, autotrack\n"
        "autotrack.start_run()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    autotrack.log_metric('x', 1.0)\n"
        "    os.close(1); os.close(2)\n"
        "    time.sleep(600)\n"
        "print(child)\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(recorder.__file__).parents[2])}
    environ["AUTOTRACK_TRACKING_URI"] = str(tmp_path / "store")
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, env=environ, timeout=60)
    child = int(done.stdout)
    os.kill(child, 9)
    assert done.returncode == 0


# Stores


def test_two_stores_in_one_process_are_kept_apart(tmp_path: Path) -> None:
    """Runs stay in the store that they were opened in, whatever is set afterwards, with all that is logged to them."""
    first, second = tmp_path / "first", tmp_path / "second"
    autotrack.set_tracking_uri(first)
    with autotrack.start_run(run_name="a") as run:
        autotrack.log_metric("before", 1.0)
        autotrack.set_tracking_uri(second)
        autotrack.log_metric("after", 2.0)
        autotrack.log_text("hello", "note.txt")
        autotrack.set_tag("colour", "red")
        autotrack.delete_tag("colour")
        assert run.data.metrics == {"before": 1.0, "after": 2.0}
    last = autotrack.last_active_run()
    assert last is not None
    assert last.info.run_name == "a"
    with autotrack.start_run(run_name="b"):
        pass
    assert set(runs_in(first)) == {"a"}
    assert set(runs_in(second)) == {"b"}
    assert [file.path for file in Client(first).list_artifacts(run.run_id)] == ["note.txt"]


def test_the_default_store_does_not_move_with_the_working_folder(run_python: Python, tmp_path: Path) -> None:
    """A script that changes its folder in mid-way has one store, and a client that is made later means the same one."""
    (tmp_path / "out").mkdir()
    run_python(
        """
        import os
        import autotrack
        autotrack.start_run(run_name="a")
        os.chdir("out")
        autotrack.end_run()
        autotrack.start_run(run_name="b")
        autotrack.end_run()
        assert len(autotrack.search_runs(output_format="list")) == 2
        assert len(autotrack.Client().search_runs()) == 2
        autotrack.set_tracking_uri("relative")
        os.chdir("..")
        autotrack.start_run(run_name="c")
        assert autotrack.get_tracking_uri().endswith("out/relative/autotrack.db")
        """,
        env={"AUTOTRACK_TRACKING_URI": None},
    )
    assert not (tmp_path / "out" / ".autotrack").exists()
    assert (tmp_path / "out" / "relative" / "autotrack.db").exists()


def test_flush_says_that_all_is_there(autotrack_store: TemporaryStore) -> None:
    """After it, the database itself has the points; without anything recorded it is true at once."""
    assert autotrack.flush()
    with autotrack.start_run() as run:
        autotrack.log_metric("x", 1.0)
        assert autotrack.flush()
        from autotrack.store.engine import Store
        from autotrack.store.reading import Reader

        assert len(Reader(Store.open(autotrack_store.uri)).metric_history(run.run_id, "x")) == 1


# What the journal cannot hold as it is


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("caf\udce9", "caf\ufffd"),
        ("\ud83d", "\ufffd"),
        ("\U0001f600", "\U0001f600"),
        ("caf\udce9\0", "caf\ufffd\ufffd"),
    ],
    ids=["surrogate", "half an emoji", "emoji", "nul"],
)
def test_text_that_no_database_takes_is_stored_as_near_as_can_be(text: str, kept: str) -> None:
    """Paths and arguments may be any bytes; an event that holds such text is written all the same."""
    event = events.SessionStarted("5" * 32, 1, cwd=text, argv=["x", text], program=text)
    back = events.decode(encoded(event).rstrip(b"\n"))
    assert isinstance(back, events.SessionStarted)
    assert back.cwd == kept
    assert back.argv == ["x", kept]


def test_details_of_any_kind_are_stored_as_plain_values() -> None:
    """What an integration hands over may hold numpy scalars, huge integers, objects: one odd value costs no event."""
    numpy = pytest.importorskip("numpy")
    details = {
        "scalar": numpy.float64(0.5), "count": numpy.int64(3), "text": numpy.str_("x"), "huge": 10**400 // 10**370,
        "nested": [(1, {"deep": object})], "path": Path("/x"), 5: "key",
    }  # fmt: skip
    event = events.FitLogged("f" * 32, "5" * 32, 1, details=details)
    back = events.decode(encoded(event).rstrip(b"\n"))
    assert isinstance(back, events.FitLogged)
    assert (back.details["scalar"], back.details["count"], back.details["text"]) == (0.5, 3, "x")
    assert back.details["huge"] == 1e30
    assert back.details["5"] == "key"


def test_a_program_with_arguments_of_any_bytes_is_recorded(tmp_path: Path) -> None:
    """Arguments that are no UTF-8 reach Python as lone surrogates, and must not keep the journal from being opened."""
    environ = {**os.environ, "PYTHONPATH": str(Path(recorder.__file__).parents[2])}
    environ["AUTOTRACK_TRACKING_URI"] = str(tmp_path / "store")
    source = "import autotrack; autotrack.start_run(run_name='a')"
    subprocess.run([sys.executable.encode(), b"-c", source.encode(), b"caf\xe9"], env=environ, check=True, timeout=60)
    run = runs_in(tmp_path / "store")["a"]
    assert Client(tmp_path / "store").get_session(run.info.session_id).argv[-1].startswith("caf")


# The background


@pytest.fixture
def worker(shield_on: None) -> Any:
    """A worker of its own, stopped afterwards."""
    made = Worker()
    yield made
    made.stop(10)


def test_an_error_in_a_job_is_recorded_and_the_next_job_is_done(worker: Worker) -> None:
    """Background work of autotrack's own that fails is in the health registry, and nothing else comes of it."""
    done: list[int] = []
    worker.submit(lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    worker.submit(lambda: done.append(1))
    assert worker.drain(30)
    assert done == [1]
    assert "ZeroDivisionError" in guard.health("tracking").last_message()


def test_a_job_that_calls_exit_does_not_stop_the_others(worker: Worker) -> None:
    """A model's own `predict` may call `sys.exit`: the jobs behind it are done, and nobody waits for ever."""
    done: list[int] = []
    worker.submit(sys.exit)
    worker.submit(lambda: done.append(1))
    assert worker.drain(30)
    assert done == [1]
    assert worker.waiting() == 0


def test_jobs_that_hold_too_much_are_refused(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is bounded in bytes and in number; one job alone may be as large as it is."""
    release = threading.Event()
    worker.submit(release.wait)  # type: ignore[arg-type]
    while worker.waiting() and not worker._busy:
        pass
    monkeypatch.setattr(workers, "MAX_JOBS", 3)
    monkeypatch.setattr(workers, "MAX_BYTES", 1000)
    assert worker.submit(lambda: None, 10_000)
    assert not worker.submit(lambda: None, 1)
    release.set()
    assert worker.drain(30)
    assert worker.submit(lambda: None, 900)
    assert worker.drain(30)
    assert worker._bytes == 0


def test_jobs_wait_for_training_in_flight_but_not_for_ever(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a training call runs nothing is done behind it, until patience is at an end or somebody asks."""
    done: list[int] = []
    frame = scope.Frame("training")
    scope.push(frame)
    try:
        worker.submit(lambda: done.append(1))
        assert not threading.Event().wait(0.3)
        assert done == []
        monkeypatch.setattr(workers, "PATIENCE", 0.05)
        worker.submit(lambda: done.append(2))
        assert worker.drain(30)
        assert done == [1, 2]
        worker.submit(lambda: done.append(3))
        while len(done) < 3:
            threading.Event().wait(0.01)
    finally:
        scope.pop(frame)


def test_drain_gives_up_when_its_time_is_over(worker: Worker) -> None:
    """A job that hangs is waited for as long as was said, and progress is told meanwhile."""
    release = threading.Event()
    told: list[str] = []
    worker.submit(release.wait)  # type: ignore[arg-type]
    assert not worker.drain(0.5, told.append)
    assert set(told) == {"1 recordings"}
    release.set()
    assert worker.drain(30)


def test_a_job_may_wait_for_the_jobs_before_it(worker: Worker) -> None:
    """A job that reads the store flushes first: it must not wait for itself."""
    answers: list[bool] = []
    worker.submit(lambda: answers.append(worker.drain(30)))
    assert worker.drain(30)
    assert answers == [True]


def test_progress_is_shown_only_on_a_terminal_when_the_exit_takes_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short wait shows nothing, nor does a long one in a log; on a terminal it is one line, renewed."""
    from autotrack.tracking import progress

    def wait() -> str:
        shown = progress.Progress(30)
        shown("3 recordings")
        shown("2 recordings")
        shown.end()
        return capsys.readouterr().err

    monkeypatch.setattr(progress, "_is_terminal", lambda: True)
    assert wait() == ""
    monkeypatch.setattr(progress, "PROGRESS_AFTER", -1.0)
    shown = wait()
    assert shown.count("\n") == 1
    assert "3 recordings" in shown
    assert "2 recordings" in shown
    monkeypatch.setattr(progress, "_is_terminal", lambda: False)
    assert wait() == ""


def test_many_runs_leave_nothing_behind_in_this_process(autotrack_store: TemporaryStore) -> None:
    """An ended run is forgotten by everything that knew it."""
    import gc

    from autotrack.tracking.current_run import ActiveRun
    from autotrack.tracking.run import RunWriter

    for _ in range(300):
        with autotrack.start_run(run_name="x"):
            autotrack.log_metric("loss", 1.0)
    gc.collect()
    alive = [thing for thing in gc.get_objects() if isinstance(thing, (ActiveRun, RunWriter))]
    assert len(alive) <= 2, "the last run is known to `last_active_run`"
    assert recorders.current().runs == {}
    assert recorders.existing(locate(autotrack_store.uri)) is recorders.current()


def test_a_journal_that_is_closed_while_costs_are_told_stays_the_only_one(run_python: Python, tmp_path: Path) -> None:
    """The ingest thread may be about to tell what runs took just as the program ends: it opens no second journal."""
    done = run_python(f"""
        import os
        import threading
        os.environ["AUTOTRACK_TICK_SECONDS"] = "600"
        import autotrack
        from autotrack.tracking import recorders
        autotrack.set_tracking_uri({str(tmp_path / "store")!r})
        with autotrack.start_run():
            autotrack.log_text("some text", "notes.txt")
        recorder = recorders.current()
        closing = threading.Thread(target=recorder._close_journal)

        def close_now(passes):
            closing.start()
            closing.join(0.5)
            return recorder._ledger.ended()

        recorder._ledger.settled = close_now
        recorder._on_tick(recorder._load)
        closing.join()
        assert recorder.journal_or_none is None
    """)
    assert (done.returncode, done.stderr) == (0, "")
    client = Client(tmp_path / "store")
    (run,) = client.search_runs()
    assert "autotrack.cost" in run.data.tags
    assert len(client.reader.journals()) == 1
