"""`check_store`: each kind of damage is found, told with what to do, and mended where that is safe."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from sqlalchemy import insert
from whole_runs import contents, fill, records_of

from autotrack import events as ev
from autotrack.errors import StoreError
from autotrack.maintenance import Finding, check_store
from autotrack.store import schema
from autotrack.store.engine import Store
from autotrack.store.journals import advance_journal
from autotrack.store.reading import Reader
from autotrack.store.replay import write_events
from autotrack.store.writing import Writer
from autotrack.tracking import liveness
from autotrack.tracking.access import Access

A, B = "a" * 32, "b" * 32


def findings(access: Access, repair: bool = False) -> list[Finding]:
    """What a check finds."""
    return check_store(access.location.url, repair).findings


def kinds(found: list[Finding]) -> list[tuple[str, bool]]:
    """What they are about."""
    return [(finding.kind, finding.repaired) for finding in found]


@pytest.fixture
def whole(near: Access) -> Access:
    """A store with two runs, nothing wrong with it."""
    return filled(near)


def filled(access: Access) -> Access:
    """The store, with two runs."""
    fill(access, A)
    fill(access, B, "other", 5000, "FINISHED")
    return access


def test_curves_that_say_other_than_their_points_are_mended(target: Access) -> None:
    """On each engine: a sound store has no findings; a wrong summary is found and computed anew, exactly."""
    whole = filled(target)
    before = contents(whole)
    report = check_store(whole.location.url, repair=True)
    assert report.findings == []
    assert report.is_well
    assert (report.checked["curves"], report.checked["artifacts"], report.checked["models"]) == (2, 2, 2)
    assert contents(whole) == before
    sound = records_of(whole, A)
    rows = contents(whole)["metric_series"]
    with whole.store.transaction() as connection:
        wrong = {"count": 7, "last": 3.5, "last_special": None, "last_step": 9, "min": -1.0, "max": 2.0}
        connection.execute(schema.metric_series.update().values(wrong))
    (first, second) = findings(whole)
    assert (first.kind, first.subject, first.repaired) == ("curve", f"{A}: loss", False)
    assert "count 7 (points: 3)" in first.problem
    assert second.subject.startswith(B)
    assert kinds(findings(whole, repair=True)) == [("curve", True)] * 2
    assert contents(whole)["metric_series"] == rows
    assert records_of(whole, A) == sound
    with whole.store.transaction() as connection:
        connection.execute(schema.metric_points.delete().where(schema.metric_points.c.idx == 1))
    assert [finding.problem for finding in findings(whole)] == ["1 of its 3 points are missing"] * 2


def test_rows_without_owner_are_removed(tmp_path: Path) -> None:
    """Rows that refer to nothing, as a program that does not care for keys may leave them."""
    access = Access(tmp_path / "store")
    fill(access, A)
    sound = contents(access)
    with access.store.engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.execute(insert(schema.params).values(run=999, key="k", text="v"))
        connection.execute(insert(schema.metric_points).values(series=777, idx=0, step=0, timestamp=0, value=1.0))
        connection.execute(insert(schema.registered_model_aliases).values(model=5, alias="champion", version=3))
        connection.commit()
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")
    found = findings(access)
    assert {finding.subject for finding in found} == {"params", "metric_points", "registered_model_aliases"}
    assert all(finding.kind == "orphans" and "1 rows refer by" in finding.problem for finding in found)
    assert all(repaired for _, repaired in kinds(findings(access, repair=True)))
    assert contents(access) == sound
    assert findings(access) == []


def test_runs_whose_process_is_gone_are_ended(whole: Access) -> None:
    """RUNNING without a process: found whether its journal is known or not; a living process's run is left alone."""
    gone = ev.JournalOpened(1, "gone", "s", "", "elsewhere", "boot", 7, 70, 900)
    who = liveness.identity()
    here = ev.JournalOpened(1, "here", "s", "", who.host, who.boot_id, who.pid, who.started, 900)
    with whole.store.transaction() as connection:
        for opened, run_id in ((gone, "c" * 32), (here, "d" * 32)):
            advance_journal(connection, opened, 0, 10, 950)
            Writer(whole.store).apply(connection, [ev.RunStarted(run_id, "s", 1000, "n")], opened.journal_id)
    write_events(whole.store, [ev.RunStarted("e" * 32, "s", 1000, "half imported")])
    found = findings(whole)
    assert [(finding.kind, finding.subject) for finding in found] == [("run", "c" * 32), ("run", "e" * 32)]
    assert kinds(findings(whole, repair=True)) == [("run", True)] * 2
    reader = Reader(whole.store)
    assert [reader.run(run_id * 32).info.status for run_id in "cde"] == ["KILLED", "RUNNING", "KILLED"]
    assert findings(whole) == []


def test_journals_that_nobody_has_moved_are_found(whole: Access) -> None:
    """What a killed process left is told without moving it, and moved on request; damage is told."""
    folder = whole.location.journal_folder
    folder.mkdir(parents=True)
    opened = ev.JournalOpened(1, "j1", "s", "", "elsewhere", "boot", 7, 70, 900)
    events = [opened, ev.RunStarted("c" * 32, "s", 1000, "n"), ev.RunEnded("c" * 32, "FINISHED", 1001)]
    lines = [ev.encode(event) + b"\n" for event in events]
    (folder / "j1.jsonl").write_bytes(b"".join([*lines, b"{nonsense\n", ev.encode(ev.JournalClosed(1002)) + b"\n"]))
    (folder / "j2.jsonl").write_bytes(b"no journal\n")
    before = contents(whole)
    found = findings(whole)
    assert [Path(finding.subject).name for finding in found] == ["j1.jsonl", "j2.jsonl", "j1.jsonl"]
    assert "1 lines are damaged" in found[0].problem
    assert "bytes of it are not in the tables" in found[2].problem
    assert contents(whole) == before
    assert ("journal", True) in kinds(findings(whole, repair=True))
    assert Reader(whole.store).run("c" * 32).info.status == "FINISHED"
    assert [Path(finding.subject).name for finding in findings(whole)] == ["j2.jsonl"]


def test_files_are_compared_with_their_rows(whole: Access) -> None:
    """Missing, cut, changed artifacts; a model without its directory; files and folders that nothing names."""
    root = Path(whole.location.artifact_root)
    (root / A / "a" / "b.txt").write_bytes(b"jello")
    (root / B / "a" / "b.txt").unlink()
    shutil.rmtree(root / "models" / A[:8])
    lost = root / ("c" * 32)
    lost.mkdir()
    (lost / "x").write_bytes(b"12345")
    (root / "models" / "stray").mkdir()
    for path in [root / "models" / "stray", lost / "x", lost, root / A / "big.bin"]:
        os.utime(path, (1, 1))
    found = {(finding.kind, finding.problem) for finding in findings(whole)}
    assert found == {
        ("artifact", "its content has changed since it was logged"),
        ("artifact", "it is missing"),
        ("model", f"{root}/models/{A[:8]} has no MLmodel"),
        ("files", "1 files, 5 bytes, of a run or model that the store does not have"),
        ("files", "0 files, 0 bytes, of a run or model that the store does not have"),
        ("files", "1 files that no row names: big.bin"),
    }
    quick = check_store(whole.location.url, hashes=False).findings
    assert sum(finding.kind == "artifact" for finding in quick) == 1
    (root / A / "a" / "b.txt").write_bytes(b"much longer")
    assert "it has 11 bytes, it had 5" in {finding.problem for finding in findings(whole)}


def test_database_that_is_damaged_or_of_another_revision_is_told(tmp_path: Path) -> None:
    """A SQLite file with overwritten pages, one of an unknown revision, none at all: no traceback, nothing changed."""
    with pytest.raises(StoreError, match="no such store"):
        check_store(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    access = Access(tmp_path / "store")
    fill(access, A)
    with access.store.transaction() as connection:
        connection.execute(schema.alembic_version.update().values(version_num="9000"))
    (newer,) = findings(access)
    assert (newer.kind, "revision 9000" in newer.problem, newer.remedy) == ("schema", True, "upgrade autotrack")
    Store.forget(access.location)
    file = tmp_path / "store" / "autotrack.db"
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    file.write_bytes(bytes(data))
    for end in ("-wal", "-shm"):
        Path(f"{file}{end}").unlink(missing_ok=True)
    found = findings(access)
    assert found
    assert {finding.kind for finding in found} == {"engine"}
    assert "restore a backup" in found[0].remedy
    assert file.read_bytes() == bytes(data)


def test_rows_that_are_no_longer_what_was_written_are_told(target: Access) -> None:
    """On each engine: JSON that is none any more, in the row that it is in; a reader gets a typed error."""
    fill(target, A)
    assert findings(target) == []
    with target.store.transaction() as connection:
        changed = connection.execute(schema.trials.update().values(content='{"number":'))
        assert changed.rowcount
    found = findings(target)
    assert {(finding.kind, finding.subject.partition(",")[0]) for finding in found} == {("rows", "trials")}
    assert "content is damaged" in found[0].problem
    with pytest.raises(StoreError, match="autotrack db check"):
        target.reader.trials(A)


def test_text_and_headers_that_sqlite_itself_passes_over_are_told(tmp_path: Path) -> None:
    """A byte that is no UTF-8, and a header of a format that SQLite only reads."""
    access = Access(tmp_path / "store")
    fill(access, A)
    with access.store.transaction() as connection:
        connection.exec_driver_sql("UPDATE runs SET description = CAST(x'61ff62' AS TEXT)")
    (found,) = findings(access)
    assert (found.kind, found.subject) == ("rows", "runs")
    assert "restore a backup" in found.remedy
    with access.store.transaction() as connection:
        connection.exec_driver_sql("UPDATE runs SET description = ''")
    with access.store.engine.connect() as connection:
        connection.rollback()
        connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    Store.forget(access.location)
    file = tmp_path / "store" / "autotrack.db"
    data = bytearray(file.read_bytes())
    data[18] = 0x12
    file.write_bytes(bytes(data))
    assert "its header names the formats [18, 2]" in {
        finding.problem.partition(", not")[0] for finding in findings(access)
    }
