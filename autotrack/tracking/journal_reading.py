"""Reading a journal, also one that is still being written, or that a crash has left torn.

A torn last line is not read until it is whole. A damaged line in the middle is skipped and counted; whole events on it
(behind a torn one, before a lost newline) are found all the same. What a journal is, `journal.py` says.
"""

from __future__ import annotations

import re
from binascii import crc32
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from autotrack import events
from autotrack.errors import JournalFormatError
from autotrack.tracking.values import cleaned, storable

CHUNK = 4 * 1024 * 1024
"""Bytes of a journal that are read at a time."""

PIECE = 128 * 1024
"""Bytes that are decoded at a time: about 1 ms, for which the training thread cannot have the interpreter."""

MAX_ID = 64
"""Characters of an id in a journal's first line."""

_NUL = b"\\u0000"
"""How JSON spells what some databases refuse in a text."""

_START = b'{"t":"'
_SEALED_END = re.compile(re.escape(events.SEAL) + rb'[0-9a-f]{8}"}')
_SEALS_TRIED = 4
"""Ends of a sealed event that are tried on a damaged line: what it holds may itself look like one."""

_RUN_ID = re.compile(rb'"run_id":"([0-9a-f]{32})"')
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Chunk(NamedTuple):
    """A piece of a journal."""

    events: list[events.Event]
    end: int
    """Offset behind the last whole line."""
    damaged: int
    """Lines that could not be read."""
    hurt: Sequence[tuple[str, str]] = ()
    """Of each of those the run that it names, as far as that can be read, and the run of the event before it."""


def header(path: Path) -> events.JournalOpened | None:
    """The first line of a journal; None while it is not whole.

    Where it is damaged, but not what follows, it is made up: of the file's name, and of nobody who is known to live.

    Raises:
        JournalFormatError: It is no journal, or one of a newer format.
    """
    with open(path, "rb") as file:
        line = file.readline(CHUNK)
    if not line.endswith(b"\n"):
        return None
    try:
        return _opened(path, line[:-1])
    except JournalFormatError as error:
        made_up = None if _is_newer(line[:-1]) else _made_up(path)
        if made_up is None or not _is_storable(made_up):
            raise error from None
        return made_up


def _opened(path: Path, line: bytes) -> events.JournalOpened:
    try:
        first = msgspec.json.decode(line)
    except _UNREADABLE as error:
        raise JournalFormatError(f"{path}: the first line is no journal's: {error}") from None
    version = first.get("version") if isinstance(first, dict) and first.get("t") == "journal" else None
    if not isinstance(version, int):
        raise JournalFormatError(f"{path}: the first line is no journal's")
    if version > events.FORMAT_VERSION:
        raise JournalFormatError(
            f"{path}: journal format {version}, this autotrack knows up to {events.FORMAT_VERSION}; upgrade autotrack"
        )
    try:
        opened: Any = events.decode(line)
    except _UNREADABLE as error:
        raise JournalFormatError(f"{path}: the first line is damaged: {error}") from None
    if not events.is_intact(line, opened.sealed):
        raise JournalFormatError(f"{path}: the first line is damaged: its checksum is another")
    found: events.JournalOpened = opened
    if not _is_storable(found):
        raise JournalFormatError(f"{path}: the first line is damaged: it names no process that there can be")
    return found


def _is_storable(opened: events.JournalOpened) -> bool:
    """Whether databases take what the first line says: it is their key to the rest, and cannot be left out."""
    texts = (opened.journal_id, opened.session_id, opened.host, opened.boot_id)
    numbers = (opened.pid, opened.process_started, opened.time)
    return (
        all(storable(text) == text for text in texts)
        and all(0 <= number < 2**63 for number in numbers)
        and 0 < len(opened.journal_id) <= MAX_ID
        and len(opened.session_id) <= MAX_ID
    )


def _is_newer(line: bytes) -> bool:
    """Whether a first line is not damaged, but beyond this version."""
    try:
        first = msgspec.json.decode(line)
    except _UNREADABLE:
        return False
    version = first.get("version") if isinstance(first, dict) else None
    return isinstance(version, int) and version > events.FORMAT_VERSION and events.is_intact(line, False)


def _made_up(path: Path) -> events.JournalOpened | None:
    """A first line for a journal that has lost its own; None where no sealed event says that it is one."""
    found = read(path, 0, sealed=True).events
    if not found:
        return None
    opened = next((event for event in found if isinstance(event, events.JournalOpened)), None)
    session = next((event.session_id for event in found if isinstance(event, _OF_SESSIONS)), "")
    return opened or events.JournalOpened(
        version=events.FORMAT_VERSION, journal_id=path.stem, session_id=session, store="", host="", boot_id="", pid=0,
        process_started=0, time=path.stat().st_mtime_ns // 1_000_000, sealed=True,
    )  # fmt: skip


_OF_SESSIONS = (events.SessionStarted, events.RunStarted, events.RunResumed, events.FitLogged)


def read(path: Path, offset: int, limit: int = CHUNK, *, sealed: bool = False) -> Chunk:
    """Read whole lines from an offset on: at most `limit` bytes, but one line at least.

    Args:
        path: The journal.
        offset: Where to begin.
        limit: Bytes.
        sealed: As the journal's first line says: a line without its checksum is damaged.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(limit)
        if b"\n" not in data:
            data += file.readline()
    return decoded(data, offset, sealed)


def decoded(data: bytes, offset: int, sealed: bool) -> Chunk:
    """The whole lines of a piece of a journal that begins at an offset."""
    end = data.rfind(b"\n") + 1
    found: list[events.Event] = []
    hurt: list[tuple[str, str]] = []
    for piece in _pieces(data, end):
        if not _are_intact(piece, sealed):
            hurt += _read_damaged(piece, found, sealed)
            continue
        try:
            several = events.decode_lines(piece)
            found += map(cleaned, several) if _NUL in piece else several
        except _UNREADABLE:
            hurt += _read_damaged(piece, found, sealed)
    return Chunk(found, offset + end, len(hurt), hurt)


def _are_intact(piece: bytes, sealed: bool) -> bool:
    """`events.is_intact` of each line; written out, since this is done for every line of a program that logs much."""
    seal = events.SEAL
    for line in piece.split(b"\n"):
        if line[-16:-10] == seal:
            if b"%08x" % crc32(line[:-16]) != line[-10:-2]:
                return False
        elif sealed and line:
            return False
    return True


def _pieces(data: bytes, end: int) -> Iterator[bytes]:
    start = 0
    while start < end:
        stop = data.find(b"\n", min(start + PIECE, end - 1)) + 1
        yield data[start:stop]
        start = stop


def _read_damaged(piece: bytes, found: list[events.Event], sealed: bool) -> list[tuple[str, str]]:
    """Read lines of which one at least is damaged, one by one; gives back what is known of those (`Chunk.hurt`)."""
    hurt = []
    lines = [line for line in piece.split(b"\n") if line]
    for line, following in zip(lines, [*lines[1:], b""], strict=True):
        event = _event_of(line, sealed)
        if event is not None:
            found.append(event)
        elif not following.startswith(line):  # the disk took a part of it, and then the whole
            named = _RUN_ID.search(line)
            before = next((run for event in reversed(found) if (run := getattr(event, "run_id", None))), "")
            hurt.append((named[1].decode() if named else "", before))
            found.extend(_sealed_parts(line) if sealed else _behind_damage(line))
    return hurt


def _event_of(line: bytes, sealed: bool) -> events.Event | None:
    if not events.is_intact(line, sealed):
        return None
    try:
        event = events.decode(line)
    except _UNREADABLE:
        return None
    return cleaned(event) if _NUL in line else event


def _sealed_parts(line: bytes) -> Iterator[events.Event]:
    """Whole events on a damaged line, wherever on it they stand: their checksums tell."""
    start = line.find(_START)
    while start >= 0:
        end = start + 1
        for _, seal in zip(range(_SEALS_TRIED), _SEALED_END.finditer(line, start), strict=False):
            event = _event_of(line[start : seal.end()], True)
            if event is not None:
                yield event
                end = seal.end()
                break
        start = line.find(_START, end)


def _behind_damage(line: bytes) -> Iterator[events.Event]:
    """A whole event behind a torn one on its line. Quotes in JSON strings are escaped, so the start is exact."""
    start = line.find(_START, 1)
    while start > 0:
        event = _event_of(line[start:], False)
        if event is not None:
            yield event
            return
        start = line.find(_START, start + 1)
