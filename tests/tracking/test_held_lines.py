"""What a handler tells is written together: when, in which order, and what is written at once all the same."""

from __future__ import annotations

import contextlib
import contextvars
import json
import os
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from autotrack import Client, events
from autotrack.hooks import calls, guard
from autotrack.hooks.calls import Call
from autotrack.hooks.guard import Health
from autotrack.hooks.patching import Patcher
from autotrack.store.location import locate
from autotrack.testing import TemporaryStore
from autotrack.tracking import journal, recorders
from autotrack.tracking.values import safe_params

X, Y = np.arange(20.0).reshape(10, 2), np.arange(10.0)

Python = Callable[..., Any]


class Watched:
    """Has a method to hook."""

    def call(self) -> None:
        """Nothing."""


def watched(handler: Callable[[Call], Generator[None, Any, None]]) -> Patcher:
    """A patch of `Watched.call`, to be reverted."""
    patcher = Patcher("held", Health("held"))
    patcher.method(Watched, "call", handler)
    return patcher


def test_each_part_of_a_handler_has_its_end() -> None:
    """What is to be done when a part is over is done then: after both parts, and not in between."""
    seen: list[str] = []

    def handler(call: Call) -> Generator[None, Any, None]:
        assert calls.when_over(lambda: seen.append("before is over"))
        assert calls.is_handling()
        seen.append("before")
        yield
        assert calls.when_over(lambda: seen.append("after is over"))
        seen.append("after")

    patcher = watched(handler)
    try:
        Watched().call()
    finally:
        patcher.revert()
    assert seen == ["before", "before is over", "after", "after is over"]
    assert not calls.is_handling()
    assert not calls.when_over(seen.clear)


def test_a_context_that_was_copied_in_a_handler_is_in_none() -> None:
    """Threads and tasks that a handler starts may outlive it: nothing waits there."""
    contexts: list[contextvars.Context] = []
    seen: list[bool] = []

    def handler(call: Call) -> Generator[None, Any, None]:
        contexts.append(contextvars.copy_context())
        thread = threading.Thread(target=contexts[0].run, args=(lambda: seen.append(calls.is_handling()),))
        thread.start()
        thread.join()
        yield

    patcher = watched(handler)
    try:
        Watched().call()
    finally:
        patcher.revert()
    assert seen == [False]
    assert contexts[0].run(calls.when_over, seen.clear) is False


def test_what_is_to_be_done_is_done_though_the_handler_fails(shield_on: None) -> None:
    """And what fails in it harms nobody."""
    seen: list[str] = []

    def handler(call: Call) -> Generator[None, Any, None]:
        calls.when_over(lambda: seen.append("done"))
        calls.when_over(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
        raise LookupError
        yield

    patcher = watched(handler)
    before = guard.health("tracking", breaker=False).errors
    try:
        Watched().call()
    finally:
        patcher.revert()
    assert seen == ["done"]
    assert guard.health("tracking", breaker=False).errors == before + 1


def test_a_fit_takes_few_writes(autotrack_store: TemporaryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the training thread: the run, what is known before the fit, what is known after it."""
    import autotrack

    autotrack.autolog()
    LinearRegression().fit(X, Y)
    written: list[bytes] = []
    write, thread = journal._write, threading.get_ident()

    def watching(descriptor: int, line: bytes) -> int:
        if threading.get_ident() == thread:
            written.append(line)
        return write(descriptor, line)

    monkeypatch.setattr(journal, "_write", watching)
    LinearRegression().fit(X, Y)
    assert [line.count(b"\n") for line in written] == [1, 3, 2]
    first, second = autotrack_store.runs()
    assert (first.data.params, first.info.status) == (second.data.params, second.info.status)


def test_what_is_recorded_behind_a_small_fit_is_one_write(
    autotrack_store: TemporaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dataset, metrics, figures and model: each write lets go of the interpreter, and wakes up who waits for it."""
    import autotrack

    autotrack.autolog()
    LogisticRegression().fit(X, Y > 4)
    autotrack.flush()
    written: list[list[dict[str, object]]] = []
    write = journal._write

    def watching(descriptor: int, lines: bytes) -> int:
        if threading.current_thread().name == "autotrack-worker":
            written.append([json.loads(line) for line in lines.splitlines()])
        return write(descriptor, lines)

    monkeypatch.setattr(journal, "_write", watching)
    LogisticRegression(C=2.0).fit(X, Y > 4)
    autotrack.flush()
    (events_told,) = written
    assert len(events_told) >= 5
    first, second = autotrack_store.runs()
    assert first.data.metrics.keys() == second.data.metrics.keys()
    assert len(second.outputs.model_outputs) == 1


def test_what_a_job_told_is_written_though_it_fails(autotrack_store: TemporaryStore) -> None:
    """And what it tells afterwards is written at once again."""
    import autotrack

    with autotrack.start_run() as active:
        recorder = recorders.current()
        with contextlib.suppress(ZeroDivisionError), recorder.together():
            recorder.write(events.MetricLogged(active.info.run_id, "told", 1.0, 1))
            raise ZeroDivisionError
        recorder.write(events.MetricLogged(active.info.run_id, "after", 2.0, 1))
    (run,) = autotrack_store.runs()
    assert run.data.metrics == {"told": 1.0, "after": 2.0}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_that_is_forked_in_a_handler_does_not_write_what_the_parent_holds(
    run_python: Python, tmp_path: Path
) -> None:
    """`get_params` of the user's forks: each line is in one journal."""
    run_python("""
        import os
        from sklearn.base import BaseEstimator
        import autotrack

        class Forking(BaseEstimator):
            def get_params(self, deep=True):
                if os.fork() == 0:
                    autotrack.log_metric("child", 1)
                    autotrack.flush()
                    os._exit(0)
                os.wait()
                return {"depth": 3}

            def fit(self, X, y=None):
                return self

        autotrack.set_tracking_uri("store")
        autotrack.autolog()
        Forking().fit([[1]])
    """)
    journals = [path.read_bytes() for path in tmp_path.rglob("*.jsonl*")]
    (run,) = (run for run in Client(tmp_path / "store").search_runs() if run.info.run_name == "Forking")
    assert run.data.params["depth"] == "3"
    assert run.info.status == "FINISHED"
    assert sum(text.count(b'"depth"') for text in journals) <= 1


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals here")
def test_a_signal_handler_that_logs_and_leaves_in_a_handler_loses_nothing(run_python: Python, tmp_path: Path) -> None:
    """The call has returned when the process ends: the point is written at once, and what was held before it too."""
    run_python("""
        import os, signal
        from sklearn.base import BaseEstimator
        import autotrack

        def leave(*_):
            autotrack.log_metric("last", 7)
            os._exit(0)

        class Signalling(BaseEstimator):
            def get_params(self, deep=True):
                os.kill(os.getpid(), signal.SIGUSR1)
                return {}

            def fit(self, X, y=None):
                return self

        signal.signal(signal.SIGUSR1, leave)
        autotrack.set_tracking_uri("store")
        autotrack.autolog()
        Signalling().fit([[1]])
    """)
    runs = {run.info.source: run for run in Client(tmp_path / "store").search_runs()}
    assert runs["fluent"].data.metrics == {"last": 7}
    assert runs["sklearn"].data.tags["estimator_name"] == "Signalling"


def test_ctrl_c_in_a_handler_leaves_what_was_told(run_python: Python, tmp_path: Path) -> None:
    """The interruption goes to the program; what the handler had told by then is there."""
    run_python("""
        import os, signal
        from sklearn.base import BaseEstimator
        import autotrack

        class Interrupted(BaseEstimator):
            def get_params(self, deep=True):
                raise KeyboardInterrupt

            def fit(self, X, y=None):
                return self

        autotrack.set_tracking_uri("store")
        autotrack.autolog()
        try:
            Interrupted().fit([[1]])
        except KeyboardInterrupt:
            os._exit(0)
    """)
    (run,) = Client(tmp_path / "store").search_runs()
    assert run.data.tags["estimator_name"] == "Interrupted"


def test_equal_parameters_of_different_types_stay_what_they_are() -> None:
    """What was recorded before is looked up by type and value: 1, True, 1.0, and the two zeros."""
    for _ in range(2):
        params = safe_params({"a": 1, "b": True, "c": 1.0, "d": 0.0, "e": -0.0, "f": "1", "g": None})
        assert [param.text for param in params] == ["1", "True", "1.0", "0.0", "-0.0", "1", "None"]
        assert [param.json for param in params] == ["1", "true", "1.0", "0.0", "-0.0", '"1"', "null"]
        (same,) = safe_params({"a": True})
        assert same.text == "True"
        (secret,) = safe_params({"password": "hunter2-and-more"})
        assert "hunter2" not in secret.text


def test_recorders_are_told_apart(autotrack_store: TemporaryStore, tmp_path: Path) -> None:
    """Two stores of one process hold what is theirs."""
    import autotrack

    other = recorders.recorder_for(locate(str(tmp_path / "other")))

    def handler(call: Call) -> Generator[None, Any, None]:
        first = recorders.current().start_run("here")
        second = other.start_run("there")
        first.set_tags({"place": "here"})
        second.set_tags({"place": "there"})
        yield
        first.end()
        second.end()

    patcher = watched(handler)
    try:
        Watched().call()
    finally:
        patcher.revert()
    autotrack.flush()
    recorders.forget_store(other.location)
    for client in (autotrack_store.client, Client(tmp_path / "other")):
        (run,) = client.search_runs()
        assert (run.data.tags["place"], run.info.status) == (run.info.run_name, "FINISHED")
