"""Columns of `autotrack ls`: what can be shown of a run, and which of it tells the shown runs apart."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from autotrack import events
from autotrack.cli import terminal
from autotrack.errors import InvalidArgumentError
from autotrack.records import Run

ENTITIES = ("metrics", "params", "tags")
MAX_CELL = 24
MAX_NAME = 32
SHORT_ID = 8


class Listing(NamedTuple):
    """The runs that are shown, and what is needed to show them."""

    runs: Sequence[Run]
    experiments: dict[str, str]
    """Name by id."""
    now: int
    """Ms since the epoch."""


class Field(NamedTuple):
    """Something that every run has."""

    show: Callable[[Run, Listing], str]
    """As a cell of the table."""
    full: Callable[[Run, Listing], Any]
    """As a cell of CSV."""
    right: bool = False


class Column(NamedTuple):
    """One column: a field (no entity), a metric, a parameter or a tag."""

    entity: str
    key: str

    @property
    def name(self) -> str:
        """As in filters, `--columns` and the heads of CSV."""
        return f"{self.entity}.{self.key}" if self.entity else self.key

    @property
    def right(self) -> bool:
        """Whether its cells are aligned to the right."""
        return FIELDS[self.key].right if not self.entity else self.entity == "metrics"

    def cell(self, run: Run, listing: Listing) -> str:
        """What stands in the table."""
        if not self.entity:
            return FIELDS[self.key].show(run, listing)
        value = getattr(run.data, self.entity).get(self.key)
        if self.entity == "params" and isinstance(run.data.param_values.get(self.key), float):
            value = run.data.param_values[self.key]
        if value is None:
            return ""
        return terminal.number(value) if isinstance(value, float) else terminal.clip(str(value), MAX_CELL)

    def full(self, run: Run, listing: Listing) -> Any:
        """What stands in CSV: nothing is cut or rounded; None where the run has none."""
        if not self.entity:
            return FIELDS[self.key].full(run, listing)
        value = getattr(run.data, self.entity).get(self.key)
        return events.number_of(value) if isinstance(value, float) else value


def _short_id(run: Run, listing: Listing) -> str:
    """As many digits as tell the shown runs apart, and `SHORT_ID` at least."""
    length = SHORT_ID
    while len({other.info.run_id[:length] for other in listing.runs}) < len(listing.runs) and length < 32:
        length += 1
    return run.info.run_id[:length]


def _status(run: Run, _: Listing) -> str:
    deleted = ", deleted" if run.info.lifecycle_stage == "deleted" else ""
    return run.info.status + ("!" if run.info.degraded else "") + deleted


def _seconds(run: Run, listing: Listing) -> float:
    end = run.info.end_time or (listing.now if run.info.status == "RUNNING" else run.info.start_time)
    return (end - run.info.start_time) / 1000


def _experiment(run: Run, listing: Listing) -> str:
    return listing.experiments.get(run.info.experiment_id, run.info.experiment_id)


def _plain(name: str) -> Field:
    def show(run: Run, _: Listing) -> str:
        return terminal.clip(str(getattr(run.info, name) or ""), MAX_CELL)

    return Field(show, lambda run, _: getattr(run.info, name))


FIELDS = {
    "run_id": Field(_short_id, lambda run, _: run.info.run_id),
    "name": Field(lambda run, _: terminal.clip(run.info.run_name, MAX_NAME), lambda run, _: run.info.run_name),
    "experiment": Field(lambda run, listing: terminal.clip(_experiment(run, listing), MAX_CELL), _experiment),
    "status": Field(_status, lambda run, _: run.info.status),
    "started": Field(
        lambda run, listing: terminal.age(run.info.start_time, listing.now),
        lambda run, _: terminal.timestamp(run.info.start_time),
    ),
    "ended": Field(
        lambda run, listing: terminal.age(run.info.end_time, listing.now) if run.info.end_time else "",
        lambda run, _: terminal.timestamp(run.info.end_time) if run.info.end_time else None,
    ),
    "duration": Field(
        lambda run, listing: terminal.duration(_seconds(run, listing)),
        lambda run, listing: _seconds(run, listing),
        right=True,
    ),
    "source": _plain("source"),
    "user": _plain("user_id"),
    "parent_run_id": _plain("parent_run_id"),
    "session_id": _plain("session_id"),
    "artifact_uri": _plain("artifact_uri"),
    "lifecycle": _plain("lifecycle_stage"),
    "degraded": _plain("degraded"),
    "description": _plain("description"),
}
"""What every run has, by the name of its column."""

ALWAYS = ("run_id", "name", "status", "started", "duration")


def base(listing: Listing) -> list[Column]:
    """The columns that are always shown; the experiment where there are several."""
    names = list(ALWAYS)
    if len({run.info.experiment_id for run in listing.runs}) > 1:
        names.insert(2, "experiment")
    return [Column("", name) for name in names]


def every(listing: Listing) -> list[Column]:
    """All that the shown runs have."""
    fields = [Column("", name) for name in FIELDS]
    return fields + [Column(entity, key) for entity in ENTITIES for key in sorted(_keys(listing.runs, entity))]


def telling(listing: Listing, mentioned: str) -> list[Column]:
    """Metrics, and parameters that differ among the shown runs, by turns; what matters most comes first.

    Args:
        listing: The runs.
        mentioned: Text of filter and order; what is named there comes first.
    """
    metrics = _ranked(listing.runs, "metrics", mentioned)
    params = [column for column in _ranked(listing.runs, "params", mentioned) if _varies(listing.runs, column.key)]
    return [column for pair in zip_longest(metrics, params) for column in pair if column is not None]


def _keys(runs: Iterable[Run], entity: str) -> dict[str, int]:
    """Keys of metrics, parameters or tags, and how many of the runs have each."""
    counts: dict[str, int] = {}
    for run in runs:
        for key in getattr(run.data, entity):
            counts[key] = counts.get(key, 0) + 1
    return counts


def _ranked(runs: Sequence[Run], entity: str, mentioned: str) -> list[Column]:
    """What the user asked about, then what most runs have, figures on training data behind the others."""
    counts = _keys(runs, entity)
    keys = sorted(counts, key=lambda key: (not _is_in(key, mentioned), -counts[key], key.startswith("training_"), key))
    return [Column(entity, key) for key in keys]


def _is_in(key: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(key)}(?!\w)", text) is not None


def _varies(runs: Sequence[Run], key: str) -> bool:
    """Whether a parameter differs among the runs that have it; that others lack it tells only their kind."""
    return len({run.data.params[key] for run in runs if key in run.data.params}) > 1


def chosen(listing: Listing, patterns: Sequence[str]) -> list[Column]:
    """The columns that `--columns` names.

    Args:
        listing: The runs.
        patterns: Names as in `Column.name`, or keys alone, or patterns of them (`metrics.val_*`).

    Raises:
        InvalidArgumentError: None of the shown runs has such a thing.
    """
    there = every(listing)
    found: dict[Column, None] = {}
    for pattern in patterns:
        exact = [column for column in there if pattern == column.name] or [c for c in there if pattern == c.key]
        matching = exact[:1] or [column for column in there if _matches(column, pattern)]
        if not matching:
            raise InvalidArgumentError("--columns", pattern, _expected(there))
        found |= dict.fromkeys(matching)
    return list(found)


def _matches(column: Column, pattern: str) -> bool:
    return fnmatch.fnmatchcase(column.name, pattern) or fnmatch.fnmatchcase(column.key, pattern)


def _expected(there: Sequence[Column]) -> str:
    keys = [column.name for column in there if column.entity]
    shown = ", ".join(keys[:20]) + (f" and {len(keys) - 20} more" if len(keys) > 20 else "")
    return f"one of {', '.join(FIELDS)}" + (f", {shown}" if keys else "")


def fitting(listing: Listing, first: Sequence[Column], more: Sequence[Column], width: int) -> list[Column]:
    """`first`, and as many of `more` as a table of this width holds; metrics stand before parameters."""
    left = width - sum(_width(column, listing) + terminal.GAP for column in first) + terminal.GAP
    kept = []
    for column in more:
        needed = _width(column, listing) + terminal.GAP
        if needed <= left:
            kept.append(column)
            left -= needed
    return [*first, *sorted(kept, key=lambda column: ENTITIES.index(column.entity))]


def narrowed(listing: Listing, first: Sequence[Column], width: int) -> list[Column]:
    """`first` without its last columns where the terminal is too narrow even for these; id and name stay."""
    kept = list(first)
    while len(kept) > 2 and sum(_width(column, listing) + terminal.GAP for column in kept) - terminal.GAP > width:
        kept.pop()
    return kept


def title(column: Column) -> str:
    """The head of a column in the table."""
    return terminal.clip(column.key, MAX_CELL) if column.entity else column.key.upper().replace("_", " ")


def _width(column: Column, listing: Listing) -> int:
    cells = [terminal.printable(column.cell(run, listing)) for run in listing.runs]
    return max(map(len, (title(column), *cells)))
