"""The machine's clock is set back by hours under a program that trains (by libfaketime, below Python and SQLite)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autotrack import Client
from autotrack.maintenance.checks import check_store
from autotrack.store.engine import Store
from autotrack.store.location import locate

ROOT = Path(__file__).resolve().parents[2]

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed (apt-get install faketime)")

TRAIN = """
import sys, time

import autotrack
from sklearn.linear_model import LinearRegression

autotrack.autolog()

def wait():
    autotrack.flush(30)
    print(time.time_ns() // 1_000_000, flush=True)
    sys.stdin.readline()

wait()
with autotrack.start_run(run_name="over the jump"):
    for step in range(30):
        autotrack.log_metric("loss", step / 8)
        if step % 10 == 5:
            wait()
    autotrack.set_tag("last", "a")
    autotrack.set_tag("last", "b")
with autotrack.start_run(run_name="behind it"):
    autotrack.log_metric("loss", 1.0)
LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
wait()
"""


def test_a_clock_that_is_set_back_under_a_training_leaves_runs_whole_and_alive(tmp_path: Path) -> None:
    """Two hours back, twice: no run is lost or ends before it began, curves and tags keep their order."""
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    store = tmp_path / "store"
    environ = {
        "PYTHONPATH": str(ROOT),
        "AUTOTRACK_TRACKING_URI": str(store),
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # no clock that is set takes it along
        "NO_FAKE_STAT": "1",
    }
    child = subprocess.Popen(
        [sys.executable, "-c", TRAIN], env={**os.environ, **environ}, cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    client = Client(store)
    told: list[int] = []
    try:
        for back in ("+0", "+0", "-2h", "-4h", "-4h"):
            line = child.stdout.readline()
            assert line, child.communicate()[1]
            told.append(int(line))
            if len(told) in (2, 3, 4):  # readers, by the true clock, look after lost runs
                (run,) = client.search_runs(filter_string="attributes.run_name = 'over the jump'")
                assert run.info.status == "RUNNING"
            offset.write_text(f"{back}\n")
            child.stdin.write("on\n")
            child.stdin.flush()
        _, said = child.communicate(timeout=120)
    finally:
        child.kill()
        child.wait()
    assert (child.returncode, said) == (0, "")
    assert told[3] < told[0] - 3_600_000  # the clock was set back indeed
    check(client, store)
    Store.forget(locate(store))


def check(client: Client, store: Path) -> None:
    """All that was recorded is there, in its order."""
    runs = {run.info.run_name: run for run in client.search_runs()}
    assert sorted(runs) == ["LinearRegression", "behind it", "over the jump"]
    for run in runs.values():
        assert (run.info.status, run.info.degraded) == ("FINISHED", "")
        assert run.info.end_time is not None
        assert run.info.end_time >= run.info.start_time
        assert all((fit.duration or 0) >= 0 for fit in client.get_fits(run.info.run_id))
    over = runs["over the jump"]
    points = client.get_metric_history(over.info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(step, step / 8) for step in range(30)]
    assert (over.data.metrics["loss"], over.data.tags["last"]) == (29 / 8, "b")
    assert len(client.search_runs(filter_string="attributes.duration >= 0")) == 3
    newest = [run.info.start_time for run in client.search_runs()]
    assert newest == sorted(newest, reverse=True)
    pages, token = [], None
    while len(pages) < 3:
        page = client.search_runs(max_results=1, page_token=token)
        pages += [run.info.start_time for run in page]
        token = page.token
    assert (pages, token) == (newest, None)
    assert check_store(store).findings == []
