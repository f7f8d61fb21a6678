"""What a pickle names, read from its opcodes; nothing is imported, built or run."""

from __future__ import annotations

import pickletools
from typing import NamedTuple

MAX_OPCODES = 2_000_000
"""Where reading stops (well under a second); a longer pickle is reported as not wholly read."""

Global = tuple[str, str]
"""Module and name of a class or function."""

UNKNOWN: Global = ("?", "?")
"""A global whose name the pickle computes; no ordinary pickler writes such a thing."""

_CODES = {opcode.name: ord(opcode.code) for opcode in pickletools.opcodes}
_SIZES: list[int | None] = [None] * 256
"""Bytes of each opcode's argument; negative: pickletools' marks for a length that stands before it, or a line."""
for _opcode in pickletools.opcodes:
    _SIZES[ord(_opcode.code)] = 0 if _opcode.arg is None else _opcode.arg.n

_LENGTH_BYTES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_TEXTS = frozenset(_CODES[name] for name in ("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"))
_PUTS = frozenset(_CODES[name] for name in ("PUT", "BINPUT", "LONG_BINPUT"))
_GETS = frozenset(_CODES[name] for name in ("GET", "BINGET", "LONG_BINGET"))
_PAIRS = frozenset(_CODES[name] for name in ("GLOBAL", "INST"))
_EXTENSIONS = frozenset(_CODES[name] for name in ("EXT1", "EXT2", "EXT4"))
_FRAMING = frozenset(_CODES[name] for name in ("PROTO", "FRAME"))
_MEMOIZE, _STACK_GLOBAL, _STOP = _CODES["MEMOIZE"], _CODES["STACK_GLOBAL"], _CODES["STOP"]
_SPECIAL = _TEXTS | _PUTS | _GETS | _PAIRS | _EXTENSIONS | _FRAMING | {_MEMOIZE, _STACK_GLOBAL, _STOP}
"""Opcodes that do more than push some value that is no text."""

_Span = tuple[int, int]
"""Where a text stands in the pickle."""


class Scan(NamedTuple):
    """What reading a pickle found."""

    globals: frozenset[Global]
    complete: bool
    """False where the pickle is longer than `MAX_OPCODES`, or breaks off."""


def scan(data: bytes) -> Scan:
    """The globals that a pickle names.

    Args:
        data: A pickle of any protocol, or several in a row.
    """
    found: set[Global] = set()
    try:
        complete = _read(data, found)
    except (ValueError, IndexError, TypeError):
        complete = False
    return Scan(frozenset(found), complete)


def _read(data: bytes, found: set[Global]) -> bool:
    """Collect globals into `found`; False where there are too many opcodes. Raises on a pickle that breaks off."""
    memo: dict[int, _Span | None] = {}
    position = 0
    # The two newest values on the stack, as far as they are texts: what STACK_GLOBAL takes.
    before: _Span | None = None
    newest: _Span | None = None
    for _ in range(MAX_OPCODES):
        code = data[position]
        size = _SIZES[code]
        if size is not None and size >= 0:
            start, position = position + 1, position + 1 + size
        else:
            start, position = _argument(data, position + 1, code)
        if code == _MEMOIZE:
            memo[len(memo)] = newest
        elif code not in _SPECIAL:
            before, newest = newest, None
        elif code in _TEXTS:
            before, newest = newest, (start, position)
        elif code in _PUTS:
            memo[_number(data, start, position, code)] = newest
        elif code in _GETS:
            before, newest = newest, memo.get(_number(data, start, position, code))
        elif code in _PAIRS:
            module, name = data[start : position - 1].decode().split("\n")
            found.add((module, name))
            before, newest = newest, None
        elif code == _STACK_GLOBAL or code in _EXTENSIONS:
            known = code == _STACK_GLOBAL and before is not None and newest is not None
            found.add((_text(data, before), _text(data, newest)) if known else UNKNOWN)
            before, newest = None, None
        elif code == _STOP:
            # torch's older files are several pickles, one after the other.
            if not looks_like_pickle(data[position : position + 2]):
                return True
            memo.clear()
            before, newest = None, None
    return False


def _argument(data: bytes, position: int, code: int) -> tuple[int, int]:
    """Where an argument of no fixed size begins and ends, without the length that stands before it."""
    size = _SIZES[code]
    if size is None:
        raise ValueError(f"no opcode {code}")
    if size == pickletools.UP_TO_NEWLINE:
        end = data.index(b"\n", position) + 1
        return position, data.index(b"\n", end) + 1 if code in _PAIRS else end
    length = _LENGTH_BYTES[size]
    start = position + length
    return start, start + int.from_bytes(data[position:start], "little")


def _number(data: bytes, start: int, end: int, code: int) -> int:
    if _SIZES[code] == pickletools.UP_TO_NEWLINE:
        return int(data[start:end])
    return int.from_bytes(data[start:end], "little")


def _text(data: bytes, span: _Span | None) -> str:
    return data[slice(*span)].decode("utf-8", "replace").rstrip("\n") if span else ""


def looks_like_pickle(head: bytes) -> bool:
    """Whether a file's first bytes are those of a pickle (protocol 2 and later)."""
    return len(head) >= 2 and head[0] == 0x80 and 2 <= head[1] <= 5
