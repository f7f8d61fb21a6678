"""Ingest: COUNT points of one run, of two metrics in turn, until all are in SQL.

    python store_ingest.py SIDE FOLDER COUNT sqlite|postgresql|mariadb

autotrack: from journal bytes that are on the disk already. MLflow: `log_batch`, as many points at once as it takes.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import side
from servers import database

START = 1_700_000_000_000
BATCH = 1_000
"""Most metrics that MLflow takes in one call."""

Points = list[tuple[str, float, int]]


def autotrack_seconds(url: str, points: Points) -> tuple[float, float]:
    """Seconds, wall-clock and CPU, that autotrack takes to move the points from a journal into the database."""
    from autotrack import events as ev
    from autotrack.store.engine import Store
    from autotrack.store.reading import Reader
    from autotrack.tracking import ingest

    run, path = "a" * 32, Path(side.FOLDER, "journal.jsonl")
    opened = ev.JournalOpened(ev.FORMAT_VERSION, "j", "s", url, "host", "boot", 1, 1, START)
    events: list[ev.Event] = [opened, ev.RunStarted(run, "s", START, "run")]
    events += [ev.MetricLogged(run, key, value, START + step, step) for key, value, step in points]
    path.write_bytes(b"".join(map(ev.encode, events)))
    store = Store.open(url)
    times = side.timed_cpu(lambda: ingest.ingest_file(store, path, 0))
    found = sum(summary.count for summary in Reader(store).run(run).data.series.values())
    store.dispose()
    return checked(found, points, times)


def mlflow_seconds(url: str, points: Points) -> tuple[float, float]:
    """Seconds, wall-clock and CPU, that MLflow takes to log the points in its largest batches."""
    import mlflow
    from mlflow.entities import Metric

    client = mlflow.MlflowClient(url)
    run = client.create_run(client.create_experiment("benchmark")).info.run_id
    metrics = [Metric(key, value, START + step, step) for key, value, step in points]

    def log() -> None:
        for first in range(0, len(metrics), BATCH):
            client.log_batch(run, metrics[first : first + BATCH])

    times = side.timed_cpu(log)
    return checked(sum(len(client.get_metric_history(run, key)) for key in ("loss", "acc")), points, times)


def checked(found: int, points: Points, times: tuple[float, float]) -> tuple[float, float]:
    """The times, if all points are there."""
    if found != len(points):
        raise SystemExit(f"{found} points are in the database, not {len(points)}")
    return times


rng = random.Random(3)
logged = [(("loss", "acc")[number % 2], rng.random(), number // 2) for number in range(side.COUNT)]
with database(sys.argv[4]) as place:
    wall, cpu = {"autotrack": autotrack_seconds, "mlflow": mlflow_seconds}[side.NAME](place, logged)
side.report(per_s=side.COUNT / wall, per_cpu_s=side.COUNT / cpu)
