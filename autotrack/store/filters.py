"""Filters to SQL: one condition with bound parameters, whatever the filter.

What is compared and is not there (a metric never logged, a run that has no end yet) matches no comparison, `!=` and
`not in` included, as in MLflow; only `is null` matches it. `not` is about rows: `not metrics.acc > 0.9` matches every
run that `metrics.acc > 0.9` does not, also those without the metric. NaN is unequal to every number.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Double,
    Select,
    String,
    Table,
    UnaryExpression,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.sql import operators

from autotrack.errors import FilterSyntaxError
from autotrack.store import schema
from autotrack.store.dialects import Dialect
from autotrack.store.folding import clip
from autotrack.store.grammar import Comparison, Group, Name, Negation, Node, Value, parse_filter
from autotrack.store.places import ROOT_TAG

MAX_ALTERNATION = 40
"""Most levels of `and` within `or` within `and` ...: what SQLite's parser bears."""

MAX_WITHIN = 4
"""Most lists of runs within one another, for the same reason."""

MAX_PATTERN = 10_000
"""Longest pattern of `like`."""

MLFLOW_TAGS = {"mlflow.parentRunId": "parent_run_id", "mlflow.runName": "run_name", "mlflow.user": "user_id"}
"""Attributes of runs that MLflow's scripts know as tags."""

Condition = ColumnElement[bool]
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}
_SIGN: operators.custom_op[Any] = operators.custom_op("+")
_NUMBER_OPERATORS = (*_COMPARE, "in", "not in")
_TEXT_OPERATORS = ("=", "!=", "like", "ilike", "in", "not in")


class Field(NamedTuple):
    """An attribute, as SQL."""

    expression: ColumnElement[Any]
    is_number: bool = False
    nullable: bool = False
    number: ColumnElement[Any] | None = None
    """What text that is made of a number is ordered by."""


class Vocabulary(NamedTuple):
    """What the filters of one kind of thing can name."""

    identity: ColumnElement[Any]
    """Primary key of the things that are searched."""
    fields: Mapping[str, Field]
    aliases: Mapping[str, str]
    """Other names of fields, lower case."""
    entities: Mapping[str, Callable[[Compiler, Comparison], Condition]]
    tags: Table = schema.tags
    """Their tags; its first column is the thing's primary key."""

    def field(self, name: Name, text: str) -> Field:
        """The field of that name.

        Raises:
            FilterSyntaxError: There is none.
        """
        key = name.key.lower()
        key = self.aliases.get(key, key)
        if key not in self.fields:
            raise FilterSyntaxError(text, name.position, f"one of {', '.join(self.fields)}")
        return self.fields[key]


class _InList(NamedTuple):
    """The condition that a thing is in a list."""

    condition: Condition
    query: Select[Any]
    """The list: primary keys."""
    short: bool
    """It is likely to be."""


class Compiler:
    """Compiles one filter; `one_by_one` as for `compile_filter`."""

    def __init__(self, text: str, vocabulary: Vocabulary, dialect: Dialect, one_by_one: bool = False) -> None:
        self.text = text
        self.vocabulary = vocabulary
        self._dialect = dialect
        self._one_by_one = one_by_one
        self._each = one_by_one
        self._lists: list[_InList] = []

    def condition(self) -> Condition | None:
        """The whole filter; None where it is empty.

        Raises:
            FilterSyntaxError: It does not parse, or compares what cannot be compared.
        """
        node = parse_filter(self.text)
        return None if node is None else self._node(node, False, None)[0]

    def _node(self, node: Node, negated: bool, around: str | None) -> tuple[Condition, int]:
        """A node and its levels of alternation, with every `not` pushed down to the comparisons."""
        while isinstance(node, Negation):
            node, negated = node.item, not negated
        if isinstance(node, Comparison):
            # To look for a pattern in all there are takes longer than in those that the rest lets through.
            pattern = bool(self._dialect.walk) and around == "and" and node.operator in ("like", "ilike")
            self._each = self._one_by_one or pattern
            condition = self._comparison(node)
            return (not_(condition) if negated else condition), 0
        word = {"and": "or", "or": "and"}[node.operator] if negated else node.operator
        items = [self._node(item, negated, word) for item in self._flat(node)]
        depth = max(levels for _, levels in items) + (word != around)
        if depth > MAX_ALTERNATION:
            raise FilterSyntaxError(self.text, 0, f"at most {MAX_ALTERNATION} levels of 'and' within 'or'")
        # The deepest first: SQLite's parser then has the least to remember.
        conditions = [condition for condition, _ in sorted(items, key=lambda item: -item[1])]
        if word == "and" and around is None and self._dialect.walk:
            conditions = self._within_each_other(conditions)
        return (and_ if word == "and" else or_)(*conditions), depth

    def _within_each_other(self, conditions: list[Condition]) -> list[Condition]:
        """All the conditions; of those that a thing is in a list, the list takes only what is in the one before.

        SQLite, without statistics, makes each list and looks each thing up in all of them. To make them takes longest,
        and where one is of things that equal something, the others get short with it.
        """
        lists = [item for item in self._lists if any(item.condition is one for one in conditions)]
        if not any(item.short for item in lists):
            return conditions
        others = [one for one in conditions if not any(item.condition is one for item in lists)]
        lists.sort(key=lambda item: not item.short)
        for first in range(0, len(lists), MAX_WITHIN):
            query, *following = (item.query for item in lists[first : first + MAX_WITHIN])
            for outer in following:
                # The sign keeps it from seeking the rows of each thing in the inner list, which may be long after all.
                query = outer.where(UnaryExpression(outer.selected_columns[0], operator=_SIGN).in_(query))
            others.append(self.vocabulary.identity.in_(query))
        return others

    def _flat(self, group: Group) -> list[Node]:
        items: list[Node] = []
        for item in group.items:
            items += self._flat(item) if isinstance(item, Group) and item.operator == group.operator else [item]
        return items

    def _comparison(self, comparison: Comparison) -> Condition:
        entity = comparison.name.entity
        if entity == "attributes":
            return self.attribute(comparison)
        compile_entity = self.vocabulary.entities.get(entity)
        if compile_entity is None:
            known = ", ".join(f"{name}." for name in self.vocabulary.entities)
            raise FilterSyntaxError(self.text, comparison.name.position, f"an attribute, or {known}")
        return compile_entity(self, comparison)

    def attribute(self, comparison: Comparison) -> Condition:
        """A comparison with an attribute."""
        field = self.vocabulary.field(comparison.name, self.text)
        if comparison.operator == "is null":
            return field.expression.is_(None) if field.nullable else false()
        if comparison.operator == "is not null":
            return field.expression.is_not(None) if field.nullable else true()
        compare = self.number_condition if field.is_number else self.text_condition
        condition = compare(field.expression, comparison)
        return and_(field.expression.is_not(None), condition) if field.nullable else condition

    def member(self, comparison: Comparison, query: Any, condition: Callable[[], Condition]) -> Condition:
        """Whether a thing is in a sub-query of primary keys, to which `condition` is added."""
        if comparison.operator not in ("is null", "is not null"):
            query = query.where(condition())
        identity = self.vocabulary.identity
        if self._each:
            found: Condition = query.where(query.selected_columns[0] == identity).correlate(identity.table).exists()
        else:
            found = identity.in_(query)
            self._lists.append(_InList(found, query, comparison.operator in ("=", "in")))
        return not_(found) if comparison.operator == "is null" else found

    def text_condition(self, value: ColumnElement[Any], comparison: Comparison) -> Condition:
        """A comparison with text."""
        word = comparison.operator
        if word not in _TEXT_OPERATORS:
            raise self.fail(comparison, f"a number to compare with {word}, where there is one; for text there is like")
        texts = [self._text(item, comparison) for item in comparison.values]
        if word in ("like", "ilike"):
            if len(texts[0]) > MAX_PATTERN:
                raise self.fail(comparison, f"a pattern of at most {MAX_PATTERN} characters")
            return self._dialect.like(value, texts[0], fold=word == "ilike")
        if word in ("in", "not in"):
            return value.in_(texts) if word == "in" else value.not_in(texts)
        return value == texts[0] if word == "=" else value != texts[0]

    def number_condition(self, value: ColumnElement[Any], comparison: Comparison) -> Condition:
        """A comparison with numbers other than NaN."""
        numbers = self._numbers(comparison, value)
        if any(map(math.isnan, numbers)):
            raise self.fail(comparison, "a number other than nan")
        word = comparison.operator
        if word in ("in", "not in"):
            return value.in_(numbers) if word == "in" else value.not_in(numbers)
        condition: Condition = _COMPARE[word](value, numbers[0])
        return condition

    def float_condition(self, value: ColumnElement[Any], comparison: Comparison) -> Condition:
        """A comparison with numbers of a value that may be NaN, which is NULL there."""
        numbers = self._numbers(comparison, value)
        finite = [number for number in numbers if not math.isnan(number)]
        with_nan = len(finite) < len(numbers)
        word = comparison.operator
        if word in ("=", "in"):
            return or_(value.in_(finite), value.is_(None) if with_nan else false())
        if word in ("!=", "not in"):
            outside = or_(value.is_(None), value.not_in(finite))
            return and_(value.is_not(None), outside) if with_nan else outside
        condition: Condition = false() if with_nan else _COMPARE[word](value, numbers[0])
        return condition

    def fail(self, comparison: Comparison, expected: str) -> FilterSyntaxError:
        """The error for a value that does not fit."""
        return FilterSyntaxError(self.text, comparison.position, expected)

    def _text(self, value: Value, comparison: Comparison) -> str:
        if not isinstance(value, str):
            raise self.fail(comparison, "text in quotes")
        return value

    def _numbers(self, comparison: Comparison, value: ColumnElement[Any]) -> list[int | float]:
        if comparison.operator not in _NUMBER_OPERATORS:
            expected = f"a number after {', '.join(_COMPARE)}; {comparison.operator} is for text"
            raise self.fail(comparison, expected)
        numbers = [self._number(item, comparison) for item in comparison.values]
        # SQLite would compare a whole number exactly with a float that was rounded when it was stored.
        return [float(number) for number in numbers] if isinstance(value.type, Double) else numbers

    def _number(self, value: Value, comparison: Comparison) -> int | float:
        if isinstance(value, str):
            raise self.fail(comparison, "a number, without quotes")
        infinite = isinstance(value, float) and math.isinf(value)
        return math.copysign(schema.LARGEST, value) if infinite else value


def _metric(compiler: Compiler, comparison: Comparison) -> Condition:
    columns = schema.metric_series.c
    query = select(columns.run).where(columns.key == clip(comparison.name.key))
    value = columns[comparison.name.view]
    return compiler.member(comparison, query, lambda: compiler.float_condition(value, comparison))


def _param(compiler: Compiler, comparison: Comparison) -> Condition:
    """With a number the parameter's number is compared, with text its text."""
    columns = schema.params.c
    query = select(columns.run).where(columns.key == clip(comparison.name.key))
    if any(isinstance(value, str) for value in comparison.values):
        return compiler.member(comparison, query, lambda: compiler.text_condition(columns.text, comparison))
    numeric = columns.number.is_not(None)
    return compiler.member(
        comparison, query, lambda: and_(numeric, compiler.number_condition(columns.number, comparison))
    )


def tag(compiler: Compiler, comparison: Comparison) -> Condition:
    """A comparison with a tag."""
    columns = compiler.vocabulary.tags.c
    query = select(columns[0]).where(columns.key == clip(comparison.name.key))
    return compiler.member(comparison, query, lambda: compiler.text_condition(columns.value, comparison))


def _run_tag(compiler: Compiler, comparison: Comparison) -> Condition:
    """A comparison with a tag of a run's; what MLflow keeps in tags and autotrack in attributes is either."""
    known = tag(compiler, comparison)
    field = MLFLOW_TAGS.get(comparison.name.key)
    if field is None:
        return known
    own = compiler.attribute(comparison._replace(name=comparison.name._replace(entity="attributes", key=field)))
    return and_(own, known) if comparison.operator == "is null" else or_(own, known)


def _dataset(compiler: Compiler, comparison: Comparison) -> Condition:
    inputs, datasets = schema.inputs.c, schema.datasets.c
    known = {"name": datasets.name, "digest": datasets.digest, "context": inputs.context}
    column = known.get(comparison.name.key.lower())
    if column is None:
        raise FilterSyntaxError(compiler.text, comparison.name.position, "dataset.name, dataset.digest or .context")
    query = select(inputs.run).join_from(schema.inputs, schema.datasets, datasets.id == inputs.dataset)
    return compiler.member(comparison, query, lambda: compiler.text_condition(column, comparison))


@functools.lru_cache(maxsize=16)
def run_vocabulary(artifact_root: str) -> Vocabulary:
    """What filters of runs can name.

    Args:
        artifact_root: Where runs keep their files by default.
    """
    runs, sessions, experiments = schema.runs.c, schema.sessions.c, schema.experiments.c
    session = select(sessions.session_id).where(sessions.id == runs.session).scalar_subquery()
    experiment = select(experiments.name).where(experiments.id == runs.experiment).scalar_subquery()
    location = select(experiments.artifact_location).where(experiments.id == runs.experiment).scalar_subquery()
    tags, own = schema.tags.c, literal(artifact_root.rstrip("/"))
    pinned = select(tags.value).where(tags.run == runs.id, tags.key == ROOT_TAG).scalar_subquery()
    kept = func.coalesce(pinned, location)
    below = own + func.substr(kept, 2)
    root = case((kept == "", own), ((kept == ".") | kept.like("./%"), below), else_=kept)
    fields = {
        "run_id": Field(runs.run_id),
        "run_name": Field(runs.name),
        "status": Field(runs.status),
        "start_time": Field(runs.start_time, is_number=True),
        "end_time": Field(runs.end_time, is_number=True, nullable=True),
        "duration": Field(runs.end_time - runs.start_time, is_number=True, nullable=True),
        "user_id": Field(runs.user_id),
        "artifact_uri": Field(root + "/" + runs.run_id),
        "experiment_id": Field(cast(runs.experiment, String(20)), number=runs.experiment),
        "experiment_name": Field(experiment),
        "lifecycle_stage": Field(runs.lifecycle),
        "source": Field(runs.source),
        "session_id": Field(session, nullable=True),
        "parent_run_id": Field(runs.parent_run_id, nullable=True),
        "description": Field(runs.description),
        "degraded": Field(runs.degraded),
    }
    aliases = {"run name": "run_name", "name": "run_name", "created": "start_time", "user": "user_id", "id": "run_id"}
    entities = {"metrics": _metric, "params": _param, "tags": _run_tag, "datasets": _dataset}
    return Vocabulary(runs.id, fields, aliases, entities)


def experiment_vocabulary() -> Vocabulary:
    """What filters of experiments can name."""
    columns = schema.experiments.c
    fields = {
        "name": Field(columns.name),
        "experiment_id": Field(cast(columns.id, String(20)), number=columns.id),
        "creation_time": Field(columns.creation_time, is_number=True),
        "last_update_time": Field(columns.last_update_time, is_number=True),
        "lifecycle_stage": Field(columns.lifecycle),
    }
    aliases = {"experiment_name": "name", "id": "experiment_id", "created": "creation_time"}
    return Vocabulary(columns.id, fields, aliases, {"tags": tag}, schema.experiment_tags)


def compile_filter(text: str, vocabulary: Vocabulary, dialect: Dialect, one_by_one: bool = False) -> Condition | None:
    """A filter as a condition on the things of a vocabulary; None where it is empty.

    Args:
        text: The filter, as `grammar` describes it; empty for none.
        vocabulary: What it can name.
        dialect: The engine.
        one_by_one: Make it fast for a few things that are looked at in turn, not for all that there are.

    Raises:
        FilterSyntaxError: It does not parse, or compares what cannot be compared; says where and what was expected.
    """
    return Compiler(text, vocabulary, dialect, one_by_one).condition()
