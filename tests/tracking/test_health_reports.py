from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotrack.hooks import guard
from autotrack.store.location import Location, locate
from autotrack.tracking import health_reports


@pytest.fixture
def location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Location:
    """A store of its own, with the place for what cannot be written there."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    return locate(tmp_path / "store")


@pytest.fixture(autouse=True)
def healths(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No trouble of earlier tests counts."""
    monkeypatch.setattr(guard, "_healths", {})
    yield
    monkeypatch.setattr("tempfile.tempdir", None)


def fail(name: str, message: str = "broken", times: int = 1) -> None:
    """Let something of autotrack's own go wrong, as in production."""
    guard.reraise = False
    for _ in range(times):
        with guard.shield(guard.health(name), "a test"):
            raise ValueError(message)


def test_nothing_is_written_where_all_went_well(location: Location) -> None:
    """Without trouble there is no report, and no folder for one."""
    guard.health("sklearn").status = "active"
    assert health_reports.write(location, "s", "train.py") is None
    assert not location.folder.exists()


def test_report_comes_back_as_it_was(location: Location) -> None:
    """Status, reason, number of errors and the last tracebacks of each troubled part are kept."""
    fail("sklearn", times=2)
    guard.health("tracking", breaker=False).note("ingest", "the store is away")
    guard.health("threads").status = "active"
    health_reports.write(location, "s1", "train.py")
    (report,) = health_reports.read(location)
    assert (report.session_id, report.program) == ("s1", "train.py")
    parts = {part.name: part for part in report.parts}
    assert set(parts) == {"sklearn", "tracking"}
    assert (parts["sklearn"].errors, parts["sklearn"].failed) == (2, True)
    assert "ValueError: broken" in parts["sklearn"].recent[-1].traceback
    assert (parts["tracking"].errors, parts["tracking"].failed) == (0, False)
    assert parts["tracking"].recent[0].message == "the store is away"


def test_report_is_bounded_and_holds_no_secret(location: Location) -> None:
    """Of many and long tracebacks the newest ends are kept, and credentials in them are not."""
    fail("sklearn", "postgresql://me:geheim@host/db " + "x" * 100_000, times=9)
    path = health_reports.write(location, "s", "train.py")
    assert path is not None
    text = path.read_text()
    assert len(text) < 2 * health_reports.MAX_TROUBLES * health_reports.MAX_TEXT
    assert "geheim" not in text
    assert len(json.loads(text)["parts"][0]["recent"]) == health_reports.MAX_TROUBLES


def test_newest_reports_are_kept(location: Location) -> None:
    """Older reports than the newest fifty are removed as new ones come; reading gives the newest first."""
    fail("sklearn")
    names = [f"s{number:03}" for number in range(health_reports.KEPT + 5)]
    for name in names:
        health_reports.write(location, name, "train.py")
    assert len(health_reports.files(location)) == health_reports.KEPT
    assert [report.session_id for report in health_reports.read(location, 3)] == names[:-4:-1]


def test_unwritable_store_has_its_reports_elsewhere(location: Location, tmp_path: Path) -> None:
    """Where the store's folder cannot be made, the report stands in the fallback folder and is found there."""
    location.folder.write_text("a file where the folder should be")
    fail("sklearn")
    path = health_reports.write(location, "s", "train.py")
    assert path is not None
    assert tmp_path / "temporary" in path.parents
    assert len(health_reports.read(location)) == 1


def test_damaged_and_newer_reports_are_left_out(location: Location) -> None:
    """What is no report of a known format is passed over; forgetting removes it with the others."""
    fail("sklearn")
    good = health_reports.write(location, "good", "train.py")
    assert good is not None
    content = json.loads(good.read_text())
    (good.parent / "damaged.json").write_text(good.read_text()[:50])
    (good.parent / "newer.json").write_text(json.dumps(content | {"version": 99}))
    assert [report.session_id for report in health_reports.read(location)] == ["good"]
    assert health_reports.forget(location) == 3
    assert health_reports.files(location) == []
