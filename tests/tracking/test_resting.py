"""Forks and autotrack's own threads: who waits for whom, and how long."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autotrack import Client
from autotrack.tracking import recorders, resting
from autotrack.tracking.worker import Worker

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def status_of_child(check: Callable[[], bool]) -> int:
    """0 where `check` holds in a forked child."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody runs out of patience in a test."""
    monkeypatch.setattr(resting, "PATIENCE", 60.0)


def test_a_fork_waits_for_the_work_of_another_thread(patient: None) -> None:
    """The child sees the work either not begun or done."""
    inside, begun, ended = [False], threading.Event(), threading.Event()

    def work() -> None:
        while not ended.is_set():
            with resting.work():
                inside[0] = True
                begun.set()
                ended.wait(0.02)
                inside[0] = False

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    try:
        assert [status_of_child(lambda: not inside[0]) for _ in range(20)] == [0] * 20
    finally:
        ended.set()
        thread.join()


def test_a_fork_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that does not end keeps no program from forking, and its child can work."""
    monkeypatch.setattr(resting, "PATIENCE", 0.05)
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        with resting.work():
            begun.set()
            ended.wait(60)

    def works() -> bool:
        with resting.work():
            return True

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    try:
        assert status_of_child(works) == 0
    finally:
        ended.set()
        thread.join()
    assert works()


def test_a_fork_inside_the_work_of_the_same_thread_does_not_wait_for_itself(patient: None) -> None:
    """At exit the main thread does the jobs, and a job may fork."""
    with resting.work():
        assert status_of_child(lambda: True) == 0

    def works_on() -> bool:
        with resting.work():
            return True

    with resting.work():
        assert status_of_child(works_on) == 0
    assert not resting._at_work


def test_children_forked_in_the_middle_of_ingest_can_use_the_database(
    run_python: Callable[..., Any], tmp_path: Path
) -> None:
    """The parent's thread moves events into the store all along; no child inherits a lock of the database's library."""
    run_python(
        f"""
        import os, threading
        import autotrack
        autotrack.set_tracking_uri({str(tmp_path / "store")!r})
        run_id = autotrack.start_run(run_name="parent").info.run_id
        stop = threading.Event()
        def log():
            while not stop.is_set():
                autotrack.log_metric("noise", 1.0, run_id=run_id)
                autotrack.flush()
        thread = threading.Thread(target=log)
        thread.start()
        for number in range(30):
            child = os.fork()
            if child == 0:
                autotrack.log_metric("child", 1.0, step=number)
                assert autotrack.flush()
                assert autotrack.Client().get_run(run_id).data.metrics["child"] == 1.0
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        thread.join()
        """,
        timeout=300,
    )
    (run,) = Client(tmp_path / "store").search_runs()
    assert len(Client(tmp_path / "store").get_metric_history(run.info.run_id, "child")) == 30


def test_autotracks_threads_are_not_there_at_a_fork_and_go_on_behind_it(
    run_python: Callable[..., Any], tmp_path: Path
) -> None:
    """Python warns of a fork beside other threads, from 3.12 on; what is recorded before and after is in the store."""
    done = run_python(
        f"""
        import os, threading
        there = []
        os.register_at_fork(before=lambda: there.append([thread.name for thread in threading.enumerate()]))
        import autotrack
        from autotrack.tracking import recorders, resting
        resting.FORKS_WARN, resting.TO_END, resting.PATIENCE = True, 60.0, 60.0
        autotrack.set_tracking_uri({str(tmp_path / "store")!r})
        def do_behind():
            done = threading.Event()
            recorders.current().worker.submit(done.set)
            assert done.wait(60)
        with autotrack.start_run(run_name="parent"):
            for number in range(5):
                do_behind()
                autotrack.log_metric("x", number)
                if os.fork() == 0:
                    os._exit(0)
                os.wait()
            do_behind()
            assert autotrack.flush()
            print(there, sorted(thread.name for thread in threading.enumerate()))
    """,
        # Python 3.13.0 counts the threads of the parent when they have begun anew.
        env={"PYTHONWARNINGS": "ignore:This process:DeprecationWarning"} if sys.version_info[:2] == (3, 13) else {},
    )
    assert done.stdout == f"{[['MainThread']] * 5} ['MainThread', 'autotrack-ingest', 'autotrack-worker']\n"
    assert done.stderr == ""
    (run,) = Client(tmp_path / "store").search_runs()
    assert [point.value for point in Client(tmp_path / "store").get_metric_history(run.info.run_id, "x")] == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_a_job_that_a_fork_does_not_wait_for_is_not_overtaken() -> None:
    """One thread does the jobs, in their order, also where a fork came in the midst of a long one."""
    worker, begun, go_on = Worker(), threading.Event(), threading.Event()
    did: list[tuple[int, int]] = []

    def long() -> None:
        begun.set()
        go_on.wait(60)
        did.append((1, threading.get_ident()))

    worker.submit(long)
    assert begun.wait(60)
    worker.submit(lambda: did.append((2, threading.get_ident())))
    worker.pause()
    worker.resume()
    go_on.set()
    assert worker.drain(60)
    worker.stop(60)
    assert [number for number, _ in did] == [1, 2]
    assert len({thread for _, thread in did}) == 1


def test_a_flush_waits_for_the_fork_of_another_thread() -> None:
    """What is being moved into the store goes on when the process has forked."""
    recorders.current().start_run("run")
    thread = recorders.current()._thread
    assert thread is not None
    ended = thread.pause()
    assert ended is not None
    ended.join(60)
    assert not ended.is_alive()
    flushed: list[bool] = []
    flush = threading.Thread(target=lambda: flushed.append(thread.flush(60)))
    flush.start()
    thread.resume()
    flush.join(60)
    assert flushed == [True]
