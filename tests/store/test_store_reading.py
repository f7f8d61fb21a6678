"""Searching in order and in pages, and finding single runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from autotrack import events as ev
from autotrack.errors import FilterSyntaxError, InvalidArgumentError, NotFoundError
from autotrack.store import writing
from autotrack.store.engine import Store
from autotrack.store.reading import Reader

Make = Callable[..., str]


def metric(key: str, *values: ev.Number) -> Callable[[str], ev.Event]:
    """A curve of one metric."""
    steps = list(range(len(values)))
    return lambda run_id: ev.CurveLogged(run_id, key, steps, steps, list(values))


def param(key: str, text: str, json: str | None = None) -> Callable[[str], ev.Event]:
    """One parameter."""
    return lambda run_id: ev.ParamsLogged(run_id, [ev.Param(key, text, json)])


def tag(key: str, value: str) -> Callable[[str], ev.Event]:
    """One tag."""
    return lambda run_id: ev.TagsSet(run_id, {key: value})


def names(reader: Reader, *order: str, **arguments: Any) -> str:
    """Names of the runs that a search finds, in its order."""
    return " ".join(run.info.run_name for run in reader.search_runs(order_by=list(order), **arguments))


@pytest.fixture
def ordered(run: Make) -> None:
    """Five runs with values of every kind, in the order in which they start."""
    run(metric("m", 1.0, 3.0), param("p", "10", "10"), tag("t", "b"), name="one")
    run(metric("m", 5.0, 2.0), param("p", "9", "9"), tag("t", "B"), name="two")
    run(metric("m", "NaN"), param("p", "rbf", '"rbf"'), tag("t", "a"), name="nan")
    run(metric("m", 0.0, "Infinity"), param("p", "None", "null"), name="inf")
    run(lambda run_id: ev.RunEnded(run_id, "FAILED", 9), tag("t", "ä"), name="none")


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([], "none inf nan two one"),
        (["start_time"], "one two nan inf none"),
        (["attributes.start_time ASC"], "one two nan inf none"),
        (["metrics.m"], "two one inf nan none"),
        (["metrics.m desc"], "inf one two nan none"),
        (["metrics.min.m"], "inf one two nan none"),
        (["metrics.max.`m` DESC"], "inf two one nan none"),
        (["params.p"], "two one inf nan none"),
        (["params.p desc"], "one two nan inf none"),
        (["tags.t"], "two nan one none inf"),
        (["tags.t desc"], "none one nan two inf"),
        (["end_time", "start_time"], "none one two nan inf"),
        (["run_name"], "inf nan none one two"),
        (["status desc", "metrics.m desc"], "inf one two nan none"),
        (["experiment_id", "run_name desc"], "two one none nan inf"),
        (["metrics.nothing", "start_time"], "one two nan inf none"),
        (["Created desc"], "none inf nan two one"),
    ],
)
def test_orders_put_what_is_missing_last(order: list[str], expected: str, ordered: None, reader: Reader) -> None:
    """By any kind of key, in both directions: NaN behind the numbers, missing values behind all, on every engine."""
    assert names(reader, *order) == expected


def test_pages_in_every_order_give_every_run_once(ordered: None, reader: Reader) -> None:
    """Page by page, one or two runs at a time, the same runs come in the same order as all at once."""
    keys = ["metrics.m", "params.p", "tags.t", "end_time", "run_name", "metrics.max.m"]
    for key, way, size in product(keys, ("asc", "desc"), (1, 2)):
        order = [f"{key} {way}", "status"]
        whole = names(reader, *order).split()
        found: list[str] = []
        token = None
        while True:
            page = reader.search_runs(order_by=order, max_results=size, page_token=token)
            found += [run.info.run_name for run in page]
            token = page.token
            if token is None:
                break
        assert found == whole, order


def test_pages_stay_in_step_when_runs_come_and_go(run: Make, store: Store, reader: Reader) -> None:
    """A run that starts between two pages repeats none, one that is deleted hides none."""
    ids = [run(metric("m", float(number))) for number in range(6)]
    first = reader.search_runs(order_by=["metrics.m desc"], max_results=2)
    run(metric("m", 99.0))
    writing.delete_run(store, ids[5])
    second = reader.search_runs(order_by=["metrics.m desc"], max_results=4, page_token=first.token)
    assert [one.info.run_id for one in [*first, *second]] == ids[::-1]
    assert second.token is None


def test_a_page_token_is_good_for_its_own_search_only(run: Make, reader: Reader) -> None:
    """A token of another filter or order, or no token at all, is an error that says so."""
    run()
    run()
    token = reader.search_runs(max_results=1).token
    assert len(reader.search_runs(max_results=1, page_token=token)) == 1
    for wrong in ({"order_by": ["run_name"]}, {"filter_string": "start_time > 0"}, {"experiment_ids": ["0"]}):
        with pytest.raises(InvalidArgumentError, match="page_token"):
            reader.search_runs(page_token=token, **wrong)  # type: ignore[arg-type]
    for text in ("x", "!!!", "eyJvZmZzZXQiOiAxfQ==", "é", "W10="):
        with pytest.raises(InvalidArgumentError, match="page_token"):
            reader.search_runs(page_token=text)


@pytest.mark.parametrize("size", [0, -1, 50_001, True, "5", None])
def test_the_size_of_a_page_is_checked(size: Any, tmp_path: Path) -> None:
    """From 1 to 50,000; the error says so."""
    with pytest.raises(InvalidArgumentError, match="from 1 to 50000"):
        Reader(Store.open(tmp_path)).search_runs(max_results=size)


@pytest.mark.parametrize(
    "clause", ["", "metrics.", "metrics.a up", "metrics.a desc desc", "dataset.name", "nonsense", "metrics.a, b", "5"]
)
def test_an_order_that_does_not_parse_is_a_syntax_error(clause: str, tmp_path: Path) -> None:
    """The error shows the clause."""
    with pytest.raises(FilterSyntaxError):
        Reader(Store.open(tmp_path)).search_runs(order_by=[clause])


def test_an_order_names_each_key_once_and_at_most_twenty(tmp_path: Path) -> None:
    """More would need more joins than SQLite has."""
    search = Reader(Store.open(tmp_path)).search_runs
    with pytest.raises(FilterSyntaxError, match="each name once"):
        search(order_by=["metrics.a", "metrics.`a` desc"])
    with pytest.raises(FilterSyntaxError, match="at most 20"):
        search(order_by=[f"metrics.m{number}" for number in range(21)])
    assert search(order_by=[f"metrics.m{number}" for number in range(20)]) == []


def test_experiments_bound_a_search(run: Make, reader: Reader) -> None:
    """Ids of no experiment, odd ones included, match nothing; an empty list too."""
    run(name="here", experiment="one")
    run(name="there", experiment="two")
    ids = {name: reader.experiment_by_name(name).experiment_id for name in ("one", "two")}
    assert names(reader, experiment_ids=[ids["one"]]) == "here"
    assert names(reader, experiment_ids=list(ids.values())) == "there here"
    assert names(reader, experiment_ids=[]) == ""
    assert names(reader, experiment_ids=["987654321", "x", "-1", "9" * 50]) == ""
    with pytest.raises(InvalidArgumentError, match="view type"):
        reader.search_runs(run_view_type="NONE")  # type: ignore[arg-type]


def test_a_search_is_one_statement_and_loading_a_constant_number(run: Make, store: Store, reader: Reader) -> None:
    """One statement finds the runs, whatever the filter and the order; six more load a page of any size to 500."""
    for number in range(30):
        run(metric("m", float(number)), param("p", str(number), str(number)), tag("t", "x"))
    statements: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    filter_string = "metrics.m >= 0 and (params.p > -1 or not tags.t = 'y') and experiment_name = 'Default'"
    counts = []
    for size in (1, 30):
        statements.clear()
        found = reader.search_runs(["0"], filter_string, max_results=size, order_by=["metrics.m desc", "params.p"])
        assert len(found) == size
        finding = [text for text in statements if "part0" in text]
        assert len(finding) == 1
        assert "'y'" not in finding[0]
        counts.append(len([text for text in statements if text.lstrip().startswith(("SELECT", "WITH"))]))
    assert counts == [7, 7]


def test_a_search_by_metric_seeks_in_an_index(run: Make, tmp_path: Path) -> None:
    """SQLite walks the index of the metric in order, instead of reading and sorting every run."""
    store = Store.open(tmp_path)
    statements: list[tuple[str, Any]] = []
    event.listen(store.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2:4]))
    Reader(store).search_runs(order_by=["metrics.m desc"])
    sql, parameters = next(pair for pair in statements if "part0" in pair[0])
    with store.reading() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)]
    assert any("ix_metric_series_key_last_run" in step for step in plan)


def test_the_best_run_is_the_one_with_the_best_value_at_any_step(run: Make, store: Store, reader: Reader) -> None:
    """NaN is never the best, deleted runs are left out, and a metric that nobody logged is an error."""
    peak = run(metric("m", 1.0, 9.0, 2.0))
    low = run(metric("m", 0.5, 7.0))
    run(metric("m", "NaN"))
    gone = run(metric("m", "Infinity", "-Infinity"))
    assert reader.best_run_id("m") == reader.best_run_id("m", maximise=False) == gone
    writing.delete_run(store, gone)
    assert reader.best_run_id("m") == peak
    assert reader.best_run_id("m", maximise=False) == low
    with pytest.raises(NotFoundError, match="none has logged the metric 'x'"):
        reader.best_run_id("x")


def test_the_latest_run_is_the_one_that_started_last(run: Make, reader: Reader) -> None:
    """Not the one that was written last; an empty store says that it is empty."""
    with pytest.raises(NotFoundError, match="it is empty"):
        reader.latest_run_id()
    late = run(time=5000)
    run(time=10)
    assert reader.latest_run_id() == late


def test_a_run_is_found_by_the_beginning_of_its_id(record: Callable[..., None], reader: Reader) -> None:
    """One that fits is found, none and several are errors, and `%` and `_` stand for themselves."""
    one, two = "ab" + "0" * 30, "ac" + "0" * 30
    record(ev.RunStarted(one, "s", 1, "n"), ev.RunStarted(two, "s", 1, "n"))
    assert reader.run_id_by_prefix("ab") == reader.run_id_by_prefix(one) == one
    with pytest.raises(NotFoundError, match=f"several begin so: {one}, {two}"):
        reader.run_id_by_prefix("a")
    for prefix in ("b", "%", "_b", "", "ab' OR '1'='1"):
        with pytest.raises(NotFoundError):
            reader.run_id_by_prefix(prefix)


def test_several_runs_come_in_the_order_asked_for(run: Make, reader: Reader) -> None:
    """Unknown ones are left out."""
    ids = [run() for _ in range(3)]
    wanted = [ids[2], "unknown", ids[0]]
    assert [found.info.run_id for found in reader.runs(wanted)] == [ids[2], ids[0]]
    assert reader.runs([]) == []


def test_what_is_not_there_is_a_clear_error(reader: Reader) -> None:
    """Runs, sessions and experiments, each by its name."""
    for ask in (reader.run, reader.trials, reader.fits, reader.models, reader.artifacts, reader.environment_of_run):
        with pytest.raises(NotFoundError, match="no run 'nope'"):
            ask("nope")
    with pytest.raises(NotFoundError, match="no run 'nope'"):
        reader.metric_history("nope", "m")
    with pytest.raises(NotFoundError, match="no session 'nope'"):
        reader.session("nope")
    for key in ("nope", "77", "", "-0", "0x0"):
        with pytest.raises(NotFoundError, match="no experiment"):
            reader.experiment(key)
    assert reader.preparations("nope") == []


def test_the_default_experiment_is_there_from_the_start(reader: Reader) -> None:
    """Its id is "0", and new ones count on from there."""
    default = reader.experiment("0")
    assert (default.name, default.artifact_location) == ("Default", reader.store.location.artifact_root)
    assert reader.experiment_by_name("Default") == default
    assert int(writing.create_experiment(reader.store, "next")) > 0


def test_experiments_come_in_pages(store: Store, reader: Reader) -> None:
    """Ordered by id as numbers, page by page, tags included."""
    for number in range(11):
        writing.create_experiment(store, f"e{number}", tags={"n": f"{number:02}"})
    found: list[str] = []
    token = None
    while True:
        page = reader.search_experiments(max_results=5, order_by=["experiment_id"], page_token=token)
        found += [one.experiment_id for one in page]
        token = page.token
        if token is None:
            break
    assert found == sorted(found, key=int)
    assert len(found) == 12
    latest = reader.search_experiments(order_by=["tags.n desc"], max_results=1)[0]
    assert (latest.name, latest.tags) == ("e10", {"n": "10"})


def test_a_run_of_nothing_but_nan_has_no_extremes(run: Make, reader: Reader) -> None:
    """Its minimum and maximum are NaN."""
    summary = reader.run(run(metric("m", "NaN", "NaN"))).data.series["m"]
    assert math.isnan(summary.min)
    assert math.isnan(summary.max)
    assert summary.count == 2
