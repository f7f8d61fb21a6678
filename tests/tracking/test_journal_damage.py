"""A journal that is cut, or has lost bits: what is whole is not lost, and what is damaged is not believed."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from autotrack import events
from autotrack.hooks import guard
from autotrack.store import schema
from autotrack.store.engine import Store
from autotrack.store.location import Location, locate
from autotrack.store.reading import Reader
from autotrack.tracking import ingest, journal_reading

RUN, OTHER, SESSION, JOURNAL = "a" * 32, "b" * 32, "5e55" * 8, "c" * 32
TIME = 1_700_000_000_000

OPENED = events.JournalOpened(1, JOURNAL, SESSION, "store", "nowhere", "no boot", 1, 1, TIME, sealed=True)

ONE_OF_EACH: list[events.Event] = [
    events.SessionStarted(SESSION, TIME, "host", 1, "me", "train.py", ["train.py"], "/"),
    events.EnvironmentCaptured(SESSION, "d" * 64, {"python": "3"}),
    events.RunStarted(RUN, SESSION, TIME, "first"),
    events.ParamsLogged(RUN, [events.Param("C", "0.5", "0.5"), events.Param("note", 'a "quoted" {"t":"m"} ü')]),
    events.MetricLogged(RUN, "loss", 0.5, TIME, 0),
    events.MetricsLogged(RUN, {"loss": 0.25, "acc": 1.0}, TIME, 1),
    events.CurveLogged(RUN, "curve", [0, 1], [TIME, TIME], [1.0, "NaN"]),
    events.TagsSet(RUN, {"team": "growth", "t": "m", "c": "12345678"}),
    events.TagDeleted(RUN, "team"),
    events.DatasetLogged(RUN, events.DatasetInfo("X", "digest"), "train"),
    events.FitLogged("f" * 32, SESSION, TIME, run_id=RUN, number=1, kind="fit", estimator="E", method="fit"),
    events.TrialsLogged(RUN, [events.TrialInfo(0, [events.Param("C", "1", "1")], {"test_score": [0.5]}, 0.5)]),
    events.ModelLogged("e" * 32, RUN, "model", TIME, "/models/x", size=3),
    events.ModelChanged("e" * 32, tags={"kind": "good"}),
    events.ModelRegistered("registered", "e" * 32, RUN, TIME, "/models/x"),
    events.ArtifactLogged(RUN, "a.txt", 3, "0" * 64, TIME),
    events.RunUpdated(RUN, name="renamed"),
    events.RunDegraded(RUN, "a reason"),
    events.RankJoined(RUN, SESSION, JOURNAL, TIME, rank=1, size=2, facts={"pid": 7}),
    events.RankEnded(RUN, 1, "FINISHED", TIME + 4),
    events.RankGone(RUN, 1),
    events.RunEnded(RUN, "FINISHED", TIME + 5),
    events.RunResumed(RUN, SESSION, TIME + 6),
    events.RunEnded(RUN, "FINISHED", TIME + 7),
    events.JournalClosed(TIME + 8),
]  # fmt: skip

LINES = [events.encode(event) for event in (OPENED, *ONE_OF_EACH)]
WHOLE = b"".join(LINES)


@pytest.fixture
def location(tmp_path: Path) -> Location:
    """A store in the test's folder."""
    return locate(tmp_path / "store")


@pytest.fixture
def store(location: Location) -> Iterator[Store]:
    """The same, opened."""
    yield Store.open(location.url)
    Store.forget(location)


def write(location: Location, content: bytes, name: str = JOURNAL) -> Path:
    """A journal of this content."""
    location.journal_folder.mkdir(parents=True, exist_ok=True)
    path = location.journal_folder / f"{name}.jsonl"
    path.write_bytes(content)
    os.utime(path, (TIME / 1000, TIME / 1000))
    return path


def state(store: Store) -> dict[str, list[Any]]:
    """All that the tables hold of runs, apart from numbers and times that the moment of reading decides."""
    found = {}
    passed_over = ("id", "series", "creation_time", "last_update_time")
    with store.reading() as connection:
        for table in schema.metadata.sorted_tables:
            kept = [column for column in table.c if column.name not in passed_over]
            if table.name not in ("alembic_version", "experiments"):
                found[table.name] = sorted(map(tuple, connection.execute(select(*kept))), key=repr)
    return found


def test_every_kind_of_event_is_in_the_journal_that_these_tests_damage() -> None:
    """A new event comes under these tests too."""
    assert {type(event) for event in (OPENED, *ONE_OF_EACH)} == set(events.Event.__args__)


def test_a_journal_cut_at_any_byte_gives_its_whole_lines_and_the_rest_is_waited_for(tmp_path: Path) -> None:
    """Read up to each byte: the whole lines are there, and reading on from there gives the rest, none twice."""
    path = tmp_path / "cut.jsonl"
    everything = [OPENED, *ONE_OF_EACH]
    ends = list(itertools.accumulate(map(len, LINES), initial=0))
    path.write_bytes(WHOLE)
    for cut in range(len(WHOLE), -1, -1):
        os.truncate(path, cut)
        lines = WHOLE[:cut].count(b"\n")
        assert (journal_reading.header(path) is None) == (lines == 0)
        chunk = journal_reading.read(path, ends[max(0, lines - 2)], sealed=True)
        assert (chunk.end, chunk.events, chunk.damaged) == (ends[lines], everything[max(0, lines - 2) : lines], 0)
    path.write_bytes(WHOLE)
    for lines, end in enumerate(ends):
        rest = journal_reading.read(path, end, sealed=True)
        assert (rest.events, rest.damaged) == (everything[lines:], 0)


def test_a_journal_that_is_moved_in_two_parts_cut_anywhere_ends_in_the_same_tables(tmp_path: Path) -> None:
    """Cut behind or within a line, moved, completed, moved again: the tables are those of the journal in one go."""
    whole_location = locate(tmp_path / "whole")
    whole = Store.open(whole_location.url)
    ingest.ingest_file(whole, write(whole_location, WHOLE))
    wanted = state(whole)
    Store.forget(whole_location)
    ends = list(itertools.accumulate(map(len, LINES), initial=0))
    for number, cut in list(enumerate(ends[:-1]))[::2]:
        cut += (0, 40, len(LINES[number]) - 1)[number % 3]
        location = locate(tmp_path / f"cut {cut}")
        store = Store.open(location.url)
        first = ingest.ingest_file(store, write(location, WHOLE[:cut]))
        assert first == max(end for end in ends if end <= cut)
        assert ingest.ingest_file(store, write(location, WHOLE)) == len(WHOLE)
        assert state(store) == wanted, cut
        Store.forget(location)


def test_one_flipped_bit_in_any_byte_costs_its_own_line_alone_and_is_told_of() -> None:
    """Each byte with a bit flipped: the events around are there, the damaged one is not, and it is counted."""
    bits = random.Random(7)
    before, behind = events.MetricLogged(RUN, "k", 1.0, TIME, 8), events.MetricLogged(RUN, "k", 2.0, TIME, 9)
    for event, line in zip([OPENED, *ONE_OF_EACH], LINES, strict=True):
        head = events.encode(before)
        whole = head + line + events.encode(behind)
        for place in range(len(head), len(head + line)):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bits.randrange(8)
            chunk = journal_reading.decoded(bytes(damaged), 0, sealed=True)
            is_newline = place == len(head + line) - 1  # both events beside it are whole
            assert chunk.events == ([before, event, behind] if is_newline else [before, behind]), damaged
            assert chunk.damaged >= 1
            assert all(before_it == RUN for _, before_it in chunk.hurt)


def test_bursts_of_damage_never_make_an_event_that_nobody_logged() -> None:
    """Blocks overwritten, cut out and doubled at random: what is read is what was written, in order, or reported."""
    dice = random.Random(11)
    for _ in range(300):
        damaged = bytearray(WHOLE)
        start, length = dice.randrange(len(WHOLE)), dice.choice([2, 30, 400])
        damaged[start : start + length] = dice.choice([b"", b"\0" * length, dice.randbytes(length), WHOLE[:length]])
        chunk = journal_reading.decoded(bytes(damaged), 0, sealed=True)
        assert all(event == OPENED or event in ONE_OF_EACH for event in chunk.events)
        untouched = [events.decode(line) for line in LINES if line in WHOLE[:start] or line in WHOLE[start + length :]]
        missing = [event for event in untouched if event not in chunk.events]
        assert len(missing) <= 1, "at most the one whose newline is gone with the end of the file"


def test_a_flipped_digit_of_a_run_id_or_a_value_is_not_believed(location: Location, store: Store) -> None:
    """JSON would take both; the store has neither the run that nobody began nor the value that nobody logged."""
    points = [events.encode(events.MetricLogged(RUN, "loss", 0.125 * step, TIME, step)) for step in range(8)]
    points[3] = points[3].replace(b"a" * 32, b"a" * 31 + b"c")
    points[5] = points[5].replace(b"0.625", b"0.675")
    lines = [LINES[0], events.encode(events.RunStarted(RUN, SESSION, TIME, "r")), *points]
    write(location, b"".join(lines))
    assert ingest.ingest_pending(store, location) == []
    (run,) = Reader(store).search_runs(None)
    history = Reader(store).metric_history(RUN, "loss")
    assert [(point.step, point.value) for point in history] == [(s, 0.125 * s) for s in range(8) if s not in (3, 5)]
    assert "2 damaged lines" in guard.health("tracking").last_message()
    assert run.info.degraded == "2 lines of its journal are damaged"


@pytest.mark.parametrize("moved_before", [False, True], ids=["first look", "moved in part before"])
def test_a_journal_whose_first_line_is_damaged_is_moved_all_the_same_and_once(
    location: Location, store: Store, moved_before: bool
) -> None:
    """Whose it is, its file's name says; what had been moved before is not moved again."""
    if moved_before:
        ingest.ingest_file(store, write(location, b"".join(LINES[:6])))
    damaged = WHOLE.replace(JOURNAL.encode(), b"d" + JOURNAL.encode()[1:], 1)
    write(location, damaged)
    assert ingest.ingest_pending(store, location) == []
    (run,) = Reader(store).search_runs(None)
    assert (run.info.run_id, run.info.status, run.info.run_name) == (RUN, "FINISHED", "renamed")
    assert [(point.step, point.value) for point in Reader(store).metric_history(RUN, "loss")] == [(0, 0.5), (1, 0.25)]
    assert Reader(store).journal_offset(JOURNAL) == len(damaged)


def test_a_journal_of_a_version_that_wrote_no_checksums_is_read_as_ever(location: Location, store: Store) -> None:
    """Format 1 without the field `c` and without `sealed`, as it was before checksums: all of it is moved."""
    before = [line[:-17] + b"}\n" for line in LINES]
    before[0] = before[0].replace(b',"sealed":true', b"")
    path = write(location, b"".join(before))
    opened = journal_reading.header(path)
    assert opened is not None
    assert not opened.sealed
    assert journal_reading.read(path, 0).events[1:] == ONE_OF_EACH
    assert ingest.ingest_pending(store, location) == []
    assert Reader(store).run(RUN).info.status == "FINISHED"
    assert Reader(store).journal_offset(JOURNAL) == path.stat().st_size
