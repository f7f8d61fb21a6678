"""A slow evaluator beside the compiler of filters and orders: plain functions over records, made at random.

What they say is written down here a second time, from the language's description, and without SQL.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from autotrack import events as ev
from autotrack import records

KEYS = ["a", "b", "c d"]
WORDS = ["", "x", "X", "x ", "xy", "x_y", "%", "0.5", "ÄÖ", "äö", "a'b"]
NUMBERS = [-1.0, 0.0, 0.5, 2.0, math.inf, -math.inf, math.nan]
FINITE = NUMBERS[:4]


def like(text: str, pattern: str, fold: bool) -> bool:
    """`text LIKE pattern`, by regular expression."""
    if fold:
        text, pattern = text.lower(), pattern.lower()
    parts = (".*" if char == "%" else "." if char == "_" else re.escape(char) for char in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b or (a != a and b != b),
    "!=": lambda a, b: not (a == b or (a != a and b != b)),
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "like": lambda a, b: like(a, b, False),
    "ilike": lambda a, b: like(a, b, True),
}

Predicate = Callable[[records.Run], bool]
Filter = tuple[str, Predicate]


def quoted(text: str) -> str:
    """Text as a filter writes it."""
    return "'" + text.replace("'", "''") + "'"


def shown(value: Any) -> str:
    """A value as a filter writes it."""
    return quoted(value) if isinstance(value, str) else repr(value)


def compared(name: str, get: Callable[[records.Run], Any], word: str, values: list[Any]) -> Filter:
    """One comparison as text and as a function; `get` gives None for what is missing."""
    if word in ("is null", "is not null"):
        return f"{name} {word}", lambda run: (get(run) is None) == (word == "is null")
    if word in ("in", "not in"):
        text = f"{name} {word} ({', '.join(map(shown, values))})"
        negated = word == "not in"
        same = COMPARE["="]
        return text, lambda run: get(run) is not None and any(same(get(run), v) for v in values) != negated
    compare = COMPARE[word]
    return f"{name} {word} {shown(values[0])}", lambda run: get(run) is not None and compare(get(run), values[0])


def key_text(key: str) -> str:
    """A key as a filter writes it."""
    return key if key.isidentifier() else f"`{key}`"


@st.composite
def comparisons(draw: st.DrawFn) -> Filter:
    """A random comparison."""
    key = draw(st.sampled_from(KEYS))
    kind = draw(st.sampled_from(["metric", "param number", "param text", "tag", "status", "end_time"]))
    number_words = [*list(COMPARE)[:6], "in", "not in", "is null", "is not null"]
    text_words = ["=", "!=", "like", "ilike", "in", "not in", "is null", "is not null"]
    texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)
    if kind == "metric":
        view = draw(st.sampled_from(["last", "min", "max"]))
        values = draw(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3))
        name = (
            f"metrics.{view}.{key_text(key)}" if view != "last" or draw(st.booleans()) else f"metrics.{key_text(key)}"
        )
        return compared(name, lambda run: series_value(run, key, view), draw(st.sampled_from(number_words)), values)
    if kind == "param number":
        values = draw(st.lists(st.sampled_from(FINITE), min_size=1, max_size=3))
        word = draw(st.sampled_from(number_words[:-2]))
        return compared(f"params.{key_text(key)}", lambda run: param_number(run, key), word, values)
    if kind == "param text":
        get = lambda run: run.data.params.get(key)  # noqa: E731
        return compared(f"params.{key_text(key)}", get, draw(st.sampled_from(text_words)), draw(texts))
    if kind == "tag":
        get = lambda run: run.data.tags.get(key)  # noqa: E731
        return compared(f"tags.{key_text(key)}", get, draw(st.sampled_from(text_words)), draw(texts))
    if kind == "status":
        values = draw(st.lists(st.sampled_from(["RUNNING", "FINISHED", "x"]), min_size=1, max_size=2))
        return compared("attributes.status", lambda run: run.info.status, draw(st.sampled_from(text_words)), values)
    values = draw(st.lists(st.sampled_from([0, 50, 100]), min_size=1, max_size=2))
    return compared("end_time", lambda run: run.info.end_time, draw(st.sampled_from(number_words)), values)


def series_value(run: records.Run, key: str, view: str) -> float | None:
    """A summary value of a metric; None where it was never logged."""
    series = run.data.series.get(key)
    return None if series is None else float(getattr(series, view))


def param_number(run: records.Run, key: str) -> float | None:
    """A parameter's number; None where it has none."""
    value = run.data.param_values.get(key)
    good = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    return value if good else None


def negation(item: Filter) -> Filter:
    """`not`."""
    return f"not ({item[0]})", lambda run: not item[1](run)


def both(items: list[Filter]) -> Filter:
    """`and`."""
    return " and ".join(f"({text})" for text, _ in items), lambda run: all(test(run) for _, test in items)


def either(items: list[Filter]) -> Filter:
    """`or`."""
    return " or ".join(f"({text})" for text, _ in items), lambda run: any(test(run) for _, test in items)


filters = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        inner.map(negation),
        st.lists(inner, min_size=2, max_size=3).map(both),
        st.lists(inner, min_size=2, max_size=3).map(either),
    ),
    max_leaves=8,
)


@st.composite
def run_events(draw: st.DrawFn) -> list[Callable[[str], ev.Event]]:
    """What one random run logs."""
    made: list[Callable[[str], ev.Event]] = []
    for key in KEYS:
        values = [ev.number_of(value) for value in draw(st.lists(st.sampled_from(NUMBERS), max_size=3))]
        steps = list(range(len(values)))
        if values:
            made.append(lambda run, k=key, v=values, s=steps: ev.CurveLogged(run, k, s, s, v))
        if draw(st.booleans()):
            param = draw(st.sampled_from([ev.Param(key, "0.5", "0.5"), ev.Param(key, "x"), ev.Param(key, "2", "2")]))
            made.append(lambda run, p=param: ev.ParamsLogged(run, [p]))
        if draw(st.booleans()):
            word = draw(st.sampled_from(WORDS))
            made.append(lambda run, k=key, w=word: ev.TagsSet(run, {k: w}))
    if draw(st.booleans()):
        made.append(lambda run: ev.RunEnded(run, "FINISHED", 50))
    return made


Key = Callable[[records.Run], tuple[int, Any]]
Order = tuple[str, Key, bool]
"""Text, a function to rank and value, and whether values (never ranks) descend."""


def number_key(value: float | None) -> tuple[int, Any]:
    """Numbers, then NaN, then what is missing."""
    if value is None:
        return 2, None
    return (1, None) if math.isnan(value) else (0, value)


def param_key(run: records.Run, key: str) -> tuple[int, Any]:
    """Numbers, then other text, then what is missing; equal numbers by their text."""
    text, number = run.data.params.get(key), param_number(run, key)
    if text is None:
        return 2, None
    return (1, text) if number is None else (0, (number, text))


def plain_key(value: Any) -> tuple[int, Any]:
    """What is missing comes last."""
    return (1, None) if value is None else (0, value)


@st.composite
def orders(draw: st.DrawFn) -> list[Order]:
    """Up to three random clauses, each name once."""
    known: dict[str, Key] = {
        "end_time": lambda run: plain_key(run.info.end_time),
        "status": lambda run: plain_key(run.info.status),
        "run_name": lambda run: plain_key(run.info.run_name),
        "start_time": lambda run: plain_key(run.info.start_time),
    }
    for key in KEYS:
        for view in ("last", "min", "max"):
            known[f"metrics.{view}.{key_text(key)}"] = lambda run, k=key, v=view: number_key(series_value(run, k, v))
        known[f"params.{key_text(key)}"] = lambda run, k=key: param_key(run, k)
        known[f"tags.{key_text(key)}"] = lambda run, k=key: plain_key(run.data.tags.get(k))
    chosen = draw(st.lists(st.sampled_from(sorted(known)), max_size=3, unique=True))
    clauses = []
    for name in chosen:
        way = draw(st.sampled_from(["", " asc", " desc", " DESC"]))
        clauses.append((name + way, known[name], way.strip().lower() == "desc"))
    return clauses


def in_order(runs: list[records.Run], clauses: list[Order]) -> list[records.Run]:
    """Runs sorted by clauses; then the latest start first, then the one that was made last."""

    def compare(one: records.Run, other: records.Run) -> int:
        for _, key, descending in clauses:
            (rank, value), (other_rank, other_value) = key(one), key(other)
            if rank != other_rank:
                return -1 if rank < other_rank else 1
            if value != other_value:
                return -1 if (value < other_value) != descending else 1
        latest = [(-run.info.start_time, -int(run.info.run_id, 16)) for run in (one, other)]
        return -1 if latest[0] < latest[1] else 1

    return sorted(runs, key=functools.cmp_to_key(compare))
