"""What an archive of `torch.export` may hold to be loaded without trust: each way out of it that is known is closed."""

from __future__ import annotations

import copy
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autotrack.errors import ModelFormatError, UntrustedModelError
from autotrack.models.modules import load_program
from autotrack.models.programs import checked

Records = dict[str, bytes]
FILE = Path("model.pt2")


class Net(torch.nn.Module):
    """Sizes are computed from sizes, so that expressions are in the archive."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.first(x) + other + x.shape[0] * 2
        return found


@pytest.fixture(scope="module")
def records() -> Records:
    """The records of an ordinary archive, without its folder."""
    buffer = io.BytesIO()
    dimension = torch.export.Dim.AUTO
    example = (torch.ones(3, 4), torch.ones(3, 2))
    program = torch.export.export(Net(), example, dynamic_shapes=({0: dimension}, {0: dimension}))
    torch.export.save(program, buffer)
    with zipfile.ZipFile(buffer) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def packed(records: Records, *more: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in (*records.items(), *more):
            archive.writestr(f"model/{name}", content)
    return buffer.getvalue()


def changed(records: Records, change: Callable[[Any], None]) -> bytes:
    """The archive with its graph changed."""
    graph = json.loads(records["models/model.json"])
    change(graph)
    return packed({**records, "models/model.json": json.dumps(graph).encode()})


def nodes(graph: Any) -> Any:
    return graph["graph_module"]["graph"]["nodes"]


def expression(graph: Any, text: str) -> None:
    for value in graph["graph_module"]["graph"]["sym_int_values"].values():
        value["as_expr"]["expr_str"] = text


def spec(graph: Any, text: str) -> None:
    graph["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = text


def test_an_ordinary_archive_is_let_through_and_computes_the_same(records: Records) -> None:
    """What torch gets is a new archive, with the guards and the notes on the source left out."""
    data = packed(records)
    x, other = torch.randn(5, 4), torch.randn(5, 2)
    ours, theirs = load_program(data, FILE, False), torch.export.load(io.BytesIO(data)).module()
    assert torch.equal(ours(x, other), theirs(x, other))
    assert b"guards_code" in records["models/model.json"]
    with zipfile.ZipFile(io.BytesIO(checked(data, FILE))) as archive:
        graph = json.loads(archive.read("model/models/model.json"))
    assert graph["guards_code"] == []
    assert all(node["metadata"] == {} for node in nodes(graph))


TARGETS = [
    "torch.os.system",
    "torch.ops.aten.from_file.default",
    "torch.hub.load",
    "torch.ops.aten.add.Tensor.__globals__",
    "torch.ops.aten.__class__.default",
    "torch.load",
    "_operator.attrgetter",
    "_operator.methodcaller",
    "torch.ops.load_library",
    "torch.ops.higher_order.cond",
    "#custom:op",
]

EXPRESSIONS = [
    "__import__('os').system('true')",
    "Symbol('x', positive=True).__class__",
    "(lambda: 1)()",
    "[c for c in ()]",
    "Symbol(open('x'))",
    "eval('1')",
    "Symbol('a b(c)')",
    "f'{1}'",
    "Integer(1) if 1 else 2",
    "Symbol('s0')" + "+1" * 2000,
    "Integer(",
]

NAMES = ['x"]; import os; ["', "a.b')", "x\ny", "x y", "x\\", "a/../b"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_call_that_is_no_arithmetic_is_refused(target: str, records: Records) -> None:
    """torch would look up any function that it can reach from `torch`, `operator` or `math`."""

    def change(graph: Any) -> None:
        nodes(graph)[0]["target"] = target

    with pytest.raises(UntrustedModelError, match="a call of"):
        checked(changed(records, change), FILE)

    def nested(graph: Any) -> None:
        nodes(graph)[0]["inputs"][0]["arg"] = {"as_operator": target}

    with pytest.raises(UntrustedModelError, match="a call of"):
        checked(changed(records, nested), FILE)


@pytest.mark.parametrize("text", EXPRESSIONS, ids=range(len(EXPRESSIONS)))
def test_a_size_that_is_no_arithmetic_is_refused(text: str, records: Records) -> None:
    """torch would evaluate it as Python."""
    with pytest.raises(UntrustedModelError):
        checked(changed(records, lambda graph: expression(graph, text)), FILE)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_that_is_none_is_refused(name: str, records: Records) -> None:
    """Names of weights are written into Python code between quotes."""

    def parameter(graph: Any) -> None:
        for item in graph["graph_module"]["signature"]["input_specs"]:
            if "parameter" in item:
                item["parameter"]["parameter_name"] = name

    def key(graph: Any) -> None:
        graph["graph_module"]["graph"]["tensor_values"][name] = {}

    for change in (parameter, key):
        with pytest.raises(UntrustedModelError, match="a name"):
            checked(changed(records, change), FILE)
    config = json.loads(records["data/weights/model_weights_config.json"])
    config["config"][name] = copy.deepcopy(next(iter(config["config"].values())))
    with pytest.raises(UntrustedModelError, match="a name"):
        checked(packed({**records, "data/weights/model_weights_config.json": json.dumps(config).encode()}), FILE)


@pytest.mark.parametrize(
    "text",
    [
        '[1, {"type": "collections.defaultdict", "context": "{}", "children_spec": []}]',
        '[1, {"type": "enum.Enum", "context": null, "children_spec": []}]',
        '[1, {"type": "builtins.tuple", "context": "{\\"a\\": 1}", "children_spec": []}]',
        '[1, {"type": "builtins.dict", "context": "[\\"a\'b\\"]", "children_spec": []}]',
        "not JSON",
    ],
)
def test_arguments_in_anything_but_pythons_containers_are_refused(text: str, records: Records) -> None:
    """torch would import the module that a kind of container names."""
    with pytest.raises(UntrustedModelError):
        checked(changed(records, lambda graph: spec(graph, text)), FILE)


def pickled(records: Records, name: str) -> Records:
    """The archive with a weight, or a constant, as a pickle."""
    config = {"path_name": "weight_0", "is_param": True, "use_pickle": True, "tensor_meta": None}
    content = json.dumps({"config": {"first.weight": config}}).encode()
    return {**records, name: content, f"{name.rpartition('/')[0]}/weight_0": pickle.dumps(print)}


def legacy(records: Records) -> Records:
    return {**records, "data/weights/model.pt": pickle.dumps(print)}


def sample(records: Records) -> Records:
    buffer = io.BytesIO()
    torch.save(print, buffer)
    return {**records, "data/sample_inputs/model.pt": buffer.getvalue()}


def library(records: Records) -> Records:
    return {**records, "data/aotinductor/model/code.so": b"\x7fELF"}


def renamed(records: Records) -> Records:
    config = json.loads(records["data/weights/model_weights_config.json"])
    for entry in config["config"].values():
        entry["path_name"] = "../sample_inputs/model.pt"
    return {**records, "data/weights/model_weights_config.json": json.dumps(config).encode()}


@pytest.mark.parametrize(
    "change",
    [
        lambda records: pickled(records, "data/weights/model_weights_config.json"),
        lambda records: pickled(records, "data/constants/model_constants_config.json"),
        legacy,
        sample,
        library,
        renamed,
        lambda records: {**records, "extra/notes": b"x"},
        lambda records: {**records, "models/model.json": records["models/model.json"][:-20]},
        lambda records: {**records, "data/weights/model_weights_config.json": b"[]"},
    ],
    ids=range(9),
)
def test_records_that_are_pickled_compiled_or_unknown_are_refused(
    change: Callable[[Records], Records], records: Records
) -> None:
    """An ordinary export has none of them."""
    with pytest.raises(UntrustedModelError):
        checked(packed(change(dict(records))), FILE)


def test_an_archive_that_readers_may_see_differently_is_refused(records: Records) -> None:
    """Two records of one name, two folders, and what is no archive at all."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        double = packed(records, ("models/model.json", records["models/model.json"]))
    with pytest.raises(UntrustedModelError, match="two records of one name"):
        checked(double, FILE)
    with pytest.raises(UntrustedModelError, match="outside its folder"):
        checked(packed(records, ("a", b"")).replace(b"model/a", b"other/a"), FILE)
    for data in (b"", pickle.dumps(print), packed(records)[:-100]):
        with pytest.raises(ModelFormatError):
            checked(data, FILE)
