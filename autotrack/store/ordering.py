"""Orders and pages of searches.

What lacks the key that is ordered by comes last in either direction, NaN just before it. A page goes on behind the last
row of the page before (its token holds that row's values), so rows that are added or removed meanwhile neither repeat
nor hide others.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    Float,
    FromClause,
    Integer,
    Numeric,
    Row,
    ScalarSelect,
    Select,
    Table,
    and_,
    case,
    column,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    union_all,
)

from autotrack.errors import FilterSyntaxError, InvalidArgumentError
from autotrack.store import schema
from autotrack.store.dialects import Dialect
from autotrack.store.filters import Vocabulary, compile_filter
from autotrack.store.folding import clip
from autotrack.store.grammar import Name, parse_order

MAX_CLAUSES = 20
MAX_RESULTS = 50_000
"""Most rows in a page."""

_SAMPLE = 100
"""How many rows of an index say whether many of them pass a filter."""

_LONG = 5_000
"""Length of a filter from which on it stands once in a statement, not thrice: SQLite takes 32,766 parameters."""

_NUMBERS = (Integer, Numeric, Float)


class Indexed(NamedTuple):
    """Values of one key that an index has in order, each with the run that it belongs to."""

    value: ColumnElement[Any]
    key: str
    descending: bool

    def first(self, rows: int) -> ColumnElement[bool]:
        """That a value is one of so many first ones; equal ones at the edge are left out, lest they be thousands."""
        other, ordered = self._ordered()
        end = -schema.LARGEST if self.descending else schema.LARGEST
        edge = func.coalesce(ordered.with_only_columns(other).offset(rows).limit(1).scalar_subquery(), end)
        return self.value > edge if self.descending else self.value < edge

    def sample(self, rows: int) -> FromClause:
        """Runs of so many first values, whichever they are of equal ones."""
        return self._ordered()[1].limit(rows).subquery("sample")

    def _ordered(self) -> tuple[ColumnElement[Any], Select[Any]]:
        others = _alias(self.value.table.element, "edge")
        other = others.c[str(self.value.key)]
        order = other.desc() if self.descending else other.asc()
        return other, select(others.c.run).where(others.c.key == clip(self.key), other.is_not(None)).order_by(order)


class Part(NamedTuple):
    """One column of an order."""

    expression: ColumnElement[Any]
    descending: bool = False
    indexed: Indexed | None = None
    """Of a rank: where the rows of rank 0 are in order."""

    def directed(self, expression: Any) -> ColumnElement[Any]:
        """An expression in this part's direction."""
        ordered: ColumnElement[Any] = expression.desc() if self.descending else expression.asc()
        return ordered

    def may_be(self, value: Any) -> bool:
        """Whether this column of an order can have had a value."""
        kind = self.expression.type
        if value is None or not isinstance(kind, _NUMBERS):
            return value is None or isinstance(value, str)
        small = isinstance(kind, Integer) and not isinstance(kind, BigInteger)
        return type(value) in (int, float) and not (small and abs(value) >= 2**31)


class Order:
    """An order over the things of a vocabulary.

    Args:
        clauses: Such as "metrics.loss desc", the first counts most.
        default: What counts after them; the last of it is unique.
        vocabulary: What can be named.
        dialect: The engine.

    Raises:
        FilterSyntaxError: A clause does not parse.
    """

    def __init__(
        self, clauses: Sequence[str], default: Sequence[Part], vocabulary: Vocabulary, dialect: Dialect
    ) -> None:
        self._vocabulary = vocabulary
        self._dialect = dialect
        self._joins: list[tuple[FromClause, ColumnElement[bool]]] = []
        self._parts: list[Part] = []
        seen: set[tuple[str, str, str]] = set()
        for clause in clauses:
            name, descending = parse_order(clause)
            if name[:3] in seen or len(seen) == MAX_CLAUSES:
                raise FilterSyntaxError(clause, 0, f"each name once, and at most {MAX_CLAUSES} of them")
            seen.add(name[:3])
            self._parts += self._clause(clause, name, descending)
        self._parts += default

    def query(
        self,
        cheap: Sequence[ColumnElement[bool]],
        condition: ColumnElement[bool] | None,
        each: Callable[[], ColumnElement[bool] | None],
        behind: Sequence[ColumnElement[bool]],
        limit: int,
    ) -> Executable:
        """The statement for one page: the primary key, then the values ordered by, which a page token holds.

        Where an index has the rows of the first rank in order, these are sought on their own, and the rest only
        where they do not fill the page: 10,000 runs by a metric then take as long as the page, not as all runs.
        With a filter that many runs pass the first of them are even found without asking which runs pass it; the few
        that pass another one are sorted.

        Args:
            cheap: What must hold of the things that are searched, and costs nothing to look at.
            condition: The filter, if there is one.
            each: Gives the same for where only a few things are looked at; None where these are not to be tried.
            behind: What must hold of the values ordered by.
            limit: Most rows.
        """
        indexed, walk = self._parts[0].indexed, self._dialect.walk
        conditions = [*cheap] if condition is None else [*cheap, condition]
        if indexed is None:
            return self._rows([*conditions, *behind], 0).limit(limit)
        near = None
        few: ColumnElement[bool] = false()
        if condition is not None:
            identity = self._vocabulary.identity
            wanted = select(identity).where(*conditions)
            if not behind and 4 * limit <= walk and (one := each()) is not None:
                near = self._near(indexed, [*cheap, one], limit)
                wanted = wanted.limit(case((_count(near) < limit, -1), else_=0))
            # A CTE that is named twice is evaluated once.
            passing = wanted.cte("wanted")
            conditions = [identity.in_(_all_of(passing, [identity.name]))]
            if walk:
                few = _count(passing) <= walk
        first = indexed.value.is_not(None)
        ranked = self._rows([not_(few), *conditions, *behind, first], 1).limit(limit).cte("ranked")
        missing = or_(few, _count(ranked) < limit)
        rest = self._rows([missing, *conditions, *behind, or_(few, not_(first))], 0).limit(limit).subquery("rest")
        names = [_name(number) for number in range(len(self._parts))]
        columns = ["identity", *names]
        pieces = [_all_of(ranked, columns), _all_of(rest, columns)]
        if near is not None:
            pieces.append(_all_of(near, columns).where(_count(near) == limit))
        directions = [part.directed(column(name)) for part, name in zip(self._parts, names, strict=True)]
        return union_all(*pieces).order_by(*directions).limit(limit)

    def _near(self, indexed: Indexed, conditions: Sequence[ColumnElement[bool]], limit: int) -> CTE:
        """Those that the conditions let through of the first `walk` rows.

        None of them where so few of the first of these pass that they can hardly be `limit`: rows in the order of an
        index are scattered over the database, which costs more than their number.
        """
        walk, identity = self._dialect.walk, self._vocabulary.identity
        likely: list[ColumnElement[bool]] = []
        if least := limit * _SAMPLE // (2 * walk):
            some = indexed.sample(_SAMPLE)
            passes = select(identity).where(identity == literal_column("sample.run"), *conditions).exists()
            likely.append(select(func.count()).select_from(some).where(passes).scalar_subquery() >= least)
        first = [indexed.value.is_not(None), indexed.first(walk)]
        return self._rows([*likely, *conditions, *first], 1).limit(limit).cte("near")

    def _rows(self, conditions: Sequence[ColumnElement[bool]], constant: int) -> Select[Any]:
        """Ordered rows; the first `constant` parts of the order are 0 for all of them, and their join finds a row."""
        source: FromClause = self._vocabulary.identity.table
        for number, (other, condition) in enumerate(self._joins):
            source = source.join(other, condition, isouter=number >= constant)
        zero: ColumnElement[Any] = literal(0)
        parts = [zero if number < constant else part.expression for number, part in enumerate(self._parts)]
        values = [expression.label(_name(number)) for number, expression in enumerate(parts)]
        directions = [part.directed(part.expression) for part in self._parts[constant:]]
        query = select(self._vocabulary.identity.label("identity"), *values).select_from(source)
        return query.where(*conditions).order_by(*directions)

    def after(self, values: Sequence[Any]) -> ColumnElement[bool]:
        """The condition that a row comes behind the row that had these values.

        Raises:
            InvalidArgumentError: They are not of this order.
        """
        if len(values) != len(self._parts) or not all(map(Part.may_be, self._parts, values)):
            raise InvalidArgumentError("page_token", "...", "a token of the same search")
        values = [self._dialect.storable(value) for value in values]
        ways: list[ColumnElement[bool]] = []
        same: list[ColumnElement[bool]] = []
        for part, value in zip(self._parts, values, strict=True):
            if value is not None:
                beyond = part.expression < value if part.descending else part.expression > value
                ways.append(and_(*same, beyond))
            same.append(part.expression.is_(None) if value is None else part.expression == value)
        return or_(false(), *ways)

    def _clause(self, clause: str, name: Name, descending: bool) -> list[Part]:
        if name.entity == "attributes":
            return self._field(clause, name, descending)
        if name.entity not in self._vocabulary.entities or name.entity == "datasets":
            raise FilterSyntaxError(clause, name.position, "an attribute, metrics., params. or tags.")
        tables = {"metrics": schema.metric_series, "params": schema.params, "tags": self._vocabulary.tags}
        rows = _alias(tables[name.entity], f"by{len(self._joins)}")
        owner = rows.c[0] if name.entity == "tags" else rows.c.run
        self._joins.append((rows, and_(owner == self._vocabulary.identity, rows.c.key == clip(name.key))))
        if name.entity == "metrics":
            value = rows.c[name.view]
            rank = case((value.is_not(None), 0), (owner.is_not(None), 1), else_=2)
            return [Part(rank, indexed=Indexed(value, name.key, descending)), Part(value, descending)]
        if name.entity == "params":
            rank = case((rows.c.number.is_not(None), 0), (owner.is_not(None), 1), else_=2)
            text = self._dialect.sortable(rows.c.text)
            number = rows.c.number
            indexed = Indexed(number, name.key, descending)
            return [Part(rank, indexed=indexed), Part(number, descending), Part(text, descending)]
        rank = case((owner.is_not(None), 0), else_=1)
        return [Part(rank), Part(self._dialect.sortable(rows.c.value), descending)]

    def _field(self, clause: str, name: Name, descending: bool) -> list[Part]:
        field = self._vocabulary.field(name, clause)
        number = field.expression if field.is_number else field.number
        value = self._dialect.sortable(field.expression) if number is None else number
        rank = [Part(case((field.expression.is_not(None), 0), else_=1))] if field.nullable else []
        return [*rank, Part(value, descending)]


@functools.cache
def _alias(table: Table, name: str) -> FromClause:
    """A table by another name; to make one costs as much as the rest of a clause."""
    made = table.alias(name)
    len(made.c)  # made here and now: SQLAlchemy 2.0 is not ready for two threads that do
    return made


def _name(number: int) -> str:
    return f"part{number}"


def _all_of(rows: FromClause, names: Sequence[str]) -> Select[Any]:
    """Rows as they are; SQLAlchemy's own way makes each column anew."""
    columns: list[ColumnElement[Any]] = [column(name) for name in names]
    return select(*columns).select_from(rows)


def _nothing() -> None:
    return None


def _count(rows: FromClause) -> ScalarSelect[int]:
    return select(func.count()).select_from(rows).scalar_subquery()


class Search(NamedTuple):
    """One search, as it was asked for."""

    filter_string: str
    order_by: tuple[str, ...]
    max_results: int
    page_token: str | None
    scope: str
    """What else decides which rows come, as text: a page token is good for the same search alone."""

    def find(
        self,
        connection: Connection,
        dialect: Dialect,
        vocabulary: Vocabulary,
        default: Sequence[Part],
        conditions: Sequence[ColumnElement[bool]],
    ) -> tuple[list[int], str | None]:
        """Run the search, in one statement.

        Args:
            connection: A reading transaction.
            dialect: Its dialect.
            vocabulary: What the filter and the order can name.
            default: What counts after `order_by`; the last of it is unique.
            conditions: What must hold besides the filter.

        Returns:
            Primary keys of one page, and the token of the next; None on the last page.

        Raises:
            FilterSyntaxError: The filter or the order does not parse.
            InvalidArgumentError: `max_results` is not usable, or the token is of another search.
        """
        size = self.max_results
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_RESULTS:
            raise InvalidArgumentError("max_results", size, f"a whole number from 1 to {MAX_RESULTS}")
        order = Order(self.order_by, default, vocabulary, dialect)
        compiled = functools.partial(compile_filter, self.filter_string, vocabulary, dialect)
        each = functools.partial(compiled, one_by_one=True) if len(self.filter_string) < _LONG else _nothing
        behind = [order.after(self._values())] if self.page_token else []
        rows = connection.execute(order.query(conditions, compiled(), each, behind, size + 1)).all()
        next_token = self._token(rows[size - 1]) if len(rows) > size else None
        return [row.identity for row in rows[:size]], next_token

    def _token(self, row: Row[Any]) -> str:
        data = msgspec.json.encode([self._fingerprint(), list(row[1:])])
        return base64.urlsafe_b64encode(data).decode()

    def _values(self) -> list[Any]:
        """The values in the page token."""
        try:
            data = base64.urlsafe_b64decode(str(self.page_token))
            fingerprint, values = msgspec.json.decode(data, type=tuple[str, list[Any]])
        except ValueError:
            raise InvalidArgumentError("page_token", self.page_token, "the token of a page") from None
        if fingerprint != self._fingerprint():
            raise InvalidArgumentError("page_token", self.page_token, "a token of the same search")
        return values

    def _fingerprint(self) -> str:
        text = repr((self.filter_string, self.order_by, self.scope))
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
