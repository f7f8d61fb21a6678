"""What a person sees: tables, numbers, times. Plain text without colours, so that it can be piped anywhere."""

from __future__ import annotations

import math
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

PIPE_WIDTH = 120
"""Columns of a table that goes into a file or pipe."""

GAP = 2
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def write(text: str) -> None:
    """Write a line to stdout; what its encoding does not have is written as an escape."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def remark(text: str) -> None:
    """Say something beside the result: on stderr."""
    sys.stderr.write(f"autotrack: {text}\n")


def width() -> int:
    """Columns of the terminal (COLUMNS counts more); of a file or pipe, `PIPE_WIDTH`."""
    return shutil.get_terminal_size((PIPE_WIDTH, 24)).columns


def printable(text: str, keep: str = "") -> str:
    """Text with control characters as escapes, so that what was recorded cannot steer the terminal."""
    return _CONTROL.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def clip(text: str, limit: int) -> str:
    """Text of at most `limit` (2 or more) characters; what is cut off leaves `..`."""
    return text if len(text) <= limit else text[: limit - 2] + ".."


def number(value: float) -> str:
    """A number to five significant digits."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.5g}"


def size(count: float) -> str:
    """A number of bytes."""
    if count < 1024:
        return f"{int(count)} B"
    exponent = min(int(math.log2(count) / 10), 3)
    return f"{count / 1024**exponent:.1f} {('B', 'KiB', 'MiB', 'GiB')[exponent]}"


def duration(seconds: float) -> str:
    """A length of time."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def age(time: int, now: int) -> str:
    """How long ago something was; a date where that is a month and more.

    Args:
        time: Milliseconds since the epoch.
        now: The same.
    """
    seconds = max(now - time, 0) / 1000
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            count = int(seconds // length)
            return moment(time)[:10] if unit == "d" and count > 30 else f"{count} {unit} ago"
    return f"{int(seconds)} s ago"


def moment(time: int) -> str:
    """A time, in ms since the epoch, in the local time zone; one that the calendar does not have, as the number."""
    try:
        return datetime.fromtimestamp(time / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
    except (OverflowError, OSError, ValueError):
        return f"{time} ms"


def timestamp(time: int) -> str:
    """The same in UTC, as ISO 8601, for programs."""
    try:
        return datetime.fromtimestamp(time / 1000, timezone.utc).isoformat(timespec="milliseconds")
    except (OverflowError, OSError, ValueError):
        return str(time)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool] = ()) -> list[str]:
    """Lines of a table.

    Args:
        titles: Of the columns.
        rows: Their cells.
        right: Which columns are aligned to the right; none by default.
    """
    cells = [[printable(cell) for cell in row] for row in (titles, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligned = [
        [
            cell.rjust(wide) if index < len(right) and right[index] else cell.ljust(wide)
            for index, (cell, wide) in enumerate(zip(row, widths, strict=True))
        ]
        for row in cells
    ]
    return [(" " * GAP).join(row).rstrip() for row in aligned]


def pairs(values: Iterable[tuple[str, Any]], indent: int = 2) -> list[str]:
    """Lines of names and values; what is empty is left out."""
    kept = [(printable(name), printable(str(value))) for name, value in values if value not in ("", None)]
    wide = max((len(name) for name, _ in kept), default=0)
    return [f"{' ' * indent}{name.ljust(wide)}  {value}" for name, value in kept]
