"""How a program calls its losses: read off the call, once for each place in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from types import CodeType, FrameType

from autotrack import callsite, origin

MAX_SITES = 10_000
"""Places in the code whose names are kept."""

_EVALUATIONS = ("val", "valid", "test", "eval", "dev", "holdout")
_ODD = re.compile(r"[^\w./ -]+")

Site = tuple[int, int, str]


class Names:
    """Names by place. Looking one up costs a dictionary's look-up; finding it out reads the source."""

    def __init__(self) -> None:
        self.known: dict[Site, tuple[str, CodeType]] = {}
        """By id of the code: to hash code is to hash all of it. Held, so that the id stays its own."""

    def at(self, frame: FrameType | None, kind: str, find: Callable[[ast.AST], str]) -> str:
        """The name that a call goes by.

        Args:
            frame: The frame that makes the call.
            kind: What the name is of; one place may have several.
            find: Reads it off the call's node; "" where there is none.
        """
        if frame is None:
            return ""
        code = frame.f_code
        site = id(code), frame.f_lasti, kind
        known = self.known.get(site)
        if known is None:
            if len(self.known) >= MAX_SITES:
                self.known.clear()
            known = self.known[site] = _ODD.sub("_", find(_node_of(frame))), code
        return known[0]

    def clear(self) -> None:
        """Forget all."""
        self.known.clear()


def _node_of(frame: FrameType) -> ast.AST:
    return callsite.node_of(frame) or ast.Pass()


def program_frame(frame: FrameType | None) -> FrameType | None:
    """The nearest frame of the program's own code, be it above libraries; None where there is none."""
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if type(name) is not str or not (name == "torch" or name.startswith(("torch.", "autotrack."))):
            frame = origin.calling_frame(frame)
            if frame is None or origin.is_users(frame):
                return frame
        frame = frame.f_back
    return None


def loss_of_backward(node: ast.AST) -> str:
    """The variable that `backward` was called on: `loss.backward()`, `scaler.scale(loss).backward()`, ...

    Of `autograd.backward(loss)` and of a library's `accelerator.backward(loss)` it is the argument.
    """
    if not isinstance(node, ast.Call):
        return "loss"
    function = node.func
    if not isinstance(function, ast.Attribute):
        return (_name_of(node.args[0]) if node.args else "") or "loss"
    library = _is_library(function.value)
    if node.args and library:
        return _name_of(node.args[0]) or "loss"
    return _name_of(function.value) or "loss"


def _is_library(value: ast.AST) -> bool:
    """Whether `value.backward(x)` is a library's function of `x`: `torch.autograd`, `self.accelerator`, `fabric`."""
    text = ast.unparse(value).lower()
    return text.endswith(("autograd", "accelerator", "fabric", "engine")) or text in ("self", "trainer")


def _name_of(node: ast.AST) -> str:
    """The first variable that an expression of one value is made of; "" where it is a call's result."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript):
        key = node.slice.value if isinstance(node.slice, ast.Constant) else ""
        return ".".join(part for part in (_name_of(node.value), str(key)) if part)
    if isinstance(node, ast.BinOp):
        return _name_of(node.left) or _name_of(node.right)
    if isinstance(node, ast.UnaryOp):
        return _name_of(node.operand)
    if isinstance(node, ast.NamedExpr):
        return node.target.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "scale" and node.args:
            return _name_of(node.args[0])
        return "" if node.args else _name_of(node.func.value)
    return ""


def assigned(node: ast.AST) -> str:
    """The variable that a call's result goes into, also by way of `.item()` and arithmetic; "" where it is none."""
    parent, place = getattr(node, "parent", None), None
    while isinstance(parent, ast.expr) and not isinstance(parent, ast.NamedExpr):
        place = parent.elts.index(node) if isinstance(parent, ast.Tuple) and isinstance(node, ast.expr) else place
        node, parent = parent, getattr(parent, "parent", None)
    if isinstance(parent, ast.Assign) and len(parent.targets) == 1:
        target: ast.AST = parent.targets[0]
        if place is not None and isinstance(target, ast.Tuple) and len(target.elts) > place:
            target = target.elts[place]  # G, D = Adam(...), Adam(...)
        return _name_of(target)
    if isinstance(parent, (ast.AugAssign, ast.AnnAssign, ast.NamedExpr)):
        return _name_of(parent.target)
    return ""


def receiver(node: ast.AST) -> str:
    """`accuracy` of `self.accuracy.compute()`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _name_of(node.func.value)
    return ""


def validation_name(variable: str, functional: str) -> str:
    """The name of a validation loss: the program's variable where it says that it is one, marked as validation."""
    plain = functional if functional.endswith("loss") else f"{functional}_loss"
    name = variable if "loss" in variable.lower() else plain
    return name if name.lower().startswith(_EVALUATIONS) else f"val_{name}"
