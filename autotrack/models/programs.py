"""Exported torch programs (`.pt2`), made so that they can be loaded without trust.

`torch.export.load` is not safe for a stranger's file: it looks up whatever function a node of the graph names,
evaluates the texts of symbolic sizes and guards as Python, unpickles weights, constants and example inputs, and opens
compiled libraries. So the archive is read here first, everything in it is held against a list of what an ordinary
export consists of, and torch is handed a new archive of the checked parts alone. In it:

- nodes call torch's own computing operators (`torch.ops.aten`), and Python's arithmetic on sizes;
- texts of sizes are calls of the known arithmetic functions on numbers and symbols;
- names are names, and the shape of arguments is made of tuples, lists and dicts;
- there are no guards (a wrong shape is an error of the operator's that meets it) and no notes on where nodes came from;
- weights and constants are raw numbers, example inputs tensors and plain containers.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autotrack.errors import UntrustedModelError
from autotrack.models.safety import UNREADABLE, check_zip

_NAME = re.compile(r"[\w.+\-]*")
_OPERATOR = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
_REACHES_OUT = frozenset({"from_file", "_print", "save", "load", "warn"})
"""Operators of aten's that read or write files or the terminal."""

# fmt: off
_ARITHMETIC = frozenset(
    {f"_operator.{name}" for name in (
        "abs", "add", "and_", "eq", "floordiv", "ge", "getitem", "gt", "le", "lt", "mod", "mul", "ne", "neg", "not_",
        "or_", "pos", "pow", "sub", "truediv",
    )}
    | {f"math.{name}" for name in ("ceil", "floor", "sqrt", "trunc")}
    | {f"torch.{name}" for name in ("sym_float", "sym_int", "sym_ite", "sym_max", "sym_min", "sym_not", "sym_sqrt")}
)
_SIZE_FUNCTIONS = frozenset({
    "Abs", "Add", "And", "CeilDiv", "CeilToInt", "CleanDiv", "Eq", "Equality", "Float", "FloatTrueDiv", "FloorDiv",
    "FloorToInt", "Ge", "GreaterThan", "Gt", "IntTrueDiv", "Integer", "Le", "LessThan", "Lt", "Max", "Min", "Mod",
    "ModularIndexing", "Mul", "Ne", "Not", "Or", "Piecewise", "Pow", "PowByNatural", "PythonMod", "Rational",
    "StrictGreaterThan", "StrictLessThan", "Symbol", "ToFloat", "TruncToInt", "Unequality", "Where",
})
_SIZE_SYNTAX = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.UnaryOp, ast.USub, ast.BinOp, ast.Add,
    ast.Sub, ast.Mult, ast.FloorDiv, ast.Div, ast.Mod, ast.Pow,
)
# fmt: on
_SYMBOL = re.compile(r"[a-z]{1,3}\d+")
_CONTAINERS = ("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
_TEXT_RECORDS = ("archive_format", "archive_version", "byteorder", ".data/version", ".data/serialization_id", "version")
_CONFIG = re.compile(r"data/(weights|constants)/(\w+)_config\.json")
_SAMPLE = re.compile(r"data/sample_inputs/\w+\.pt")
_GRAPH = re.compile(r"models/\w+\.json")
_REFUSED = ("as_graph", "as_custom_obj", "custom_obj")
"""Parts of a graph that hold graphs, or objects of classes."""

_DROPPED: dict[str, Any] = {"metadata": {}, "guards_code": []}

_EPOCH = (1980, 1, 1, 0, 0, 0)

_LONGEST_EXPRESSION = 2000


class OddProgramError(Exception):
    """Something that an ordinary export does not hold. Internal to models."""


def checked(data: bytes, file: Path) -> bytes:
    """A new archive with what an exported program consists of, all of it checked.

    Args:
        data: The archive.
        file: Named in errors.

    Raises:
        ModelFormatError: It is damaged, or no zip file.
        UntrustedModelError: It holds something that an ordinary export does not; the error says what.
    """
    check_zip(data, file)
    try:
        return rewritten(data)
    except OddProgramError as error:
        raise UntrustedModelError(
            f"{file}: an exported program with a part that could run code, or that autotrack does not know: {error}. "
            "If you know where the file comes from, load it with trusted=True, or set allow_pickle "
            "(AUTOTRACK_ALLOW_PICKLE=1)"
        ) from None


def rewritten(data: bytes) -> bytes:
    """As `checked`, for a program that was just exported.

    Raises:
        OddProgramError: It holds something that an ordinary export does not.
    """
    try:
        return _rewritten(data)
    except UNREADABLE as error:
        raise OddProgramError(repr(error)) from None


def _rewritten(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        _require(len(set(names)) == len(names), "two records of one name")
        _require(len({name.partition("/")[0] for name in names}) == 1, "records outside its folder")
        records = {name.partition("/")[2]: name for name in names}
        raw = _raw_tensors({name: archive.read(full) for name, full in records.items() if _CONFIG.fullmatch(name)})
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as copy:
            for name in records:
                # Equal programs are equal to the byte.
                entry = zipfile.ZipInfo(f"model/{name}", _EPOCH)
                copy.writestr(entry, _checked_record(name, archive.read(records[name]), raw))
    return buffer.getvalue()


def _require(holds: object, what: str) -> None:
    if not holds:
        raise OddProgramError(what)


def _raw_tensors(configs: dict[str, bytes]) -> set[str]:
    """The records that are numbers and nothing else, as the configurations name them."""
    found = set()
    for name, content in configs.items():
        folder = name.rpartition("/")[0]
        for key, entry in _json(content)["config"].items():
            path = entry["path_name"]
            known = isinstance(path, str) and re.fullmatch(r"(weight|tensor)_\d+", path)
            _require(known and entry["use_pickle"] is False, f"{key!r}, which is not a plain tensor")
            found.add(f"{folder}/{path}")
    return found


def _json(content: bytes) -> Any:
    return json.loads(content.decode())


def _checked_record(name: str, content: bytes, raw: set[str]) -> bytes:
    if name in raw:
        return content
    if name in _TEXT_RECORDS:
        _require(re.fullmatch(rb"[\w.\-]{1,64}\n?", content), f"a strange record {name!r}")
        return content
    if _CONFIG.fullmatch(name):
        config = _json(content)
        _check_names(config)
        return json.dumps(config).encode()
    if _GRAPH.fullmatch(name):
        return json.dumps(_checked_program(_json(content))).encode()
    _require(_SAMPLE.fullmatch(name), f"a record {name!r}")
    _check_tensors(content)
    return content


def _check_tensors(content: bytes) -> None:
    """Check that torch's restricted reader takes a file; then it is also the one that torch uses for it."""
    import pickle

    import torch

    try:
        torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, *UNREADABLE) as error:
        raise OddProgramError(f"example inputs that are not plain tensors ({str(error)[:200]})") from None


def _checked_program(program: dict[str, Any]) -> dict[str, Any]:
    """The graph, without its notes on where each node came from."""
    waiting: list[Any] = [program]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            _check_entries(value)
            waiting.extend(value.values())
    _check_names(program)
    return program


def _check_entries(entries: dict[str, Any]) -> None:
    """Check what the keys of a mapping say of their texts. Where a key is some tensor's name, no harm is done."""
    for key, value in entries.items():
        _require(key not in _REFUSED, f"a part {key!r}")
        if key in _DROPPED:
            entries[key] = _DROPPED[key]
        elif isinstance(value, str) and key in _CHECKS:
            _CHECKS[key](value)


def _check_target(target: str) -> None:
    match = _OPERATOR.fullmatch(target)
    known = target in _ARITHMETIC or (match is not None and match[1] not in _REACHES_OUT)
    _require(known and "__" not in target.replace("__and__", "").replace("__or__", ""), f"a call of {target}")


def _check_expression(text: str) -> None:
    """Check that a symbolic size is arithmetic: torch evaluates it as Python."""
    _require(len(text) <= _LONGEST_EXPRESSION, "a symbolic size that is too long")
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError:
        raise OddProgramError(f"a symbolic size {text!r}") from None
    for node in ast.walk(tree):
        _require(isinstance(node, _SIZE_SYNTAX), f"a symbolic size {text!r}")
        if isinstance(node, ast.Call):
            _require(isinstance(node.func, ast.Name) and node.func.id in _SIZE_FUNCTIONS, f"a symbolic size {text!r}")
        elif isinstance(node, ast.Name):
            _require(node.id in _SIZE_FUNCTIONS or _SYMBOL.fullmatch(node.id), f"a symbolic size {text!r}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            _require(re.fullmatch(r"[\w.+\-]*", node.value), f"a symbolic size {text!r}")


def _check_spec(spec: str) -> None:
    """Check how arguments are nested: no classes but Python's own containers."""
    waiting = [json.loads(spec)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            _require(value.get("type") in (None, *_CONTAINERS), f"arguments in a {value.get('type')}")
            context = value.get("context")
            _require(context is None or isinstance(context, str), "arguments with a strange context")
            names = json.loads(context) if context else None
            known = names is None or (isinstance(names, list) and all(isinstance(name, str) for name in names))
            _require(known and all(_NAME.fullmatch(name) for name in names or ()), "arguments with a strange context")
            waiting.append(value.get("children_spec"))


_CHECKS: dict[str, Callable[[str], None]] = {
    "as_operator": _check_target,
    "expr_str": _check_expression,
    "in_spec": _check_spec,
    "out_spec": _check_spec,
    "target": _check_target,
}


def _check_names(tree: Any, key: str = "") -> None:
    """Check that all texts are names, but for those that are checked as what they are, or only handed to operators."""
    if isinstance(tree, str):
        _require(key in (*_CHECKS, "as_string", "as_strings") or _NAME.fullmatch(tree), f"a name {tree[:100]!r}")
    elif isinstance(tree, list):
        for item in tree:
            _check_names(item, key)
    elif isinstance(tree, dict):
        for name, item in tree.items():
            _require(_NAME.fullmatch(name), f"a name {name[:100]!r}")
            _check_names(item, name)
