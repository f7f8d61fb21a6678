"""Curves: what `metric_series` says of each against its points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, func, select

from autotrack.maintenance.checks.findings import REPAIR, Finding, whole
from autotrack.store import schema
from autotrack.store.engine import Store, retried

PAGE = 200
"""Curves that are looked at in one statement."""

_points, _series = schema.metric_points.c, schema.metric_series.c

_NAMES = ("count", "last", "last_special", "last_step", "last_time", "min", "max")
"""What is compared; where minimum and maximum were follows."""


def check_curves(store: Store, repair: bool, checked: dict[str, int]) -> Iterator[Finding]:
    """Curves whose summary is not that of their points, and those that lack points."""
    checked["curves"] = 0
    after = 0
    while True:
        with store.reading() as connection:
            page = _page(connection, after)
            real = _real(connection, [row.id for row in page]) if page else {}
        if not page:
            return
        checked["curves"] += len(page)
        after = page[-1].id
        for row in page:
            yield from _compare(store, row, real.get(row.id), repair)


def _page(connection: Connection, after: int) -> list[Any]:
    query = (
        select(schema.metric_series, schema.runs.c.run_id)
        .join(schema.runs, schema.runs.c.id == _series.run)
        .where(_series.id > after)
        .order_by(_series.id)
        .limit(PAGE)
    )
    return list(connection.execute(query).all())


def _compare(store: Store, row: Any, real: dict[str, Any] | None, repair: bool) -> Iterator[Finding]:
    """What is wrong with one curve."""
    subject = f"{row.run_id}: {row.key}"
    kept = {name: row._mapping[name] for name in _NAMES}
    if real is None:
        if kept["count"]:
            problem = f"its summary counts {kept['count']} points, there are none"
            if repair:
                _remove(store, row.id)
            yield Finding("curve", subject, problem, f"{REPAIR} removes the empty curve", repaired=repair)
        return
    rows = real.pop("rows")
    if rows != real["count"]:
        problem = f"{real['count'] - rows} of its {real['count']} points are missing"
        yield Finding("curve", subject, problem, "log the run again, or import it from an archive")
        return  # what the summary says of those that are missing is all that there is
    wrong = {name: f"{kept[name]!r} (points: {value!r})" for name, value in real.items() if kept[name] != value}
    if wrong:
        if repair:
            _rewrite(store, row.id)
        problem = f"its summary says other than its points: {whole(wrong)}"
        yield Finding("curve", subject, problem, f"{REPAIR} computes it anew", repaired=repair)


def _real(connection: Connection, keys: list[int]) -> dict[int, dict[str, Any]]:
    """Summaries as the points have them; curves without points are left out."""
    totals = (
        select(
            _points.series,
            func.count().label("rows"),
            (func.max(_points.idx) + 1).label("count"),
            func.min(_points.value).label("min"),
            func.max(_points.value).label("max"),
        )
        .where(_points.series.in_(keys))
        .group_by(_points.series)
    )
    found: dict[int, dict[str, Any]] = {}
    for row in connection.execute(totals):
        values = dict(row._mapping)
        found[values.pop("series")] = values
    order = (_points.step.desc(), _points.timestamp.desc(), _points.idx.desc())
    ranked = (
        select(
            _points.series,
            _points.step,
            _points.timestamp,
            _points.value,
            _points.special,
            func.row_number().over(partition_by=_points.series, order_by=order).label("place"),
        )
        .where(_points.series.in_(keys))
        .subquery()
    )
    for series, step, time, value, special, _ in connection.execute(select(ranked).where(ranked.c.place == 1)):
        found[series] |= {"last": value, "last_special": special, "last_step": step, "last_time": time}
    return found


@retried
def _rewrite(store: Store, key: int) -> None:
    with store.transaction() as connection:
        locked = select(_series.id).where(_series.id == key).with_for_update()
        connection.execute(locked)
        real = _real(connection, [key]).get(key)
        if real is None:
            return
        del real["rows"]
        for name in ("min", "max"):
            query = select(_points.step, _points.special).where(_points.series == key, _points.value == real[name])
            row = connection.execute(query.order_by(_points.idx).limit(1)).first()
            real[f"{name}_step"] = 0 if row is None else row.step
            real[f"{name}_special"] = None if row is None else row.special
        connection.execute(schema.metric_series.update().where(_series.id == key).values(real))


def _remove(store: Store, key: int) -> None:
    with store.transaction() as connection:
        connection.execute(schema.metric_series.delete().where(_series.id == key))
