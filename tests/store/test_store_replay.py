"""Runs out of a store, as streams, and into another one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from autotrack import events as ev
from autotrack.errors import AlreadyExistsError, NotFoundError
from autotrack.store import registry, registry_reading, schema
from autotrack.store.engine import Store
from autotrack.store.journals import advance_journal
from autotrack.store.managing import create_experiment, delete_run, set_experiment_tag
from autotrack.store.reading import Reader
from autotrack.store.replay import Item, decode, encode, run_events, write_events
from autotrack.store.replay.items import PIECE
from autotrack.store.writing import Writer

RUN = "a" * 32
ERROR = ev.ErrorInfo("ValueError", "bad", "Traceback ...", "train.py:3 in main")


def whole_run(run_id: str = RUN, points: int = 3) -> list[ev.Event]:
    """A run with something of everything."""
    dataset = ev.DatasetInfo("iris", "d1", "code", "src", "{}", '{"rows":150}')
    trial = ev.TrialInfo(0, [ev.Param("C", "0.5", "0.5")], {"test_score": [0.5, "NaN"]}, "NaN", 0.1, 1, 0.01, 0.02)
    values: list[ev.Number] = [0.1 + 0.2, "NaN", "Infinity", "-Infinity", 5e-324]
    numbers = range(points)
    return [
        ev.SessionStarted("s", 1, "host", 7, "me", "train.py", ["a", "b"], "/w", "parent"),
        ev.EnvironmentCaptured("s", "e" * 8, {"python": "3.11", "packages": {"x": "1"}}),
        ev.RunStarted(run_id, "s", 1000, "name", "exp", None, "b" * 32, "sklearn", "me", "two\nlines"),
        ev.ParamsLogged(run_id, [ev.Param("C", "0.5", "0.5"), ev.Param("long", "x" * 9000)]),
        ev.ParamsLogged(run_id, [ev.Param("n", "nan", "NaN")]),
        ev.TagsSet(run_id, {"team": "blue", "empty": ""}),
        ev.CurveLogged(
            run_id,
            "loss",
            [-n for n in numbers],
            [1000 + n for n in numbers],
            [values[n % 5] for n in numbers],
        ),
        ev.MetricsLogged(run_id, {"acc@5": 0.5, "f1(macro)": "NaN"}, 1001, 2**40),
        ev.DatasetLogged(run_id, dataset, "train", {"k": "v"}, "f1"),
        ev.FitLogged("f0", "s", 990, None, 1, "preparation", "StandardScaler", status="FINISHED", duration=0.5),
        ev.FitLogged("f1", "s", 1000, run_id, 1, "search", "GridSearchCV", "fit", "FAILED", 1.5, ERROR, "x", {"a": 1}),
        ev.TrialsLogged(run_id, [trial, ev.TrialInfo(1, state="FAIL", error="boom")], "f1"),
        ev.ModelLogged("m2", run_id, "model", 1002, "/r/m2", "model", ["sklearn"], 10, "d", "{}", "t", {"a": 1}, 3),
        ev.ModelLogged("m1", run_id, "model", 1003, "/r/m1", "model"),
        ev.ArtifactLogged(run_id, "a/b.txt", 5, "d" * 64, 1004),
        ev.RunDegraded(run_id, "a key was clipped"),
        ev.RunEnded(run_id, "FAILED", 2000, ERROR),
    ]  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Store]:
    """A SQLite store with one run, in an experiment with a tag."""
    store = Store.open(tmp_path / "source")
    key = create_experiment(store, "exp")
    set_experiment_tag(store, key, "owner", "ada")
    with store.transaction() as connection:
        Writer(store).apply(connection, whole_run(points=2 * PIECE + 7), "j")
    yield store
    store.dispose()


@pytest.fixture
def near(tmp_path: Path) -> Iterator[Store]:
    """An empty SQLite store to write into."""
    made = Store.open(tmp_path / "near")
    yield made
    made.dispose()


def records_of(store: Store, run_id: str = RUN) -> dict[str, Any]:
    """All that a store says about a run; what is the store's own business left out."""
    reader = Reader(store)
    run = reader.run(run_id).to_dict()
    experiment = reader.experiment(run["info"].pop("experiment_id")).to_dict()
    del run["info"]["artifact_uri"], experiment["experiment_id"], experiment["artifact_location"]
    with store.reading() as connection:
        times = connection.execute(
            select(schema.runs.c.status_time, schema.runs.c.deleted_time).where(schema.runs.c.run_id == run_id)
        ).one()
    parts = {
        "run": run,
        "experiment": experiment,
        "times": tuple(times),
        "curves": {key: reader.metric_history(run_id, key) for key in run["data"]["metrics"]},
        "trials": reader.trials(run_id),
        "fits": reader.fits(run_id),
        "preparations": reader.preparations(run["info"]["session_id"]),
        "artifacts": reader.artifacts(run_id),
        "session": reader.session(run["info"]["session_id"]),
        "environment": reader.environment_of_run(run_id),
    }
    return {name: repr(part) for name, part in parts.items()}  # NaN is not equal to itself


def rows_in(store: Store) -> dict[str, int]:
    """How many rows each table has."""
    with store.reading() as connection:
        return {
            name: len(connection.execute(select(*table.primary_key.columns)).all())
            for name, table in schema.metadata.tables.items()
        }


def test_run_is_the_same_in_the_other_store_and_writing_it_again_changes_nothing(source: Store, store: Store) -> None:
    """All that is recorded about a run arrives on each engine, exactly; a second time nothing is added or altered."""
    items = list(run_events(source, RUN))
    assert write_events(store, (decode(encode(item)) for item in items)) == [RUN]
    wanted = records_of(source)
    assert records_of(store) == wanted
    rows = rows_in(store)
    write_events(store, items)
    assert (records_of(store), rows_in(store)) == (wanted, rows)
    assert [model.model_id for model in Reader(store).models(RUN)] == [m.model_id for m in Reader(source).models(RUN)]


def test_writing_that_was_cut_off_is_completed(source: Store, near: Store) -> None:
    """Wherever a stream breaks off, the run is RUNNING until it is written again, and whole afterwards."""
    items = list(run_events(source, RUN))
    for count in (4, 6, len(items) - 2):
        write_events(near, items[:count])
        assert Reader(near).run(RUN).info.status == "RUNNING"
    write_events(near, items)
    assert records_of(near) == records_of(source)


def test_run_that_went_on_is_brought_up_to_date(source: Store, near: Store) -> None:
    """What was added to a run since it was copied, a deletion too, arrives with the next copy."""
    write_events(near, run_events(source, RUN))
    more = [ev.RunResumed(RUN, "s", 3000), ev.MetricLogged(RUN, "loss", 9.0, 3001), ev.RunEnded(RUN, "FINISHED", 3002)]
    with source.transaction() as connection:
        Writer(source).apply(connection, more, "j2")
    delete_run(source, RUN)
    write_events(near, run_events(source, RUN))
    assert records_of(near) == records_of(source)
    assert Reader(near).run(RUN).info.lifecycle_stage == "deleted"


def test_other_run_of_the_same_id_is_refused(source: Store, near: Store) -> None:
    """A run that is another one, or whose curve has other points, is left as it is."""
    write_events(near, run_events(source, RUN))
    before = records_of(near)
    other: list[Item] = [ev.RunStarted(RUN, "s", 1001, "other")]
    with pytest.raises(AlreadyExistsError, match="started at another time"):
        write_events(near, other)
    other = [
        ev.RunStarted(RUN, "s", 1000, "name", "exp"),
        ev.CurveLogged(RUN, "loss", [0, -1], [1000, 1001], [0.3, 1.0]),
    ]
    with pytest.raises(AlreadyExistsError, match="'loss' has other points"):
        write_events(near, other)
    assert records_of(near) == before


def test_stream_goes_to_the_experiment_that_is_named(source: Store, near: Store) -> None:
    """With `experiment`, the stream's own one is not made."""
    write_events(near, run_events(source, RUN), experiment="elsewhere")
    reader = Reader(near)
    assert reader.experiment(reader.run(RUN).info.experiment_id).name == "elsewhere"
    assert {one.name for one in reader.search_experiments()} == {"Default", "elsewhere"}


def test_run_of_a_living_process_keeps_its_writer(near: Store, tmp_path: Path) -> None:
    """A run that is RUNNING brings along who writes it, so that the other store can tell when that process is gone."""
    source = Store.open(tmp_path / "source")
    opened = ev.JournalOpened(1, "j", "s", "", "host", "boot", 7, 70, 900)
    with source.transaction() as connection:
        advance_journal(connection, opened, 0, 10, 950)
        Writer(source).apply(connection, [ev.RunStarted(RUN, "s", 1000, "name")], "j")
    write_events(near, run_events(source, RUN))
    (journal,) = Reader(near).journals(with_open_runs=True)
    assert (journal.journal_id, journal.host, journal.heartbeat, journal.closed) == ("j", "host", 950, None)
    source.dispose()


def registered(store: Store) -> list[dict[str, object]]:
    """All versions, with aliases and tags, as records."""
    found = registry_reading.search_versions(store, "", 100, ["name", "version_number"], None)
    return [{**version.to_dict(), "source": ""} for version in found]


def test_versions_of_registered_models_come_along(source: Store, store: Store) -> None:
    """Models, versions, aliases and tags arrive, once; a number or alias that is taken is left to its owner."""
    for name, description in (("best", "the best"), ("other", "")):
        registry.create_model(source, name, {"team": "blue"}, description)
        for model_id in ("m1", "m2"):
            new = registry.NewVersion("/r/" + model_id, RUN, model_id, "good", "me", "", "digest", "{}")
            registry.create_version(source, name, new, {"stage": "test"})
        registry.set_alias(source, name, "champion", 2)
    for _ in range(2):
        write_events(store, (decode(encode(item)) for item in run_events(source, RUN)))
        assert registered(store) == registered(source)
    registry.create_version(store, "best", registry.NewVersion("/own"), {})
    registry.delete_version(store, "best", 1)
    registry.delete_version(store, "best", 2)
    registry.create_model(source, "taken", {}, "")
    registry.create_version(source, "taken", registry.NewVersion("/r/m1", RUN, "m1"), {})
    registry.set_alias(source, "taken", "champion", 1)
    registry.create_model(store, "taken", {}, "mine")
    registry.create_version(store, "taken", registry.NewVersion("/own"), {})
    registry.set_alias(store, "taken", "champion", 1)
    for _ in range(2):
        write_events(store, run_events(source, RUN))
        assert registry_reading.model(store, "taken").description == "mine"
        assert registry_reading.version(store, "taken", 1).source == "/own"
        assert registry_reading.version(store, "taken", 1).aliases == ["champion"]
        assert registry_reading.version(store, "taken", 2).model_id == "m1"
        assert registry_reading.latest(store, "taken").version == "2"


def test_points_of_single_events_count_too(store: Store) -> None:
    """Events of other origin, point by point and with special values, are written once."""
    items: list[Item] = [ev.RunStarted(RUN, "s", 1000, "name")]
    items += [ev.MetricLogged(RUN, "m", ev.number_of(math.nan if n % 2 else float(n)), 1000 + n, n) for n in range(5)]
    items += [ev.MetricsLogged(RUN, {"m": 7.0, "k" * 600: 1.0}, 1, 2**70)]
    for _ in range(2):
        write_events(store, items)
    reader = Reader(store)
    assert [point.value for point in reader.metric_history(RUN, "m")][::2] == [0.0, 2.0, 4.0]
    assert {len(reader.metric_history(RUN, key)) for key in reader.run(RUN).data.metrics} == {6, 1}


def test_unknown_run_is_said_to_be_unknown(near: Store) -> None:
    """There is no stream of a run that is not there."""
    with pytest.raises(NotFoundError):
        next(run_events(near, RUN))
