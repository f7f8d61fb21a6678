"""Points of curves into `metric_points`, and what each curve comes down to into `metric_series`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, select

from autotrack.events import Number
from autotrack.store.dialects import Dialect
from autotrack.store.folding import Points
from autotrack.store.schema import (
    INFINITY,
    LARGEST,
    MINUS_INFINITY,
    NAN,
    metric_points,
    metric_series,
)

T = TypeVar("T")

CHUNK = 500
"""How many values stand in one `IN (...)`."""

_INT64 = 2**63

_SPECIALS = {"NaN": NAN, "Infinity": INFINITY, "-Infinity": MINUS_INFINITY}
_SUMMARY = ("count", "last", "last_special", "last_step", "last_time")
_EXTREMES = ("min", "min_special", "min_step", "max", "max_special", "max_step")


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Pieces of at most `CHUNK`."""
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))


def split(number: Number) -> tuple[float | None, int | None]:
    """A number as the columns `value` and `special`; text that is no number counts as NaN."""
    if isinstance(number, str):
        special = _SPECIALS.get(number, NAN)
    elif math.isfinite(number):
        return float(number), None
    else:
        special = NAN if math.isnan(number) else INFINITY if number > 0 else MINUS_INFINITY
    return {NAN: None, INFINITY: LARGEST, MINUS_INFINITY: -LARGEST}[special], special


def join(value: float | None, special: int | None) -> float:
    """Inverse of `split`."""
    if special is None:
        return math.nan if value is None else value
    return {NAN: math.nan, INFINITY: math.inf, MINUS_INFINITY: -math.inf}[special]


def _split_all(numbers: Sequence[Number]) -> tuple[Sequence[float | None], Sequence[int | None]]:
    """Numbers as the columns `value` and `special`."""
    if set(map(type, numbers)) == {float} and all(map(math.isfinite, cast("Sequence[float]", numbers))):
        return cast("Sequence[float]", numbers), [None] * len(numbers)
    values, specials = zip(*map(split, numbers), strict=True)
    return values, specials


class Series:
    """One row of `metric_series`, as points are added."""

    __slots__ = ("id", *_SUMMARY, *_EXTREMES)

    def __init__(self, row: Any) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(row, name))

    def extend(self, points: Points, columns: Sequence[list[float | None]]) -> None:
        """Add points, one at least, appending what they are in `metric_points` to its columns.

        NaN counts towards `count` and `last` only. Whole columns at a time: this is what every metric of every
        program goes through.
        """
        steps, times, numbers = points
        values, specials = _split_all(numbers)
        if min(min(steps), min(times)) < -_INT64 or max(max(steps), max(times)) >= _INT64:
            steps, times = list(map(_into_range, steps)), list(map(_into_range, times))
        first, self.count = self.count, self.count + len(steps)
        added = (repeat(self.id, len(steps)), range(first, self.count), steps, times, values, specials)
        for column, more in zip(columns, added, strict=True):
            column.extend(more)
        step, time, at = max(zip(steps, times, range(len(steps)), strict=True))
        if not first or (step, time) >= (self.last_step, self.last_time):
            self.last, self.last_special, self.last_step, self.last_time = values[at], specials[at], step, time
        known = [value for value in values if value is not None] if any(specials) else cast("Sequence[float]", values)
        if not known:
            return
        low, high = min(known), max(known)
        if self.min is None or low < self.min:
            at = values.index(low)
            self.min, self.min_special, self.min_step = low, specials[at], steps[at]
        if self.max is None or high > self.max:
            at = values.index(high)
            self.max, self.max_special, self.max_step = high, specials[at], steps[at]

    def row(self) -> dict[str, Any]:
        """What of the row may have changed."""
        return {"id": self.id, **{name: getattr(self, name) for name in (*_SUMMARY, *_EXTREMES)}}

    id: int
    count: int
    last: float | None
    last_special: int | None
    last_step: int
    last_time: int
    min: float | None
    min_special: int | None
    min_step: int
    max: float | None
    max_special: int | None
    max_step: int


_EMPTY = dict.fromkeys((*_SUMMARY, *_EXTREMES)) | dict.fromkeys(
    ("count", "last_step", "last_time", "min_step", "max_step"), 0
)


def write_points(
    connection: Connection, dialect: Dialect, runs: Mapping[str, int], points: Mapping[tuple[str, str], Points]
) -> None:
    """Append points to their series, making those that are not there yet.

    Args:
        connection: The caller's transaction.
        dialect: The connection's dialect.
        runs: Primary keys of the runs by run id.
        points: Points in the order in which they were logged, by (run id, key).
    """
    wanted = {(runs[run_id], key): some for (run_id, key), some in points.items() if some.steps}
    found = _load(connection, wanted)
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        empty = [{"run": run, "key": key, **_EMPTY} for run, key in missing]
        dialect.insert_rows(connection, metric_series, ("run", "key"), empty, replace=False)
        found |= _load(connection, missing)
    if wanted:
        columns: list[list[float | None]] = [[] for _ in metric_points.columns]
        for place, some in wanted.items():
            found[place].extend(some, columns)
        dialect.insert_numbers(connection, metric_points, columns)
        dialect.update_rows(connection, metric_series, "id", [found[place].row() for place in sorted(wanted)])


def _load(connection: Connection, places: Iterable[tuple[int, str]]) -> dict[tuple[int, str], Series]:
    """The series of these runs and keys, locked where the engine has several writers."""
    by_run: dict[int, list[str]] = {}
    for run, key in places:
        by_run.setdefault(run, []).append(key)
    found: dict[tuple[int, str], Series] = {}
    columns = metric_series.c
    for some in chunks(sorted(by_run)):
        for keys in chunks(sorted({key for run in some for key in by_run[run]})):
            query = select(metric_series).where(columns.run.in_(some), columns.key.in_(keys))
            for row in connection.execute(query.order_by(columns.id).with_for_update()):
                found[row.run, row.key] = Series(row)
    return found


def _into_range(number: int) -> int:
    return max(-_INT64, min(_INT64 - 1, number))
