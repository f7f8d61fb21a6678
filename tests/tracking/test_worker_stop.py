"""The background worker ends when it is told to, also after a job that raised; so does the watch on `sys.exit`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from autotrack.tracking import failure, scope
from autotrack.tracking.worker import Worker


def worker_threads() -> list[str]:
    """Names of the worker's threads that are running."""
    return [thread.name for thread in threading.enumerate() if thread.name == "autotrack-worker"]


def test_stopped_worker_drops_what_waits_and_ends_its_thread() -> None:
    """The job at hand is finished, those behind it are not begun, and no thread is left."""
    worker, begun, go_on = Worker(), threading.Event(), threading.Event()
    done: list[int] = []

    def first() -> None:
        begun.set()
        go_on.wait(30)
        done.append(1)

    worker.submit(first, 10)
    begun.wait(30)
    worker.submit(lambda: done.append(2), 20)
    threading.Timer(0.05, go_on.set).start()
    worker.stop(30)
    assert done == [1]
    assert worker.waiting() == 0
    assert worker_threads() == []


def test_stopped_worker_begins_again_with_the_next_job() -> None:
    """What is submitted after a stop is done by a new thread."""
    worker, done = Worker(), list[int]()
    for number in (1, 2):
        assert worker.submit(lambda number=number: done.append(number))  # type: ignore[misc]
        assert worker.drain(30)
        worker.stop(30)
    assert done == [1, 2]
    assert worker_threads() == []


def test_worker_that_never_worked_is_stopped_at_once() -> None:
    """No thread was ever started, none is waited for."""
    Worker().stop(30)
    assert worker_threads() == []


def test_worker_is_stopped_though_a_training_call_is_in_flight() -> None:
    """It waits for training calls to end before it works, but not before it ends."""
    worker, done = Worker(), list[int]()
    frame = scope.Frame("training")
    scope.push(frame)
    try:
        worker.submit(lambda: done.append(1))
        worker.stop(30)
    finally:
        scope.pop(frame)
    assert (done, worker_threads()) == ([], [])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_job_that_raises_in_a_test_is_seen_and_stops_no_other() -> None:
    """Under the test suite the error leaves the thread, where pytest sees it; the jobs behind it are done."""
    worker, done = Worker(), list[int]()
    worker.submit(lambda: done.append(1 // 0))
    first = worker._thread
    worker.submit(lambda: done.append(2))
    assert worker.drain(30)
    worker.stop(30)
    assert done == [2]
    if first is not None:
        first.join(30)


def test_exit_is_watched_once_and_then_no_longer() -> None:
    """`sys.exit` is wrapped while something may be recorded; afterwards it is the original object again."""
    original = sys.exit
    failure.watch_exit()
    watched = sys.exit
    failure.watch_exit()
    assert sys.exit is watched is not original
    with pytest.raises(SystemExit):
        sys.exit(3)
    status, error = failure.of_process()
    assert (status, error.message if error else "") == ("FAILED", "exit code 3")
    failure.unwatch_exit()
    failure.unwatch_exit()
    assert sys.exit is original
    assert failure.of_process() == ("FINISHED", None)


def test_a_job_that_comes_while_the_interpreter_shuts_down_holds_nothing_up(run_python: Callable[..., Any]) -> None:
    """A thread that is started then is never heard of again: who waits for its start waits for ever."""
    done = run_python(
        """
        from autotrack.tracking.worker import Worker
        class Late:
            def __del__(self, worker=Worker(), done=print):
                worker.submit(lambda: done("done"))
        late = Late()
        late.itself = late
        """,
        timeout=60,
    )
    assert done.stdout == "done\n"
