"""Points of curves in bulk, on every engine: what each dialect's own way of inserting numbers must not lose."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from autotrack import events as ev
from autotrack.store.reading import Reader

A, B = "a" * 32, "b" * 32
SPECIALS = (math.nan, math.inf, -math.inf, 0.0, 5e-324, 1e308, 0.1, 1e16, 3.0)


def floats(seed: int) -> Iterator[float]:
    """Floats of any size, with those that engines are known to spoil strewn in."""
    rng = random.Random(seed)
    while True:
        (value,) = struct.unpack("<d", rng.randbytes(8))
        yield rng.choice(SPECIALS) if rng.random() < 0.1 else value if math.isfinite(value) else rng.gauss(0, 1)


def as_events(values: list[float], first: int) -> list[ev.Event]:
    """The points `first`, `first` + 1, ... of a curve, logged in the three ways that there are, in their order."""
    numbers = [ev.number_of(value) for value in values]
    events: list[ev.Event] = []
    for start in range(0, len(numbers), 3000):
        steps = list(range(first + start, first + min(start + 3000, len(numbers))))
        one, several, many = steps[:2000], steps[2000:2500], steps[2500:]
        events += [ev.MetricLogged(A, "m", numbers[step - first], 10 + step, step) for step in one]
        events += [ev.MetricsLogged(A, {"m": numbers[step - first], "n": 1.0}, 10 + step, step) for step in several]
        picked = [numbers[step - first] for step in many]
        events.append(ev.CurveLogged(A, "m", many, [10 + step for step in many], picked))
    return events


@pytest.mark.parametrize("sizes", [(1, 99, 100, 101), (11_111, 2_345)])
def test_many_points_come_back_bit_for_bit(sizes: tuple[int, ...], record: Callable[..., None], reader: Reader) -> None:
    """Whatever pieces they come in; and the summary is that of all of them."""
    source = floats(len(sizes))
    values: list[float] = []
    for size in sizes:
        more = list(islice(source, size))
        record(*as_events(more, len(values)), ev.MetricLogged(B, "m", 1.0, 1))
        values += more
    history = reader.metric_history(A, "m")
    assert [struct.pack("<d", point.value) for point in history] == [
        struct.pack("<d", math.nan if math.isnan(value) else value) for value in values
    ]
    assert [(point.step, point.timestamp) for point in history] == [(step, 10 + step) for step in range(len(values))]
    known = [value for value in values if not math.isnan(value)]
    summary = reader.run(A).data.series["m"]
    assert (summary.count, summary.last_step) == (len(values), len(values) - 1)
    assert repr(summary.last) == repr(values[-1])
    assert (summary.min, summary.min_step) == (min(known), values.index(min(known)))
    assert (summary.max, summary.max_step) == (max(known), values.index(max(known)))
    assert len(reader.metric_history(B, "m")) == len(sizes)
