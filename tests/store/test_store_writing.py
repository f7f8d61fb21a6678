"""Events into tables and back, on every engine."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from autotrack import events as ev
from autotrack import records
from autotrack.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from autotrack.store import schema, writing
from autotrack.store.engine import Store, retried
from autotrack.store.reading import Reader
from autotrack.store.rows import empty_session
from autotrack.store.writing import Writer, advance_journal

A, B = "a" * 32, "b" * 32
OPENED = ev.JournalOpened(1, "j", "s", "x", "host", "boot", 7, 70, 500)


def count(store: Store, table: Any) -> int:
    """Rows of a table."""
    with store.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def everything() -> list[ev.Event]:
    """One event of each kind, of one run."""
    return [
        OPENED,
        ev.SessionStarted("s", 10, "host", 7, "me", "train.py", ["train.py", "--fast"], "/work", "parent"),
        ev.EnvironmentCaptured("s", "d1", {"python": "3.11", "packages": ["numpy==2"]}),
        ev.RunStarted(A, "s", 100, "swift-fox", "exp", None, B, "sklearn", "me", "why"),
        ev.ParamsLogged(A, [ev.Param("C", "0.5", "0.5"), ev.Param("fn", "<lambda>"), ev.Param("gap", "nan", "NaN")]),
        ev.MetricLogged(A, "loss", 0.5, 101, 1),
        ev.MetricsLogged(A, {"loss": 0.25, "acc": "NaN"}, 102, 2),
        ev.CurveLogged(A, "curve", [0, 1], [103, 104], [1.0, "-Infinity"]),
        ev.TagsSet(A, {"team": "blue", "old": "x"}),
        ev.TagDeleted(A, "old"),
        ev.DatasetLogged(A, ev.DatasetInfo("iris", "abc", "code", "src", "{}", "[]"), "train", {"k": "v"}, "f"),
        ev.FitLogged("f", "s", 105, A, 1, "search", "sklearn.svm.SVC", "fit", "FAILED", 1.5, ev.ErrorInfo("E"), "x:1"),
        ev.FitLogged("prep", "s", 99, kind="preparation", estimator="StandardScaler", details={"rows": 3}),
        ev.TrialsLogged(A, [ev.TrialInfo(0, [ev.Param("C", "1", "1")], {"test_score": [0.5, "NaN"]}, "NaN", 0.1, 1)]),
        ev.ModelLogged("m", A, "model", 106, "uri", "model", ["sklearn"], 9, "dig", "{}", "", {"x": 1}, 3),
        ev.ArtifactLogged(A, "plots/roc.png", 12, "dig", 107),
        ev.RunDegraded(A, "a metric was lost"),
        ev.RunUpdated(A, description="because"),
        ev.RunEnded(A, "FAILED", 200, ev.ErrorInfo("ValueError", "bad", "trace", "train.py:3 in main")),
        ev.JournalClosed(201),
    ]


def test_every_event_comes_back_as_it_was_logged(record: Callable[..., None], reader: Reader) -> None:
    """One event of each kind, written in one batch, gives the whole record that it stands for."""
    record(*everything())
    run = reader.run(A)
    location = f"{reader.store.location.artifact_root}/{A}"
    experiment_id = reader.experiment_by_name("exp").experiment_id
    error = ev.ErrorInfo("ValueError", "bad", "trace", "train.py:3 in main")
    assert run.info == records.RunInfo(
        A, "swift-fox", experiment_id, "FAILED", 100, 200, "me", "active", location, "s", B, "sklearn", "because",
        "a metric was lost", error,
    )  # fmt: skip
    assert run.data.params == {"C": "0.5", "fn": "<lambda>", "gap": "nan"}
    assert run.data.param_values["C"] == 0.5
    assert run.data.param_values["fn"] == "<lambda>"
    assert math.isnan(run.data.param_values["gap"])
    assert run.data.tags == {"team": "blue"}
    assert run.data.series["loss"] == records.MetricSummary(0.25, 2, 0.25, 2, 0.5, 1, 2)
    assert run.data.series["curve"] == records.MetricSummary(-math.inf, 1, -math.inf, 1, 1.0, 0, 2)
    assert math.isnan(run.data.metrics["acc"])
    dataset = ev.DatasetInfo("iris", "abc", "code", "src", "{}", "[]")
    assert run.inputs.dataset_inputs == [records.DatasetInput(dataset, "train", {"k": "v"})]
    model = records.LoggedModel("m", A, "model", "uri", "model", ["sklearn"], 9, "dig", "{}", "", 106, 3, {"x": 1})
    assert run.outputs.model_outputs == reader.models(A) == [model]


def test_what_stands_beside_a_run_comes_back_too(record: Callable[..., None], reader: Reader) -> None:
    """Histories, trials, fits, preparation steps, session, environment and files."""
    record(*everything())
    assert reader.metric_history(A, "loss") == [
        records.Metric("loss", 0.5, 101, 1),
        records.Metric("loss", 0.25, 102, 2),
    ]
    assert reader.metric_history(A, "curve")[1] == records.Metric("curve", -math.inf, 104, 1)
    assert reader.metric_history(A, "nothing") == []
    (trial,) = reader.trials(A)
    assert (trial.params, trial.std, trial.rank) == ({"C": 1}, 0.1, 1)
    assert trial.scores["test_score"][0] == 0.5
    assert math.isnan(trial.scores["test_score"][1])
    assert math.isnan(trial.mean or 0)
    fit = records.Fit("f", "s", A, 1, "search", "sklearn.svm.SVC", "fit", "FAILED", 105, 1.5, ev.ErrorInfo("E"), "x:1")
    assert reader.fits(A) == [fit]
    assert [(step.fit_id, step.run_id, step.details) for step in reader.preparations("s")] == [
        ("prep", None, {"rows": 3})
    ]
    session = records.Session("s", 10, "host", 7, "me", "train.py", ["train.py", "--fast"], "/work", "parent", "d1")
    assert reader.session("s") == session
    assert reader.environment_of_run(A) == records.Environment("d1", {"python": "3.11", "packages": ["numpy==2"]})
    assert reader.artifacts(A) == [records.FileInfo("plots/roc.png", False, 12)]


def test_events_give_the_same_store_one_by_one_or_all_at_once(record: Callable[..., None], reader: Reader) -> None:
    """Where the pieces of a journal are cut makes no difference."""
    for event in everything():
        record(event)
    one_by_one = reader.run(A)
    record(*[replaced(event) for event in everything()])
    at_once = reader.run(B)
    assert repr(at_once.data) == repr(one_by_one.data)
    assert at_once.inputs == one_by_one.inputs
    assert at_once.info.status == one_by_one.info.status


def replaced(event: Any) -> Any:
    """The event, of run B."""
    import msgspec

    if getattr(event, "run_id", None) != A:
        return event
    changed = {"run_id": B}
    changed |= {name: f"{getattr(event, name)}2" for name in ("fit_id", "model_id") if getattr(event, name, None)}
    return msgspec.structs.replace(event, **changed)


def test_equal_environments_and_datasets_are_stored_once(store: Store, record: Callable[..., None]) -> None:
    """Ten runs of ten sessions in one environment, on one dataset, make one row of each."""
    for number in range(10):
        run_id = f"{number:032x}"
        record(
            ev.EnvironmentCaptured(f"s{number}", "same", {"python": "3.11"}),
            ev.DatasetLogged(run_id, ev.DatasetInfo("iris", "abc"), "train"),
            ev.DatasetLogged(run_id, ev.DatasetInfo("iris", "abc"), "eval"),
        )
    assert count(store, schema.environments) == 1
    assert count(store, schema.datasets) == 1
    assert count(store, schema.inputs) == 20


def test_metrics_of_a_run_that_is_not_known_yet_are_not_lost(record: Callable[..., None], reader: Reader) -> None:
    """A worker's journal may be read before the one that starts the run: the start fills the row in."""
    record(ev.MetricLogged(A, "loss", 1.0, 50), journal="worker")
    waiting = reader.run(A).info
    assert (waiting.status, waiting.run_name, waiting.experiment_id, waiting.start_time) == ("RUNNING", "", "0", 50)
    record(ev.RunUpdated(A, name="renamed elsewhere"), journal="client")
    record(ev.RunStarted(A, "s", 40, "first name", "exp", user="me", source="sklearn"), journal="main")
    info = reader.run(A).info
    assert (info.run_name, info.start_time, info.user_id, info.session_id) == ("renamed elsewhere", 40, "me", "s")
    assert info.experiment_id == reader.experiment_by_name("exp").experiment_id
    assert reader.run(A).data.metrics == {"loss": 1.0}


def test_what_is_said_late_of_a_removed_run_does_not_bring_it_back(record: Callable[..., None], store: Store) -> None:
    """A late tag of a run that is not there makes no run; beside the run's beginning, or behind it, it counts."""
    record(ev.TagsSet(A, {"cost": "1"}, late=True))
    assert count(store, schema.runs) == 0
    record(ev.TagsSet(B, {"cost": "2"}, late=True), ev.RunStarted(B, "s", 100, "run"))
    record(ev.TagsSet(B, {"more": "3"}, late=True), ev.TagsSet(A, {"cost": "1"}, late=True))
    assert count(store, schema.runs) == 1
    assert Reader(store).run(B).data.tags == {"cost": "2", "more": "3"}


def test_the_last_value_is_the_newest_at_the_highest_step(record: Callable[..., None], reader: Reader) -> None:
    """Steps may go backwards and repeat; time decides between points of one step, then the order of logging."""
    points = [(5, 10, 1.0), (9, 30, 2.0), (9, 20, 3.0), (2, 99, 4.0), (9, 30, 5.0)]
    for step, time, value in points:
        record(ev.MetricLogged(A, "m", value, time, step))
    record(*[ev.MetricLogged(A, "n", value, time, step) for step, time, value in points])
    summaries = reader.run(A).data.series
    assert summaries["m"] == summaries["n"] == records.MetricSummary(5.0, 9, 1.0, 5, 5.0, 9, 5)


def test_a_curve_below_step_zero_has_a_last_value(record: Callable[..., None], reader: Reader) -> None:
    """The first point of a series is its last, whatever its step."""
    record(ev.MetricLogged(A, "m", 1.0, -5, -100))
    assert reader.run(A).data.series["m"] == records.MetricSummary(1.0, -100, 1.0, -100, 1.0, -100, 1)


def test_nan_counts_towards_last_and_count_only(record: Callable[..., None], reader: Reader) -> None:
    """NaN is no minimum and no maximum; infinities are, and come back as what they were."""
    values: list[ev.Number] = ["NaN", 1.0, "Infinity", "-Infinity", "NaN"]
    record(*[ev.MetricLogged(A, "m", value, step, step) for step, value in enumerate(values)])
    summary = reader.run(A).data.series["m"]
    assert (summary.min, summary.min_step, summary.max, summary.max_step) == (-math.inf, 3, math.inf, 2)
    assert math.isnan(summary.last)
    assert summary.count == 5
    history = [metric.value for metric in reader.metric_history(A, "m")]
    assert repr(history) == "[nan, 1.0, inf, -inf, nan]"


@pytest.mark.parametrize("value", [0.1, -0.0, 1e-308, 1.7976931348623157e308, 2**53 + 1.0, 5e-324, 123456789.123456789])
def test_floats_come_back_bit_for_bit(value: float, record: Callable[..., None], reader: Reader) -> None:
    """No rounding, no loss at the ends of the range."""
    record(ev.MetricLogged(A, "m", value, 1))
    assert reader.metric_history(A, "m")[0].value == value
    assert reader.run(A).data.metrics["m"] == value


def test_steps_and_times_beyond_64_bits_do_not_stop_the_journal(record: Callable[..., None], reader: Reader) -> None:
    """They are kept at the end of the range."""
    record(ev.MetricLogged(A, "m", 1.0, -(2**70), 2**70))
    assert reader.metric_history(A, "m") == [records.Metric("m", 1.0, -(2**63), 2**63 - 1)]


def test_a_parameter_that_is_logged_again_gets_the_new_value(record: Callable[..., None], reader: Reader) -> None:
    """Within a batch and across batches the later value counts."""
    record(ev.ParamsLogged(A, [ev.Param("a", "1", "1"), ev.Param("a", "2", "2")]))
    assert reader.run(A).data.params == {"a": "2"}
    record(ev.ParamsLogged(A, [ev.Param("a", "three")]))
    assert reader.run(A).data.param_values == {"a": "three"}


def test_params_keep_their_type(record: Callable[..., None], reader: Reader) -> None:
    """Numbers, null, booleans, lists, NaN and infinities come back as such; damaged JSON as its text."""
    texts = {"i": "3", "f": "0.5", "n": "null", "b": "true", "l": "[1,2]", "inf": "-Infinity", "big": "1" * 400}
    rows = [ev.Param(key, f"text {key}", text) for key, text in texts.items()]
    record(ev.ParamsLogged(A, [*rows, ev.Param("bad", "the text", "{"), ev.Param("deep", "d", "[" * 9999)]))
    values = reader.run(A).data.param_values
    known = {"i": 3, "f": 0.5, "n": None, "b": True, "l": [1, 2], "inf": -math.inf, "big": int("1" * 400)}
    assert values == {**known, "bad": "the text", "deep": "d"}


def test_large_texts_are_kept_whole(record: Callable[..., None], reader: Reader) -> None:
    """A parameter of 3 MB, a tag and a description of 100 kB, of any language."""
    param, tag = "ä" * 3_000_000, "日本😀" * 30_000
    record(
        ev.RunStarted(A, "s", 1, tag[:1000], description=tag),
        ev.ParamsLogged(A, [ev.Param("p", param)]),
        ev.TagsSet(A, {"t😀": tag}),
    )
    run = reader.run(A)
    assert run.data.params["p"] == param
    assert run.data.tags["t😀"] == run.info.description == tag


def test_long_keys_are_clipped_and_stay_apart(record: Callable[..., None], reader: Reader) -> None:
    """Two keys that differ in their last letter are two; the run says that they were clipped; history finds them."""
    one, two = "k" * 900 + "1", "k" * 900 + "2"
    record(ev.MetricsLogged(A, {one: 1.0, two: 2.0}, 1), ev.TagsSet(A, {one: "x", two: "y"}))
    record(ev.ParamsLogged(A, [ev.Param(one, "p"), ev.Param(two, "q")]), ev.ArtifactLogged(A, one * 4, 1, "d", 1))
    run = reader.run(A)
    assert sorted(run.data.metrics.values()) == [1.0, 2.0]
    assert sorted(run.data.tags.values()) == ["x", "y"]
    assert sorted(run.data.params.values()) == ["p", "q"]
    assert all(len(key) == 500 for key in run.data.metrics)
    assert reader.metric_history(A, two)[0].value == 2.0
    assert "a metric key of 901 characters was clipped" in run.info.degraded
    assert reader.artifacts(A)[0].path == one * 4


def test_nul_characters_stop_no_journal(record: Callable[..., None], reader: Reader) -> None:
    """They are kept where the engine can, else shown as the replacement character; in keys always so."""
    record(ev.ParamsLogged(A, [ev.Param("a\0b", "x\0y")]), ev.MetricLogged(A, "m\0", 1.0, 1))
    record(ev.RunUpdated(A, "n\0", "d\0"), ev.TagsSet(A, {"t\0": "v"}), ev.TagDeleted(A, "t\0"))
    data = reader.run(A).data
    assert data.params["a\ufffdb"] in ("x\0y", "x\ufffdy")
    assert data.metrics == {"m\ufffd": 1.0}
    assert data.tags == {}


@pytest.mark.parametrize(
    "key", ["acc@5", "f1(macro)", "a%", "a,b", "a//b", "../x", "/abs", " lead", "ä b", "😀", "'\"`;--"]
)
def test_keys_of_any_characters_are_kept(key: str, record: Callable[..., None], reader: Reader) -> None:
    """No character is forbidden, and upper and lower case are two keys."""
    record(ev.MetricsLogged(A, {key: 1.0, key + "x": 2.0, key + "X": 3.0}, 1), ev.TagsSet(A, {key: key}))
    assert reader.run(A).data.metrics == {key: 1.0, key + "x": 2.0, key + "X": 3.0}
    assert reader.run(A).data.tags == {key: key}


def test_reasons_of_degradation_add_up_within_a_bound(record: Callable[..., None], reader: Reader) -> None:
    """The same reason stands there once; the text stays within 2,000 characters."""
    record(ev.RunDegraded(A, "disk full"), ev.RunDegraded(A, "disk full"))
    record(ev.RunDegraded(A, "disk full"), ev.RunDegraded(A, "clock"))
    assert reader.run(A).info.degraded == "disk full; clock"
    record(*[ev.RunDegraded(A, f"reason {number} " * 10) for number in range(100)])
    assert len(reader.run(A).info.degraded) == 2000


def test_a_resumed_run_is_running_again(record: Callable[..., None], reader: Reader) -> None:
    """Its end and its error are gone, and it belongs to the journal of the process that resumed it."""
    record(ev.RunStarted(A, "s", 1, "n"), ev.RunEnded(A, "FAILED", 5, ev.ErrorInfo("E", "m")))
    record(ev.RunResumed(A, "s2", 9), journal="other")
    info = reader.run(A).info
    assert (info.status, info.end_time, info.error) == ("RUNNING", None, None)


def test_a_late_journal_does_not_undo_a_later_status(record: Callable[..., None], reader: Reader) -> None:
    """A run was resumed and ended elsewhere; then the first process's journal is read: the later end stays."""
    record(ev.RunResumed(A, "s2", 50), ev.RunEnded(A, "FINISHED", 90), journal="second")
    record(ev.RunStarted(A, "s", 1, "n"), ev.RunEnded(A, "FAILED", 20, ev.ErrorInfo("E")), journal="first")
    info = reader.run(A).info
    assert (info.status, info.end_time, info.error, info.run_name) == ("FINISHED", 90, None, "n")


def test_a_clock_that_goes_back_does_not_keep_a_run_open(record: Callable[..., None], reader: Reader) -> None:
    """Within one journal the order counts, not the times."""
    record(ev.RunStarted(A, "s", 1000, "n"))
    record(ev.RunEnded(A, "FINISHED", 900))
    assert reader.run(A).info.status == "FINISHED"


def test_an_experiment_id_wins_over_a_name(store: Store, record: Callable[..., None], reader: Reader) -> None:
    """A run goes to the experiment of that id; where there is none it goes to "Default" and says so."""
    wanted = writing.create_experiment(store, "wanted")
    record(ev.RunStarted(A, "s", 1, "n", "ignored", wanted), ev.RunStarted(B, "s", 1, "n", experiment_id="no such"))
    assert reader.run(A).info.experiment_id == wanted
    assert reader.run(B).info.experiment_id == "0"
    assert "experiment id no such" in reader.run(B).info.degraded
    with pytest.raises(NotFoundError):
        reader.experiment_by_name("ignored")


def test_a_run_of_a_deleted_experiment_is_stored_there(
    store: Store, record: Callable[..., None], reader: Reader
) -> None:
    """The experiment stays deleted, the run is kept."""
    deleted = writing.create_experiment(store, "gone")
    writing.delete_experiment(store, deleted)
    record(ev.RunStarted(A, "s", 1, "n", "gone"))
    assert reader.run(A).info.experiment_id == deleted
    assert reader.experiment(deleted).lifecycle_stage == "deleted"


def test_a_fit_is_replaced_when_it_ends(record: Callable[..., None], reader: Reader) -> None:
    """The same `fit_id` again makes no second row."""
    record(ev.FitLogged("f", "s", 5, A, estimator="SVC"))
    record(ev.FitLogged("f", "s", 5, A, estimator="SVC", status="FINISHED", duration=2.5))
    assert [(fit.status, fit.duration) for fit in reader.fits(A)] == [("FINISHED", 2.5)]


def test_trials_and_files_are_replaced_by_number_and_path(record: Callable[..., None], reader: Reader) -> None:
    """What is logged again under the same number or path takes the place of what was there."""
    record(ev.TrialsLogged(A, [ev.TrialInfo(1), ev.TrialInfo(0)]), ev.ArtifactLogged(A, "f", 1, "d", 1))
    record(ev.TrialsLogged(A, [ev.TrialInfo(1, state="FAIL")]), ev.ArtifactLogged(A, "f", 2, "e", 2))
    assert [(trial.number, trial.state) for trial in reader.trials(A)] == [(0, "COMPLETE"), (1, "FAIL")]
    assert reader.artifacts(A) == [records.FileInfo("f", False, 2)]


def test_a_batch_over_many_runs_and_keys_is_whole(record: Callable[..., None], reader: Reader) -> None:
    """More runs and keys than stand in one statement: 1,200 runs, then one run with 1,200 keys."""
    record(*[ev.MetricLogged(f"{number:032x}", "m", float(number), 1) for number in range(1200)])
    record(*[ev.MetricLogged(f"{number:032x}", "m", float(number), 2, 1) for number in range(1200)])
    page = reader.search_runs(None, "metrics.m >= 0", max_results=2000)
    assert len(page) == 1200
    assert all(run.data.series["m"].count == 2 for run in page)
    record(ev.MetricsLogged(A, {f"m{number}": 1.0 for number in range(1200)}, 1))
    assert len(reader.run(A).data.metrics) == 1200


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 257, 300])
def test_rows_go_in_whole_however_many_they_are(count: int, store: Store) -> None:
    """Several stand in one statement: new ones, those that are replaced, those that are left alone, and changes."""
    dialect, tags = store.dialect, schema.tags

    def rows(first: int, last: int, value: str) -> list[dict[str, object]]:
        return [{"run": 1, "key": f"k{number:03}", "value": value} for number in range(first, last)]

    half = count // 2
    with store.transaction() as connection:
        Writer(store).apply(connection, [ev.RunStarted(A, "s", 1, "n")], "j")
        run = connection.execute(select(schema.runs.c.id)).scalar_one()
        given = [[{**row, "run": run} for row in some] for some in (
            rows(0, count, "first"), rows(half, count + half, "replaced"), rows(0, count + half, "ignored"),
        )]  # fmt: skip
        for some, replace in zip(given, (True, True, False), strict=True):
            dialect.insert_rows(connection, tags, ("run", "key"), some, replace=replace)
        found = dict(connection.execute(select(tags.c["key"], tags.c.value)).all())
        assert found == {row["key"]: "first" if row["key"] < f"k{half:03}" else "replaced" for row in given[2]}

        sessions = [{"session_id": f"s{number}", **empty_session(number)} for number in range(count)]
        dialect.insert_rows(connection, schema.sessions, ("session_id",), sessions, replace=False)
        changes = [{"session_id": f"s{number}", "pid": number, "host": f"h'{number}"} for number in range(half, count)]
        dialect.update_rows(connection, schema.sessions, "session_id", changes)
        columns = schema.sessions.c
        query = select(columns.session_id, columns.start_time, columns.pid, columns.host)
        assert {row.session_id: tuple(row)[1:] for row in connection.execute(query) if row.session_id != "s"} == {
            f"s{number}": (number, number if number >= half else 0, f"h'{number}" if number >= half else "")
            for number in range(count)
        }
        connection.rollback()


def test_an_offset_moves_once_however_many_try(store: Store) -> None:
    """Compare-and-set: who believes in the wrong offset is told so, and nothing of its transaction stays."""
    event = ev.MetricLogged(A, "m", 1.0, 1)
    outcomes = []
    for _ in range(2):
        with store.transaction() as connection:
            moved = advance_journal(connection, OPENED, 0, 100, 1000)
            if moved:
                Writer(store).apply(connection, [event], "j")
            else:
                connection.rollback()
            outcomes.append(moved)
    assert outcomes == [True, False]
    assert Reader(store).journal_offset("j") == 100
    assert len(Reader(store).metric_history(A, "m")) == 1


def test_ingesting_from_many_threads_counts_every_event_once(store: Store) -> None:
    """Four threads move one journal of 40 pieces, each trying each: 40 points, not 160."""

    @retried
    def move_one(piece: int) -> None:
        with store.transaction() as connection:
            if advance_journal(connection, OPENED, piece, piece + 1, 1000):
                Writer(store).apply(connection, [ev.MetricLogged(A, "m", 1.0, piece, piece)], "j")
            else:
                connection.rollback()

    def move() -> None:
        for piece in range(40):
            move_one(piece)

    threads = [threading.Thread(target=move) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = Reader(store).metric_history(A, "m")
    assert [metric.step for metric in history] == list(range(Reader(store).journal_offset("j")))
    assert len(history) == 40


def test_two_journals_that_write_one_curve_at_once_lose_no_point(store: Store) -> None:
    """Ranks of one run log the same metric from several processes."""

    @retried
    def log_one(journal: str, step: int) -> None:
        with store.transaction() as connection:
            Writer(store).apply(connection, [ev.MetricLogged(A, "m", 1.0, step, step)], journal)

    def log(journal: str) -> None:
        for step in range(25):
            log_one(journal, step)

    threads = [threading.Thread(target=log, args=(f"rank{rank}",)) for rank in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Reader(store).metric_history(A, "m")) == 100
    assert Reader(store).run(A).data.series["m"].count == 100


def test_writers_that_lock_each_other_out_both_get_through(store: Store, record: Callable[..., None]) -> None:
    """Two transactions that touch two runs in opposite order: the database takes one back, it is begun anew.

    SQLite has one writer at a time, so that there both go through at the first try.
    """
    record(ev.RunStarted(A, "s", 1, "a"), ev.RunStarted(B, "s", 1, "b"))
    table, tries, met = schema.runs, [], threading.Barrier(2)

    @retried
    def rename(first: str, second: str) -> None:
        tries.append(first)
        with store.transaction() as connection:
            connection.execute(table.update().where(table.c.run_id == first).values(name=f"of {first}"))
            if store.dialect.scheme != "sqlite" and tries.count(first) == 1:
                met.wait(10)
            connection.execute(table.update().where(table.c.run_id == second).values(name=f"of {first}"))

    threads = [threading.Thread(target=rename, args=pair) for pair in ((A, B), (B, A))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tries) == (2 if store.dialect.scheme == "sqlite" else 3)
    reader = Reader(store)
    assert reader.run(A).info.run_name == reader.run(B).info.run_name


def test_journals_tell_who_writes_them(store: Store, record: Callable[..., None]) -> None:
    """Offset, heartbeat and end are kept; those without a running run can be left out."""
    with store.transaction() as connection:
        assert advance_journal(connection, OPENED, 0, 10, 1000)
    info = records.JournalInfo("j", 10, "host", "boot", 7, 70, 500, 1000, None)
    reader = Reader(store)
    assert reader.journals() == [info]
    assert reader.journals(with_open_runs=True) == []
    record(ev.RunStarted(A, "s", 1, "n"))
    writing.beat_journal(store, "j", 2000)
    assert reader.journals(with_open_runs=True)[0].heartbeat == 2000
    with store.transaction() as connection:
        assert advance_journal(connection, OPENED, 10, 20, 3000, closed=2999)
    assert reader.journals()[0].closed == 2999
    assert reader.journal_offset("unknown") == 0


def test_runs_of_a_lost_process_end_as_killed(store: Store, record: Callable[..., None], reader: Reader) -> None:
    """They end when their process was last alive; other processes' runs and ended ones stay; fits end with them."""
    with store.transaction() as connection:
        advance_journal(connection, OPENED, 0, 10, 7777)
    record(ev.RunStarted(A, "s", 1, "n"), ev.FitLogged("f", "s", 2, A), ev.MetricLogged(A, "m", 1.0, 3))
    record(ev.RunStarted(B, "s", 1, "n"), journal="alive")
    assert writing.finish_lost_runs(store, ["j", "unknown"]) == [A]
    assert writing.finish_lost_runs(store, ["j"]) == []
    info = reader.run(A).info
    assert (info.status, info.end_time) == ("KILLED", 7777)
    assert reader.fits(A)[0].status == "KILLED"
    assert reader.run(A).data.metrics == {"m": 1.0}
    assert reader.run(B).info.status == "RUNNING"


def test_a_run_that_was_taken_for_lost_can_still_end(store: Store, record: Callable[..., None], reader: Reader) -> None:
    """The guess that its process is gone gives way to what its journal says, however old that is."""
    with store.transaction() as connection:
        advance_journal(connection, OPENED, 0, 10, 7777)
    record(ev.RunStarted(A, "s", 1, "n"))
    writing.finish_lost_runs(store, ["j"])
    record(ev.RunEnded(A, "FINISHED", 50))
    assert (reader.run(A).info.status, reader.run(A).info.end_time) == ("FINISHED", 50)


def test_experiments_are_made_renamed_deleted_and_restored(store: Store, reader: Reader) -> None:
    """Each step shows in the record; names are unique, deleted ones included."""
    key = writing.create_experiment(store, "one", "s3://bucket/x/", {"team": "blue"})
    found = reader.experiment(key)
    assert (found.name, found.artifact_location, found.tags) == ("one", "s3://bucket/x", {"team": "blue"})
    with pytest.raises(AlreadyExistsError, match="'one' exists already"):
        writing.create_experiment(store, "one")
    writing.set_experiment_tag(store, key, "team", "red")
    writing.rename_experiment(store, key, "two")
    assert reader.experiment_by_name("two").tags == {"team": "red"}
    writing.delete_experiment(store, key)
    assert reader.experiment(key).lifecycle_stage == "deleted"
    with pytest.raises(AlreadyExistsError, match="restore_experiment"):
        writing.create_experiment(store, "two")
    with pytest.raises(AlreadyExistsError):
        writing.rename_experiment(store, "0", "two")
    writing.restore_experiment(store, key)
    assert reader.experiment(key).lifecycle_stage == "active"
    assert writing.ensure_experiment(store, "two") == key
    assert writing.ensure_experiment(store, "three") != key


def test_deleting_an_experiment_takes_its_runs_along(store: Store, record: Callable[..., None], reader: Reader) -> None:
    """Restoring it brings back those runs, not the ones that were deleted before."""
    record(ev.RunStarted(A, "s", 1, "n", "exp"), ev.RunStarted(B, "s", 1, "n", "exp"))
    key = reader.experiment_by_name("exp").experiment_id
    writing.delete_run(store, B)
    with store.transaction() as connection:
        connection.execute(schema.runs.update().where(schema.runs.c.run_id == B).values(deleted_time=5))
    writing.delete_experiment(store, key)
    assert reader.run(A).info.lifecycle_stage == "deleted"
    writing.restore_experiment(store, key)
    assert reader.run(A).info.lifecycle_stage == "active"
    assert reader.run(B).info.lifecycle_stage == "deleted"


@pytest.mark.parametrize("name", ["", "x" * 501])
def test_an_experiment_needs_a_name_that_fits(store: Store, name: str) -> None:
    """The error says what is expected."""
    with pytest.raises(InvalidArgumentError, match="1 to 500 characters"):
        writing.create_experiment(store, name)


@pytest.mark.parametrize("key", ["99", "x", "", "-1", "٣", "9" * 40])
def test_managing_what_is_not_there_says_so(store: Store, key: str) -> None:
    """Ids of no experiment and of no run, odd ones included, are errors that name them."""
    for act in (writing.delete_experiment, writing.restore_experiment, writing.delete_run, writing.restore_run):
        with pytest.raises(NotFoundError):
            act(store, key)
    with pytest.raises(NotFoundError):
        writing.rename_experiment(store, key, "new")
    with pytest.raises(NotFoundError):
        writing.set_experiment_tag(store, key, "a", "b")


def test_deleted_runs_come_back(store: Store, record: Callable[..., None], reader: Reader) -> None:
    """A deleted run is out of the default view and in the other one, until it is restored."""
    record(ev.RunStarted(A, "s", 1, "n"))
    writing.delete_run(store, A)
    assert list(reader.search_runs()) == []
    assert [run.info.run_id for run in reader.search_runs(run_view_type="DELETED_ONLY")] == [A]
    writing.restore_run(store, A)
    assert [run.info.run_id for run in reader.search_runs()] == [A]
