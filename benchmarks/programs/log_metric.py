"""`log_metric`: the time of each call, then as many again without a clock around each, until all are in the store."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import side

module = side.tracker()
COUNTS = {"autotrack": "SELECT count(*) FROM metric_points", "mlflow": "SELECT count(*) FROM metrics"}
FILES = {"autotrack": "autotrack.db", "mlflow": "mlflow.db"}


def points() -> int:
    """How many points are in the side's database, read without its library."""
    connection = sqlite3.connect(Path(side.FOLDER) / FILES[side.NAME])
    (found,) = connection.execute(COUNTS[side.NAME]).fetchone()
    connection.close()
    return int(found)


with module.start_run():
    module.log_metric("warm", 0.0)
    side.settle(module)
    empty = side.database_bytes()
    times = []
    for step in range(side.COUNT):
        value = step * 0.37
        begin = time.perf_counter_ns()
        module.log_metric("timed", value, step=step)
        times.append(time.perf_counter_ns() - begin)
    side.settle(module)
    begin = time.perf_counter()
    for step in range(side.COUNT):
        module.log_metric("loss", step * 0.37, step=step)
    logged = time.perf_counter() - begin
    side.settle(module)
    stored = time.perf_counter() - begin

found = points()
if found != 2 * side.COUNT + 1:
    raise SystemExit(f"{found} points are in the database, not {2 * side.COUNT + 1}")
# A fresh connection that is closed moves the write-ahead log into the database.
connection = sqlite3.connect(Path(side.FOLDER) / FILES[side.NAME])
connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
connection.close()
side.report(
    **side.percentiles(times),
    logged_per_s=side.COUNT / logged,
    stored_per_s=side.COUNT / stored,
    bytes_per_point=(side.database_bytes() - empty) / (2 * side.COUNT),
)
