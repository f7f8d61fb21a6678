"""Many processes on one store, on each engine: nothing is lost, made twice, or in anybody's way."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from autotrack import Client
from autotrack.store import schema
from autotrack.store.engine import Store, revision_of

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
