"""The journal: its format, and what damage, a full disk and a lost file do to it."""

from __future__ import annotations

import os
import types
import typing
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotrack import events
from autotrack.errors import JournalFormatError
from autotrack.store.location import Location, locate
from autotrack.tracking import journal as journals
from autotrack.tracking import journal_reading
from autotrack.tracking.journal import Journal

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
INT64 = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["NaN", "Infinity", "-Infinity"])
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: INT64,
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    Any: st.none() | st.booleans() | TEXT,
    type(None): st.none(),
    events.Number: NUMBERS,
}


def strategy_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation in `events`."""
    if kind in PLAIN:
        return PLAIN[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return st.lists(strategy_of(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(strategy_of(arguments[0]), strategy_of(arguments[1]), max_size=3)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in (types.UnionType, typing.Union):
        if events.Number in PLAIN and {float, str} <= set(arguments):
            rest = [strategy_of(one) for one in arguments if one not in (float, str)]
            return st.one_of(NUMBERS, *rest)
        return st.one_of(*[strategy_of(one) for one in arguments])
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{name: strategy_of(hint) for name, hint in hints.items() if name != "__match_args__"})


KINDS: tuple[type[Any], ...] = typing.get_args(events.Event)


@pytest.fixture
def location(tmp_path: Path) -> Location:
    """A store in the test's folder."""
    return locate(tmp_path / "store")


@pytest.fixture
def journal(location: Location) -> Iterator[Journal]:
    """A journal of this process."""
    made = Journal(location, "5e55" * 8)
    yield made
    made.close()


def point(step: int) -> events.MetricLogged:
    """One point of a curve."""
    return events.MetricLogged("a" * 32, "loss", 0.5, 1_700_000_000_000, step)


def steps_in(chunk: journal_reading.Chunk) -> list[int]:
    """Steps of the points in a piece."""
    return [event.step for event in chunk.events if isinstance(event, events.MetricLogged)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_event_survives_a_line_of_the_journal(kind: type[Any]) -> None:
    """Each event is one line of JSON with its tag first, and comes back equal, whatever text and numbers it holds."""

    @given(strategy_of(kind))
    def check(event: Any) -> None:
        line = events.encode(event)
        assert line.startswith(b'{"t":"')
        assert line.count(b"\n") == 1
        assert events.decode(line) == event
        assert events.decode_lines(line + line) == [event, event]

    check()


def test_tags_of_the_events_are_the_format_and_do_not_change() -> None:
    """Journals are read by later versions: no tag may be renamed without a new format version."""
    tags = {kind.__name__: kind.__struct_config__.tag for kind in KINDS}
    assert events.FORMAT_VERSION == 1
    assert tags == {
        "JournalOpened": "journal", "JournalClosed": "close", "SessionStarted": "session",
        "EnvironmentCaptured": "environment", "RunStarted": "run", "RunResumed": "resume", "RunUpdated": "update",
        "RunEnded": "end", "RunDegraded": "degraded", "ParamsLogged": "params", "MetricLogged": "m",
        "MetricsLogged": "ms", "CurveLogged": "curve", "TagsSet": "tags", "TagDeleted": "untag",
        "DatasetLogged": "dataset", "FitLogged": "fit", "TrialsLogged": "trials", "ModelLogged": "model",
        "ArtifactLogged": "artifact", "ModelChanged": "model_changed", "ModelRegistered": "register",
        "RankJoined": "rank", "RankEnded": "rank_end", "RankGone": "rank_gone",
    }  # fmt: skip


def test_a_journal_begins_with_its_writer_and_ends_with_its_closing(journal: Journal) -> None:
    """First and last line are what the format says, and each line is JSON that any tool reads."""
    journal.append(events.encode(point(1)))
    assert journal.close() == 0
    lines = journal.path.read_bytes().splitlines()
    first, middle, last = (msgspec.json.decode(line) for line in lines)
    assert (first["t"], first["version"], first["pid"]) == ("journal", 1, os.getpid())
    assert first["journal_id"] == journal.path.stem
    assert middle == {
        "t": "m", "run_id": "a" * 32, "key": "loss", "value": 0.5, "time": 1_700_000_000_000, "step": 1,
        "c": f"{zlib.crc32(lines[1].rpartition(b',')[0]):08x}",
    }  # fmt: skip
    assert last["t"] == "close"
    assert journal_reading.header(journal.path) == journal.opened


def test_a_torn_last_line_waits_until_it_is_whole(journal: Journal) -> None:
    """A line without its end is left for the next look, and then read whole."""
    line = events.encode(point(7))
    with open(journal.path, "ab") as file:
        file.write(line[:20])
    before = journal_reading.read(journal.path, 0)
    assert steps_in(before) == []
    assert before.end == journal.path.stat().st_size - 20
    with open(journal.path, "ab") as file:
        file.write(line[20:])
    assert steps_in(journal_reading.read(journal.path, before.end)) == [7]


@pytest.mark.parametrize(
    "damage",
    [
        b"garbage",
        b'{"t":"m","run_id":"x"',
        b"\xff\xfe\x00",
        b'{"t":"nobody knows this one"}',
        b"[" * 100_000,
        b"\0" * 9,
    ],
    ids=["garbage", "torn", "bytes", "unknown", "deep", "zeros"],
)
def test_a_damaged_line_is_skipped_and_counted(journal: Journal, damage: bytes) -> None:
    """Whatever stands on a line that is no event, the lines around it are read."""
    journal.append(events.encode(point(1)))
    with open(journal.path, "ab") as file:
        file.write(damage + b"\n")
    journal.append(events.encode(point(2)))
    chunk = journal_reading.read(journal.path, 0)
    assert (steps_in(chunk), chunk.damaged) == ([1, 2], 1)


def test_an_event_glued_to_a_torn_one_is_found(journal: Journal) -> None:
    """Two lines of which the first lost its end and its newline still give the second event."""
    with open(journal.path, "ab") as file:
        file.write(events.encode(point(1))[:25] + events.encode(point(2)))
    chunk = journal_reading.read(journal.path, 0)
    assert (steps_in(chunk), chunk.damaged) == ([2], 1)


def test_an_events_own_text_is_not_taken_for_an_event(journal: Journal) -> None:
    """A damaged line whose text quotes an event yields nothing that nobody logged."""
    quoted = events.encode(events.TagsSet("a" * 32, {"note": '{"t":"m","run_id":"b","key":"k","value":1,"time":1}'}))
    with open(journal.path, "ab") as file:
        file.write(b"#" + quoted.replace(b'"tags"', b'"tagz"', 1))
    chunk = journal_reading.read(journal.path, 0)
    assert len(chunk.events) == 1
    assert chunk.damaged == 1


def test_a_line_longer_than_a_piece_is_read_whole(journal: Journal) -> None:
    """A value of many megabytes is one event, however small the pieces that are read."""
    big = events.ParamsLogged("a" * 32, [events.Param("text", "x" * 3_000_000)])
    journal.append(events.encode(big))
    journal.append(events.encode(point(1)))
    first = journal_reading.read(journal.path, 0, limit=1000)
    second = journal_reading.read(journal.path, first.end, limit=1000)
    assert second.events == [big]
    assert steps_in(journal_reading.read(journal.path, second.end)) == [1]


@given(cuts=st.lists(st.integers(1, 400), min_size=1, max_size=20))
def test_pieces_of_any_size_give_every_event_once(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    """Reading on from where the last piece ended neither repeats nor skips an event."""
    path = tmp_path_factory.mktemp("pieces") / "x.jsonl"
    path.write_bytes(b"".join(events.encode(point(step)) for step in range(50)))
    offset, found, index = 0, [], 0
    while True:
        chunk = journal_reading.read(path, offset, cuts[index % len(cuts)])
        index += 1
        if chunk.end == offset:
            break
        found += steps_in(chunk)
        offset = chunk.end
    assert found == list(range(50))


@pytest.mark.parametrize(
    ("first_line", "message"),
    [
        (b'{"t":"journal","version":99,"journal_id":"x"}\n', "journal format 99"),
        (b"hello\n", "no journal"),
        (b"[1, 2]\n", "no journal"),
        (b'{"t":"journal","version":1}\n', "damaged"),
        (b"\xff\n", "no journal"),
    ],
)
def test_a_file_that_is_no_journal_of_a_known_format_is_refused(
    tmp_path: Path, first_line: bytes, message: str
) -> None:
    """The error names the file, and a newer format says which versions are meant."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(first_line)
    with pytest.raises(JournalFormatError, match=message) as caught:
        journal_reading.header(path)
    assert str(path) in str(caught.value)


def test_a_header_that_is_not_whole_yet_is_no_error(tmp_path: Path) -> None:
    """Between its creation and its first line a journal is empty."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"t":"journal","vers')
    assert journal_reading.header(path) is None


def test_a_closed_journal_takes_nothing_and_touches_no_other_file(journal: Journal, tmp_path: Path) -> None:
    """After the close the file's number belongs to another file, which must not get our events."""
    journal.close()
    handles = [os.open(tmp_path / f"user{number}", os.O_CREAT | os.O_WRONLY) for number in range(8)]
    size = journal.path.stat().st_size
    assert journal.append(events.encode(point(1))) is False
    journal.waiting()
    journal.sync()
    journal.abandon()
    assert journal.close() == 0
    for handle in handles:
        os.close(handle)
    assert journal.path.stat().st_size == size
    assert all((tmp_path / f"user{number}").stat().st_size == 0 for number in range(8))


def test_a_file_that_the_program_closed_under_us_is_opened_again(journal: Journal) -> None:
    """Programs that become daemons close every file they find; what is logged afterwards is kept all the same."""
    journal.append(events.encode(point(1)))
    os.close(journal._fd)
    journal.append(events.encode(point(2)))
    journal.append(events.encode(point(3)))
    assert journal.waiting() == 0
    assert steps_in(journal_reading.read(journal.path, 0)) == [1, 2, 3]


def test_a_folder_that_takes_no_journal_sends_it_to_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store in a place that cannot be written still has a journal, where readers look for it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "file").write_text("a file where the folder should be")
    location = locate(tmp_path / "file" / "store")
    journal = Journal(location, "5e55" * 8)
    journal.close()
    assert journal.path.parent == location.fallback_journal_folder
    assert list(journals.folders(location)) == [location.fallback_journal_folder]
    if os.name == "posix":
        assert location.fallback_journal_folder.parents[1].stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give folders away")
def test_a_temporary_folder_of_another_user_is_neither_written_nor_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can make a folder in the temporary one; nobody else's events may get into the store."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    location = locate(tmp_path / "store")
    location.fallback_journal_folder.mkdir(parents=True)
    os.chown(location.fallback_journal_folder.parents[1], 12345, 12345)
    assert list(journals.folders(location)) == []
    with pytest.raises(PermissionError, match="another user"):
        journals.prepare_fallback(location)


def test_threads_that_append_at_once_write_whole_lines(journal: Journal) -> None:
    """Eight threads with small and large events: every line is whole and each thread's order is kept."""
    import threading

    def work(number: int) -> None:
        for step in range(200):
            key = f"{number}" + "x" * (step % 7) * 500
            journal.append(events.encode(events.MetricLogged("a" * 32, key, 1.0, 1, step)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    chunk = journal_reading.read(journal.path, 0)
    assert chunk.damaged == 0
    by_thread: dict[str, list[int]] = {}
    for event in chunk.events:
        if isinstance(event, events.MetricLogged):
            by_thread.setdefault(event.key[0], []).append(event.step)
    assert by_thread == {str(number): list(range(200)) for number in range(8)}


def test_sync_reaches_the_disk_without_error(journal: Journal) -> None:
    """`durability="fsync"` syncs the file and, the first time, the name of it."""
    journal.append(events.encode(point(1)))
    journal.sync()
    journal.sync()
    assert steps_in(journal_reading.read(journal.path, 0)) == [1]
