from __future__ import annotations

import gc
import io
import logging
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from autotrack.hooks import guard
from autotrack.hooks.guard import Health


def _fail(message: str = "no") -> None:
    raise ValueError(message)


def test_the_result_is_handed_on(health: Health) -> None:
    """A call that works returns what the function returned and leaves no record."""
    assert guard.call(health, "here", divmod, 7, 2) == (3, 1)
    assert guard.call(health, "here", dict, where="kept", health=1) == {"where": "kept", "health": 1}
    assert (health.errors, list(health.recent)) == (0, [])


@pytest.mark.usefixtures("production")
def test_an_exception_is_recorded_as_text_and_swallowed(health: Health) -> None:
    """The record says where, what and when, with the traceback; the caller gets None."""
    assert guard.call(health, "reading parameters", _fail, "no such thing") is None
    (record,) = health.recent
    assert (record.where, record.message) == ("reading parameters", "ValueError: no such thing")
    assert "in _fail" in record.traceback
    assert record.time > 1_600_000_000_000


def test_the_suite_sees_what_production_swallows(health: Health) -> None:
    """With `reraise` the error is recorded and then raised, by both forms of the shield."""
    with pytest.raises(ValueError, match="no"):
        guard.call(health, "here", _fail)
    with pytest.raises(ValueError, match="no"), guard.shield(health, "there"):
        _fail()
    assert [record.where for record in health.recent] == ["here", "there"]


@pytest.mark.parametrize("suite", [False, True])
def test_an_error_that_was_caught_elsewhere_is_recorded_the_same(
    health: Health, suite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is to be raised again is said: in the test suite."""
    monkeypatch.setattr(guard, "reraise", suite)
    assert guard.failed(health, "there", ValueError("no")) is suite
    assert [(record.where, record.message) for record in health.recent] == [("there", "ValueError: no")]
    assert health.errors == 1


@pytest.mark.usefixtures("production")
def test_the_context_manager_swallows_likewise(health: Health) -> None:
    """What is raised in the block is recorded, and the program goes on after it."""
    with guard.shield(health, "a block"):
        _fail()
    assert health.recent[0].where == "a block"


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_goes_through(health: Health, kind: type[BaseException]) -> None:
    """Ctrl-C, sys.exit and generator closing belong to the program and are neither stopped nor counted."""

    def stop() -> None:
        raise kind

    with pytest.raises(kind):
        guard.call(health, "here", stop)
    with pytest.raises(kind), guard.shield(health, "here"):
        stop()
    assert health.errors == 0


@pytest.mark.usefixtures("production")
def test_the_breaker_opens_after_five_errors_and_says_so_once(
    health: Health, capfd: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr at the fifth error, none later, nothing on stdout; errors are still counted."""
    for _ in range(guard.MAX_ERRORS - 1):
        guard.call(health, "here", _fail)
    assert (health.broken, capfd.readouterr().err) == (False, "")
    for _ in range(3):
        guard.call(health, "here", _fail)
    out, err = capfd.readouterr()
    assert (health.broken, health.status, health.errors) == (True, "broken", 7)
    assert out == ""
    assert err.count("\n") == 1
    assert health.name in err
    assert "ValueError: no" in err


@pytest.mark.usefixtures("production")
def test_silent_keeps_stderr_clean(health: Health, capfd: pytest.CaptureFixture[str]) -> None:
    """The setting `silent` holds for the breaker's line too."""
    guard.silent = True
    for _ in range(guard.MAX_ERRORS):
        guard.call(health, "here", _fail)
    assert health.broken
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("stream", [None, "closed"])
def test_a_missing_stderr_is_no_error(health: Health, monkeypatch: pytest.MonkeyPatch, stream: str | None) -> None:
    """A program without stderr (a daemon, pythonw) or with a closed one is not harmed by the breaker."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed if stream else None)
    for _ in range(guard.MAX_ERRORS):
        guard.call(health, "here", _fail)
    assert health.broken


@pytest.mark.usefixtures("production")
def test_an_error_that_cannot_be_described_is_still_counted(health: Health) -> None:
    """An exception whose text cannot be made is recorded by the name of its class."""

    class Awkward(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even this")

    def awkward() -> None:
        raise Awkward

    guard.call(health, "here", awkward)
    assert health.errors == 1
    assert "Awkward" in health.recent[0].message


@pytest.mark.usefixtures("production")
def test_a_logging_handler_that_raises_reaches_nobody(health: Health) -> None:
    """The user's logging set-up may fail in ways of its own."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("disk full")

    logger, handler = logging.getLogger("autotrack"), Broken()
    logger.addHandler(handler)
    try:
        guard.call(health, "here", _fail)
    finally:
        logger.removeHandler(handler)
    assert health.errors == 1


@pytest.mark.usefixtures("production")
def test_errors_go_to_the_autotrack_logger(health: Health, caplog: pytest.LogCaptureFixture) -> None:
    """The log record is text with the traceback; it holds no exception."""
    with caplog.at_level(logging.WARNING, "autotrack"):
        guard.call(health, "here", _fail)
    (record,) = caplog.records
    assert record.exc_info is None
    assert "in _fail" in record.getMessage()


@pytest.mark.usefixtures("production")
def test_no_object_of_the_users_stays_alive(health: Health) -> None:
    """Neither the exception, nor what its traceback's frames hold, survives the record."""

    class Data:
        pass

    class WithData(Exception):
        def __init__(self, data: Data) -> None:
            self.data = data

    def use(data: Data) -> None:
        raise WithData(data)

    data = Data()
    alive = weakref.ref(data)
    gc.disable()
    try:
        guard.call(health, "here", use, data)
        del data
        assert alive() is None
    finally:
        gc.enable()


@pytest.mark.usefixtures("production")
def test_the_records_are_bounded(health: Health) -> None:
    """A thousand errors with long tracebacks keep ten records of bounded size."""
    for number in range(1000):
        guard.call(health, f"call {number}", _fail, "x" * 100_000)
    assert len(health.recent) == guard.MAX_RECENT
    assert health.recent[-1].where == "call 999"
    assert all(len(r.message) <= 1000 and len(r.traceback) <= guard.MAX_TRACEBACK for r in health.recent)


@pytest.mark.usefixtures("production")
def test_a_full_stack_is_no_reason_to_fail(health: Health) -> None:
    """A RecursionError of ours is swallowed even where there is no room left to describe it."""

    def deeper(levels: int) -> object:
        return guard.call(health, "deep", deeper, levels + 1)

    assert deeper(0) is None
    before = health.errors
    guard.call(health, "with room again", _fail)
    assert health.errors == before + 1


@pytest.mark.usefixtures("production")
def test_threads_count_together(health: Health, capfd: pytest.CaptureFixture[str]) -> None:
    """Errors from eight threads are all counted, and the breaker speaks once."""
    threads = [
        threading.Thread(target=lambda: [guard.call(health, "here", _fail) for _ in range(50)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert health.errors == 400
    assert capfd.readouterr().err.count("turned off") == 1


def test_a_name_has_one_health() -> None:
    """`health` makes it at the first call, and `all_health` shows it."""
    first = guard.health("tests: one health")
    assert guard.health("tests: one health") is first
    assert guard.all_health()["tests: one health"] is first


@pytest.mark.usefixtures("production")
def test_health_shows_and_resets(health: Health) -> None:
    """`to_dict` is plain values; `reset` closes the breaker for an integration turned on anew."""
    for _ in range(guard.MAX_ERRORS):
        guard.call(health, "here", _fail)
    shown = health.to_dict()
    assert (shown["status"], shown["errors"], shown["broken"], shown["version"]) == ("broken", 5, True, None)
    assert shown["recent"][0]["message"] == "ValueError: no"
    health.reset()
    assert (health.status, health.errors, health.broken, len(health.recent)) == ("off", 0, False, 0)


@pytest.fixture
def held_lock() -> Iterator[None]:
    """The guard's lock, held by another thread."""
    taken, release = threading.Event(), threading.Event()

    def hold() -> None:
        with guard._lock:
            taken.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    yield
    release.set()
    thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.usefixtures("production", "held_lock")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_lock_of_the_parents(health: Health) -> None:
    """A fork while another thread is recording leaves the child able to record."""
    pid = os.fork()
    if pid == 0:
        guard.call(health, "child", _fail)
        os._exit(0 if health.errors == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_guard_loads_nothing_heavy(child: Callable[..., str]) -> None:
    """At interpreter start the guard brings neither logging, traceback nor wrapt."""
    out = child("import sys; import autotrack.hooks.guard, autotrack.hooks.imports; print(*sorted(sys.modules))")
    heavy = {"logging", "traceback", "wrapt", "typing", "inspect", "asyncio", "threading", "contextlib", "msgspec"}
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sorted(sys.modules))"], capture_output=True, text=True, check=True
    )
    assert not heavy & (set(out.split()) - set(bare.stdout.split()))
