"""The fluent API: what a program calls by hand."""

from __future__ import annotations

import asyncio
import decimal
import enum
import fractions
import json
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autotrack
from autotrack import Client, DatasetInfo
from autotrack.errors import (
    ActiveRunError,
    ArtifactError,
    InvalidArgumentError,
    NotFoundError,
    RunEndedError,
)
from autotrack.records import Run
from autotrack.testing import TemporaryStore

pytestmark = pytest.mark.usefixtures("autotrack_store")

ODD_KEYS = [
    "acc@5",
    "f1(macro)",
    "loss/train",
    "précision",
    "\U0001f600",
    "a b",
    "50%_x",
    "'quoted'",
    "`tick`",
    "x" * 500,
]


def history(run_id: str, key: str) -> list[tuple[int, float]]:
    """Steps and values of a curve."""
    return [(point.step, point.value) for point in Client().get_metric_history(run_id, key)]


def last() -> Run:
    """The run that ended last."""
    found = autotrack.last_active_run()
    assert found is not None
    return found


# Runs


def test_a_run_has_what_was_logged_between_its_beginning_and_its_end() -> None:
    """Parameters, metrics, tags, name, description, times, status."""
    with autotrack.start_run(run_name="mine", tags={"team": "a"}, description="a test") as run:
        assert run.info.status == "RUNNING"
        autotrack.log_param("C", 0.5)
        autotrack.log_params({"solver": "lbfgs", "none": None})
        autotrack.log_metric("loss", 0.25)
        autotrack.log_metrics({"acc": 0.75, "f1": 0.5})
        autotrack.set_tag("stage", "test")
        autotrack.set_tags({"n": 1})
    found = autotrack.get_run(run.info.run_id)
    assert (found.info.run_name, found.info.description, found.info.status) == ("mine", "a test", "FINISHED")
    assert found.data.metrics == {"loss": 0.25, "acc": 0.75, "f1": 0.5}
    assert found.data.params == {"C": "0.5", "solver": "lbfgs", "none": "None"}
    assert found.data.param_values == {"C": 0.5, "solver": "lbfgs", "none": None}
    assert {key: found.data.tags[key] for key in ("team", "stage", "n")} == {"team": "a", "stage": "test", "n": "1"}
    assert found.info.end_time is not None
    assert found.info.end_time >= found.info.start_time
    assert run.info.status == "FINISHED"


def test_runs_nest_and_the_inner_one_gets_what_is_logged_inside() -> None:
    """A nested run is its parent's child, and the parent is active again after it."""
    with autotrack.start_run(run_name="outer") as outer:
        with autotrack.start_run(run_name="inner", nested=True) as inner:
            autotrack.log_metric("x", 1.0)
            assert autotrack.active_run() is inner
        assert autotrack.active_run() is outer
        autotrack.log_metric("y", 2.0)
    assert autotrack.active_run() is None
    assert autotrack.get_run(inner.run_id).data.metrics == {"x": 1.0}
    assert autotrack.get_run(inner.run_id).info.parent_run_id == outer.run_id
    assert autotrack.get_run(outer.run_id).data.metrics == {"y": 2.0}


def test_a_second_run_beside_an_active_one_is_refused() -> None:
    """Without `nested` that is a mistake more often than not; the message says what to do."""
    with autotrack.start_run() as run:
        with pytest.raises(ActiveRunError, match=r"nested=True") as caught:
            autotrack.start_run()
        assert run.run_id in str(caught.value)
        with pytest.raises(ActiveRunError, match="active already"):
            autotrack.start_run(run_id=run.run_id, nested=True)


def test_a_nested_run_that_was_left_open_ends_with_its_parent() -> None:
    """Leaving the outer `with` by an exception fails both."""
    opened = []

    def fail() -> None:
        with autotrack.start_run() as outer:
            opened.extend([outer, autotrack.start_run(nested=True)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert autotrack.active_run() is None
    assert [autotrack.get_run(run.run_id).info.status for run in opened] == ["FAILED", "FAILED"]


def test_end_run_ends_the_innermost_run_and_without_one_does_nothing() -> None:
    """As often as it is called."""
    outer = autotrack.start_run()
    inner = autotrack.start_run(nested=True)
    autotrack.end_run("KILLED")
    assert autotrack.active_run() is outer
    autotrack.end_run()
    autotrack.end_run()
    assert autotrack.get_run(inner.run_id).info.status == "KILLED"
    assert autotrack.get_run(outer.run_id).info.status == "FINISHED"
    with pytest.raises(InvalidArgumentError, match="FINISHED, FAILED or KILLED"):
        autotrack.end_run("DONE")  # type: ignore[arg-type]


def test_logging_without_a_run_opens_one() -> None:
    """It stays open until it is ended."""
    autotrack.log_metric("x", 1.0)
    run = autotrack.active_run()
    assert run is not None
    autotrack.log_param("p", 1)
    autotrack.end_run()
    assert last().info.run_id == run.run_id
    assert last().data.metrics == {"x": 1.0}


def test_a_bad_call_opens_no_run() -> None:
    """What is refused leaves nothing behind."""
    calls: list[Callable[[], Any]] = [
        lambda: autotrack.log_metric("", 1.0),
        lambda: autotrack.log_metric("x", "high"),
        lambda: autotrack.log_metric("x", 1.0, step=0.5),  # type: ignore[arg-type]
        lambda: autotrack.log_metrics({"x": None}),
        lambda: autotrack.log_param("", 1),
        lambda: autotrack.log_params([("a", 1)]),  # type: ignore[arg-type]
        lambda: autotrack.set_tag("\0", 1),
        lambda: autotrack.set_tags(None),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(InvalidArgumentError):
            call()
    assert autotrack.active_run() is None
    assert autotrack.search_runs(output_format="list") == []


def test_a_run_is_resumed_by_its_id_and_goes_on_where_it_was() -> None:
    """Steps count on, times and name stay, the status is RUNNING and then FINISHED again."""
    with autotrack.start_run(run_name="first") as run:
        for _ in range(3):
            autotrack.log_metric("loss", 1.0)
    began = run.info.start_time
    with autotrack.start_run(run_id=run.run_id, tags={"again": "yes"}) as again:
        assert again.info.start_time == began
        assert autotrack.get_run(run.run_id).info.status == "RUNNING"
        autotrack.log_metric("loss", 2.0)
    found = autotrack.get_run(run.run_id)
    assert history(run.run_id, "loss") == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 2.0)]
    assert (found.info.run_name, found.info.status, found.data.tags["again"]) == ("first", "FINISHED", "yes")
    with autotrack.start_run(run_id=run.run_id, run_name="second", description="renamed"):
        pass
    found = autotrack.get_run(run.run_id)
    assert (found.info.run_name, found.info.description) == ("second", "renamed")


def test_a_run_that_does_not_exist_is_an_error_everywhere() -> None:
    """The message names the id."""
    calls: list[Callable[[], Any]] = [
        lambda: autotrack.start_run(run_id="nope"),
        lambda: autotrack.get_run("nope"),
        lambda: autotrack.log_metric("x", 1.0, run_id="nope"),
        lambda: autotrack.log_metrics({"x": 1.0}, run_id="nope"),
        lambda: autotrack.log_params({"x": 1.0}, run_id="nope"),
        lambda: autotrack.log_text("x", "x.txt", run_id="nope"),
        lambda: autotrack.delete_run("nope"),
    ]
    for call in calls:
        with pytest.raises(NotFoundError, match="nope"):
            call()


def test_logging_to_an_ended_run_is_an_error_that_says_how_to_resume_it() -> None:
    """Whoever ended it."""
    with autotrack.start_run() as run:
        Client().set_terminated(run.run_id, "FAILED")
        with pytest.raises(RunEndedError, match=rf"start_run\(run_id='{run.run_id}'\)"):
            autotrack.log_metric("x", 1.0)
    for call in (
        lambda: autotrack.log_metric("x", 1.0, run_id=run.run_id),
        lambda: autotrack.log_params({"x": 1.0}, run_id=run.run_id),
        lambda: Client().log_param(run.run_id, "x", 1),
    ):
        with pytest.raises(RunEndedError, match="FAILED"):
            call()
    assert autotrack.get_run(run.run_id).data.metrics == {}


def test_a_deleted_run_cannot_be_resumed_until_it_is_restored() -> None:
    """The message says so."""
    with autotrack.start_run() as run:
        pass
    autotrack.delete_run(run.run_id)
    with pytest.raises(InvalidArgumentError, match="restore"):
        autotrack.start_run(run_id=run.run_id)
    Client().restore_run(run.run_id)
    with autotrack.start_run(run_id=run.run_id):
        pass


def test_a_failed_run_says_why_and_the_exception_is_the_programs_own() -> None:
    """Type, message, and the line of the test that raised."""
    mine = ValueError("bad data")
    with pytest.raises(ValueError, match="bad data") as caught, autotrack.start_run():
        raise mine
    assert caught.value is mine
    error = last().info.error
    assert last().info.status == "FAILED"
    assert error is not None
    assert (error.type, error.message) == ("ValueError", "bad data")
    assert "test_fluent.py" in error.frame
    assert "autotrack/tracking" not in error.traceback


# Contexts


def test_threads_have_runs_of_their_own() -> None:
    """E18: two threads with a run each, at the same time, without cross-talk."""
    barrier = threading.Barrier(2)
    ids: dict[str, str] = {}

    def work(name: str, value: float) -> None:
        with autotrack.start_run(run_name=name) as run:
            ids[name] = run.run_id
            barrier.wait()
            for step in range(200):
                autotrack.log_metric("x", value, step=step)
            barrier.wait()

    threads = [threading.Thread(target=work, args=(name, value)) for name, value in (("a", 1.0), ("b", 2.0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert history(ids["a"], "x") == [(step, 1.0) for step in range(200)]
    assert history(ids["b"], "x") == [(step, 2.0) for step in range(200)]


def test_tasks_have_runs_of_their_own() -> None:
    """Three coroutines that take turns within their runs."""

    async def work(value: float) -> str:
        with autotrack.start_run() as run:
            for _ in range(20):
                autotrack.log_metric("x", value)
                await asyncio.sleep(0)
        return run.run_id

    async def main() -> list[str]:
        return list(await asyncio.gather(*(work(float(number)) for number in range(3))))

    for number, run_id in enumerate(asyncio.run(main())):
        assert history(run_id, "x") == [(step, float(number)) for step in range(20)]


def test_threads_that_share_a_run_lose_no_point_and_count_each_step_once() -> None:
    """Default steps are given out one by one, however many threads ask."""
    with autotrack.start_run() as run:

        def work() -> None:
            for _ in range(500):
                autotrack.log_metric("x", 1.0, run_id=run.run_id)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(step for step, _ in history(run.run_id, "x")) == list(range(3000))


def test_an_experiment_that_many_threads_set_at_once_is_made_once() -> None:
    """All of them get the same one."""
    found: list[str] = []

    def work() -> None:
        found.append(autotrack.set_experiment("raced").experiment_id)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [one.name for one in Client().search_experiments()].count("raced") == 1


# Experiments


def test_runs_go_to_the_experiment_that_was_set() -> None:
    """By name, which makes it, or by id."""
    first = autotrack.set_experiment("first", tags={"a": 1})
    with autotrack.start_run() as run:
        pass
    assert autotrack.get_run(run.run_id).info.experiment_id == first.experiment_id
    second = autotrack.create_experiment("second")
    autotrack.set_experiment(experiment_id=second)
    with autotrack.start_run() as run:
        pass
    assert autotrack.get_run(run.run_id).info.experiment_id == second
    with autotrack.start_run(experiment_id=first.experiment_id) as run:
        pass
    assert autotrack.get_run(run.run_id).info.experiment_id == first.experiment_id
    made = autotrack.get_experiment_by_name("first")
    assert made is not None
    assert made.tags == {"a": "1"}
    assert autotrack.get_experiment(second).name == "second"
    assert autotrack.get_experiment_by_name("third") is None


def test_an_experiment_that_is_not_there_or_deleted_is_an_error() -> None:
    """Before any run is opened."""
    with pytest.raises(NotFoundError, match="4711"):
        autotrack.set_experiment(experiment_id="4711")
    with pytest.raises(NotFoundError, match="4711"):
        autotrack.start_run(experiment_id="4711")
    with pytest.raises(InvalidArgumentError, match="either a name or an id"):
        autotrack.set_experiment()
    with pytest.raises(InvalidArgumentError, match="either a name or an id"):
        autotrack.set_experiment("a", "1")
    gone = autotrack.create_experiment("gone")
    Client().delete_experiment(gone)
    with pytest.raises(InvalidArgumentError, match="restore it first"):
        autotrack.set_experiment("gone")
    assert autotrack.active_run() is None


# Values


class Shade(str, enum.Enum):
    """An enum whose members are strings."""

    RED = "red"


def numbers() -> list[tuple[Any, float]]:
    """What counts as a number, and which."""
    return [
        (1, 1.0), (True, 1.0), (0.5, 0.5), (decimal.Decimal("0.25"), 0.25), (fractions.Fraction(1, 4), 0.25),
        (10**400, math.inf), (-(10**400), -math.inf), (math.inf, math.inf), (-math.inf, -math.inf), (-0.0, 0.0),
        (5e-324, 5e-324), (1.7976931348623157e308, 1.7976931348623157e308), (2**53 + 1, float(2**53 + 1)),
    ]  # fmt: skip


def test_numbers_of_every_kind_are_metrics() -> None:
    """Python's own; infinities and the smallest and largest floats come back as they were."""
    with autotrack.start_run() as run:
        for value, _ in numbers():
            autotrack.log_metric("x", value)
        autotrack.log_metrics({f"many{index}": value for index, (value, _) in enumerate(numbers())})
    assert [value for _, value in history(run.run_id, "x")] == [wanted for _, wanted in numbers()]
    found = autotrack.get_run(run.run_id).data.metrics
    assert [found[f"many{index}"] for index in range(len(numbers()))] == [wanted for _, wanted in numbers()]


def test_nan_is_kept_as_nan() -> None:
    """Neither dropped nor zero, and min and max are those of the numbers around it."""
    with autotrack.start_run() as run:
        for value in (1.0, math.nan, 3.0, math.nan):
            autotrack.log_metric("x", value)
    values = [value for _, value in history(run.run_id, "x")]
    assert [math.isnan(value) for value in values] == [False, True, False, True]
    summary = autotrack.get_run(run.run_id).data.series["x"]
    assert math.isnan(summary.last)
    assert (summary.min, summary.max, summary.count) == (1.0, 3.0, 4)


def test_numpy_scalars_and_arrays_of_one_are_metrics() -> None:
    """Of every type that holds numbers, also as keys and steps."""
    numpy = pytest.importorskip("numpy")
    values = [numpy.float64(0.5), numpy.float32(0.5), numpy.float16(0.5), numpy.array(0.5), numpy.array([[0.5]])]
    with autotrack.start_run() as run:
        for step, value in enumerate(values):
            autotrack.log_metric(numpy.str_("x"), value, step=numpy.int64(step))
        autotrack.log_metric("whole", numpy.uint8(200))
        autotrack.log_metric("truth", numpy.bool_(True))
    assert history(run.run_id, "x") == [(step, 0.5) for step in range(5)]
    assert autotrack.get_run(run.run_id).data.metrics == {"x": 0.5, "whole": 200.0, "truth": 1.0}


def test_tensors_of_one_value_are_metrics() -> None:
    """Also those that belong to a graph."""
    torch = pytest.importorskip("torch")
    with autotrack.start_run() as run:
        autotrack.log_metric("x", torch.tensor(0.5, requires_grad=True))
        autotrack.log_metric("x", torch.tensor([0.25], dtype=torch.float64))
        autotrack.log_metrics({"y": torch.tensor(3)})
    assert history(run.run_id, "x") == [(0, 0.5), (1, 0.25)]
    with pytest.raises(InvalidArgumentError, match="number"):
        autotrack.log_metric("x", torch.zeros(3))


@pytest.mark.parametrize(
    "value",
    ["0.5", "high", b"1", bytearray(b"1"), None, [1.0], {}, object(), 1j, math],
    ids=lambda value: repr(value)[:12],
)
def test_what_is_no_number_is_refused(value: Any) -> None:
    """The message shows what came and what is expected."""
    with autotrack.start_run() as run:
        for call in (lambda: autotrack.log_metric("x", value), lambda: autotrack.log_metrics({"y": 1, "x": value})):
            with pytest.raises(InvalidArgumentError, match="expected a number"):
                call()
    assert autotrack.get_run(run.run_id).data.metrics == {}


def test_steps_may_go_backwards_and_default_steps_count_on() -> None:
    """Each key counts for itself, from the last step that it got."""
    with autotrack.start_run() as run:
        for step in (10, 5, None, None, -3, None):
            autotrack.log_metric("x", 1.0, step=step)
        autotrack.log_metric("y", 1.0)
        autotrack.log_metrics({"x": 1.0, "y": 1.0})
    assert [step for step, _ in history(run.run_id, "x")] == [10, 5, 6, 7, -3, -2, 1]
    assert [step for step, _ in history(run.run_id, "y")] == [0, 1]


def test_the_largest_steps_are_kept_and_larger_ones_refused() -> None:
    """64 bits, as in the database; a default step behind the largest is the largest."""
    largest = 2**63 - 1
    with autotrack.start_run() as run:
        autotrack.log_metric("x", 1.0, step=largest)
        autotrack.log_metric("x", 2.0)
        autotrack.log_metric("x", 3.0, step=-largest)
        for step in (2**63, 10**30, 0.5, "1", [1], math.nan):
            with pytest.raises(InvalidArgumentError, match="whole number"):
                autotrack.log_metric("x", 1.0, step=step)  # type: ignore[arg-type]
    assert [step for step, _ in history(run.run_id, "x")] == [largest, largest, -largest]


def test_timestamps_are_the_programs_where_it_gives_them() -> None:
    """Whole milliseconds, also as floats without a fraction."""
    with autotrack.start_run() as run:
        autotrack.log_metric("x", 1.0, timestamp=1_600_000_000_000)
        autotrack.log_metric("x", 1.0, timestamp=1_600_000_000_001.0)  # type: ignore[arg-type]
        autotrack.log_metrics({"x": 1.0}, timestamp=5)
        with pytest.raises(InvalidArgumentError, match="timestamp"):
            autotrack.log_metric("x", 1.0, timestamp=0.5)  # type: ignore[arg-type]
    assert [point.timestamp for point in Client().get_metric_history(run.run_id, "x")] == [
        1_600_000_000_000, 1_600_000_000_001, 5,
    ]  # fmt: skip


@pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: ascii(key[:12]))
def test_keys_with_odd_characters_are_kept(key: str) -> None:
    """As metric, parameter and tag; keys beyond the store's limit are clipped with a mark and the run says so."""
    with autotrack.start_run() as run:
        autotrack.log_metric(key, 1.0)
        autotrack.log_param(key, "p")
        autotrack.set_tag(key, "t")
    found = autotrack.get_run(run.run_id)
    tables: list[dict[str, Any]] = [found.data.metrics, found.data.params]
    for table in tables:
        (kept,) = table
        assert kept == key or ("…" in kept and key.startswith(kept[:100]) and "clipped" in found.info.degraded)
    assert history(run.run_id, key) == [(0, 1.0)]


def test_keys_that_are_strings_of_another_class_are_kept_as_their_text() -> None:
    """Members of a string enum, for example."""
    with autotrack.start_run() as run:
        autotrack.log_metric(Shade.RED, 1.0)
        autotrack.log_param(Shade.RED, 1)
        autotrack.log_metrics({Shade.RED: 2.0})
    found = autotrack.get_run(run.run_id)
    assert found.data.metrics == {"red": 2.0}
    assert found.data.params == {"red": "1"}


@pytest.mark.parametrize("key", ["", "  ", "a\0b", "\ud800", None, 5, ["x"], b"x"], ids=ascii)
def test_keys_that_no_store_takes_are_refused(key: Any) -> None:
    """With the reason; nothing of the call is logged."""
    with autotrack.start_run() as run:
        calls: list[Callable[[], Any]] = [
            lambda: autotrack.log_metric(key, 1.0),
            lambda: autotrack.log_param(key, 1.0),
            lambda: autotrack.set_tag(key, 1.0),
        ]
        if not isinstance(key, list):
            calls += [
                lambda: autotrack.log_metrics({"good": 1.0, key: 1.0}),
                lambda: autotrack.log_params({"good": 1.0, key: 1.0}),
                lambda: autotrack.set_tags({"good": 1.0, key: 1.0}),
            ]
        for call in calls:
            with pytest.raises(InvalidArgumentError, match="key"):
                call()
    found = autotrack.get_run(run.run_id)
    assert (found.data.metrics, found.data.params) == ({}, {})
    assert "good" not in found.data.tags


def test_very_many_different_keys_are_no_trouble() -> None:
    """More than are remembered as checked."""
    with autotrack.start_run() as run:
        for number in range(10_500):
            autotrack.log_metric(f"key{number}", float(number))
    assert len(autotrack.get_run(run.run_id).data.metrics) == 10_500


def test_a_parameter_of_ten_megabytes_is_kept_whole() -> None:
    """Byte for byte, with text of several languages in it."""
    text = "x" * 10_000_000 + "é\U0001f600"
    with autotrack.start_run() as run:
        autotrack.log_param("big", text)
        autotrack.log_param("small", 1)
    found = autotrack.get_run(run.run_id).data
    assert found.params["big"] == text
    assert found.param_values["big"] == text
    assert found.params["small"] == "1"


def test_parameters_keep_their_type() -> None:
    """Beside their text: numbers are found as numbers, and None is not "None"."""
    values = {"i": 5, "f": 0.5, "b": True, "n": None, "s": "None", "l": [1, 2], "d": {"a": [1]}, "o": object}
    with autotrack.start_run() as run:
        autotrack.log_params(values)
        autotrack.log_param("i", 6)
    found = autotrack.get_run(run.run_id).data
    assert found.params["i"] == "6"
    assert {key: found.param_values[key] for key in "fbnsld"} == {key: values[key] for key in "fbnsld"}
    assert found.param_values["o"] == str(object)
    assert len(autotrack.search_runs(filter_string="params.f > 0.4 and params.i = 6", output_format="list")) == 1


def test_text_that_is_no_unicode_is_kept_as_near_as_can_be() -> None:
    """Values, unlike keys, are never refused."""
    with autotrack.start_run(tags={"t": "\ud800"}) as run:
        autotrack.log_param("p", "a\0b\ud800")
        autotrack.log_param("l", ["\ud800"])
    found = autotrack.get_run(run.run_id)
    assert found.data.params["p"] == "a\ufffdb\ufffd"
    assert found.data.tags["t"] == "\ufffd"
    assert json.loads(found.to_json())


# Tags, inputs


def test_tags_are_set_changed_and_deleted() -> None:
    """A tag that is not there cannot be deleted."""
    with autotrack.start_run() as run:
        autotrack.set_tag("a", 1)
        autotrack.set_tag("a", 2)
        autotrack.set_tag("b", "x")
        autotrack.delete_tag("b")
        with pytest.raises(NotFoundError, match="'b'"):
            autotrack.delete_tag("b")
    tags = autotrack.get_run(run.run_id).data.tags
    assert tags["a"] == "2"
    assert "b" not in tags


def test_a_dataset_is_an_input_of_the_run() -> None:
    """With what it was used for."""
    dataset = DatasetInfo("iris", "abc123", source_type="url", source="https://example.org/iris.csv")
    with autotrack.start_run() as run:
        autotrack.log_input(dataset, context="train", tags={"split": "1"})
        with pytest.raises(InvalidArgumentError, match="DatasetInfo"):
            autotrack.log_input("iris")  # type: ignore[arg-type]
    (found,) = autotrack.get_run(run.run_id).inputs.dataset_inputs
    assert (found.dataset, found.context, found.tags) == (dataset, "train", {"split": "1"})


# Files


def read(run_id: str, path: str, folder: Path) -> bytes:
    """A file of a run."""
    return Path(Client().download_artifacts(run_id, path, folder)).read_bytes()


def test_texts_dicts_and_files_are_stored(tmp_path: Path) -> None:
    """JSON and YAML by their name, files and folders as they are."""
    numpy = pytest.importorskip("numpy")
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "a.bin").write_bytes(b"\0\1")
    (tmp_path / "in" / "sub" / "b.txt").write_text("b")
    table = {"b": numpy.int64(1), "a": numpy.array([1.5, 2.0]), "c": {1, 2}}
    with autotrack.start_run() as run:
        autotrack.log_text("grüße", "notes/hello.txt")
        autotrack.log_dict(table, "table.json")
        autotrack.log_dict(table, "table.yaml")
        autotrack.log_artifact(tmp_path / "in" / "a.bin")
        autotrack.log_artifact(str(tmp_path / "in"), "copy")
        autotrack.log_artifacts(tmp_path / "in", "all")
    listed = [file.path for file in Client().list_artifacts(run.run_id)]
    assert listed == ["a.bin", "all", "copy", "notes", "table.json", "table.yaml"]
    assert read(run.run_id, "notes/hello.txt", tmp_path) == "grüße".encode()
    assert json.loads(read(run.run_id, "table.json", tmp_path)) == {"b": 1, "a": [1.5, 2.0], "c": [1, 2]}
    assert read(run.run_id, "table.yaml", tmp_path).startswith(b"b: 1\na:\n")
    assert read(run.run_id, "copy/in/sub/b.txt", tmp_path) == b"b"
    assert read(run.run_id, "all/a.bin", tmp_path) == b"\0\1"


def test_what_cannot_be_stored_as_a_file_is_an_error() -> None:
    """A path that leaves the folder, a file that is not there, a dict that holds itself."""
    loop: dict[str, Any] = {}
    loop["self"] = loop
    with autotrack.start_run():
        with pytest.raises(ArtifactError, match="relative path"):
            autotrack.log_text("x", "../x.txt")
        with pytest.raises(ArtifactError, match="No such file"):
            autotrack.log_artifact("nowhere.txt")
        with pytest.raises(ArtifactError, match="no such folder"):
            autotrack.log_artifacts("nowhere")
        with pytest.raises(InvalidArgumentError, match="plain values"):
            autotrack.log_dict(loop, "x.json")


def test_tables_are_stored_as_columns_and_rows(tmp_path: Path) -> None:
    """From dicts, from pandas and from polars; a dict of single values is one row."""
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    numpy = pytest.importorskip("numpy")
    columns = {"a": [1, 2], "b": ["x", "y"]}
    with autotrack.start_run() as run:
        autotrack.log_table(columns, "dict.json")
        autotrack.log_table(pandas.DataFrame(columns), "pandas.json")
        autotrack.log_table(polars.DataFrame(columns), "polars.json")
        autotrack.log_table({"a": numpy.array([1, 2]), "b": ("x", "y")}, "mixed.json")
        autotrack.log_table({"a": 1, "b": "x"}, "row.json")
        for wrong in ([1, 2], {"a": [1], "b": [1, 2]}, {"a": [1], "b": 2}):
            with pytest.raises(InvalidArgumentError):
                autotrack.log_table(wrong, "wrong.json")
    for name in ("dict", "pandas", "polars", "mixed"):
        assert json.loads(read(run.run_id, f"{name}.json", tmp_path)) == {
            "columns": ["a", "b"], "data": [[1, "x"], [2, "y"]],
        }  # fmt: skip
    assert json.loads(read(run.run_id, "row.json", tmp_path)) == {"columns": ["a", "b"], "data": [[1, "x"]]}


def test_figures_are_stored_in_the_format_of_their_name(tmp_path: Path) -> None:
    """matplotlib's, as picture and as vectors."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib.figure import Figure

    figure = Figure()
    figure.add_subplot().plot([1, 2], [3, 4])
    with autotrack.start_run() as run:
        autotrack.log_figure(figure, "plots/curve.png", save_kwargs={"dpi": 30})
        autotrack.log_figure(figure, "curve.svg")
        with pytest.raises(InvalidArgumentError, match="figure"):
            autotrack.log_figure("no figure", "x.png")
    assert read(run.run_id, "plots/curve.png", tmp_path).startswith(b"\x89PNG")
    assert b"<svg" in read(run.run_id, "curve.svg", tmp_path)


def test_images_are_stored_with_the_values_that_they_have(tmp_path: Path) -> None:
    """Arrays of bytes, floats and truths, grey and in colour, and Pillow's own images."""
    numpy = pytest.importorskip("numpy")
    image = pytest.importorskip("PIL.Image")
    grey = numpy.arange(16, dtype="uint8").reshape(4, 4)
    colour = numpy.zeros((4, 4, 3))
    colour[0, 0] = [1.0, 0.5, 2.0]
    with autotrack.start_run() as run:
        autotrack.log_image(grey, "grey.png")
        autotrack.log_image(colour, "colour.png")
        autotrack.log_image(grey > 7, "truth.png")
        autotrack.log_image(grey[:, :, None], "one.png")
        autotrack.log_image(numpy.zeros((4, 4, 4), "uint8"), "alpha.jpg")
        autotrack.log_image(image.new("RGB", (2, 2)), "own.png")
        for wrong in (numpy.zeros(4), numpy.zeros((4, 4, 5)), "x", numpy.zeros((0, 4))):
            with pytest.raises(InvalidArgumentError):
                autotrack.log_image(wrong, "x.png")
        with pytest.raises(InvalidArgumentError, match="suffix"):
            autotrack.log_image(grey, "x.docx")

    def pixels(name: str) -> Any:
        return numpy.asarray(image.open(Client().download_artifacts(run.run_id, name, tmp_path)))

    assert (pixels("grey.png") == grey).all()
    assert (pixels("one.png") == grey).all()
    assert pixels("colour.png")[0, 0].tolist() == [255, 128, 255]
    assert pixels("truth.png").ravel().tolist() == [0] * 8 + [255] * 8
    assert pixels("alpha.jpg").shape == (4, 4, 3)


# Questions


def test_runs_are_found_as_a_frame_and_as_a_list() -> None:
    """The frame has MLflow's columns; filter, order, limits and experiments count in both."""
    pandas = pytest.importorskip("pandas")
    autotrack.set_experiment("searched")
    for number in range(5):
        with autotrack.start_run(run_name=f"run{number}"):
            autotrack.log_param("n", number)
            autotrack.log_metric("score", number / 10)
    frame = autotrack.search_runs(experiment_names=["searched"], order_by=["metrics.score DESC"])
    assert isinstance(frame, pandas.DataFrame)
    assert frame["metrics.score"].tolist() == [0.4, 0.3, 0.2, 0.1, 0.0]
    assert frame["params.n"].tolist() == ["4", "3", "2", "1", "0"]
    assert {"run_id", "experiment_id", "status", "artifact_uri", "start_time", "end_time"} <= set(frame.columns)
    some = autotrack.search_runs(
        filter_string="metrics.score >= 0.2", order_by=["params.n"], max_results=2, output_format="list"
    )
    assert [run.info.run_name for run in some] == ["run2", "run3"]
    assert len(autotrack.search_runs(max_results=100_000, output_format="list")) == 5
    with pytest.raises(NotFoundError, match="elsewhere"):
        autotrack.search_runs(experiment_names=["elsewhere"])
    with pytest.raises(InvalidArgumentError, match="output_format"):
        autotrack.search_runs(output_format="csv")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="max_results"):
        autotrack.search_runs(max_results=0)


def test_synchronous_calls_are_in_the_database_when_they_return(autotrack_store: TemporaryStore) -> None:
    """Who reads past us sees them."""
    import sqlite3

    with autotrack.start_run():
        autotrack.log_metric("x", 1.0, synchronous=True)
        autotrack.log_param("p", 1, synchronous=True)
        autotrack.set_tag("t", 1, synchronous=True)
        with sqlite3.connect(autotrack_store.path / "autotrack.db") as connection:
            counts = [
                connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
                for table in ("metric_points", "params")
            ]
        connection.close()
    assert counts == [1, 1]


def test_files_go_where_the_experiment_keeps_them(tmp_path: Path) -> None:
    """An experiment with a place of its own for files, spaces in its name included."""
    place = tmp_path / "my files"
    made = autotrack.create_experiment("elsewhere", artifact_location=f"file://{tmp_path}/my%20files")
    autotrack.set_experiment("elsewhere")
    with autotrack.start_run() as run:
        autotrack.log_text("x", "note.txt")
    assert (place / run.run_id / "note.txt").read_text() == "x"
    assert autotrack.get_run(run.run_id).info.artifact_uri == run.info.artifact_uri
    with autotrack.start_run(experiment_id=made) as run:
        Client().log_text(run.run_id, "y", "note.txt")
    assert (place / run.run_id / "note.txt").read_text() == "y"


# Values on an accelerator: "meta" tensors are on one that cannot be read


def test_a_tensor_that_is_read_later_keeps_the_value_that_it_had(autotrack_store: TemporaryStore) -> None:
    """Programs add to their running loss in place; what was logged is what it was then, in every type."""
    torch = pytest.importorskip("torch")
    with autotrack.start_run() as run:
        writer = run._writer
        total = torch.zeros((), dtype=torch.float64)
        for step in range(120):
            total += 0.1
            writer.log_tensor("total", total.reshape(1), step)
            writer.log_tensor("half", torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True))
        writer.log_tensor("when", torch.tensor(7), 3, 1_600_000_000_000)
    wanted, value = [], 0.0
    for step in range(120):
        value += 0.1
        wanted.append((step, value))
    assert history(run.run_id, "total") == wanted
    assert history(run.run_id, "half") == [(step, 0.5) for step in range(120)]
    assert [point.timestamp for point in Client().get_metric_history(run.run_id, "when")] == [1_600_000_000_000]


@pytest.mark.usefixtures("shield_on")
def test_an_accelerator_that_fails_harms_neither_the_program_nor_its_exception() -> None:
    """The values are missing, the run says so, and the exception that ended it is the program's own."""
    torch = pytest.importorskip("torch")

    def train() -> None:
        with autotrack.start_run():
            for _ in range(60):
                autotrack.log_metric("lost", torch.zeros((), device="meta"))
            autotrack.log_metrics({"lost": torch.zeros((), device="meta"), "kept": 1.0})
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        train()
    assert last().data.metrics == {"kept": 1.0}
    assert "accelerator" in last().info.degraded
    assert last().info.status == "FAILED"
