"""What a program made of predictions in a statement of its own: `q = p > 0.5`, before `accuracy_score(y, q)`.

Known by two things together: how the variable was assigned, in its only assignment, and that the very same, made of a
model's predictions, gives the very same values. So what is recorded of a model is true of it, however it was meant.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from types import FrameType
from typing import Any

from autotrack import callsite

MAX_ROWS = 200_000
"""Rows of an array that are compared at most."""

FIRST_ROWS = 256
"""Rows that are compared first: nearly all that is something else differs in them."""

MAX_COLUMNS = 10
"""Columns of predictions up to which each is tried."""

_NUMPY = ("np", "numpy")

_ROUNDING = ("around", "rint", "round")

_AS_IT_IS = ("array", "asarray", "astype", "flatten", "ravel")


class _UnknownFormError(Exception):
    """An expression of another form; never shown to a user."""


def is_candidate(value: Any) -> bool:
    """Whether a value may have been made of predictions: labels or truth values, of two kinds at least."""
    if type(value).__module__ != "numpy" or getattr(value, "ndim", 0) != 1 or not 1 < len(value) <= MAX_ROWS:
        return False
    return value.dtype.kind in "biuf" and bool((value != value[0]).any())


def is_made_of(value: Any, predictions: Any, expression: ast.expr) -> bool:
    """Whether an expression, with predictions in the place of its only variable, gives just this value.

    Args:
        value: An array of labels, as of `is_candidate`.
        predictions: What a model gave; of several columns each counts.
        expression: What was assigned.
    """
    import numpy

    for operand in _operands(predictions, len(value)):
        try:
            if all(_gives(expression, operand[:rows], value[:rows], numpy) for rows in (FIRST_ROWS, len(value))):
                return True
        except (_UnknownFormError, TypeError, ValueError):
            continue
    return False


def _gives(expression: ast.expr, operand: Any, value: Any, numpy: Any) -> bool:
    """Whether an expression makes just this value of an operand; another name for the operand makes nothing of it."""
    made = _made(expression, operand, numpy)
    return made is not operand and bool(numpy.array_equal(made, value))


def expression_of(frame: FrameType | None, keywords: tuple[str, ...], position: int) -> ast.expr | None:
    """What the variable that an argument of a call is was assigned, in a form that is known here; None for others.

    Args:
        frame: The frame that is making the call.
        keywords: Names under which the argument may be passed.
        position: Its position, where it is passed by position.
    """
    found = callsite.assigned_to(frame, keywords, position)
    variables = [one.id for one in ast.walk(found) if isinstance(one, ast.Name)] if found is not None else []
    others = {name for name in variables if name not in (*_NUMPY, "bool", "float", "int")}
    return found if len(others) == 1 else None


def _operands(predictions: Any, rows: int) -> Iterator[Any]:
    """The predictions, and each of their columns."""
    if type(predictions).__module__ != "numpy" or getattr(predictions, "ndim", 0) not in (1, 2):
        return
    if len(predictions) != rows or predictions.dtype.kind not in "biuf":
        return
    yield predictions
    if predictions.ndim == 2 and predictions.shape[1] <= MAX_COLUMNS:
        yield from predictions.T


def _made(node: ast.expr, operand: Any, numpy: Any) -> Any:
    """The value of an expression.

    Raises:
        _UnknownFormError: It is of a form that is not known here.
    """
    if isinstance(node, ast.Name) or (isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)):
        return operand  # a column is an operand of its own
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return _compared(node, operand, numpy)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner = node.func.value
        if isinstance(owner, ast.Name) and owner.id in _NUMPY:
            if node.args:
                return _called(node.func.attr, node.args[0], node.args[1:], node.keywords, operand, numpy)
        else:
            return _called(node.func.attr, owner, node.args, node.keywords, operand, numpy)
    raise _UnknownFormError


def _compared(node: ast.Compare, operand: Any, numpy: Any) -> Any:
    compare = {ast.Gt: numpy.greater, ast.GtE: numpy.greater_equal, ast.Lt: numpy.less, ast.LtE: numpy.less_equal}
    kind, left, right = type(node.ops[0]), node.left, node.comparators[0]
    if kind not in compare:
        raise _UnknownFormError
    if isinstance(right, ast.Constant):
        return compare[kind](_made(left, operand, numpy), _number(right))
    return compare[kind](_number(left), _made(right, operand, numpy))


def _called(
    name: str, first: ast.expr, others: list[ast.expr], keywords: list[ast.keyword], operand: Any, numpy: Any
) -> Any:
    """What a method of an array, or the function of numpy's that does the same, gives."""
    given = [*others, *(keyword.value for keyword in keywords)]
    if name in _ROUNDING and not given:
        return numpy.round(_made(first, operand, numpy))
    if name in _AS_IT_IS:
        kinds = [one.id for one in given if isinstance(one, ast.Name)]
        made = _made(first, operand, numpy)
        if name == "astype" and made.dtype.kind == "f" and kinds != ["float"]:
            made = numpy.trunc(made)
        return made
    if name == "argmax" and len(given) == 1 and operand.ndim == 2:
        return numpy.argmax(_made(first, operand, numpy), axis=int(_number(given[0])))
    if name == "where" and len(given) == 2:
        return numpy.where(_made(first, operand, numpy), _number(given[0]), _number(given[1]))
    raise _UnknownFormError


def _number(node: ast.expr) -> float:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand)
    if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        return node.value
    raise _UnknownFormError
