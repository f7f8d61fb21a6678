"""A zip file in memory, made of many small files.

The model of a forest is some hundred files of a few hundred bytes. `zipfile` takes 60 microseconds for each, several
times what compressing it takes: it keeps each one open as a stream, and seeks back to fill in the sizes. Here sizes are
known before a byte is written. Format: PKWARE's APPNOTE 6.3, with the 64-bit fields where something is too large or
too many for the others. Equal content gives equal bytes: no times, no attributes.
"""

from __future__ import annotations

import struct
import zlib

SMALL = 1024
"""Bytes up to which a file is stored as it is: to set up the compressor takes longer than it saves."""

LEVEL = 1
"""Of zlib's levels; the higher ones take a multiple of the time for a few percent."""

MAX_32 = BOUND_32 = 0xFFFF_FFFF
MAX_16 = 0xFFFF
"""What a field holds where its 64-bit form counts, and the bounds from which on it does."""

_STORED, _DEFLATED = 0, 8
_VERSION, _VERSION_64 = 20, 45
_MADE_ON_UNIX = 3 << 8
_DATE = 1 << 5 | 1  # 1980-01-01, the first that a zip can tell
_ATTRIBUTES = 0o600 << 16
_ZIP64_FIELD = 1

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")


class ZipWriter:
    """Takes files one after the other; `getvalue` ends it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._directory: list[bytes] = []
        self.count = 0
        """Files so far."""

    def add(self, name: str, content: bytes) -> None:
        """Add a file.

        Args:
            name: Its name, in ASCII; no other file's.
            content: Its bytes.
        """
        size = len(content)
        method, data = (_STORED, content) if size <= SMALL else (_DEFLATED, _deflated(content))
        label, crc = name.encode("ascii"), zlib.crc32(content)
        version, (plain, packed), extra = _fields(size, len(data))
        head = _LOCAL.pack(b"PK\3\4", version, 0, method, 0, _DATE, crc, packed, plain, len(label), len(extra))
        self._parts += (head, label, extra, data)
        start = self._size
        self._size += len(head) + len(label) + len(extra) + len(data)
        version, (plain, packed, offset), extra = _fields(size, len(data), start)
        entry = _CENTRAL.pack(
            b"PK\1\2", _MADE_ON_UNIX | version, version, 0, method, 0, _DATE, crc, packed, plain, len(label),
            len(extra), 0, 0, 0, _ATTRIBUTES, offset,
        )  # fmt: skip
        self._directory += (entry, label, extra)
        self.count += 1

    def getvalue(self) -> bytes:
        """The zip file."""
        directory, count, end = b"".join(self._directory), self.count, b""
        if count >= MAX_16 or max(len(directory), self._size) >= BOUND_32:
            behind = self._size + len(directory)
            end = _END_64.pack(
                b"PK\6\6", _END_64.size - 12, _MADE_ON_UNIX | _VERSION_64, _VERSION_64, 0, 0, count, count,
                len(directory), self._size,
            )  # fmt: skip
            end += _LOCATOR_64.pack(b"PK\6\7", 0, behind, 1)
        shown = MAX_16 if end else count
        size, start = (MAX_32, MAX_32) if end else (len(directory), self._size)
        end += _END.pack(b"PK\5\6", 0, 0, shown, shown, size, start, 0)
        return b"".join((*self._parts, directory, end))


def _deflated(content: bytes) -> bytes:
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(content) + compressor.flush()


def _fields(*numbers: int) -> tuple[int, tuple[int, ...], bytes]:
    """The version that a header needs, its 32-bit fields, and the field of 64-bit numbers behind it."""
    if max(numbers) < BOUND_32:
        return _VERSION, numbers, b""
    extra = struct.pack(f"<2H{len(numbers)}Q", _ZIP64_FIELD, 8 * len(numbers), *numbers)
    return _VERSION_64, (MAX_32,) * len(numbers), extra
