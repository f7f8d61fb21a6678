from __future__ import annotations

import math

import pytest

from autotrack.cli import terminal

HOUR = 3_600_000
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (3.0, "3"),
        (-0.25, "-0.25"),
        (0.9736842105, "0.97368"),
        (123456.789, "1.2346e+05"),
        (1e-12, "1e-12"),
        (1e300, "1e+300"),
        (math.nan, "NaN"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
    ],
)
def test_numbers_have_five_digits(value: float, text: str) -> None:
    """Whole numbers are shown whole, others to five significant digits, special ones by name."""
    assert terminal.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"),
        (0.0123, "12 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (61, "1 min 01 s"),
        (3599.6, "1 h 00 min"),
        (3 * 3600 + 60, "3 h 01 min"),
    ],
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    """Two units at most, and no step from one to the next shows 60 of the smaller."""
    assert terminal.duration(seconds) == text


@pytest.mark.parametrize(
    ("ago", "text"),
    [(-5, "0 s ago"), (59_999, "59 s ago"), (60_000, "1 min ago"), (HOUR, "1 h ago"), (30 * DAY, "30 d ago")],
)
def test_ages_are_in_the_largest_unit(ago: int, text: str) -> None:
    """How long ago something was, in its largest whole unit; what lies in the future is now."""
    now = 1_700_000_000_000
    assert terminal.age(now - ago, now) == text


def test_old_ages_are_dates() -> None:
    """What is more than a month old shows its day; a time that the calendar does not have does no harm."""
    now = 1_700_000_000_000
    assert terminal.age(now - 60 * DAY, now).startswith("2023-09-1")
    assert terminal.age(-(10**18), now) == f"{-(10**18)} ms"[:10]
    assert terminal.timestamp(10**18) == str(10**18)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536 * 1024, "1.5 MiB"), (2**44, "16384.0 GiB")],
)
def test_sizes_are_in_binary_units(count: int, text: str) -> None:
    """Bytes in the largest unit up to GiB."""
    assert terminal.size(count) == text


def test_printable_text_steers_nothing() -> None:
    """Escapes, line ends, C1 controls, lone surrogates and direction overrides become visible; the rest stays."""
    assert terminal.printable("a\x1b[2J\n\x9b\ud800\u202ez é") == r"a\x1b[2J\n\x9b\ud800\u202ez é"
    assert terminal.printable("a\tb\n", keep="\t") == "a\tb\\n"


def test_table_aligns_its_columns() -> None:
    """Columns are as wide as their widest cell, numbers to the right, no blanks at the end of a line."""
    lines = terminal.table(["NAME", "N"], [["a", "1"], ["long", "100"], ["b\n", ""]], [False, True])
    assert lines == ["NAME    N", "a       1", "long  100", "b\\n"]


def test_pairs_leave_out_what_is_empty() -> None:
    """Names and values in two columns; None and the empty text are not shown."""
    assert terminal.pairs([("a", 1), ("none", None), ("empty", ""), ("long name", "x")]) == [
        "  a          1",
        "  long name  x",
    ]


def test_clipping_leaves_a_mark() -> None:
    """What is longer than the limit ends in two dots and has exactly that length."""
    assert terminal.clip("abcdef", 6) == "abcdef"
    assert terminal.clip("abcdefg", 6) == "abcd.."
