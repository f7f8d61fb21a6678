"""The language of filters and orders: text to a tree. Knows no table.

    filter     := both ("or" both)*
    both       := single ("and" single)*
    single     := "not" single | "(" filter ")" | comparison
    comparison := name operator value | name ["not"] "in" "(" value ("," value)* ")" | name "is" ["not"] "null"
    operator   := "=" | "!=" | "<" | "<=" | ">" | ">=" | "like" | "ilike"
    name       := [entity "."] key, where the key may stand in backticks or quotes
    value      := number | text in single or double quotes (a doubled quote stands for one)
    order      := name ["asc" | "desc"]

It is what MLflow's users know, extended by `or`, `not`, parentheses, and `in` for everything. Words are read without
regard to case. In `like` and `ilike`, `%` stands for any text, `_` for one character, all else for itself.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from autotrack.errors import FilterSyntaxError

MAX_LENGTH = 100_000
"""Longest filter, in characters."""

MAX_NESTING = 100
"""Most `not` and parentheses around one comparison."""

MAX_COMPARISONS = 200
MAX_VALUES = 10_000

ENTITIES = {
    "metrics": ("metric", "metrics"),
    "params": ("param", "params", "parameter", "parameters"),
    "tags": ("tag", "tags"),
    "attributes": ("attribute", "attributes", "attr", "run"),
    "datasets": ("dataset", "datasets"),
}
_ALIASES = {alias: entity for entity, aliases in ENTITIES.items() for alias in aliases}
_COMPARATORS = ("<", "<=", ">", ">=", "=", "!=")

Value = str | int | float


class Name(NamedTuple):
    """What is compared or ordered by."""

    entity: str
    """ "metrics", "params", "tags", "attributes" or "datasets"."""
    key: str
    view: str
    """Of a metric: "last", "min" or "max"."""
    position: int


class Comparison(NamedTuple):
    """One condition."""

    name: Name
    operator: str
    """One of the operators, "in", "not in", "is null", "is not null"; lower case."""
    values: tuple[Value, ...]
    position: int
    """Where its value stands."""


class Negation(NamedTuple):
    """`not`."""

    item: Node


class Group(NamedTuple):
    """Several conditions, all of which or one of which must hold."""

    operator: str
    """ "and" or "or"."""
    items: tuple[Node, ...]


Node = Comparison | Negation | Group


class Token(NamedTuple):
    """A piece of the text."""

    kind: str
    """ "word", "name" (with a quoted key), "text", "number", "end", or the piece itself."""
    text: str
    position: int


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>[+-]?(?:[0-9]+\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?|inf|infinity|nan)(?![\w.]))
    | (?P<name>(?:[^\W\d][^\s'"`()<>=!,;]*\.)?`(?:[^`]|``)*`
             | [^\W\d][^\s'"`()<>=!,;]*\.(?:"(?:[^"]|"")*"|'(?:[^']|'')*'))
    | (?P<word>[^\W\d][^\s'"`()<>=!,;]*)
    | (?P<text>"(?:[^"]|"")*"|'(?:[^']|'')*')
    | (?P<sign><=|>=|!=|[<>=(),])
    | (?P<end>$)
    )""",
    re.VERBOSE | re.IGNORECASE,
)

_STRANGE = re.compile("[\x00\ud800-\udfff]")
"""What no engine stores."""


def parse_filter(text: str) -> Node | None:
    """Parse a filter.

    Returns:
        The tree; None for a filter of nothing but space.

    Raises:
        FilterSyntaxError: It does not parse; the error says where and what was expected.
    """
    parser = _Parser(text)
    if parser.peek().kind == "end":
        return None
    node = parser.either(0)
    parser.expect("end", "'and', 'or' or the end")
    return node


def parse_order(text: str) -> tuple[Name, bool]:
    """Parse one clause of an order.

    Returns:
        The name, and whether the order is descending.

    Raises:
        FilterSyntaxError: It does not parse.
    """
    parser = _Parser(text)
    name = parser.name()
    descending = parser.keyword("desc")
    if not descending:
        parser.keyword("asc")
    parser.expect("end", "'asc', 'desc' or the end")
    return name, descending


class _Parser:
    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise FilterSyntaxError(text[:80] + "...", 0, f"at most {MAX_LENGTH} characters, got {len(text)}")
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0
        self._comparisons = 0
        self._values = 0

    def peek(self) -> Token:
        return self._tokens[self._next]

    def take(self) -> Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def fail(self, token: Token, expected: str) -> FilterSyntaxError:
        return FilterSyntaxError(self._text, token.position, expected)

    def expect(self, kind: str, expected: str) -> Token:
        token = self.take()
        if token.kind != kind:
            raise self.fail(token, expected)
        return token

    def keyword(self, *words: str) -> bool:
        token = self.peek()
        found = token.kind == "word" and token.text.lower() in words
        if found:
            self.take()
        return found

    def either(self, depth: int) -> Node:
        return self._group("or", [self.both(depth)], depth)

    def both(self, depth: int) -> Node:
        return self._group("and", [self.single(depth)], depth)

    def _group(self, word: str, items: list[Node], depth: int) -> Node:
        while self.keyword(word):
            items.append(self.both(depth) if word == "or" else self.single(depth))
        return items[0] if len(items) == 1 else Group(word, tuple(items))

    def single(self, depth: int) -> Node:
        token = self.peek()
        if depth > MAX_NESTING:
            raise self.fail(token, f"at most {MAX_NESTING} levels of 'not' and parentheses")
        if self.keyword("not"):
            return Negation(self.single(depth + 1))
        if token.kind == "(":
            self.take()
            node = self.either(depth + 1)
            self.expect(")", "'and', 'or' or ')'")
            return node
        return self.comparison()

    def comparison(self) -> Comparison:
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise self.fail(self.peek(), f"at most {MAX_COMPARISONS} comparisons")
        name = self.name()
        token = self.take()
        word = token.text.lower() if token.kind == "word" else token.kind
        if word in _COMPARATORS or word in ("like", "ilike"):
            place = self.peek()
            return Comparison(name, word, (self.value(),), place.position)
        if word == "is":
            operator = "is not null" if self.keyword("not") else "is null"
            if not self.keyword("null"):
                raise self.fail(self.peek(), "'null' or 'not null'")
            return Comparison(name, operator, (), token.position)
        negated = word == "not"
        if not (negated and self.keyword("in")) and word != "in":
            raise self.fail(self.peek() if negated else token, "'in'" if negated else "an operator, such as = or like")
        place = self.expect("(", "'('")
        return Comparison(name, "not in" if negated else "in", self.values(), place.position)

    def values(self) -> tuple[Value, ...]:
        found = [self.value()]
        while self.peek().kind == ",":
            self.take()
            found.append(self.value())
        self.expect(")", "',' or ')'")
        return tuple(found)

    def value(self) -> Value:
        token = self.take()
        self._values += 1
        if self._values > MAX_VALUES:
            raise self.fail(token, f"at most {MAX_VALUES} values")
        if token.kind == "number":
            return _number(token.text)
        if token.kind == "text":
            return _unquoted(token.text)
        raise self.fail(token, "a number, or text in quotes")

    def name(self) -> Name:
        token = self.take()
        if token.kind not in ("word", "name", "text"):
            raise self.fail(token, "a name, such as metrics.loss or start_time")
        if token.kind == "word":
            path, key = token.text, ""
        else:
            start = token.text.find(token.text[-1])
            path, key = token.text[:start], _unquoted(token.text[start:])
        head, dot, rest = path.partition(".")
        entity = _ALIASES.get(head.lower(), "") if dot else "attributes"
        if not entity:
            raise self.fail(token, "metrics., params., tags., attributes. or datasets. before the first dot")
        inner = rest if dot else path
        view = "last"
        if entity == "metrics":
            head, dot, rest = inner.partition(".")
            if head in ("last", "min", "max") and dot and rest + key:
                view, inner = head, rest
        if not inner + key and token.kind == "word":
            raise self.fail(Token("", "", token.position + len(token.text)), "a key after the dot")
        return Name(entity, inner + key, view, token.position)


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    position = 0
    strange = _STRANGE.search(text)
    if strange is not None:
        raise FilterSyntaxError(ascii(text), strange.start(), f"text without the character {strange[0]!r}")
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(text, position)
        if match is None:
            raise _stray(text, position)
        kind = str(match.lastgroup)
        piece = match[kind]
        tokens.append(Token(piece if kind == "sign" else kind, piece, match.start(kind)))
        position = match.end()
    return tokens


def _stray(text: str, position: int) -> FilterSyntaxError:
    position += len(text[position:]) - len(text[position:].lstrip())
    if text[position] in "'\"`":
        return FilterSyntaxError(text, position, f"a closing {text[position]} for this one")
    return FilterSyntaxError(text, position, "a name, a value, an operator or a parenthesis")


def _unquoted(text: str) -> str:
    quote = text[0]
    return text[1:-1].replace(quote * 2, quote)


def _number(text: str) -> int | float:
    return int(text) if len(text) < 19 and text.lstrip("+-").isdigit() else float(text)
