"""How the program wrote a call: the names of the variables that it passed.

Never by `frame.f_locals` of a function's frame: before Python 3.13 that fills a dict which the frame keeps, so it would
prolong the life of the program's objects, and which is the very dict that `locals()` gave to the program.
"""

from __future__ import annotations

import ast
import inspect
import threading
import weakref
from itertools import islice
from types import CodeType, FrameType
from typing import Any, NamedTuple

from autotrack.process import renew_in_children

MAX_NAMES = 1_000
"""Variables of a module that are looked through for a name."""

DERIVATIONS = frozenset(
    {"argmax", "around", "array", "asarray", "astype", "clip", "flatten", "ravel", "reshape", "rint", "round", "Series"}
    | {"squeeze", "to_numpy", "tolist", "where"}
)
"""Methods of an array, and functions of numpy's and pandas's, that make of predictions what a metric wants."""

MAX_PLACES = 4_000
"""Places of code that are remembered."""


def name_of_argument(frame: FrameType | None, value: Any, keywords: tuple[str, ...] = (), position: int = 0) -> str:
    """The variable or attribute that an argument of a call was written as; "" where that is not to be known.

    Args:
        frame: The frame that is making the call.
        value: What was passed.
        keywords: Names under which it may have been passed.
        position: Its position, where it was passed by position.
    """
    if frame is None or value is None:
        return ""
    if not frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        return _name_in_module(frame, value)
    return _written_argument(frame, keywords, position)


def _name_in_module(frame: FrameType, value: Any) -> str:
    for name, known in islice(frame.f_locals.items(), MAX_NAMES):
        if known is value and not name.startswith("_"):
            return name
    return ""


_written: dict[tuple[int, int, tuple[str, ...], int], tuple[weakref.ref[CodeType], str]] = {}
"""What stands at a place of a function's code, which may be called in a loop: to look it up takes tens of us."""


def _written_argument(frame: FrameType, keywords: tuple[str, ...], position: int) -> str:
    key = id(frame.f_code), frame.f_lasti, keywords, position
    known = _written.get(key)
    if known is not None and known[0]() is frame.f_code:
        return known[1]
    name = _read_argument(frame, keywords, position)
    if len(_written) >= MAX_PLACES:
        _written.clear()
    _written[key] = weakref.ref(frame.f_code), name
    return name


def _read_argument(frame: FrameType, keywords: tuple[str, ...], position: int) -> str:
    node = node_of(frame)
    if not isinstance(node, ast.Call):
        return ""
    named = next((keyword.value for keyword in node.keywords if keyword.arg in keywords), None)
    written = node.args[position] if len(node.args) > position else named
    return ast.unparse(written) if isinstance(written, (ast.Name, ast.Attribute)) else ""


_assigned: dict[tuple[int, int, tuple[str, ...], int], tuple[weakref.ref[CodeType], ast.expr | None]] = {}


def assigned_to(frame: FrameType | None, keywords: tuple[str, ...], position: int) -> ast.expr | None:
    """What the variable that an argument of a call is was assigned, where the code around it assigns it only once.

    Args:
        frame: The frame that is making the call.
        keywords: Names under which the argument may be passed.
        position: Its position, where it is passed by position.
    """
    if frame is None:
        return None
    key = id(frame.f_code), frame.f_lasti, keywords, position
    known = _assigned.get(key)
    if known is not None and known[0]() is frame.f_code:
        return known[1]
    name = _read_argument(frame, keywords, position)
    found = _only_assignment(frame, name) if name.isidentifier() else None
    if len(_assigned) >= MAX_PLACES:
        _assigned.clear()
    _assigned[key] = weakref.ref(frame.f_code), found
    return found


def _only_assignment(frame: FrameType, name: str) -> ast.expr | None:
    """What `name = ...` says in the function or module that a frame runs, if nothing else there binds the name."""
    scope = _scope_of(frame)
    if scope is None:
        return None
    bound = [node for node in ast.walk(scope) if _binds(node, name)]
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign) and node.targets == bound and len(bound) == 1:
            return node.value
    return None


def _binds(node: ast.AST, name: str) -> bool:
    """Whether a part of a program may give a name a value."""
    if isinstance(node, ast.Name):
        return node.id == name and not isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.arg):
        return node.arg == name
    if isinstance(node, (ast.Global, ast.Nonlocal)):
        return name in node.names
    if isinstance(node, ast.alias):
        return (node.asname or node.name) in (name, "*")
    return getattr(node, "name", None) == name  # functions, classes, `except ... as`, patterns


def _scope_of(frame: FrameType) -> ast.AST | None:
    """The function, or the module or cell, whose code a frame runs."""
    node: Any = node_of(frame)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)
    while node is not None and not isinstance(node, kinds):
        node = getattr(node, "parent", None)  # as `executing` notes it
    name = frame.f_code.co_name
    return node if getattr(node, "name", name if name[:5] in ("<modu", "<cell") else "") == name else None


_parsing = threading.Lock()
renew_in_children(globals(), "_parsing", threading.Lock)


def node_of(frame: FrameType) -> ast.AST | None:
    """What a frame is doing, in its source; None where that is not to be known.

    One thread at a time: up to Python 3.12 the maker of syntax trees counts its depth for all threads together, and
    fails (SystemError) where two are at it at once.
    """
    import executing

    with _parsing:
        try:
            return _call_at(frame) or executing.Source.executing(frame).node
        except SystemError:  # the program was at it, too
            return None


def _call_at(frame: FrameType) -> ast.Call | None:
    """The call that a frame is making, by where it stands; None where Python, before 3.11, does not tell.

    To the same end `executing` goes through all instructions of the function, which takes most of its time.
    """
    import executing

    span = _span_of(frame.f_code, frame.f_lasti)
    if span is None or span[0] is None:
        return None
    nodes: Any = getattr(executing.Source.for_frame(frame), "_nodes_by_line", {}).get(span[0], ())
    found = [node for node in nodes if isinstance(node, ast.Call) and _place(node) == span]
    return found[0] if len(found) == 1 else None


_spans: dict[int, tuple[weakref.ref[CodeType], list[tuple[int | None, ...]]]] = {}
"""Where the instructions of functions stand, by the id of their code: codes that are equal may stand elsewhere."""

MAX_FUNCTIONS = 32
"""Functions of which that is kept."""


def _span_of(code: Any, instruction: int) -> tuple[int | None, ...] | None:
    """First line, last line, first column and last column of what an instruction is about; columns in bytes."""
    if not hasattr(code, "co_positions"):
        return None
    known = _spans.get(id(code))
    if known is None or known[0]() is not code:
        if len(_spans) >= MAX_FUNCTIONS:
            _spans.clear()
        known = _spans[id(code)] = weakref.ref(code), list(code.co_positions())
    spans = known[1]
    return spans[instruction // 2] if 0 <= instruction // 2 < len(spans) else None


def _place(node: ast.expr) -> tuple[int | None, ...]:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


class Place(NamedTuple):
    """Where in the program a call was made, without what its variables hold."""

    code: weakref.ref[CodeType]
    instruction: int


def place_of(frame: FrameType | None) -> Place | None:
    """Where a frame is making a call."""
    return None if frame is None else Place(weakref.ref(frame.f_code), frame.f_lasti)


def is_made_of(frame: FrameType | None, place: Place, keywords: tuple[str, ...], position: int) -> bool:
    """Whether an argument of a call is written as what another call, inside of it, gave: compared, rounded, ...

    Args:
        frame: The frame that is making the outer call.
        place: Where the inner call was made.
        keywords: Names under which the argument may be passed.
        position: Its position, where it is passed by position; no argument before it may be a call itself.
    """
    span = _span_of(frame.f_code, place.instruction) if frame is not None else None
    if frame is None or span is None or place.code() is not frame.f_code:
        return False
    node = node_of(frame)
    if not isinstance(node, ast.Call) or any(_calls_in(one) for one in node.args[:position]):
        return False
    named = next((keyword.value for keyword in node.keywords if keyword.arg in keywords), None)
    written = node.args[position] if len(node.args) > position else named
    others = [keyword.value for keyword in node.keywords if keyword.value is not written] + node.args[position + 1 :]
    if written is None or any(_calls_in(one) for one in others):
        return False
    return _derives(written, span)


def _calls_in(node: ast.AST) -> bool:
    return any(isinstance(one, ast.Call) for one in ast.walk(node))


def _derives(node: ast.AST, span: tuple[int | None, ...] | None) -> bool:
    """Whether an expression is the call that stands there, or one of a few functions of it alone."""
    if isinstance(node, ast.Call):
        if _place(node) == span:
            return True
        if not isinstance(node.func, ast.Attribute) or node.func.attr not in DERIVATIONS:
            return False
        return _one_derives([node.func.value, *node.args, *(keyword.value for keyword in node.keywords)], span)
    if isinstance(node, ast.Compare):
        return _one_derives([node.left, *node.comparators], span)
    return isinstance(node, ast.Subscript) and not _calls_in(node.slice) and _derives(node.value, span)


def _one_derives(parts: list[ast.expr], span: tuple[int | None, ...] | None) -> bool:
    """Whether one of the parts does, and the others are numbers, names and the like."""
    return sum(_derives(part, span) for part in parts) == 1 == sum(_calls_in(part) for part in parts)
