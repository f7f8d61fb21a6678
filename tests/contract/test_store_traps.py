"""Traps that MLflow's store falls into, each by its name, on each engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event

import autotrack
from autotrack import Client
from autotrack import events as ev
from autotrack.store.engine import Store
from autotrack.store.reading import Reader
from autotrack.store.writing import Writer

OPEN = """
from autotrack.store.engine import Store

together()
with Store.open().reading() as connection:
    print(connection.exec_driver_sql("SELECT count(*) FROM experiments").scalar())
"""

SET_EXPERIMENT = """
import autotrack

together()
for number in range(5):
    print(autotrack.set_experiment(f"race {number}").experiment_id)
"""


def test_an_order_by_a_metric_costs_in_proportion_to_the_runs(store_url: str) -> None:
    """The first 5 by metrics of 100 and of 400 runs: the rows looked at grow no faster than the runs, and no point."""
    store = Store.open(store_url)
    orders = (["metrics.loss"], ["metrics.loss desc", "metrics.acc"], ["metrics.nothing", "metrics.min.f1 desc"])
    costs = []
    for runs in (range(100), range(100, 400)):
        add_runs(store, runs)
        costs.append([cost_of(store, order) for order in orders])
    for few, many in zip(*costs, strict=True):
        assert 0 < many <= 6 * few + 200  # joined with all others it would be 16 times as many
    found = search(store, ["metrics.loss", "metrics.acc desc"])
    assert [run.data.metrics["loss"] for run in found] == [0.0, 1.0, 2.0, 3.0, 4.0]


def add_runs(store: Store, numbers: range) -> None:
    """Runs with three metrics each."""
    events: list[ev.Event] = []
    for number in numbers:
        run_id = f"{number:032x}"
        events.append(ev.RunStarted(run_id, "s", number, f"r{number}"))
        events += [ev.MetricLogged(run_id, key, float(number * 7 % 400), 1) for key in ("loss", "acc", "f1")]
    with store.transaction() as connection:
        Writer(store).apply(connection, events, "j")
    if store.dialect.scheme != "sqlite":
        with store.transaction() as connection:
            connection.exec_driver_sql("ANALYZE" if store.dialect.scheme == "postgresql" else "ANALYZE TABLE runs")


def cost_of(store: Store, order: list[str]) -> int:
    """How many rows (on SQLite: steps of its machine) the engine goes through to find the first five runs."""
    statements = statements_of(store, lambda: search(store, order))
    (finding,) = [statement for statement in statements if "part0" in statement[0]]
    assert not [text for text, _ in statements if "metric_points" in text]
    with store.reading() as connection:
        counter = COUNTERS[store.dialect.scheme](connection)
        before = counter()
        connection.exec_driver_sql(*finding).all()
        return counter() - before


def sqlite_steps(connection: Connection) -> Callable[[], int]:
    """Counts the steps of SQLite's machine."""
    steps: list[None] = []
    connection.connection.driver_connection.set_progress_handler(lambda: steps.append(None), 1)  # type: ignore[union-attr]

    def read() -> int:
        found = len(steps)
        if found:
            connection.connection.driver_connection.set_progress_handler(None, 0)  # type: ignore[union-attr]
        return found

    return read


def postgres_rows(connection: Connection) -> Callable[[], int]:
    """Counts the rows that this transaction has read."""
    query = "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables"
    return lambda: int(connection.exec_driver_sql(query).scalar() or 0)


def mysql_rows(connection: Connection) -> Callable[[], int]:
    """Counts the rows that this session has read."""
    query = "SHOW SESSION STATUS LIKE 'Handler_read%%'"
    return lambda: sum(int(row[1]) for row in connection.exec_driver_sql(query))


COUNTERS = {"sqlite": sqlite_steps, "postgresql": postgres_rows, "mysql": mysql_rows}


def test_eight_processes_that_open_an_empty_database_at_once_all_succeed(
    store_url: str, crowd: Callable[..., list[str]]
) -> None:
    """One makes the tables, the others find them."""
    assert store_url
    assert crowd(OPEN, 8) == ["1\n"] * 8


def test_set_experiment_of_the_same_names_at_once_never_fails_nor_makes_two(
    store_url: str, crowd: Callable[..., list[str]]
) -> None:
    """Four processes set five new experiments in step: every name has one id for all."""
    said = crowd(SET_EXPERIMENT, 4)
    assert len(set(said)) == 1
    assert len(set(said[0].split())) == 5
    assert len(Client(store_url).search_experiments()) == 6


VALUES = [0.1, math.inf, -math.inf, math.nan, 0.0, 5e-324, 1.7976931348623157e308, 1 / 3, 2**53 + 2.0, -1e-300]


def test_infinities_and_nan_are_kept_exactly(store_url: str) -> None:
    """Each value comes back bit for bit: in the history, as the last, smallest and largest one; nan is no extreme."""
    autotrack.set_tracking_uri(store_url)
    with autotrack.start_run() as run:
        for step, value in enumerate(VALUES):
            autotrack.log_metric("all", value, step=step)
            autotrack.log_metric(f"one {step}", value)
            autotrack.log_param(f"one {step}", value)
    client = Client(store_url)
    history = client.get_metric_history(run.info.run_id, "all")
    assert [bits(point.value) for point in history] == [bits(value) for value in VALUES]
    data = client.get_run(run.info.run_id).data
    assert [bits(data.metrics[f"one {step}"]) for step in range(len(VALUES))] == [bits(value) for value in VALUES]
    assert [bits(data.param_values[f"one {step}"]) for step in range(len(VALUES))] == [bits(v) for v in VALUES]
    assert (data.series["all"].min, data.series["all"].max) == (-math.inf, math.inf)
    for text in ("metrics.`one 1` = inf", "metrics.`one 2` < -1e308", "metrics.`one 3` = nan"):
        assert len(client.search_runs(filter_string=text)) == 1, text
    assert client.search_runs(filter_string="metrics.`one 3` > -inf or metrics.`one 3` <= inf") == []


ODD_KEYS = [
    "acc@5",
    "f1(macro)",
    "a:b",
    "x=y",
    "50%",
    "täg",
    "损失",
    "a/b/../c",
    "`quoted`",
    "it's",
    'say "so"',
    "😀",
    ".",
]


def test_keys_like_acc_at_5_and_f1_macro_are_allowed(store_url: str) -> None:
    """As metric, parameter and tag; they are found by filter and order under the same name."""
    autotrack.set_tracking_uri(store_url)
    with autotrack.start_run() as run:
        for number, key in enumerate(ODD_KEYS):
            autotrack.log_metric(key, number)
            autotrack.log_param(key, number)
            autotrack.set_tag(key, key)
    client = Client(store_url)
    data = client.get_run(run.info.run_id).data
    assert data.metrics == {key: float(number) for number, key in enumerate(ODD_KEYS)}
    assert data.param_values == {key: number for number, key in enumerate(ODD_KEYS)}
    for number, key in enumerate(ODD_KEYS):
        name, text = "`" + key.replace("`", "``") + "`", "'" + key.replace("'", "''") + "'"
        wanted = f"metrics.{name} = {number} and params.{name} = {number} and tags.{name} = {text}"
        assert len(client.search_runs(filter_string=wanted, order_by=[f"metrics.{name} desc"])) == 1, key
    assert client.search_runs(filter_string="metrics.acc@5 = 0 and metrics.`f1(macro)` = 1")


@pytest.mark.parametrize("length", [6_001, 200_000])
def test_parameters_beyond_6000_characters_are_kept(store_url: str, length: int) -> None:
    """A long text, with characters of four bytes in it, comes back whole, and is found by what it is."""
    long = ("line 1\n" + "x" * 2_000 + "ü€😀") * (length // 2_000 + 1)
    autotrack.set_tracking_uri(store_url)
    with autotrack.start_run() as run:
        autotrack.log_param("config", long)
        autotrack.set_tag("note", long)
    client = Client(store_url)
    data = client.get_run(run.info.run_id).data
    assert data.params["config"] == data.tags["note"] == long
    assert len(client.search_runs(filter_string="params.config like 'line 1%😀'")) == 1
    if length < 10_000:
        assert len(client.search_runs(filter_string=f"params.config = '{long}'")) == 1


def bits(value: float) -> str:
    """A float, told apart from every other; one nan is as good as another."""
    return value.hex() if value == value else "nan"


def search(store: Store, order: list[str]) -> Any:
    """The first five runs in an order."""
    return Reader(store).search_runs(None, order_by=order, max_results=5)


def statements_of(store: Store, call: Callable[[], Any]) -> list[tuple[str, Any]]:
    """What a call sends to the database."""
    found: list[tuple[str, Any]] = []

    def note(_: Connection, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        found.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", note)
    try:
        call()
    finally:
        event.remove(store.engine, "before_cursor_execute", note)
    return found
