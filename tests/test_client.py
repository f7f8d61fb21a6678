"""Client: the explicit API, on SQLite, and in short on the servers too."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import autotrack
from autotrack import Client, Metric, events
from autotrack.errors import (
    AlreadyExistsError,
    FilterSyntaxError,
    InvalidArgumentError,
    NotFoundError,
    RunEndedError,
    StoreError,
)
from autotrack.testing import TemporaryStore


@pytest.fixture
def client(autotrack_store: TemporaryStore) -> Client:
    """A client of an empty store."""
    return autotrack_store.client


def run_of(client: Client, **options: Any) -> str:
    """Make a run; its id."""
    return client.create_run(**options).info.run_id


# Experiments


def test_experiments_are_made_found_renamed_deleted_and_restored(client: Client) -> None:
    """The whole life of one, with its tags."""
    number = client.create_experiment("first", tags={"team": "a"})
    assert client.get_experiment(number).name == "first"
    client.set_experiment_tag(number, "n", 1)
    client.rename_experiment(number, "second")
    found = client.get_experiment_by_name("second")
    assert found is not None
    assert found.tags == {"team": "a", "n": "1"}
    assert client.get_experiment_by_name("first") is None
    client.delete_experiment(number)
    assert client.get_experiment(number).lifecycle_stage == "deleted"
    assert [one.name for one in client.search_experiments()] == ["Default"]
    assert [one.name for one in client.search_experiments(view_type="DELETED_ONLY")] == ["second"]
    client.restore_experiment(number)
    assert {one.name for one in client.search_experiments()} == {"Default", "second"}


def test_experiments_that_cannot_be_made_or_found_are_errors(client: Client) -> None:
    """Names that are taken or empty, ids that are not there."""
    client.create_experiment("taken")
    with pytest.raises(AlreadyExistsError, match="taken"):
        client.create_experiment("taken")
    for name in ("", None, "a\0b", 5):
        with pytest.raises(InvalidArgumentError, match="experiment name"):
            client.create_experiment(name)  # type: ignore[arg-type]
    calls: list[Callable[[], Any]] = [
        lambda: client.get_experiment("4711"),
        lambda: client.get_experiment("no number"),
        lambda: client.rename_experiment("4711", "x"),
        lambda: client.delete_experiment("4711"),
        lambda: client.restore_experiment("4711"),
        lambda: client.set_experiment_tag("4711", "a", "b"),
        lambda: client.create_run(experiment_id="4711"),
    ]
    for call in calls:
        with pytest.raises(NotFoundError):
            call()


def test_experiments_are_searched_with_filter_order_and_pages(client: Client) -> None:
    """As runs are."""
    for number in range(5):
        client.create_experiment(f"e{number}")
    page = client.search_experiments(max_results=2, filter_string="name LIKE 'e%'", order_by=["name"])
    assert [one.name for one in page] == ["e0", "e1"]
    rest = client.search_experiments(
        max_results=10, filter_string="name LIKE 'e%'", order_by=["name"], page_token=page.token
    )
    assert [one.name for one in rest] == ["e2", "e3", "e4"]
    with pytest.raises(FilterSyntaxError):
        client.search_experiments(filter_string="name ~ 'x'")


# Runs


def test_a_run_is_made_filled_and_ended_without_being_active(client: Client) -> None:
    """By its id alone; the context's own stack knows nothing of it."""
    number = client.create_experiment("mine")
    run = client.create_run(number, start_time=1_600_000_000_000, tags={"a": 1}, run_name="by hand")
    assert autotrack.active_run() is None
    run_id = run.info.run_id
    assert (run.info.status, run.info.run_name, run.info.experiment_id) == ("RUNNING", "by hand", number)
    assert run.info.start_time == 1_600_000_000_000
    client.log_param(run_id, "C", 0.5)
    client.log_metric(run_id, "loss", 0.5, timestamp=1_600_000_000_001, step=3)
    client.log_metric(run_id, "loss", 0.25, synchronous=True)
    client.set_tag(run_id, "b", 2)
    client.set_terminated(run_id, "FAILED", end_time=1_600_000_000_005)
    found = client.get_run(run_id)
    assert (found.info.status, found.info.end_time) == ("FAILED", 1_600_000_000_005)
    assert found.data.params == {"C": "0.5"}
    assert found.data.metrics == {"loss": 0.25}
    assert {key: found.data.tags[key] for key in "ab"} == {"a": "1", "b": "2"}
    history = client.get_metric_history(run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(3, 0.5), (4, 0.25)]
    assert history[0].timestamp == 1_600_000_000_001
    assert client.get_metric_history(run_id, "nothing") == []


def test_a_batch_is_logged_as_a_whole_or_not_at_all(client: Client) -> None:
    """Points, parameters and tags; one that is not usable refuses them all."""
    run_id = run_of(client)
    pair = lambda key, value: SimpleNamespace(key=key, value=value)  # noqa: E731
    client.log_batch(
        run_id,
        metrics=[Metric("x", 1.0, 5, 0), Metric("x", math.nan, 6, 1), Metric("y", math.inf, 0)],
        params=[pair("p", 1), pair("q", "two")],
        tags=[pair("t", 1)],
    )
    found = client.get_run(run_id).data
    assert math.isnan(found.metrics["x"])
    assert found.metrics["y"] == math.inf
    assert found.params == {"p": "1", "q": "two"}
    assert found.tags["t"] == "1"
    bad: list[dict[str, Any]] = [
        {"metrics": [Metric("good", 1.0, 1), Metric("", 1.0, 1)]},
        {"metrics": [Metric("good", 1.0, 1.5)]},  # type: ignore[arg-type]
        {"metrics": [Metric("good", 1.0, 1), "x"]},
        {"metrics": [Metric("good", 1.0, 1)], "params": [pair(None, 1)]},
        {"metrics": [Metric("good", 1.0, 1)], "tags": [("a", "b")]},
    ]
    for arguments in bad:
        with pytest.raises(InvalidArgumentError):
            client.log_batch(run_id, **arguments)
    assert "good" not in client.get_run(run_id).data.metrics


def test_a_run_of_another_process_is_written_to_by_its_id(
    client: Client, run_python: Callable[..., Any], autotrack_store: TemporaryStore
) -> None:
    """Default steps count on from what is in the store, and its end elsewhere is respected."""
    run_id = run_of(client)
    for _ in range(3):
        client.log_metric(run_id, "x", 0.0)
    run_python(f"""
        import autotrack
        autotrack.set_tracking_uri({autotrack_store.uri!r})
        autotrack.log_metric("x", 1.0, run_id={run_id!r})
        autotrack.log_metric("x", 2.0, run_id={run_id!r})
        client = autotrack.Client()
        client.log_param({run_id!r}, "from", "elsewhere")
        client.log_text({run_id!r}, "x", "note.txt")
        assert client.get_run({run_id!r}).info.status == "RUNNING"
    """)
    history = client.get_metric_history(run_id, "x")
    assert [(point.step, point.value) for point in history] == [(0, 0.0), (1, 0.0), (2, 0.0), (3, 1.0), (4, 2.0)]
    found = client.get_run(run_id)
    assert found.info.status == "RUNNING"
    assert found.data.params == {"from": "elsewhere"}
    run_python(f"""
        import autotrack
        autotrack.set_tracking_uri({autotrack_store.uri!r})
        autotrack.Client().set_terminated({run_id!r}, "KILLED")
    """)
    assert client.get_run(run_id).info.status == "KILLED"


def test_ended_runs_take_tags_and_names_and_nothing_else(client: Client) -> None:
    """Until they are opened again."""
    run_id = run_of(client)
    client.set_terminated(run_id)
    for call in (
        lambda: client.log_metric(run_id, "x", 1.0),
        lambda: client.log_param(run_id, "x", 1),
        lambda: client.log_batch(run_id, metrics=[Metric("x", 1.0, 0)]),
    ):
        with pytest.raises(RunEndedError, match=run_id):
            call()
    client.set_tag(run_id, "late", "yes")
    client.update_run(run_id, name="renamed")
    found = client.get_run(run_id)
    assert (found.info.status, found.info.run_name, found.data.tags["late"]) == ("FINISHED", "renamed", "yes")
    client.update_run(run_id, status="RUNNING")
    client.log_metric(run_id, "x", 1.0)
    client.update_run(run_id, status="FAILED")
    assert client.get_run(run_id).info.status == "FAILED"
    for status in ("DONE", "running", ""):
        with pytest.raises(InvalidArgumentError, match="status"):
            client.update_run(run_id, status=status, name="never")
    with pytest.raises(InvalidArgumentError, match="status"):
        client.set_terminated(run_id, "RUNNING")
    assert client.get_run(run_id).info.run_name == "renamed"


def test_runs_that_are_not_there_are_errors(client: Client, tmp_path: Path) -> None:
    """In every call that takes an id."""
    calls: list[Callable[[], Any]] = [
        lambda: client.get_run("nope"),
        lambda: client.set_terminated("nope"),
        lambda: client.update_run("nope", name="x"),
        lambda: client.delete_run("nope"),
        lambda: client.restore_run("nope"),
        lambda: client.log_metric("nope", "x", 1.0),
        lambda: client.log_param("nope", "x", 1.0),
        lambda: client.log_batch("nope", metrics=[Metric("x", 1.0, 0)]),
        lambda: client.set_tag("nope", "x", 1.0),
        lambda: client.delete_tag("nope", "x"),
        lambda: client.get_metric_history("nope", "x"),
        lambda: client.get_trials("nope"),
        lambda: client.get_fits("nope"),
        lambda: client.get_session("nope"),
        lambda: client.get_environment("nope"),
        lambda: client.log_text("nope", "x", "x.txt"),
        lambda: client.log_artifact("nope", __file__),
        lambda: client.log_artifacts("nope", tmp_path),
        lambda: client.list_artifacts("nope"),
        lambda: client.download_artifacts("nope", "x"),
        lambda: client.resolve_run_id("nope"),
        lambda: client.resolve_run_id("@"),
        lambda: client.resolve_run_id("best:x"),
    ]
    for call in calls:
        with pytest.raises(NotFoundError):
            call()


def test_runs_are_deleted_and_restored(client: Client) -> None:
    """A deleted run is in no search unless one asks for it."""
    keep, drop = run_of(client, run_name="keep"), run_of(client, run_name="drop")
    client.delete_run(drop)
    assert [run.info.run_id for run in client.search_runs()] == [keep]
    assert [run.info.run_id for run in client.search_runs(run_view_type="DELETED_ONLY")] == [drop]
    assert len(client.search_runs(run_view_type="ALL")) == 2
    client.restore_run(drop)
    assert len(client.search_runs()) == 2


def test_runs_are_found_page_by_page(client: Client) -> None:
    """The token leads on; a filter that does not parse says where."""
    for number in range(5):
        run_id = run_of(client, run_name=f"r{number}")
        client.log_metric(run_id, "score", number)
    first = client.search_runs(max_results=2, order_by=["metrics.score DESC"])
    second = client.search_runs(max_results=2, order_by=["metrics.score DESC"], page_token=first.token)
    third = client.search_runs(max_results=2, order_by=["metrics.score DESC"], page_token=second.token)
    assert [run.info.run_name for run in [*first, *second, *third]] == ["r4", "r3", "r2", "r1", "r0"]
    assert third.token is None
    assert client.search_runs(experiment_ids=[]) == []
    with pytest.raises(FilterSyntaxError, match=r"\^"):
        client.search_runs(filter_string="metrics.score >")


def test_a_run_is_named_by_what_a_person_types(client: Client) -> None:
    """The beginning of its id, `@` for the latest, `best:metric` for the best."""
    low, high = run_of(client), run_of(client)
    client.log_metric(high, "acc", 0.9)
    client.log_metric(low, "acc", 0.1)
    assert client.resolve_run_id(low[:12]) == low
    assert client.resolve_run_id("best:acc") == high
    assert client.resolve_run_id("@") == high


def test_the_session_and_the_environment_of_a_run_are_there(client: Client) -> None:
    """What was started, by whom, in what."""
    run_id = run_of(client)
    info = client.get_run(run_id).info
    session = client.get_session(info.session_id)
    assert session.pid > 0
    assert session.argv
    environment = client.get_environment(run_id)
    assert environment is not None
    assert environment.content


def test_a_client_reads_what_was_written_a_moment_ago(client: Client) -> None:
    """Every read first moves what is pending."""
    with autotrack.start_run() as run:
        for step in range(50):
            autotrack.log_metric("x", float(step))
            assert client.get_run(run.run_id).data.metrics == {"x": float(step)}


def test_a_store_that_others_keep_locked_can_be_read(
    client: Client, autotrack_store: TemporaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in it is shown though what other processes have recorded cannot be moved into it now."""
    monkeypatch.setattr("autotrack.store.dialects.BUSY_MS", 100)
    run_id = run_of(client)
    client.set_terminated(run_id)
    client.get_run(run_id)
    opened = events.JournalOpened(1, "f" * 32, "5" * 32, client.tracking_uri, "elsewhere", "x", 1, 1, 1)
    waiting = client.location.journal_folder / ("f" * 32 + ".jsonl")
    waiting.write_bytes(events.encode(opened) + events.encode(events.TagsSet(run_id, {"late": "yes"})))
    other = sqlite3.connect(autotrack_store.path / "autotrack.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert "late" not in client.get_run(run_id).data.tags
    other.execute("ROLLBACK")
    other.close()
    assert client.get_run(run_id).data.tags["late"] == "yes"


def test_a_read_that_would_miss_what_was_just_logged_is_an_error(
    client: Client, autotrack_store: TemporaryStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where this process's own writes cannot be moved, a read says so instead of showing what was before."""
    monkeypatch.setattr("autotrack.store.dialects.BUSY_MS", 100)
    run_id = run_of(client)
    other = sqlite3.connect(autotrack_store.path / "autotrack.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    client.log_metric(run_id, "x", 1.0)
    with pytest.raises(StoreError, match=r"not in it yet.*locked"):
        client.get_run(run_id)
    other.execute("ROLLBACK")
    other.close()
    assert client.get_run(run_id).data.metrics == {"x": 1.0}
    assert capsys.readouterr().err.count("autotrack:") == 1


# Other engines


def contract(url: str) -> None:
    """The life of a run, on any engine."""
    client = Client(url)
    assert "secret" not in client.tracking_uri
    number = client.create_experiment("contract \U0001f600", tags={"a": "1"})
    autotrack.set_tracking_uri(url)
    autotrack.set_experiment("contract \U0001f600")
    values = [1.0, math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308]
    with autotrack.start_run(run_name="é", tags={"t": "\U0001f600"}) as run:
        for value in values:
            autotrack.log_metric("acc@5", value)
        autotrack.log_params({"C": 0.5, "none": None, "big": "x" * 1_000_000})
        autotrack.log_metrics({f"m{index}": index for index in range(50)}, step=3)
    found = client.get_run(run.run_id)
    assert (found.info.status, found.info.run_name, found.info.experiment_id) == ("FINISHED", "é", number)
    assert found.data.tags["t"] == "\U0001f600"
    assert found.data.param_values["C"] == 0.5
    assert found.data.params["big"] == "x" * 1_000_000
    history = [point.value for point in client.get_metric_history(run.run_id, "acc@5")]
    assert [repr(value) for value in history] == [repr(value) for value in values]
    found_again = client.search_runs([number], "metrics.m7 = 7 and params.C > 0.4 and tags.t LIKE '%\U0001f600%'")
    assert [one.info.run_id for one in found_again] == [run.run_id]
    with autotrack.start_run(run_id=run.run_id):
        autotrack.log_metric("m7", 8.0)
    assert [point.step for point in client.get_metric_history(run.run_id, "m7")] == [3, 4]
    client.delete_run(run.run_id)
    assert client.search_runs([number]) == []
    with pytest.raises(NotFoundError):
        client.get_run("nope")


def test_the_life_of_a_run_on_sqlite(autotrack_store: TemporaryStore) -> None:
    """The contract that the servers keep as well."""
    contract(autotrack_store.uri)


def test_the_life_of_a_run_on_postgresql(postgres_url: str) -> None:
    """The same on PostgreSQL."""
    contract(postgres_url)


def test_the_life_of_a_run_on_mariadb(mariadb_url: str) -> None:
    """The same on MariaDB or MySQL."""
    contract(mariadb_url)
