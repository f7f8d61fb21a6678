"""Ingest: exactly once whoever does it, liveness, pruning."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autotrack
from autotrack import clock, events
from autotrack.hooks import guard
from autotrack.maintenance.checks import check_store
from autotrack.store.engine import Store
from autotrack.store.location import Location, locate
from autotrack.store.reading import Reader
from autotrack.tracking import ingest, liveness
from autotrack.tracking.ingest.pending import PRUNE_AFTER, PRUNE_ELSEWHERE_AFTER
from autotrack.tracking.journal import Journal

RUN = "a" * 32
SESSION = "5e55" * 8


@pytest.fixture
def location(tmp_path: Path) -> Location:
    """A store in the test's folder."""
    return locate(tmp_path / "store")


@pytest.fixture
def store(location: Location) -> Any:
    """The same, opened."""
    yield Store.open(location.url)
    Store.forget(location)


def started(run_id: str = RUN) -> bytes:
    """The beginning of a run."""
    return events.encode(events.RunStarted(run_id, SESSION, clock.now(), "test"))


def points(count: int, first: int = 0, run_id: str = RUN) -> bytes:
    """Points of a curve."""
    return b"".join(
        events.encode(events.MetricLogged(run_id, "loss", float(step), clock.now(), step))
        for step in range(first, first + count)
    )


def write_foreign(
    location: Location, name: str, identity: liveness.Identity, lines: bytes, closed: bool = False
) -> Path:
    """A journal as another process would have written it."""
    opened = events.JournalOpened(
        1,
        name,
        SESSION,
        location.safe_url,
        identity.host,
        identity.boot_id,
        identity.pid,
        identity.started,
        clock.now(),
    )
    end = events.encode(events.JournalClosed(clock.now())) if closed else b""
    location.journal_folder.mkdir(parents=True, exist_ok=True)
    path = location.journal_folder / f"{name}.jsonl"
    path.write_bytes(events.encode(opened) + lines + end)
    return path


def gone() -> liveness.Identity:
    """A process of this machine that has ended."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = liveness.identity()._replace(pid=child.pid, started=liveness.process_started(child.pid) or 0)
    child.communicate(b"\n")
    return identity


def steps(store: Store, run_id: str = RUN) -> list[int]:
    """Steps of the curve in the store, in their order."""
    return [metric.step for metric in Reader(store).metric_history(run_id, "loss")]


def test_what_is_appended_between_two_looks_is_moved_once(location: Location, store: Store) -> None:
    """The second look begins where the first one ended."""
    journal = Journal(location, SESSION)
    journal.append(started() + points(10))
    first = ingest.ingest_file(store, journal.path)
    journal.append(points(5, 10))
    second = ingest.ingest_file(store, journal.path, first)
    assert ingest.ingest_file(store, journal.path) == second == journal.size()
    assert steps(store) == list(range(15))
    journal.close()


def test_what_is_appended_while_an_ingest_is_at_work_waits_for_the_next(location: Location, store: Store) -> None:
    """A program that records all the time does not keep its ingest at work all the time, a few lines a transaction."""
    journal = Journal(location, SESSION)
    journal.append(started() + points(10))
    size, told = journal.size(), []

    def write_more(run_id: str, seconds: float) -> None:
        told.append(run_id)
        journal.append(points(1, 9 + len(told)))

    assert ingest.ingest_file(store, journal.path, on_share=write_more) == size
    assert told == [RUN]
    assert steps(store) == list(range(10))
    assert ingest.ingest_file(store, journal.path, size) == journal.size() > size
    assert steps(store) == list(range(11))
    journal.close()


def test_an_ingester_with_an_old_offset_neither_repeats_nor_skips(location: Location, store: Store) -> None:
    """Who believes that the store stands elsewhere than it does asks it again."""
    journal = Journal(location, SESSION)
    journal.append(started() + points(10))
    ingest.ingest_file(store, journal.path)
    journal.append(points(10, 10))
    ingest.ingest_file(store, journal.path, 0)
    assert steps(store) == list(range(20))
    journal.close()


def test_threads_that_ingest_one_journal_at_once_lose_and_repeat_nothing(
    location: Location, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four ingesters race over a journal that grows under them, in pieces of a few lines."""
    monkeypatch.setattr("autotrack.tracking.journal_reading.CHUNK", 4096)
    monkeypatch.setattr("autotrack.tracking.journal_reading.read.__defaults__", (4096,))
    journal = Journal(location, SESSION)
    journal.append(started())
    finished = threading.Event()

    def move() -> None:
        while not finished.is_set():
            ingest.ingest_file(store, journal.path)

    threads = [threading.Thread(target=move) for _ in range(4)]
    for thread in threads:
        thread.start()
    for first in range(0, 2000, 50):
        journal.append(points(50, first))
    while ingest.ingest_file(store, journal.path) < journal.size():
        pass
    finished.set()
    for thread in threads:
        thread.join()
    assert steps(store) == list(range(2000))
    journal.close()


def test_processes_that_ingest_one_journal_at_once_lose_and_repeat_nothing(
    location: Location, store: Store, run_python: Callable[..., Any]
) -> None:
    """Three readers in processes of their own race for the journal of a process that is gone."""
    path = write_foreign(location, "b" * 32, gone(), started() + points(20_000))
    script = f"""
        import autotrack
        from autotrack import Client
        Client({str(location.folder)!r}).get_run({RUN!r})
    """
    threads = [threading.Thread(target=run_python, args=(script,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert steps(store) == list(range(20_000))
    assert Reader(store).journal_offset("b" * 32) == path.stat().st_size
    assert Reader(store).run(RUN).info.status == "KILLED"


def test_an_ingester_that_is_killed_in_mid_way_leaves_the_rest_to_the_next(
    location: Location, store: Store, tmp_path: Path
) -> None:
    """`kill -9` at several moments of moving a large journal: afterwards each event is there once."""
    count = 60_000
    path = write_foreign(location, "b" * 32, gone(), started() + points(count))
    script = (
        f"import pathlib\n"
        f"from autotrack.store.engine import Store\n"
        f"from autotrack.tracking import ingest, journal_reading\n"
        f"journal_reading.read.__defaults__ = (200_000,)\n"
        f"store = Store.open({location.url!r}); print('go', flush=True)\n"
        f"ingest.ingest_file(store, pathlib.Path({str(path)!r}))\n"
    )
    for delay in (0.02, 0.05, 0.1):
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=_with_checkout())
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(delay)
        child.kill()
        child.communicate()
    ingest.ingest_file(store, path)
    assert steps(store) == list(range(count))


def _with_checkout() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(autotrack.__file__).parents[1])}


def test_damaged_lines_are_skipped_and_told_of(location: Location, store: Store) -> None:
    """A damaged journal is moved as far as it can be read, and the health entry says how many lines could not."""
    path = write_foreign(location, "b" * 32, gone(), started() + points(3) + b"\xff\xfe\n{]\n" + points(3, 3))
    assert ingest.ingest_pending(store, location) == []
    assert steps(store) == [0, 1, 2, 3, 4, 5]
    assert "2 damaged lines" in guard.health("tracking").last_message()
    assert Reader(store).journal_offset("b" * 32) == path.stat().st_size


def test_a_journal_of_a_newer_format_is_left_alone_and_told_of(location: Location, store: Store) -> None:
    """What this version cannot read waits for one that can; the others are moved all the same."""
    location.journal_folder.mkdir(parents=True)
    newer = location.journal_folder / ("0" * 32 + ".jsonl")
    newer.write_bytes(b'{"t":"journal","version":99}\n')
    write_foreign(location, "b" * 32, gone(), started() + points(2))
    (problem,) = ingest.ingest_pending(store, location)
    assert "journal format 99" in problem
    assert newer.exists()
    assert steps(store) == [0, 1]


def test_a_run_whose_process_is_gone_is_killed_and_ends_with_its_last_sign_of_life(
    location: Location, store: Store
) -> None:
    """It keeps all that was logged, and its end is when its journal was last written, not when somebody looked."""
    path = write_foreign(location, "b" * 32, gone(), started() + points(3))
    last = time.time() - 3600
    os.utime(path, (last, last))
    ingest.ingest_pending(store, location)
    info = Reader(store).run(RUN).info
    assert info.status == "KILLED"
    assert info.end_time is not None
    assert info.end_time <= max(int(last * 1000), info.start_time)
    assert steps(store) == [0, 1, 2]


def test_a_run_whose_process_lives_stays_running(location: Location, store: Store) -> None:
    """This process's own identity is one that lives."""
    write_foreign(location, "b" * 32, liveness.identity(), started())
    ingest.ingest_pending(store, location)
    assert Reader(store).run(RUN).info.status == "RUNNING"


def test_a_process_with_a_used_again_pid_is_another_process(location: Location, store: Store) -> None:
    """The pid is alive, but it began at another time: the run's process is gone."""
    other = liveness.identity()
    write_foreign(location, "b" * 32, other._replace(started=other.started - 1), started())
    ingest.ingest_pending(store, location)
    assert Reader(store).run(RUN).info.status == "KILLED"


def test_a_process_of_an_earlier_boot_is_gone(location: Location, store: Store) -> None:
    """After a reboot pids and start times mean nothing."""
    here = liveness.identity()
    assert not liveness.is_alive(
        here._replace(boot_id="other:" + here.boot_id.partition(":")[2]), clock.now(), clock.now()
    )


@pytest.mark.parametrize(("silent_for", "alive"), [(1_000, True), (liveness.LOST_AFTER + 1, False)])
def test_a_process_on_another_host_lives_by_its_heartbeat(silent_for: int, alive: bool) -> None:
    """Nothing else tells of it from here."""
    elsewhere = liveness.identity()._replace(host="elsewhere", boot_id="x")
    assert liveness.is_alive(elsewhere, 1_000_000_000, 1_000_000_000 + silent_for) is alive


def test_a_process_that_is_a_zombie_is_gone() -> None:
    """It has ended; only nobody has asked for its exit status yet."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    who = liveness.identity()._replace(pid=child.pid, started=liveness.process_started(child.pid) or 0)
    assert liveness.is_alive(who, 0, clock.now())
    assert child.stdin is not None
    child.stdin.close()
    while liveness.is_alive(who, 0, clock.now()):  # it ends, and is not waited for
        time.sleep(0.01)
    child.wait()


def test_events_that_come_after_a_run_was_given_up_still_count(location: Location, store: Store) -> None:
    """A machine that slept goes on: its run's real end replaces the guess."""
    elsewhere = liveness.identity()._replace(host="elsewhere", boot_id="x")
    path = write_foreign(location, "b" * 32, elsewhere, started())
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))
    ingest.ingest_pending(store, location)
    assert Reader(store).run(RUN).info.status == "KILLED"
    with open(path, "ab") as file:
        file.write(points(2) + events.encode(events.RunEnded(RUN, "FINISHED", clock.now())))
    ingest.ingest_pending(store, location)
    assert Reader(store).run(RUN).info.status == "FINISHED"
    assert steps(store) == [0, 1]


@pytest.mark.parametrize(
    ("identity", "closed", "age", "kept"),
    [
        ("gone", True, PRUNE_AFTER + 60, False),
        ("gone", True, 1, True),
        ("gone", False, PRUNE_AFTER + 60, False),
        ("alive", False, PRUNE_AFTER + 60, True),
        ("elsewhere", False, PRUNE_AFTER + 60, True),
        ("elsewhere", False, PRUNE_ELSEWHERE_AFTER + 60, False),
        ("elsewhere", True, PRUNE_AFTER + 60, False),
    ],
)
def test_a_journal_is_dropped_when_it_is_moved_and_its_process_is_gone_for_long(
    location: Location, store: Store, identity: str, closed: bool, age: float, kept: bool
) -> None:
    """A process elsewhere that is silent may be asleep: its journal is kept longer."""
    here = liveness.identity()
    who = {"gone": here._replace(started=1), "alive": here, "elsewhere": here._replace(host="elsewhere", boot_id="x")}
    path = write_foreign(location, "b" * 32, who[identity], started() + points(3), closed)
    past = time.time() - age
    os.utime(path, (past, past))
    ingest.ingest_pending(store, location)
    assert path.exists(), "what has only just been moved is kept"
    ingest.ingest_pending(store, location)
    assert path.exists() is kept
    assert steps(store) == [0, 1, 2]


def test_a_torn_end_of_a_dead_process_does_not_keep_its_journal_for_ever(location: Location, store: Store) -> None:
    """Nobody will make that line whole; a check of the store has nothing to say about it."""
    path = write_foreign(location, "b" * 32, gone(), started() + points(3)[:-10])
    past = time.time() - PRUNE_AFTER - 60
    os.utime(path, (past, past))
    ingest.ingest_pending(store, location)
    assert check_store(location.folder).findings == []
    ingest.ingest_pending(store, location)
    assert not path.exists()
    assert steps(store) == [0, 1]


def test_what_a_process_wrote_just_before_its_end_decides_how_its_run_ended(location: Location, store: Store) -> None:
    """Between the look at its journal and the look at the process it may have ended its run, in order."""
    path = write_foreign(location, "b" * 32, liveness.identity()._replace(started=1), started())
    ingest.ingest_file(store, path)
    with open(path, "ab") as file:
        file.write(events.encode(events.RunEnded(RUN, "FINISHED", clock.now())))
    ingest.finish_lost(store, {"b" * 32: path})
    assert Reader(store).run(RUN).info.status == "FINISHED"


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
def test_an_event_that_the_database_refuses_does_not_stop_those_behind_it(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """It is left out and told of, its run says so, and everything around it is there."""
    monkeypatch.chdir(tmp_path)
    location = locate(request.getfixturevalue(server))
    store = Store.open(location.url)
    fit = events.encode(events.FitLogged("too long an id" * 20, SESSION, 1, run_id=RUN))
    path = write_foreign(location, "b" * 32, gone(), started() + points(50) + fit + points(50, 50))
    assert ingest.ingest_pending(store, location) == []
    assert steps(store) == list(range(100))
    assert Reader(store).run(RUN).info.degraded == "FitLogged could not be stored"
    assert "FitLogged was refused" in guard.health("tracking").last_message()
    assert Reader(store).journal_offset("b" * 32) == path.stat().st_size


def test_text_with_nul_in_a_journal_is_moved_without_it(location: Location, store: Store) -> None:
    """Some databases refuse it; lines that other programs wrote may hold it."""
    line = events.encode(events.ParamsLogged(RUN, [events.Param("p", "a\0b")]))
    write_foreign(location, "b" * 32, gone(), started() + line)
    ingest.ingest_pending(store, location)
    assert Reader(store).run(RUN).data.params == {"p": "a\ufffdb"}
