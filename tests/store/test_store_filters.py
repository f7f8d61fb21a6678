"""The filter language: what it means, what it refuses, and that it never does anything else."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow_evaluator import Filter, Order, filters, in_order, orders, run_events

from autotrack import events as ev
from autotrack.errors import FilterSyntaxError, InvalidArgumentError, NotFoundError
from autotrack.store import writing
from autotrack.store.engine import Store
from autotrack.store.reading import Reader
from autotrack.store.writing import Writer

Names = list[str]


@pytest.fixture
def matching(store: Store, record: Callable[..., None], reader: Reader) -> Callable[[str], Names]:
    """Four runs, and a function that names those which a filter matches."""

    def make(name: str, number: int, *more: ev.Event) -> None:
        run_id = name[0] * 32
        experiment = "Default" if number < 3 else "other"
        record(ev.RunStarted(run_id, "s1", number * 100, name, experiment, user="me", source="sklearn"), *more)

    a, b, c = "a" * 32, "b" * 32, "c" * 32
    make(
        "alpha", 1,
        ev.ParamsLogged(a, [ev.Param("solver", "lbfgs", '"lbfgs"'), ev.Param("C", "0.5", "0.5"), ev.Param("a b", "1")]),
        ev.CurveLogged(a, "loss", [0, 1, 2], [1, 2, 3], [3.0, 1.0, 2.0]),
        ev.MetricLogged(a, "acc", 0.9, 1), ev.MetricLogged(a, "acc@5", 0.99, 1), ev.MetricLogged(a, "min.x", 7.0, 1),
        ev.TagsSet(a, {"team": "Blue", "mlflow.user": "ann", "mlflow.runName": "alpha"}),
        ev.DatasetLogged(a, ev.DatasetInfo("iris", "d1"), "train"),
        ev.RunEnded(a, "FINISHED", 400),
    )  # fmt: skip
    make(
        "beta", 2,
        ev.ParamsLogged(b, [ev.Param("solver", "saga", '"saga"'), ev.Param("C", "10", "10")]),
        ev.ParamsLogged(b, [ev.Param("flag", "True", "true")]),
        ev.MetricsLogged(b, {"loss": "NaN", "acc": 0.5}, 1), ev.TagsSet(b, {"team": "blueish_50%"}),
        ev.DatasetLogged(b, ev.DatasetInfo("iris", "d2"), "eval"), ev.RunEnded(b, "FAILED", 250),
    )  # fmt: skip
    make("Gamma", 3, ev.MetricsLogged(c.replace("c", "G"), {"loss": "Infinity"}, 1))
    make("delta", 4, ev.ParamsLogged("d" * 32, [ev.Param("C", "None", "null"), ev.Param("gap", "nan", "NaN")]))

    def names(filter_string: str) -> Names:
        return sorted(run.info.run_name for run in reader.search_runs(None, filter_string))

    return names


ALL = ["Gamma", "alpha", "beta", "delta"]

MEANINGS: list[tuple[str, Names]] = [
    ("", ALL),
    ("  \n\t ", ALL),
    ("metrics.acc > 0.6", ["alpha"]),
    ("metric.acc>0.6", ["alpha"]),
    ("metrics.acc >= .5 AND metrics.acc <= 5e-1", ["beta"]),
    ("metrics.acc = 0.9", ["alpha"]),
    ("metrics.acc != 0.9", ["beta"]),
    ("metrics.acc@5 > 0.9", ["alpha"]),
    ("metrics.`acc@5` > 0.9", ["alpha"]),
    ('metrics."acc" < -1', []),
    ("metrics.loss = 2", ["alpha"]),
    ("metrics.last.loss = 2", ["alpha"]),
    ("metrics.min.loss = 1", ["alpha"]),
    ("metrics.max.loss = 3", ["alpha"]),
    ("metrics.max.`loss` = 3", ["alpha"]),
    ("metrics.min.x = 7", []),
    ("metrics.`min.x` = 7", ["alpha"]),
    ("metrics.loss != 2", ["Gamma", "beta"]),
    ("metrics.loss = nan", ["beta"]),
    ("metrics.loss != NaN", ["Gamma", "alpha"]),
    ("metrics.loss > 2", ["Gamma"]),
    ("metrics.loss = inf", ["Gamma"]),
    ("metrics.loss > -inf", ["Gamma", "alpha"]),
    ("metrics.loss > nan", []),
    ("metrics.loss in (2, nan)", ["alpha", "beta"]),
    ("metrics.loss not in (2, 3)", ["Gamma", "beta"]),
    ("metrics.loss not in (nan)", ["Gamma", "alpha"]),
    ("metrics.loss is null", ["delta"]),
    ("metrics.loss IS NOT NULL", ["Gamma", "alpha", "beta"]),
    ("params.solver = 'lbfgs'", ["alpha"]),
    ('parameters.solver = "lbfgs"', ["alpha"]),
    ("param.solver != 'lbfgs'", ["beta"]),
    ("params.solver LIKE 'l%'", ["alpha"]),
    ("params.solver like 'L%'", []),
    ("params.solver ILIKE 'L%'", ["alpha"]),
    ("params.solver in ('lbfgs', 'saga')", ["alpha", "beta"]),
    ("params.solver NOT IN ('lbfgs')", ["beta"]),
    ("params.solver is null", ["Gamma", "delta"]),
    ("params.`a b` = '1'", ["alpha"]),
    ("params.C > 0.7", ["beta"]),
    ("params.C = 0.5", ["alpha"]),
    ("params.C = '0.5'", ["alpha"]),
    ("params.C = '0.50'", []),
    ("params.C != 10", ["alpha"]),
    ("params.C in (0.5, 10)", ["alpha", "beta"]),
    ("params.C = 'None'", ["delta"]),
    ("params.C is not null", ["alpha", "beta", "delta"]),
    ("params.flag >= 0", []),
    ("params.gap != 1", []),
    ("params.gap = 'nan'", ["delta"]),
    ("tags.team = 'Blue'", ["alpha"]),
    ("tags.team ilike 'blue%'", ["alpha", "beta"]),
    ("tag.team like 'blue____50%'", ["beta"]),
    ("tags.team like 'blueish_50%'", ["beta"]),
    ("tags.team like 'blueish\\_50%'", []),
    ("tags.mlflow.user = 'ann'", ["alpha"]),
    ("tags.`mlflow.user` like 'an_'", ["alpha"]),
    ("tags.nothing != 'x'", []),
    ("tags.team is null", ["Gamma", "delta"]),
    ("status = 'FINISHED'", ["alpha"]),
    ("attributes.status IN ('FINISHED', 'FAILED')", ["alpha", "beta"]),
    ("attr.status NOT IN ('RUNNING')", ["alpha", "beta"]),
    ("run.status != 'RUNNING'", ["alpha", "beta"]),
    ("run_name = 'alpha'", ["alpha"]),
    ("'run name' = 'alpha'", ["alpha"]),
    ("attributes.`Run Name` ILIKE '%A'", ALL),
    ("attributes.Run_Name LIKE '%a'", ALL),
    ("run_name like 'G%'", ["Gamma"]),
    ("run_id = '" + "a" * 32 + "'", ["alpha"]),
    ("run_id in ('" + "a" * 32 + "', 'x')", ["alpha"]),
    ("start_time > 150", ["Gamma", "beta", "delta"]),
    ("Created >= 400", ["delta"]),
    ("start_time in (100, 200)", ["alpha", "beta"]),
    ("start_time < 99999999999999999999", ALL),
    ("end_time > 0", ["alpha", "beta"]),
    ("end_time != 400", ["beta"]),
    ("end_time is null", ["Gamma", "delta"]),
    ("duration > 100", ["alpha"]),
    ("duration is null", ["Gamma", "delta"]),
    ("user_id = 'me'", ALL),
    ("source like 'sk%'", ALL),
    ("session_id = 's1'", ALL),
    ("parent_run_id is null", ALL),
    ("parent_run_id != 'x'", []),
    ("lifecycle_stage = 'active'", ALL),
    ("experiment_id = '0'", ["alpha", "beta"]),
    ("experiment_name = 'other'", ["Gamma", "delta"]),
    ("artifact_uri like '%/artifacts/aaaa%'", ["alpha"]),
    ("dataset.name = 'iris'", ["alpha", "beta"]),
    ("datasets.digest = 'd1'", ["alpha"]),
    ("dataset.digest != 'd1'", ["beta"]),
    ("dataset.context in ('eval')", ["beta"]),
    ("metrics.acc > 0.6 or start_time = 400", ["alpha", "delta"]),
    ("metrics.acc > 0.6 or start_time = 400 and status = 'FAILED'", ["alpha"]),
    ("(metrics.acc > 0.6 or start_time = 400) and status = 'RUNNING'", ["delta"]),
    ("not metrics.acc > 0.6", ["Gamma", "beta", "delta"]),
    ("NOT (metrics.acc > 0.6 OR start_time = 400)", ["Gamma", "beta"]),
    ("not not (status = 'FAILED')", ["beta"]),
    ("not end_time > 0", ["Gamma", "delta"]),
    ("not parent_run_id != 'x'", ALL),
    ("((((status = 'FAILED'))))", ["beta"]),
    ("tags.team = 'it''s'", []),
]


def test_filters_mean_what_they_say(matching: Callable[[str], Names]) -> None:
    """Every construct of the language, on every kind of value, with and without the key."""
    found = {text: matching(text) for text, _ in MEANINGS}
    assert found == dict(MEANINGS)


REFUSED: list[tuple[str, int, str]] = [
    ("metrics.acc", 11, "an operator"),
    ("metrics.acc >", 13, "a number, or text"),
    ("metrics.acc > 'x'", 14, "a number, without quotes"),
    ("metrics.acc like 'x'", 17, "is for text"),
    ("metrics. > 1", 8, "a key"),
    ("metrics.acc > 1 metrics.b > 2", 16, "'and', 'or' or the end"),
    ("metrics.acc > 1 and", 19, "a name"),
    ("metrics.acc > 1;", 15, "a name, a value, an operator"),
    ("(metrics.acc > 1", 16, "')'"),
    ("metrics.acc > 1)", 15, "the end"),
    ("()", 1, "a name"),
    ("params.x = y", 11, "a number, or text in quotes"),
    ("params.x > '1'", 11, "a number to compare with >"),
    ("params.x = 'open", 11, "a closing '"),
    ("params.`open = 1", 7, "a closing `"),
    ("params.x in ()", 13, "a number, or text"),
    ("params.x in 'a'", 12, "'('"),
    ("params.x in ('a' 'b')", 17, "',' or ')'"),
    ("params.x in ('a', 1)", 12, "text in quotes"),
    ("params.x = nan", 11, "other than nan"),
    ("params.x not 'a'", 13, "'in'"),
    ("params.x is 'a'", 12, "'null'"),
    ("params.x BETWEEN 1 AND 2", 9, "an operator"),
    ("tags.x > 1", 9, "for text there is like"),
    ("tags.x = 1", 9, "text in quotes"),
    ("foo.bar = 1", 0, "metrics., params."),
    ("nonsense = 1", 0, "one of run_id"),
    ("start_time = '5'", 13, "a number, without quotes"),
    ("start_time like '5'", 16, "is for text"),
    ("status = 5", 9, "text in quotes"),
    ("dataset.size = 'x'", 0, "dataset.name"),
    ("metrics.a = 1.5.2", 12, "a name, a value"),
    ("metrics.a = 5x", 12, "a name, a value"),
    ("metrics.a = --5", 12, "a name, a value"),
    ("tags.x = 'a\0b'", 11, "without the character"),
    ("tags.x = '\ud800'", 10, "without the character"),
    ("not", 3, "a name"),
    ("5 = metrics.a", 0, "a name"),
    ("metrics.a == 1", 11, "a number"),
    ("metrics.a <> 1", 11, "a number"),
    ("tags.x like '" + "%" * 10_001 + "'", 12, "at most 10000 characters"),
]


@pytest.mark.parametrize(("text", "position", "expected"), REFUSED, ids=range(len(REFUSED)))
def test_a_filter_that_does_not_parse_says_where_and_what(
    text: str, position: int, expected: str, tmp_path: Path
) -> None:
    """The position points at the piece that was not understood."""
    with pytest.raises(FilterSyntaxError) as caught:
        Reader(Store.open(tmp_path)).search_runs(None, text)
    assert caught.value.position == position
    assert expected in caught.value.expected


def test_the_bounds_of_a_filter_are_errors_of_its_own(tmp_path: Path) -> None:
    """Too long, too deep, too many: said so, without a RecursionError or an error of the database."""
    search = Reader(Store.open(tmp_path)).search_runs
    one = "metrics.a > 1"
    cases = {
        "at most 100000 characters": one + " " * 100_000,
        "at most 100 levels": "(" * 101 + one + ")" * 101,
        "at most 100 levels of 'not'": "not " * 101 + one,
        "at most 200 comparisons": " and ".join([one] * 201),
        "at most 10000 values": f"metrics.a in ({', '.join(['1'] * 10_001)})",
        "levels of 'and' within 'or'": alternating(60),
    }
    for expected, text in cases.items():
        with pytest.raises(FilterSyntaxError, match=re.escape(expected)):
            search(None, text)
    for text in (
        "(" * 100 + one + ")" * 100,
        "not " * 100 + one,
        " and ".join([one] * 200),
        " or ".join([one] * 200),
        f"metrics.a in ({', '.join(['1'] * 10_000)})",
        f"tags.x like '{'?' * 10_000}' or tags.x ilike '{'%' * 10_000}'",
        alternating(39),
        "not (" * 30 + alternating(39) + ")" * 30,
    ):
        assert list(search(None, text)) == []


def alternating(levels: int) -> str:
    """`a and (b or (a and (...)))`."""
    text = "metrics.a > 1"
    for level in range(levels):
        text = f"params.b = 'x' {'or' if level % 2 else 'and'} ({text})"
    return text


INJECTIONS = [
    "'; DROP TABLE runs; --", "' OR '1'='1", "x' UNION SELECT * FROM runs --", "\\'", "\\", "%s", ":name", "?", "%(a)s",
    "{0}", "$1", "/* x */", "-- x", "') OR 1=1 --", '"; DELETE FROM runs; "', "`; x `", "a\nb", "日", "[a-z]*?", "!%_",
]  # fmt: skip


@pytest.mark.parametrize("text", INJECTIONS)
def test_text_in_any_place_is_only_text(text: str, record: Callable[..., None], reader: Reader) -> None:
    """As key, value, list item, pattern, order and tag, SQL in a text is found as that text, and nothing runs."""
    a = "a" * 32
    record(ev.RunStarted(a, "s", 1, text), ev.ParamsLogged(a, [ev.Param(text, text)]), ev.TagsSet(a, {text: text}))
    record(ev.MetricLogged(a, text, 1.0, 1), ev.RunStarted("b" * 32, "s", 1, "other"))
    value = "'" + text.replace("'", "''") + "'"
    key = "`" + text.replace("`", "``") + "`"
    for filter_string in (
        f"params.{key} = {value}",
        f"params.{key} in ({value}, 'x')",
        f"tags.{key} = {value}",
        f"run_name = {value}",
        f"metrics.{key} = 1",
        f"tags.{key} like {value}",
        f"tags.{key} ilike {value}",
        f"tags.{key} != 'x'",
        f"not (tags.{key} is null)",
    ):
        found = [run.info.run_id for run in reader.search_runs(None, filter_string)]
        assert found == [a], filter_string
    orders = [f"metrics.{key} desc", f"params.{key}", f"tags.{key}"]
    assert len(reader.search_runs(None, "", order_by=orders)) == 2
    assert len(reader.search_runs(None, f"run_name != {value}")) == 1


def test_sql_as_a_name_an_id_or_a_token_is_only_text(store: Store, reader: Reader, record: Callable[..., None]) -> None:
    """Experiments, runs, tags, datasets, sessions and pages: what is looked up under SQL is that text, or not there."""
    record(ev.RunStarted("keep", "s", 1, "keep"))
    for number, text in enumerate(INJECTIONS):
        run_id = f"{number}{text}"
        experiment = writing.create_experiment(store, text, text, {text: text})
        record(ev.RunStarted(run_id, text, 1, text, experiment=text, parent_run_id=text, user=text, source=text))
        record(ev.DatasetLogged(run_id, ev.DatasetInfo(text, text), text[:90]), ev.TagDeleted("keep", text))
        record(ev.FitLogged(text, text, 1, run_id), ev.TagsSet(run_id, {text: text}), journal=text)
        value = "'" + text.replace("'", "''") + "'"
        assert reader.experiment_by_name(text).tags == {text: text}
        names = [one.name for one in reader.search_experiments(filter_string=f"name = {value}", order_by=["name desc"])]
        assert names == [text]
        assert [fit.fit_id for fit in reader.fits(run_id)] == [text]
        assert reader.session(text).session_id == text
        assert reader.run(run_id).info.parent_run_id == text
        asked = [f"experiment_name = {value}", f"session_id = {value}", f"parent_run_id in ({value})"]
        asked += [f"dataset.name = {value}", f"dataset.digest = {value}", f"user_id = {value}", f"source = {value}"]
        for query in asked:
            assert [run.info.run_id for run in reader.search_runs(None, query)] == [run_id], query
        assert [run.info.run_id for run in reader.search_runs([experiment])] == [run_id]
        assert list(reader.search_runs([text])) == []
        assert list(reader.metric_history(run_id, text)) == []
        for wrong in (reader.run, reader.experiment):
            with pytest.raises(NotFoundError):
                wrong(text)
        with pytest.raises(InvalidArgumentError):
            reader.search_runs(page_token=text)
        with pytest.raises(FilterSyntaxError):
            reader.search_runs(order_by=[f"start_time {text} desc"])
    assert len(reader.search_runs()) == len(INJECTIONS) + 1


def test_a_token_that_somebody_made_up_is_refused_or_bound(run: Callable[..., str], reader: Reader) -> None:
    """Whatever stands in the place of its values: a page, or `InvalidArgumentError`; never an error of the SQL."""
    made = [run(lambda run_id: ev.MetricLogged(run_id, "m", 1.0, 1)) for _ in range(2)]
    for order in ("start_time", "run_name", "metrics.m", "end_time desc", "experiment_id", "params.p"):
        token = reader.search_runs(order_by=[order], max_results=1).token
        assert token is not None
        fingerprint, values = json.loads(base64.urlsafe_b64decode(token))
        for odd in (10**30, -(10**30), 1.5, 1e308, True, None, "x'; DROP TABLE runs; --", "\0", "", [1], {}):
            for place in range(len(values) + 1):
                text = json.dumps([fingerprint, [*values[:place], odd, *values[place + 1 :]]])
                forged = base64.urlsafe_b64encode(text.encode()).decode()
                with contextlib.suppress(InvalidArgumentError):
                    found = reader.search_runs(order_by=[order], page_token=forged)
                    assert {one.info.run_id for one in found} <= set(made)
    assert len(reader.search_runs()) == 2


@pytest.mark.parametrize("order", ["metrics.m", "params.p desc", "tags.t", "start_time desc"])
def test_pages_are_stable_while_runs_are_added(
    order: str, store: Store, run: Callable[..., str], reader: Reader
) -> None:
    """Runs that come in anywhere between two pages neither repeat nor hide one of those that were there."""
    del store

    def add(number: float) -> str:
        return run(
            lambda run_id: ev.MetricLogged(run_id, "m", number, 1),
            lambda run_id: ev.ParamsLogged(run_id, [ev.Param("p", repr(number), repr(number))]),
            lambda run_id: ev.TagsSet(run_id, {"t": repr(number)}),
            time=int(number * 100),
        )

    there = [add(number) for number in (1.0, 2.0, 2.0, 3.0, 5.0)]
    found: list[str] = []
    token: str | None = None
    for number in (0.5, 2.0, 2.5, 4.0, 9.0, 2.0, 0.1, 8.0, 7.0, 6.0, 1.5, 2.0, 3.0):
        page = reader.search_runs(order_by=[order], max_results=1, page_token=token)
        found += [one.info.run_id for one in page]
        token = page.token
        if token is None:
            break
        add(number)
    assert len(found) == len(set(found))
    assert [one for one in found if one in there] == [
        one.info.run_id for one in reader.search_runs(order_by=[order]) if one.info.run_id in there
    ]


def test_numbers_beyond_the_exact_ones_of_a_float_compare_as_floats(run: Callable[..., str], reader: Reader) -> None:
    """2**53 + 1 is no float; as metric, parameter and in a filter it is the nearest one, the same on every engine."""
    big = 2**53 + 1
    made = run(
        lambda run_id: ev.MetricLogged(run_id, "m", float(big), 1),
        lambda run_id: ev.ParamsLogged(run_id, [ev.Param("p", str(big), str(big)), ev.Param("huge", "1e400", "1e400")]),
    )
    for name in ("metrics.m", "params.p"):
        for text in (f"{name} = {big}", f"{name} >= {big}", f"{name} in ({big})", f"not {name} != {big}"):
            assert [one.info.run_id for one in reader.search_runs(None, text)] == [made], text
        assert list(reader.search_runs(None, f"{name} < {big} or {name} > {big}")) == []
    assert len(reader.search_runs(None, f"start_time < {big} and not start_time = {big}")) == 1
    assert len(reader.search_runs(None, "params.huge > 1e308")) == 1


@pytest.mark.parametrize(
    ("pattern", "matches"), [("Straße", True), ("STRASSE", False), ("sTRAß_", True), ("%ÄÖÜ%", True)]
)
def test_ilike_folds_letters_of_any_language(
    pattern: str, matches: int, record: Callable[..., None], reader: Reader
) -> None:
    """Upper and lower case are one beyond ASCII too, letter by letter."""
    record(ev.TagsSet("a" * 32, {"where": "straße" if "ra" in pattern.lower() else "x äöü y"}))
    assert len(reader.search_runs(None, f"tags.where ilike '{pattern}'")) == matches


def test_experiments_have_filters_of_their_own(store: Store, reader: Reader) -> None:
    """By name, id, time, stage and tags; what only runs have is refused."""
    one = writing.create_experiment(store, "one", tags={"team": "blue"})
    two = writing.create_experiment(store, "two")
    writing.delete_experiment(store, two)

    def names(text: str, view: Any = "ALL") -> Names:
        return [found.name for found in reader.search_experiments(view, filter_string=text, order_by=["name"])]

    assert names("name like 't%'") == ["two"]
    assert names(f"experiment_id in ('{one}', '0')") == ["Default", "one"]
    assert names("tags.team = 'blue' and creation_time > 0") == ["one"]
    assert names("not tags.team is null") == ["one"]
    assert names("", "ACTIVE_ONLY") == ["Default", "one"]
    assert names("", "DELETED_ONLY") == ["two"]
    with pytest.raises(FilterSyntaxError, match=r"an attribute, or tags\."):
        names("metrics.a > 1")


fixture = HealthCheck.function_scoped_fixture
EXAMPLES = {"sqlite": 80, "postgresql": 12, "mysql": 12}


def test_random_searches_find_what_a_slow_evaluator_finds(store: Store, reader: Reader) -> None:
    """Any filter and any order over any runs, in pages of any size: as plain functions over the records have it."""

    @settings(max_examples=EXAMPLES[store.dialect.scheme], deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        runs=st.lists(run_events(), min_size=1, max_size=6),
        wanted=st.lists(st.tuples(filters, orders()), min_size=1, max_size=5),
        size=st.sampled_from([1, 2, 4, 1_000]),
        walk=st.sampled_from([0, 8, 1_000]),
    )
    def check(
        runs: list[list[Callable[[str], ev.Event]]], wanted: list[tuple[Filter, list[Order]]], size: int, walk: int
    ) -> None:
        replace_runs(store, runs)
        everyone = list(reader.search_runs())
        assert len(everyone) == len(runs)
        with mock.patch.object(store.dialect, "walk", min(walk, store.dialect.walk)):
            for (text, test), clauses in wanted:
                found = pages(reader, text, [clause for clause, _, _ in clauses], size)
                expected = in_order([run for run in everyone if test(run)], clauses)
                assert found == [run.info.run_id for run in expected], (text, clauses)

    check()


def replace_runs(store: Store, runs: list[list[Callable[[str], ev.Event]]]) -> None:
    """Make these runs the only ones; pairs of them start together."""
    events: list[ev.Event] = []
    for number, makers in enumerate(runs):
        run_id = f"{number:032x}"
        events += [ev.RunStarted(run_id, "s", 1 + number // 2, f"r{number % 3}"), *(make(run_id) for make in makers)]
    with store.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM runs")
        Writer(store).apply(connection, events, "j")


def pages(reader: Reader, text: str, order: list[str], size: int) -> list[str]:
    """Ids of the runs that a search finds, page by page."""
    found: list[str] = []
    token = None
    while True:
        page = reader.search_runs(None, text, max_results=size, order_by=order, page_token=token)
        assert len(page) == size or page.token is None
        found += [run.info.run_id for run in page]
        token = page.token
        if token is None:
            return found


pieces = st.sampled_from(
    ["metrics.", "params.a", "tags.`x y`", "status", "end_time", "dataset.name", "=", "!=", "<", ">=", "like", "ilike",
     "in", "not", "is", "null", "and", "or", "(", ")", ",", "1", "-2.5e3", "nan", "inf", "'x'", '"y"', "`z`", "'", '"',
     "`", ".", "%", ";", "--", "\\", "\0", "é", "\ud800", "  "]
)  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[fixture])
@given(text=st.one_of(*(st.lists(pieces, max_size=14).map(glue.join) for glue in (" ", "")), st.text()))
def test_no_text_leads_to_another_error_than_a_syntax_error(text: str, tmp_path: Path) -> None:
    """Whatever is written, as filter or as order, is a search or a `FilterSyntaxError` within the text."""
    reader = Reader(Store.open(tmp_path))
    for arguments in ({"filter_string": text}, {"order_by": [text]}):
        try:
            assert list(reader.search_runs(None, **arguments)) == []  # type: ignore[arg-type]
        except FilterSyntaxError as error:
            assert 0 <= error.position <= len(text)  # noqa: PT017


def test_no_search_looks_at_all_rows_of_metrics_params_or_tags(tmp_path: Path) -> None:
    """SQLite's plan of each kind of filter and order seeks in indices: none scans a table but that of the runs."""
    store = Store.open(tmp_path)
    searches: list[tuple[str, list[str]]] = [
        ("metrics.a > 0.5", []),
        ("metrics.min.a < 0.5 and metrics.max.a = nan", ["metrics.a"]),
        ("params.b > 0.5 or params.b = 'x'", ["params.b desc"]),
        ("tags.c ilike 'x%' and not tags.d is null", ["tags.c", "metrics.min.a desc"]),
        ("metrics.a != 1 and params.b in (1, 2) and tags.c = 'x'", ["metrics.a desc", "params.b", "start_time"]),
        ("dataset.name = 'iris'", ["metrics.max.a", "metrics.last.a"]),
        ("status = 'FINISHED'", ["end_time"]),
    ]
    for text, order in searches:
        plan = plan_of(store, text, order)
        scans = [line for line in plan if re.match(r"SCAN (metric_|params|tags|by\d|edge|inputs|datasets)", line)]
        assert scans == [], (text, order, plan)
        assert not [line for line in plan if "metric_points" in line or "AUTOMATIC" in line], (text, order, plan)
        assert [line for line in plan if "USING" in line]


def test_the_beginning_of_a_run_id_is_sought_in_its_index(tmp_path: Path) -> None:
    """SQLite looks at the pattern before it plans, though only where an index may help."""
    store = Store.open(tmp_path)
    plan = plan_of(store, "attributes.run_id like 'ab%'", [])
    assert [line for line in plan if "sqlite_autoindex_runs_1 (run_id>? AND run_id<?)" in line], plan
    patterns = [finding_of(store, f"tags.t {word} '%x'", [])[0] for word in ("like", "ilike")]
    assert [re.search(r"(GLOB|LIKE) \(?'' \|\| \?", sql) is None for sql in patterns] == [False, False]


def test_lists_of_runs_are_made_within_the_one_that_equals(tmp_path: Path) -> None:
    """SQLite puts into the lists of other conditions only what an equality beside them lets through, in any order."""
    store = Store.open(tmp_path)
    inner = re.compile(r"\+ ?metric_series\.run\)? IN \(SELECT params\.run")
    for text in ("params.a = 'x' and metrics.b > 1", "metrics.b > 1 and params.a in ('x', 'y')"):
        assert inner.search(finding_of(store, text, [])[0]), text
    for text in ("params.a != 'x' and metrics.b > 1", "params.a = 'x' or metrics.b > 1", "params.a = 'x'"):
        assert "+" not in finding_of(store, text, [])[0], text


def test_a_long_list_stands_once_in_a_statement(tmp_path: Path) -> None:
    """Two thousand run ids are a filter, whatever the order: SQLite takes 32,766 parameters in a statement."""
    ids = [f"{number:032x}" for number in range(2_000)]
    text = f"attributes.run_id in ({', '.join(map(repr, ids))})"
    _, parameters = finding_of(Store.open(tmp_path), text, ["metrics.a"])
    assert len(ids) < len(parameters) < len(ids) + 100


def plan_of(store: Store, text: str, order: list[str]) -> list[str]:
    """How SQLite finds the first runs of a search."""
    sql, parameters = finding_of(store, text, order)
    with store.reading() as connection:
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)]


def finding_of(store: Store, text: str, order: list[str]) -> tuple[str, Any]:
    """The statement that finds the first runs of a search, and its parameters."""
    statements: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        statements.append((statement, parameters))

    sqlalchemy.event.listen(store.engine, "before_cursor_execute", note)
    try:
        Reader(store).search_runs(None, text, max_results=10, order_by=order)
    finally:
        sqlalchemy.event.remove(store.engine, "before_cursor_execute", note)
    (finding,) = [found for found in statements if "part0" in found[0]]
    return finding
