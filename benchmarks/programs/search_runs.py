"""`search_runs` over COUNT runs x 20 metrics x 10 parameters x 3 tags: the first 100 of what matches, as records.

Also on its own, with the time of each query: python search_runs.py autotrack FOLDER 10000 [queries]
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import side

REPEAT = {"autotrack": 11, "mlflow": 3}
START = 1_700_000_000_000


class Query(NamedTuple):
    """One search."""

    filter: str
    order_by: list[str]
    common: bool = True
    """MLflow's grammar knows it."""


QUERIES = {
    "all, latest first": Query("", []),
    "order by a metric": Query("", ["metrics.m1 DESC"]),
    "one metric": Query("metrics.m0 > 0.9", []),
    "one metric, order by another": Query("metrics.m0 > 0.9", ["metrics.m1 DESC"]),
    "metric + param + tag like, order by metric": Query(
        "metrics.m0 > 0.5 and params.p0 = 'v3' and tags.t0 ilike '%x1%'", ["metrics.m1 DESC"]
    ),
    "status + name like": Query("attributes.status = 'FINISHED' and run_name LIKE 'run-1%'", ["start_time DESC"]),
    "five metrics": Query(" and ".join(f"metrics.m{i} > 0.3" for i in range(5)), ["metrics.m5 DESC"]),
    "numeric param, order by min of a metric": Query("params.p1 > 0.9", ["metrics.min.m2 ASC"], common=False),
    "or, not": Query("(metrics.m0 > 0.9 or metrics.m1 > 0.9) and not params.p0 = 'v3'", ["metrics.m2 ASC"], False),
}
MAIN = "one metric, order by another"


class Life(NamedTuple):
    """What a run of the benchmark's store has logged."""

    run_id: str
    name: str
    start: int
    status: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: list[dict[str, float]]
    """By step."""


def life_of(number: int, rng: random.Random) -> Life:
    """A made-up run; the same for the same number and random state."""
    params = {"p0": f"v{rng.randrange(10)}", **{f"p{index}": repr(rng.random()) for index in range(1, 10)}}
    tags = {f"t{index}": f"X{rng.randrange(100)}" for index in range(3)}
    metrics = [{f"m{index}": rng.random() for index in range(20)} for _ in range(2)]
    status = rng.choice(("FINISHED", "FAILED"))
    return Life(f"{number:032x}", f"run-{number}", START + number * 1000, status, params, tags, metrics)


def fill_autotrack(lives: list[Life]) -> None:
    """Put the runs into autotrack's store, past the journal."""
    from autotrack import events as ev
    from autotrack.store.engine import Store
    from autotrack.store.writing import Writer

    def events_of(life: Life) -> list[ev.Event]:
        params = [ev.Param(key, text, None if key == "p0" else text) for key, text in life.params.items()]
        points = [ev.MetricsLogged(life.run_id, row, life.start + step, step) for step, row in enumerate(life.metrics)]
        return [
            ev.RunStarted(life.run_id, "benchmark", life.start, life.name, experiment="benchmark"),
            ev.ParamsLogged(life.run_id, params),
            ev.TagsSet(life.run_id, life.tags),
            *points,
            ev.RunEnded(life.run_id, life.status, life.start + 500),
        ]

    store = Store.open(side.FOLDER)
    writer = Writer(store)
    for first in range(0, len(lives), 500):
        events = [event for life in lives[first : first + 500] for event in events_of(life)]
        with store.transaction() as connection:
            writer.apply(connection, events, "benchmark")


def fill_mlflow(lives: list[Life], experiment_id: str) -> None:
    """Straight into MLflow's tables: by its API it would take a quarter of an hour."""
    connection = sqlite3.connect(Path(side.FOLDER) / "mlflow.db")

    def insert(table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(columns.split(",")))
        connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)

    insert(
        "runs",
        "run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id",
        [(r.run_id, r.name, "u", r.status, r.start, r.start + 500, "active", "", int(experiment_id)) for r in lives],
    )
    insert("params", "run_uuid, key, value", [(r.run_id, *item) for r in lives for item in r.params.items()])
    insert("tags", "run_uuid, key, value", [(r.run_id, *item) for r in lives for item in r.tags.items()])
    columns = "run_uuid, key, value, timestamp, step, is_nan"
    points = [
        (r.run_id, key, value, r.start + step, step, 0)
        for r in lives
        for step, row in enumerate(r.metrics)
        for key, value in row.items()
    ]
    insert("metrics", columns, points)
    insert("latest_metrics", columns, [point for point in points if point[4] == 1])
    connection.commit()
    connection.close()


def searcher(lives: list[Life]) -> Callable[[Query], int]:
    """Fill the store; what searches it and tells how many runs came back."""
    module = side.tracker()
    if side.NAME == "autotrack":
        fill_autotrack(lives)
        client = module.Client(side.FOLDER)
        ids = [client.get_experiment_by_name("benchmark").experiment_id]
    else:
        ids = [module.get_experiment_by_name("benchmark").experiment_id]
        fill_mlflow(lives, ids[0])
        client = module.MlflowClient()
    return lambda query: len(client.search_runs(ids, query.filter, max_results=100, order_by=query.order_by))


def main() -> None:
    """Fill the store, run each query several times, and report the medians."""
    rng = random.Random(7)
    search = searcher([life_of(number, rng) for number in range(side.COUNT)])
    medians, cpu, found = {}, {}, {}
    for name, query in QUERIES.items():
        if side.NAME == "autotrack" or query.common:
            times = []
            for _ in range(REPEAT[side.NAME]):
                begin, begin_cpu = time.perf_counter(), time.process_time()
                found[name] = search(query)
                times.append((1000 * (time.perf_counter() - begin), 1000 * (time.process_time() - begin_cpu)))
            medians[name], cpu[name] = (statistics.median(column) for column in zip(*times, strict=True))
    if sys.argv[4:] == ["queries"]:
        for name, median in medians.items():
            print(f"{name:45} {median:8.1f} ms {cpu[name]:8.1f} ms CPU {found[name]:4} runs")
    else:
        common = [median for name, median in medians.items() if QUERIES[name].common]
        side.report(
            main_ms=medians[MAIN],
            worst_ms=max(medians.values()),
            worst_common_ms=max(common),
            main_cpu_ms=cpu[MAIN],
            worst_cpu_ms=max(cpu.values()),
        )


main()
