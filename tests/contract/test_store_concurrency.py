"""Many processes on one store, on each engine: nothing is lost, made twice, or in anybody's way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from autotrack import Client
from autotrack import events as ev
from autotrack.store import schema
from autotrack.store.engine import Store, revision_of
from autotrack.store.reading import Reader

PROCESSES = 8
RUNS = 5
METRICS = 200

RECORD = f"""
import autotrack

together()
number = int(sys.argv[1])
autotrack.set_experiment("shared")
for run in range({RUNS}):
    with autotrack.start_run(run_name=f"{{number}}-{{run}}"):
        autotrack.log_params({{"process": number, "run": run}})
        autotrack.set_tag("name", f"{{number}}-{{run}}")
        for step in range({METRICS}):
            autotrack.log_metric("value", number * 1000 + run + step / 1000, step=step)
"""

SET_EXPERIMENT = """
import multiprocessing

import autotrack
from autotrack.store import engine, managing, reading

def race(barrier, answers):
    barrier.wait()
    answers.put(autotrack.set_experiment("contested").experiment_id)

context = multiprocessing.get_context("fork")
barrier, answers = context.Barrier(16), context.Queue()
children = [context.Process(target=race, args=(barrier, answers)) for _ in range(16)]
together()
for child in children:
    child.start()
print(sorted({answers.get() for _ in children}))
for child in children:
    child.join()
assert [child.exitcode for child in children] == [0] * 16
"""


RACE = """
import pathlib
import threading

from autotrack.store.engine import Store
from autotrack.tracking import ingest, journal_reading

journal_reading.read.__defaults__ = (1_500,)
store = Store.open()
path = pathlib.Path("raced.jsonl")
together()
ends = []
threads = [threading.Thread(target=lambda: ends.append(ingest.ingest_file(store, path))) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(ends)
"""


def test_processes_and_threads_that_ingest_one_journal_at_once_move_each_event_once(
    store_url: str, crowd: Callable[..., list[str]], tmp_path: Path
) -> None:
    """Three processes with two threads each race in pieces of some ten lines; each of them gets to the end."""
    run, other = "a" * 32, "b" * 32
    journal: list[ev.Event] = [ev.JournalOpened(1, "c" * 32, "s", "store", "h", "b", 1, 1, 1, sealed=True)]
    journal += [ev.RunStarted(run, "s", 1, "raced"), ev.RunStarted(other, "s", 1, "other")]
    for step in range(150):
        journal.append(ev.MetricLogged(run, "loss", step / 8, 1, step))
        journal.append(ev.MetricsLogged(other, {"a": float(step), "b": -float(step)}, 1, step))
        journal.append(ev.ParamsLogged(run, [ev.Param(f"p{step}", str(step), str(step))]))
    lines = b"".join(map(ev.encode, journal))
    (tmp_path / "raced.jsonl").write_bytes(lines)
    assert crowd(RACE, 3) == [f"[{len(lines)}, {len(lines)}]\n"] * 3
    reader = Reader(Store.open(store_url))
    for run_id, key, factor in ((run, "loss", 1 / 8), (other, "a", 1), (other, "b", -1)):
        points = [(point.step, point.value) for point in reader.metric_history(run_id, key)]
        assert points == [(step, step * factor) for step in range(150)]
    assert reader.run(run).data.param_values == {f"p{step}": step for step in range(150)}


def test_eight_processes_record_forty_runs_into_an_empty_database(
    store_url: str, crowd: Callable[..., list[str]]
) -> None:
    """All 8,000 points, parameters and tags are there, in order; the tables and the experiment were made once."""
    crowd(RECORD, PROCESSES)
    client = Client(store_url)
    experiment = client.get_experiment_by_name("shared")
    assert experiment is not None
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(found) == sorted(f"{number}-{run}" for number in range(PROCESSES) for run in range(RUNS))
    for name, run in found.items():
        number, index = map(int, name.split("-"))
        assert (run.info.status, run.info.degraded) == ("FINISHED", "")
        assert run.data.param_values == {"process": number, "run": index}
        assert run.data.tags["name"] == name
        points = client.get_metric_history(run.info.run_id, "value")
        wanted = [(step, number * 1000 + index + step / 1000) for step in range(METRICS)]
        assert [(point.step, point.value) for point in points] == wanted
    assert client.search_runs(filter_string="attributes.status != 'FINISHED'") == []
    with Store.open(store_url).reading() as connection:
        assert revision_of(connection) == schema.SCHEMA_REVISION
        counts = {table.name: select(func.count()).select_from(table) for table in schema.metadata.sorted_tables}
        found_counts = {name: connection.execute(query).scalar() for name, query in counts.items()}
    wanted_counts = {"alembic_version": 1, "experiments": 2, "runs": 40, "metric_series": 40, "journals": PROCESSES}
    assert {name: found_counts[name] for name in wanted_counts} == wanted_counts
    assert found_counts["metric_points"] == PROCESSES * RUNS * METRICS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_sixteen_processes_that_set_one_experiment_make_one(store_url: str, crowd: Callable[..., list[str]]) -> None:
    """All of them get the same id, though the database was empty a moment ago."""
    (said,) = crowd(SET_EXPERIMENT, 1)
    names = [experiment.name for experiment in Client(store_url).search_experiments()]
    assert sorted(names) == ["Default", "contested"]
    experiment = Client(store_url).get_experiment_by_name("contested")
    assert experiment is not None
    assert said == f"[{experiment.experiment_id!r}]\n"
