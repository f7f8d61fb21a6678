"""Reading a journal, also one that is still being written, or that a crash has left torn.

A torn last line is not read until it is whole. A damaged line in the middle is skipped and counted, and an event glued
to a torn one is found again behind it. What a journal is, `journal.py` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from autotrack import events
from autotrack.errors import JournalFormatError
from autotrack.tracking.values import cleaned

CHUNK = 4 * 1024 * 1024
"""Bytes of a journal that are read at a time."""

PIECE = 128 * 1024
"""Bytes that are decoded at a time: about 1 ms, for which the training thread cannot have the interpreter."""

_NUL = b"\\u0000"
"""How JSON spells what some databases refuse in a text."""

_START = b'{"t":"'
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Chunk(NamedTuple):
    """A piece of a journal."""

    events: list[events.Event]
    end: int
    """Offset behind the last whole line."""
    damaged: int
    """Lines that could not be read."""


def header(path: Path) -> events.JournalOpened | None:
    """The first line of a journal; None while it is not whole.

    Raises:
        JournalFormatError: It is no journal, or one of a newer format.
    """
    with open(path, "rb") as file:
        line = file.readline(CHUNK)
    if not line.endswith(b"\n"):
        return None
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
    return opened if isinstance(opened, events.JournalOpened) else None


def read(path: Path, offset: int, limit: int = CHUNK) -> Chunk:
    """Read whole lines from an offset on: at most `limit` bytes, but one line at least."""
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(limit)
        if b"\n" not in data:
            data += file.readline()
    end = data.rfind(b"\n") + 1
    found: list[events.Event] = []
    damaged = 0
    for piece in _pieces(data, end):
        try:
            decoded = events.decode_lines(piece)
            found += map(cleaned, decoded) if _NUL in piece else decoded
        except _UNREADABLE:
            damaged += _read_damaged(piece, found)
    return Chunk(found, offset + end, damaged)


def _pieces(data: bytes, end: int) -> Iterator[bytes]:
    start = 0
    while start < end:
        stop = data.find(b"\n", min(start + PIECE, end - 1)) + 1
        yield data[start:stop]
        start = stop


def _read_damaged(piece: bytes, found: list[events.Event]) -> int:
    """Read lines of which one at least is damaged, one by one; returns how many are."""
    damaged = 0
    for line in filter(None, piece.split(b"\n")):
        try:
            found.append(events.decode(line))
        except _UNREADABLE:
            damaged += 1
            found.extend(_behind_damage(line))
    return damaged


def _behind_damage(line: bytes) -> Iterator[events.Event]:
    """A whole event behind a torn one on its line. Quotes in JSON strings are escaped, so the start is exact."""
    start = line.find(_START, 1)
    while start > 0:
        try:
            yield events.decode(line[start:])
            return
        except _UNREADABLE:
            start = line.find(_START, start + 1)
