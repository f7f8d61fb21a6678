"""Searches that try the first rows of an order one by one find what those find that evaluate the whole filter."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sqlalchemy import event

from autotrack import events as ev
from autotrack.store.dialects import SQLite
from autotrack.store.engine import Store
from autotrack.store.reading import Reader
from autotrack.store.writing import Writer

RUNS = 60
FILTERS = (
    "metrics.a > 0.2",
    "metrics.a > 0.2 and metrics.b != 3",
    "metrics.a <= 1 or not metrics.b > 1",
    "params.p = 'x' and tags.t ilike 'Y%'",
    "params.p is null or params.n >= 1",
    "not tags.t = 'y1' and metrics.max.a > 0",
    "attributes.status = 'FINISHED' and metrics.a is not null",
    "dataset.name = 'd1' or metrics.a = nan",
    "params.p = 'x' and metrics.a >= 0.5",
    "metrics.a != 7 and params.n in (1, 2, 3) and not tags.t = 'y1' and tags.t != 'q'",
    "tags.t = 'z' and (metrics.a > 1 or dataset.name = 'd1') and params.p is not null",
    "metrics.b <= 3 and metrics.a >= 0 and metrics.max.a = 3 and metrics.min.b < 9 and params.n < 3 and name like '%'",
    "tags.`mlflow.runName` = 'run-8' and metrics.a is not null and dataset.digest = 'digest'",
    "metrics.a > 1e300",
)
ORDERS = (["metrics.b DESC"], ["metrics.b"], ["metrics.min.a", "params.n DESC"], ["params.n DESC"], ["params.n"])


def life(number: int, rng: random.Random) -> list[ev.Event]:
    """A run that lacks this and that; values repeat, so that many runs are equal in the order."""
    run_id = f"{number:032x}"
    values: list[ev.Number] = [0.0, 0.5, 1.0, 2.0, 3.0, "NaN", "Infinity", "-Infinity"]
    events: list[ev.Event] = [ev.RunStarted(run_id, "s", 1000 + number // 3, f"run-{number}")]
    events += [
        ev.MetricLogged(run_id, key, rng.choice(values), 1, step) for key in "ab" for step in range(2) if number % 7
    ]
    if number % 3:
        events.append(
            ev.ParamsLogged(run_id, [ev.Param("p", rng.choice("xy")), ev.Param("n", "1", rng.choice("0123"))])
        )
    if number % 4:
        events.append(ev.TagsSet(run_id, {"t": rng.choice(["y1", "Y2", "z"])}))
    if number % 5:
        events.append(ev.DatasetLogged(run_id, ev.DatasetInfo(f"d{number % 2}", "digest"), "train"))
    return [*events, ev.RunEnded(run_id, rng.choice(["FINISHED", "FAILED"]), 5000)]


def all_pages(reader: Reader, filter_string: str, order_by: list[str], size: int) -> list[str]:
    """Names of the runs, page by page."""
    found: list[str] = []
    token: str | None = None
    while True:
        page = reader.search_runs(filter_string=filter_string, order_by=order_by, max_results=size, page_token=token)
        found += [run.info.run_name for run in page]
        token = page.token
        if token is None:
            return found


def test_a_walk_finds_what_the_whole_filter_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the first rows fill the page or do not, with equal values at the edge, and on later pages."""
    store = Store.open(tmp_path)
    rng = random.Random(5)
    with store.transaction() as connection:
        Writer(store).apply(connection, [event for number in range(RUNS) for event in life(number, rng)], "j")
    reader = Reader(store)
    for number, filter_string in enumerate(FILTERS):
        for order_by in (ORDERS[number % 5], ORDERS[(number + 2) % 5]):
            monkeypatch.setattr(SQLite, "walk", 0)
            expected = all_pages(reader, filter_string, order_by, 1000)
            assert expected or filter_string.endswith("1e300")
            for walk, size in ((16, 3), (400, 40)):
                monkeypatch.setattr(SQLite, "walk", walk)
                assert all_pages(reader, filter_string, order_by, size) == expected, (filter_string, order_by, walk)
    store.dispose()


def test_a_walk_that_would_not_fill_the_page_is_not_made(tmp_path: Path) -> None:
    """Of a filter that few of the first rows pass, 100 are looked at before all are; of another one all never are."""
    store = Store.open(tmp_path)
    looked_at: list[str] = []

    def lower(text: str) -> str:
        looked_at.append(text)
        return text.lower()

    events: list[ev.Event] = []
    for number in range(1_500):
        run_id = f"{number:032x}"
        tags = {"rare": "Ä" if number % 500 == 3 else "x", "frequent": "Ä" if number % 2 else "x"}
        points = ev.MetricsLogged(run_id, {"a": float(number * 7 % 1_500)}, 1, 0)
        events += [ev.RunStarted(run_id, "s", 1, "run"), points, ev.TagsSet(run_id, tags)]
    with store.transaction() as connection:
        Writer(store).apply(connection, events, "j")
    event.listen(store.engine, "checkout", lambda driver, *_: driver.create_function("autotrack_lower", 1, lower))

    def found(tag: str) -> int:
        looked_at.clear()
        return len(Reader(store).search_runs(None, f"tags.{tag} ilike 'ä'", max_results=100, order_by=["metrics.a"]))

    assert found("rare") == 3
    assert len(looked_at) == 100 + 1_500
    assert found("frequent") == 100
    assert len(looked_at) < 100 + SQLite.walk
    store.dispose()
