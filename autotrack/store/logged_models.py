"""Logged models across runs: one by its id, searches, removal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, select

from autotrack import records
from autotrack.errors import FilterSyntaxError, NotFoundError
from autotrack.store import loading, schema
from autotrack.store.dialects import Dialect
from autotrack.store.engine import Store, retried
from autotrack.store.filters import Compiler, Condition, Field, Vocabulary
from autotrack.store.folding import clip
from autotrack.store.grammar import Comparison, parse_order
from autotrack.store.managing import experiment_key
from autotrack.store.ordering import Part, Search

_models, _runs = schema.models.c, schema.runs.c
_ROWS = select(schema.models, _runs.run_id.label("run_name")).join(schema.runs, _runs.id == _models.run)


def model(store: Store, model_id: str) -> records.LoggedModel:
    """A logged model.

    Raises:
        NotFoundError: There is none of that id.
        StoreError: The store cannot be read.
    """
    with store.reading() as connection:
        row = connection.execute(_ROWS.where(_models.model_id == model_id)).first()
    if row is None:
        raise NotFoundError("logged model", model_id)
    with store.translated():
        return loading.model(row, row.run_name, store.location)


@retried
def delete(store: Store, model_id: str) -> None:
    """Forget a logged model; its files stay until they are collected as garbage.

    Raises:
        NotFoundError: There is none of that id.
        StoreError: The store cannot be written.
    """
    with store.transaction() as connection:
        if connection.execute(select(_models.id).where(_models.model_id == model_id)).first() is None:
            raise NotFoundError("logged model", model_id)
        connection.execute(schema.models.delete().where(_models.model_id == model_id))


def search(
    store: Store,
    experiment_ids: Sequence[str] | None,
    filter_string: str,
    max_results: int,
    order_by: Sequence[str],
    page_token: str | None,
) -> records.Page[records.LoggedModel]:
    """Logged models of runs that are not deleted; metrics and parameters are those of the model's run.

    Args:
        store: Where.
        experiment_ids: Only models of runs of these experiments; None for all.
        filter_string: Names `name`, `model_id`, `run_id`, `model_type`, `digest`, `size`, `step`, `creation_time`,
            `metrics.x` (the run's last value) and `params.y`.
        max_results: Models in a page.
        order_by: Clauses such as "metrics.accuracy desc"; then the newest first.
        page_token: The `token` of the page before.

    Raises:
        FilterSyntaxError: The filter or the order does not parse.
        InvalidArgumentError: `max_results` is not usable, or the token is of another search.
        StoreError: The store cannot be read.
    """
    alive = select(_runs.id).where(_runs.lifecycle == "active")
    if experiment_ids is not None:
        alive = alive.where(_runs.experiment.in_([experiment_key(one) for one in experiment_ids]))
    vocabulary = _vocabulary()
    parts = [part for clause in order_by for part in _order(clause, vocabulary, store.dialect)]
    parts += [Part(_models.creation_time, True), Part(_models.id, True)]
    scope = repr(("models", experiment_ids and list(experiment_ids), list(order_by)))
    wanted = Search(filter_string, (), max_results, page_token, scope)
    with store.reading() as connection:
        keys, token = wanted.find(connection, store.dialect, vocabulary, parts, [_models.run.in_(alive)])
        rows = {row.id: row for row in connection.execute(_ROWS.where(_models.id.in_(keys)))} if keys else {}
    with store.translated():
        return records.Page([loading.model(rows[key], rows[key].run_name, store.location) for key in keys], token)


def _vocabulary() -> Vocabulary:
    run = select(_runs.run_id).where(_runs.id == _models.run).scalar_subquery()
    fields = {
        "model_id": Field(_models.model_id),
        "name": Field(_models.name),
        "run_id": Field(run),
        "model_type": Field(_models.model_type),
        "digest": Field(_models.digest),
        "size": Field(_models.size, is_number=True),
        "step": Field(_models.step, is_number=True),
        "creation_time": Field(_models.creation_time, is_number=True),
    }
    aliases = {"source_run_id": "run_id", "creation_timestamp": "creation_time", "id": "model_id", "path": "name"}
    return Vocabulary(_models.id, fields, aliases, {"metrics": _metric, "params": _param})


def _metric(compiler: Compiler, comparison: Comparison) -> Condition:
    series = schema.metric_series.c
    value = series[comparison.name.view]
    return _of_run(compiler, comparison, series, lambda: compiler.float_condition(value, comparison))


def _param(compiler: Compiler, comparison: Comparison) -> Condition:
    params = schema.params.c
    if any(isinstance(value, str) for value in comparison.values):
        return _of_run(compiler, comparison, params, lambda: compiler.text_condition(params.text, comparison))
    number = params.number
    return _of_run(
        compiler,
        comparison,
        params,
        lambda: number.is_not(None) & compiler.number_condition(number, comparison),
    )


def _of_run(compiler: Compiler, comparison: Comparison, columns: Any, condition: Callable[[], Condition]) -> Condition:
    others = schema.models.alias()
    query = (
        select(others.c.id)
        .join_from(others, columns.run.table, columns.run == others.c.run)
        .where(columns.key == clip(comparison.name.key))
    )
    return compiler.member(comparison, query, condition)


def _order(clause: str, vocabulary: Vocabulary, dialect: Dialect) -> list[Part]:
    """One clause as columns; a run without the metric or the parameter comes last, NaN before it."""
    name, descending = parse_order(clause)
    if name.entity == "attributes":
        field = vocabulary.field(name, clause)
        return [Part(field.expression if field.is_number else dialect.sortable(field.expression), descending)]
    if name.entity not in vocabulary.entities:
        raise FilterSyntaxError(clause, name.position, "an attribute, metrics. or params.")
    table = schema.metric_series if name.entity == "metrics" else schema.params
    columns = [table.c[name.view]] if name.entity == "metrics" else [table.c.number, dialect.sortable(table.c.text)]

    def value_of(column: ColumnElement[Any]) -> ColumnElement[Any]:
        here = (table.c.run == _models.run) & (table.c.key == clip(name.key))
        found: ColumnElement[Any] = select(column).where(here).scalar_subquery()
        return found

    rank = case((value_of(columns[0]).is_not(None), 0), (value_of(table.c.run).is_not(None), 1), else_=2)
    return [Part(rank), *(Part(value_of(column), descending) for column in columns)]
