"""Reading the whole history of a metric of COUNT points, as records, in SQLite; the figures are for 1,000,000 of them.

python store_history.py SIDE FOLDER COUNT
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import side
from servers import database

RUN = "a" * 32
START = 1_700_000_000_000
PIECE = 50_000


def autotrack_reader(url: str) -> Callable[[], int]:
    """Fill autotrack's store with one long curve; what is given back reads it whole and counts its points."""
    from autotrack import Client
    from autotrack import events as ev
    from autotrack.store.engine import Store
    from autotrack.store.writing import Writer

    store = Store.open(url)
    for first in range(0, side.COUNT, PIECE):
        steps = list(range(first, min(first + PIECE, side.COUNT)))
        curve = ev.CurveLogged(RUN, "loss", steps, [START + step for step in steps], [step * 0.37 for step in steps])
        with store.transaction() as connection:
            Writer(store).apply(connection, [curve], "j")
    client = Client(url)
    return lambda: len(client.get_metric_history(RUN, "loss"))


def mlflow_reader(url: str) -> Callable[[], int]:
    """Straight into MLflow's table: by its API a million points take many minutes."""
    import mlflow

    client = mlflow.MlflowClient(url)
    run = client.create_run(client.create_experiment("benchmark")).info.run_id
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    rows = ((run, "loss", step * 0.37, START + step, step, 0) for step in range(side.COUNT))
    columns = "run_uuid, key, value, timestamp, step, is_nan"
    connection.executemany(f"INSERT INTO metrics ({columns}) VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return lambda: len(client.get_metric_history(run, "loss"))


with database("sqlite") as place:
    read = {"autotrack": autotrack_reader, "mlflow": mlflow_reader}[side.NAME](place)
    found: list[int] = []
    measured = [side.timed_cpu(lambda: found.append(read())) for _ in range(3)]
if found != [side.COUNT] * 3:
    raise SystemExit(f"{found} points were read, not {side.COUNT}")
million = 1_000_000 / side.COUNT
side.report(
    million_s=million * min(wall for wall, _ in measured), million_cpu_s=million * min(cpu for _, cpu in measured)
)
