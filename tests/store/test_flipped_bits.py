"""Bits that a disk has lost in the database's file: a typed error, a finding of the check, or nothing to be seen."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import autotrack
from autotrack import Client, testing
from autotrack.errors import AutotrackError
from autotrack.events import TrialInfo
from autotrack.maintenance.checks import check_store
from autotrack.store.engine import Store
from autotrack.store.location import locate
from autotrack.tracking import recorders

PAGE = 4096

DAMAGE = ("malformed", "damaged", "no database", "not a database", "decode")
"""Words of errors that say that the file is damaged; it may also have lost a run's id, which is another one then."""

EXAMPLES = 25
"""Damaged copies of the store, for each kind of damage."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store of a few runs with all that a run has, its log moved into the file."""
    folder = tmp_path_factory.mktemp("whole")
    autotrack.set_tracking_uri(folder)
    for number in range(3):
        with autotrack.start_run(description="what for", tags={"a": "b"}):
            autotrack.log_params({"number": number, "nested": {"deep": [1, 2]}})
            for step in range(100):
                autotrack.log_metric("loss", step / 7)
            autotrack.log_input(autotrack.DatasetInfo("data", "1"), context="train")
            autotrack.log_text("text", "a.txt")
    writer = recorders.current().start_run("search", source="sklearn")
    writer.log_trials([TrialInfo(n, scores={"test_score": [0.5]}, attributes={"k": [n]}) for n in range(20)])
    writer.end()
    autotrack.flush()
    testing.reset()
    Store.forget(locate(folder))
    with sqlite3.connect(folder / "autotrack.db") as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    assert check_store(folder).is_well
    yield folder
    testing.reset()


def reads(client: Client) -> None:
    """Read whatever a store has."""
    for run in client.search_runs(run_view_type="ALL", order_by=["metrics.loss DESC"]):
        run_id = run.info.run_id
        client.get_run(run_id)
        client.get_metric_history(run_id, "loss")
        client.get_fits(run_id)
        client.get_trials(run_id)
        client.get_environment(run_id)
        client.get_session(run.info.session_id)
        client.list_artifacts(run_id)


def filters(client: Client) -> None:
    """Search by what stands in several tables."""
    client.search_runs(filter_string="params.number = '1' and metrics.loss > 3 and tags.a = 'b'")
    client.search_experiments()
    client.search_logged_models()


def writes(client: Client) -> None:
    """Record a run."""
    run_id = client.create_run(run_name="new").info.run_id
    client.log_metric(run_id, "loss", 1.0)
    client.log_param(run_id, "p", 1)
    client.set_terminated(run_id)
    client.get_run(run_id)


def in_header(data: bytes, dice: random.Random) -> int:
    """The file's header, which says what SQLite makes of the rest."""
    return dice.randrange(100)


def in_page_headers(data: bytes, dice: random.Random) -> int:
    """The beginning of a page: its kind, and where its cells are."""
    return dice.randrange(len(data) // PAGE) * PAGE + dice.randrange(64)


def in_documents(data: bytes, dice: random.Random) -> int:
    """What JSON is made of, and what looks like it."""
    return dice.choice(
        [place for place in range(dice.randrange(len(data) // 2), len(data)) if data[place] in b'{}[]":,']
    )


def anywhere(data: bytes, dice: random.Random) -> int:
    """Any byte."""
    return dice.randrange(len(data))


@pytest.mark.parametrize("place", [in_header, in_page_headers, in_documents, anywhere])
def test_flipped_bits_end_in_a_typed_error_that_the_check_explains(
    whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], place: Callable[[bytes, random.Random], int]
) -> None:
    """Whatever is read, searched or recorded: no other error; and where there is one, the check has a finding."""
    dice = random.Random(place.__name__)
    data = (whole / "autotrack.db").read_bytes()
    told = 0
    for number in range(EXAMPLES):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        damaged = bytearray(data)
        for _ in range(dice.choice([1, 1, 4])):
            damaged[place(data, dice)] ^= 1 << dice.randrange(8)
        (folder / "autotrack.db").write_bytes(damaged)
        findings = check_store(folder).findings
        told += bool(findings)
        said: list[tuple[str, str]] = []
        for use in (reads, filters, writes):
            try:
                use(Client(folder))
            except AutotrackError as error:
                said.append((use.__name__, str(error)))
        for name, text in said:
            if any(word in text for word in DAMAGE):
                assert findings, (number, name, text)
                assert str(folder) in text
        testing.reset()
        Store.forget(locate(folder))
    assert told
    assert "Traceback" not in capfd.readouterr().err
