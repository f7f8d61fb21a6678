"""A clock that is set back, or that of another machine: what was recorded keeps its order, and no run ends wrongly."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import autotrack
from autotrack import Client, clock, events, testing
from autotrack.cli import main
from autotrack.maintenance.checks import check_store
from autotrack.store.engine import Store
from autotrack.store.location import Location, locate
from autotrack.tracking import ingest, liveness

HOUR = 3_600_000


class Clock:
    """A clock that can be set, and goes back by as much with each look at it as it is told."""

    def __init__(self) -> None:
        self.time = testing.START
        self.back = 0

    def now(self) -> int:
        """The time, ms since the epoch."""
        self.time -= self.back
        return self.time


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of this process."""
    made = Clock()
    monkeypatch.setattr(clock, "now", made.now)
    return made


@pytest.fixture
def location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Location]:
    """A store that this process records into."""
    monkeypatch.setenv("AUTOTRACK_TRACKING_URI", str(tmp_path / "store"))
    autotrack.set_tracking_uri(tmp_path / "store")
    found = locate(tmp_path / "store")
    yield found
    testing.reset()
    Store.forget(found)


def another_process(location: Location) -> None:
    """What follows is recorded as by a process that has just begun: in a session and a journal of its own."""
    testing.reset()
    autotrack.set_tracking_uri(location.folder)


def test_runs_recorded_while_the_clock_goes_back_are_whole_and_in_order(
    location: Location, set_clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """A minute back with each look at the clock: no run ends before it began, curves keep their order."""
    linear = pytest.importorskip("sklearn.linear_model")
    set_clock.back = 60_000
    for number in range(2):
        with autotrack.start_run(run_name=f"run {number}"):
            for step in range(50):
                autotrack.log_metric("loss", step / 8)
            autotrack.log_metrics({"acc": 0.5})
            autotrack.log_param("number", number)
            autotrack.set_tag("number", "0")
            autotrack.set_tag("number", number)
    autotrack.autolog()
    linear.LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    assert autotrack.flush()
    client = Client(location.folder)
    runs = {run.info.run_name: run for run in client.search_runs()}
    assert sorted(runs) == ["LinearRegression", "run 0", "run 1"]
    for run in runs.values():
        assert (run.info.status, run.info.degraded) == ("FINISHED", "")
        assert run.info.end_time is not None
        assert run.info.end_time >= run.info.start_time
        assert all(fit.duration is None or fit.duration >= 0 for fit in client.get_fits(run.info.run_id))
    for number in range(2):
        run = runs[f"run {number}"]
        points = client.get_metric_history(run.info.run_id, "loss")
        assert [(point.step, point.value) for point in points] == [(step, step / 8) for step in range(50)]
        assert (run.data.metrics["loss"], run.data.tags["number"]) == (49 / 8, str(number))
    by_time = [run.info.start_time for run in client.search_runs(order_by=["attributes.start_time ASC"])]
    assert by_time == sorted(by_time)
    assert len(client.search_runs(filter_string="attributes.duration >= 0")) == 3
    assert check_store(location.folder).findings == []
    for command in (["ls"], ["show", "@"], ["gc"], ["ls", "--json"]):
        assert main(command) == 0, command
    assert "Traceback" not in capsys.readouterr().err


def test_a_run_that_is_resumed_by_a_clock_that_is_behind_ends_as_it_is_told(
    location: Location, set_clock: Clock
) -> None:
    """Another process, whose clock shows an hour less, goes on with an ended run, and its word is the later one."""
    with autotrack.start_run() as run:
        autotrack.log_metric("loss", 0.5)
    assert autotrack.flush()
    another_process(location)
    set_clock.time -= HOUR
    autotrack.start_run(run_id=run.info.run_id)
    autotrack.log_metric("loss", 0.25)
    assert autotrack.flush()
    client = Client(location.folder)
    assert client.get_run(run.info.run_id).info.status == "RUNNING"
    autotrack.end_run("FAILED")
    info = client.get_run(run.info.run_id).info
    assert (info.status, info.start_time) == ("FAILED", testing.START)
    assert info.end_time is not None
    assert info.end_time >= info.start_time
    assert [point.value for point in client.get_metric_history(run.info.run_id, "loss")] == [0.5, 0.25]


def test_a_run_is_ended_by_a_client_whose_clock_is_behind(location: Location, set_clock: Clock) -> None:
    """What one process began another one ends, though its clock says that the run has not begun yet."""
    run = Client(location.folder).create_run("0", run_name="by hand")
    assert autotrack.flush()
    another_process(location)
    set_clock.time -= HOUR
    Client(location.folder).set_terminated(run.info.run_id, "FAILED")
    info = Client(location.folder).get_run(run.info.run_id).info
    assert info.status == "FAILED"
    assert info.end_time is not None
    assert info.end_time >= info.start_time


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_journal_from_the_future_is_neither_dropped_nor_ends_a_run_that_lives(location: Location, where: str) -> None:
    """Its process wrote before the clock was set back by a day: alive it runs on, and what it left is kept."""
    who = liveness.identity()
    if where == "elsewhere":
        who = who._replace(host="elsewhere", boot_id="x")
    later = clock.now() + 24 * HOUR
    opened = events.JournalOpened(1, "b" * 32, "s", "store", who.host, who.boot_id, who.pid, who.started, later)
    started = events.RunStarted("a" * 32, "s", later, "from the future")
    point = events.MetricLogged("a" * 32, "loss", 0.5, later, 0)
    location.journal_folder.mkdir(parents=True)
    path = location.journal_folder / f"{'b' * 32}.jsonl"
    path.write_bytes(b"".join(map(events.encode, (opened, started, point))))
    ahead = time.time() + 24 * 3600
    os.utime(path, (ahead, ahead))
    store = Store.open(location.url)
    for _ in range(2):
        assert ingest.ingest_pending(store, location) == []
    assert path.exists()
    run = Client(location.folder).get_run("a" * 32)
    assert (run.info.status, run.data.metrics) == ("RUNNING", {"loss": 0.5})
    with path.open("ab") as file:
        file.write(events.encode(events.RunEnded("a" * 32, "FINISHED", clock.now())))
        file.write(events.encode(events.JournalClosed(clock.now())))
    ingest.ingest_pending(store, location)
    assert Client(location.folder).get_run("a" * 32).info.status == "FINISHED"
