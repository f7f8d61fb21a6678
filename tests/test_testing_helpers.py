"""The helpers for tests: throwaway stores, fixed time and ids, beginning afresh."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

import autotrack
from autotrack import bootstrap, clock, process, testing
from autotrack.integrations import registry


def test_fixed_clock_gives_the_same_record_each_time(tmp_path: Path) -> None:
    """Two recordings under a fixed clock are equal in all their times and ids."""

    def record(folder: str) -> dict[str, object]:
        with (
            testing.fresh_process(),
            testing.fixed_clock() as time,
            testing.temporary_store(tmp_path / folder) as store,
        ):
            with autotrack.start_run(run_name="a"):
                time.advance(250)
                autotrack.log_metric("loss", 0.5)
                time.advance(750)
            run = store.only_run()
            history = store.client.get_metric_history(run.info.run_id, "loss")
            assert [point.timestamp for point in history] == [testing.START + 250]
            return {**run.info.to_dict(), "artifact_uri": ""}

    first = record("one")
    assert first == record("two")
    assert (first["start_time"], first["end_time"]) == (testing.START, testing.START + 1000)
    assert set(str(first["run_id"])[:-1]) == {"0"}


def test_fixed_clock_gives_the_real_one_back() -> None:
    """After the block, also one that raises, time and ids are the system's."""
    before = clock.now, clock.new_id
    with testing.fixed_clock(5) as time:
        assert (clock.now(), clock.new_id(), clock.new_id()) == (5, f"{1:032}", f"{2:032}")
        time.advance(-2)
        assert clock.now() == 3
    with pytest.raises(ZeroDivisionError), testing.fixed_clock(0):
        1 // clock.now()
    assert (clock.now, clock.new_id) == before


def test_fixture_fixes_the_clock(autotrack_clock: testing.FixedClock) -> None:
    """`autotrack_clock` is `fixed_clock` for a whole test."""
    assert clock.now() == autotrack_clock.time == testing.START


def test_temporary_store_is_thrown_away() -> None:
    """The folder is deleted, its runs are ended, its threads end, and the tracking URI is as it was."""
    before = autotrack.get_tracking_uri()
    with testing.temporary_store() as store:
        assert autotrack.get_tracking_uri() != before
        autotrack.start_run(run_name="first")
        autotrack.start_run(run_name="second", nested=True)
        autotrack.log_metric("loss", 1.0)
        assert [run.info.run_name for run in store.runs()] == ["first", "second"]
        with pytest.raises(AssertionError, match=r"expected one run .* found 2: first, second"):
            store.only_run()
        assert (store.path / "autotrack.db").is_file()
    assert not store.path.exists()
    assert autotrack.active_run() is None
    assert autotrack.get_tracking_uri() == before
    assert [one.name for one in threading.enumerate() if one.name.startswith("autotrack")] == []


def test_temporary_store_in_a_folder_of_ones_own_is_kept(tmp_path: Path) -> None:
    """A given folder stays, and can be opened again."""
    for number in (1, 2):
        with testing.temporary_store(tmp_path) as store:
            autotrack.log_metric("loss", 1.0)
            assert len(store.runs()) == number
    assert [run.info.status for run in testing.TemporaryStore(tmp_path).runs()] == ["FINISHED", "FINISHED"]


def test_empty_store_has_no_only_run(autotrack_store: testing.TemporaryStore) -> None:
    """The message says what was expected and what was found."""
    with pytest.raises(AssertionError, match=r"expected one run .* found 0$"):
        autotrack_store.only_run()


def test_fresh_process_puts_everything_back() -> None:
    """Within: nothing configured, nothing on. Afterwards: options, patches and the import finder are as before."""
    autotrack.autolog(log_models=False)
    bootstrap.suspend()
    with testing.fresh_process():
        assert not process.suspended
        assert not bootstrap.STATE.active
        assert registry.configuration("sklearn").log_models
        autotrack.autolog(log_datasets=False)
    assert process.suspended
    bootstrap.resume()
    assert bootstrap.STATE.active
    options = registry.configuration("sklearn")
    assert (options.log_models, options.log_datasets) == (False, True)


def test_suspended_process_remembers_who_switched_on() -> None:
    """`autolog()` during a suspension counts when it ends; `disable()` too."""
    bootstrap.suspend()
    autotrack.autolog()
    assert not bootstrap.STATE.active
    bootstrap.resume()
    assert bootstrap.STATE.active
    bootstrap.suspend()
    autotrack.disable()
    bootstrap.resume()
    assert not bootstrap.STATE.active


def test_suspension_nests_no_further_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second `suspend` or `resume` does nothing; the launcher's mark is kept from children and put back."""
    import os

    monkeypatch.setenv("AUTOTRACK_ACTIVE", "1")
    bootstrap.suspend()
    bootstrap.suspend()
    assert "AUTOTRACK_ACTIVE" not in os.environ
    bootstrap.resume()
    bootstrap.resume()
    assert os.environ["AUTOTRACK_ACTIVE"] == "1"
    assert not process.suspended


def test_reset_begins_anew(tmp_path: Path) -> None:
    """After `reset` nothing is open, patched or remembered, and the next run belongs to another session."""
    exit_function = sys.exit
    sessions = []
    for folder in ("one", "two"):
        autotrack.set_tracking_uri(tmp_path / folder)
        autotrack.set_experiment("mine")
        run = autotrack.start_run()
        sessions.append(run.info.session_id)
        assert sys.exit is not exit_function
        testing.reset()
        assert testing.leftovers() == []
        assert sys.exit is exit_function
        assert testing.TemporaryStore(tmp_path / folder).only_run().info.status == "FINISHED"
    assert sessions[0] != sessions[1]
    found = testing.TemporaryStore(tmp_path / "two").client
    session = found.reader.session(sessions[1])
    assert session.parent_session_id is None
