"""`copy_store`: a whole store into one of each engine, and back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import func, select
from whole_runs import contents, files_below, fill, records_of

from autotrack import Client
from autotrack import events as ev
from autotrack.errors import InvalidArgumentError, StoreError
from autotrack.maintenance import check_store, copy_store, copying
from autotrack.maintenance.copying import paging
from autotrack.store import schema
from autotrack.store.engine import Store
from autotrack.store.managing import delete_run, rename_experiment
from autotrack.store.places import ROOT_TAG
from autotrack.store.reading import Reader
from autotrack.store.replay import write_events
from autotrack.tracking.access import Access

A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def filled(source: Access, monkeypatch: pytest.MonkeyPatch) -> Access:
    """A store with runs, a long curve, tags, a registered model with an alias; pages are small."""
    for name, size in (("ROWS", 2), ("OWNERS", 2), ("POINTS", 7)):
        monkeypatch.setattr(paging, name, size)
    fill(source, A)
    fill(source, B, "other", 5000, "FINISHED")
    more = [ev.RunStarted(C, "s", 9000, "long")]
    steps = list(range(40))
    values: list[ev.Number] = [0.1 * step for step in steps[:-1]]
    curve = ev.CurveLogged(C, "m", steps, steps, [*values, "NaN"])
    write_events(source.store, [*more, ev.MetricLogged(C, "a", -0.0, 1), curve, ev.MetricLogged(C, "z", 5.0, 1)])
    write_events(source.store, [ev.RunEnded(C, "FINISHED", 9001)])
    delete_run(source.store, B)
    rename_experiment(source.store, "0", "renamed")
    client = Client(source.location.url)
    client.create_registered_model("best", tags={"a": "b"})
    client.create_model_version("best", f"runs:/{A}/model", A, tags={"c": "d"})
    client.set_registered_model_alias("best", "champion", "1")
    client.set_experiment_tag("0", "owner", "ada")
    return source


def same(left: Access, right: Access) -> None:
    """Both stores say the same of their runs."""
    for run_id in (A, B):
        ours, theirs = records_of(left, run_id), records_of(right, run_id)
        for said in (ours, theirs):
            del said["run"]  # its tag says where its files are
        assert ours == theirs
    mine, other = Client(left.location.url), Client(right.location.url)
    assert mine.get_metric_history(C, "m")[:-1] == other.get_metric_history(C, "m")[:-1]
    assert mine.get_run(A).info.experiment_id == other.get_run(A).info.experiment_id
    version = other.get_model_version_by_alias("best", "champion")
    assert version.to_dict() | {"source": ""} == mine.get_model_version("best", "1").to_dict() | {"source": ""}
    assert Path(version.source, "MLmodel").is_file()
    assert mine.get_experiment("0").name == other.get_experiment("0").name == "renamed"


def test_copy_is_the_same_and_can_be_gone_on_with(filled: Access, target: Access) -> None:
    """Ids, times, curves, registry are the same on each engine; a second copy writes nothing; new rows get new keys."""
    done = copy_store(filled.location.url, target.location.url)
    assert done.rows["metric_points"] == 48
    assert done.written > 48
    same(filled, target)
    assert target.store.location.artifact_root != filled.location.artifact_root
    assert (
        Client(target.location.url).get_run(A).info.artifact_uri
        == Client(filled.location.url).get_run(A).info.artifact_uri
    )
    assert copy_store(filled.location.url, target.location.url).written == 0
    assert check_store(target.location.url).findings == []
    run = Client(target.location.url).create_run("0")
    assert ROOT_TAG not in Client(target.location.url).get_run(run.info.run_id).data.tags
    keys = select(func.count(), func.max(schema.runs.c.id))
    with target.store.reading() as connection:
        assert tuple(connection.execute(keys).one()) == (4, 4)


def test_copy_with_files_stands_alone(filled: Access, near: Access) -> None:
    """With its artifacts the copy needs nothing of the source: files and models lie below its own root."""
    done = copy_store(filled.location.url, near.location.url, with_artifacts=True)
    assert (done.files, done.size > 600_000) == (8, True)
    assert files_below(near.location.artifact_root) == files_below(filled.location.artifact_root)
    assert copy_store(filled.location.url, near.location.url, with_artifacts=True).files == 0
    wanted = records_of(filled, A)
    shutil.rmtree(filled.location.artifact_root)
    assert records_of(near, A) == wanted
    assert check_store(near.location.url).findings == []


def test_there_and_back_is_the_same_database(filled: Access, target: Access, tmp_path: Path) -> None:
    """Rows survive another engine exactly: special values, long texts, all keys."""
    copy_store(filled.location.url, target.location.url, with_artifacts=True)
    back = Access(tmp_path / "back")
    copy_store(target.location.url, back.location.url, with_artifacts=True)
    assert contents(back) == contents(filled)


def test_copy_that_broke_off_is_completed(filled: Access, near: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a copy ends, the next one completes it."""
    real, calls = copying.write_page, []
    for limit in (3, 9, 20):
        calls.clear()

        def broken(*arguments: object, limit: int = limit) -> int:
            calls.append(1)
            if len(calls) > limit:
                raise KeyboardInterrupt
            return real(*arguments)  # type: ignore[arg-type]

        with monkeypatch.context() as patched:
            patched.setattr(copying, "write_page", broken)
            with pytest.raises(KeyboardInterrupt):
                copy_store(filled.location.url, near.location.url)
    copy_store(filled.location.url, near.location.url)
    same(filled, near)


def test_source_that_went_on_is_copied_again(filled: Access, near: Access) -> None:
    """What was added, changed and removed since arrives with the next copy, and only that is written."""
    copy_store(filled.location.url, near.location.url)
    client = Client(filled.location.url)
    client.set_tag(C, "new", "tag")
    client.delete_registered_model_alias("best", "champion")
    client.update_run(A, name="other name")
    write_events(filled.store, [ev.RunStarted("d" * 32, "s", 1, "fourth", "new one")])
    done = copy_store(filled.location.url, near.location.url)
    assert 6 <= done.written < 15  # of 120 rows
    assert sum(done.rows.values()) > 90
    other = Client(near.location.url)
    assert other.get_run(C).data.tags["new"] == "tag"
    assert other.get_run(A).info.run_name == "other name"
    assert other.get_run("d" * 32).info.run_name == "fourth"


def test_other_content_is_never_overwritten(filled: Access, tmp_path: Path) -> None:
    """A target with runs of its own, the same store, a source that is not there: errors, and nothing changes."""
    other = Access(tmp_path / "other")
    fill(other, "e" * 32)
    before = contents(other)
    with pytest.raises(StoreError, match="it holds what is not from"):
        copy_store(filled.location.url, other.location.url)
    assert contents(other) == before
    with pytest.raises(InvalidArgumentError, match="another store"):
        copy_store(filled.location.url, filled.location.folder)
    with pytest.raises(StoreError, match="no such store"):
        copy_store(tmp_path / "none", tmp_path / "new")
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "new").exists()


def test_target_that_is_written_to_meanwhile_is_noticed(
    filled: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts and checksums are of what is really there at the end."""
    target = tmp_path / "target"
    real = copying.advance_keys

    def meddle(store: Store, *arguments: object) -> None:
        with store.transaction() as connection:
            connection.execute(schema.params.update().values(text="meddled"))
        real(store, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(copying, "advance_keys", meddle)
    with pytest.raises(StoreError, match="its table params has"):
        copy_store(filled.location.url, target)
    monkeypatch.undo()
    copy_store(filled.location.url, target)
    assert Reader(Store.open(target)).run(A).data.params["C"] == "0.5"
