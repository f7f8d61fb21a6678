"""Signatures: inferred, written as MLflow writes them, read back."""

from __future__ import annotations

import datetime
import json
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch

from autotrack.errors import InvalidArgumentError, ModelFormatError
from autotrack.models import Signature, infer_signature


def inputs_of(data: Any) -> list[dict[str, Any]]:
    """The inputs as MLmodel would have them; reading them back gives the same signature."""
    signature = infer_signature(data)
    assert Signature.from_dict(signature.to_dict()) == signature
    text = signature.to_dict()["inputs"]
    assert text is not None
    found: list[dict[str, Any]] = json.loads(text)
    return found


def test_the_text_is_that_of_mlflow() -> None:
    """Order of keys and separators are MLflow's, so that equal signatures are equal texts."""
    signature = infer_signature(pd.DataFrame({"x": [1.0, np.nan]}), np.zeros((2, 3)), {"t": 0.5, "names": ["a"]})
    assert signature.to_dict() == {
        "inputs": '[{"type": "double", "name": "x", "required": false}]',
        "outputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}}]',
        "params": '[{"name": "t", "default": 0.5, "shape": null, "type": "double"}, '
        '{"name": "names", "default": ["a"], "shape": [-1], "type": "string"}]',
    }


def test_types_of_pandas_columns() -> None:
    """Plain, extension, categorical and object columns have MLflow's types; missing values make them optional."""
    frame = pd.DataFrame(
        {
            "bool": [True, False],
            "int8": np.array([1, 2], "int8"),
            "uint32": np.array([1, 2], "uint32"),
            "int64": [1, 2],
            "float32": np.array([1, 2], "float32"),
            "text": ["a", None],
            "category": pd.Categorical(["a", "b"]),
            "numbers as objects": np.array([1, 2], object),
            "Int64": pd.array([1, None], dtype="Int64"),
            "date": pd.to_datetime(["2020-01-01", "2020-01-02"]),
            "zoned": pd.to_datetime(["2020-01-01", "2020-01-02"], utc=True),
            "bytes": [b"a", b"b"],
            "list": [[1, 2], []],
            "dict": [{"a": 1}, {"a": 2, "b": "x"}],
            "mixed": [1, "a"],
            "duration": pd.to_timedelta([1, 2]),
            7: [1.0, 2.0],
        }
    )
    specs = inputs_of(frame)
    types = {spec["name"]: spec["type"] for spec in specs}
    assert list(types) == list(frame.columns)
    assert types == {
        "bool": "boolean",
        "int8": "integer",
        "uint32": "long",
        "int64": "long",
        "float32": "float",
        "text": "string",
        "category": "string",
        "numbers as objects": "long",
        "Int64": "long",
        "date": "datetime",
        "zoned": "datetime",
        "bytes": "binary",
        "list": "array",
        "dict": "object",
        "mixed": "any",
        "duration": "any",
        7: "double",
    }
    assert [spec["name"] for spec in specs if not spec["required"]] == ["text", "Int64"]
    by_name = {spec["name"]: spec for spec in specs}
    assert by_name["list"]["items"] == {"type": "long"}
    assert by_name["dict"]["properties"] == {
        "a": {"type": "long", "required": True},
        "b": {"type": "string", "required": False},
    }


def test_types_of_polars_columns() -> None:
    """A polars frame has the signature of the pandas frame of the same content."""
    frame = pl.DataFrame({"i": [1, 2], "f": [0.5, None], "s": ["a", "b"], "b": [True, False]}).with_columns(
        pl.col("s").cast(pl.Categorical).alias("c"), d=datetime.date(2020, 1, 1), n=pl.col("i").cast(pl.Int16)
    )
    assert {spec["name"]: spec["type"] for spec in inputs_of(frame)} == {
        "i": "long",
        "f": "double",
        "s": "string",
        "b": "boolean",
        "c": "string",
        "d": "datetime",
        "n": "integer",
    }
    assert [spec["name"] for spec in inputs_of(frame) if not spec["required"]] == ["f"]
    assert inputs_of(frame.select("i")) == inputs_of(pd.DataFrame({"i": [1, 2]}))


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (np.zeros((3, 4)), "float64", [-1, 4]),
        (np.zeros(3, "int32"), "int32", [-1]),
        (np.array(["a", "bcd"]), "str", [-1]),
        (scipy.sparse.csr_matrix((5, 7), dtype="float32"), "float32", [-1, 7]),
        (scipy.sparse.coo_array((5, 7)), "float64", [-1, 7]),
        (torch.zeros(2, 3, 4), "float32", [-1, 3, 4]),
        (torch.zeros(2, dtype=torch.bfloat16), "float32", [-1]),
    ],
    ids=str,
)
def test_arrays_are_tensors(data: Any, dtype: str, shape: list[int]) -> None:
    """Arrays, sparse matrices and tensors are described by dtype and shape, and stay what they are."""
    assert inputs_of(data) == [{"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}]


def test_dicts_and_lists() -> None:
    """A dict of arrays is named tensors, a dict of values columns, a list of dicts rows, a list one nameless column."""
    named = inputs_of({"a": np.zeros((2, 3)), "b": torch.zeros(2)})
    assert [(spec["name"], spec["tensor-spec"]["shape"]) for spec in named] == [("a", [-1, 3]), ("b", [-1])]
    assert inputs_of({"a": 1, "b": [1.0]}) == [
        {"type": "long", "name": "a", "required": True},
        {"type": "array", "items": {"type": "double"}, "name": "b", "required": True},
    ]
    assert inputs_of([{"a": 1}, {"a": None, "b": "x"}]) == [
        {"type": "long", "name": "a", "required": False},
        {"type": "string", "name": "b", "required": False},
    ]
    assert inputs_of([[1, 2], [3, 4]]) == [{"type": "array", "items": {"type": "long"}, "required": True}]
    assert inputs_of(["a"]) == inputs_of("a") == [{"type": "string", "required": True}]


def test_inference_looks_at_a_bounded_sample() -> None:
    """What stands beyond the first ten thousand rows costs nothing and changes nothing."""
    frame = pd.DataFrame({"a": [1.0] * 10_000 + [None], "b": ["x"] * 10_000 + [3]})
    assert [(spec["type"], spec["required"]) for spec in inputs_of(frame)] == [("double", True), ("string", True)]


@pytest.mark.parametrize("data", [object(), {1: 2}, [1, "a"], {"a"}], ids=["object", "dict", "mixed list", "set"])
def test_what_has_no_schema_is_a_clear_error(data: Any) -> None:
    """The message names the argument and what is expected."""
    with pytest.raises(InvalidArgumentError, match=r"model_input: got .*; expected"):
        infer_signature(data)


def test_a_parameter_without_a_type_is_a_clear_error() -> None:
    """None and nested lists have no type that a parameter could be checked against."""
    for default in (None, [[1]], object()):
        with pytest.raises(InvalidArgumentError, match=r"params\['p'\]"):
            infer_signature("text", params={"p": default})


def test_unknown_nested_types_survive() -> None:
    """A map type, which nothing here infers, is read and written back."""
    text = '[{"type": "map", "values": {"type": "double"}, "name": "m", "required": true}]'
    assert Signature.from_dict({"inputs": text}).to_dict()["inputs"] == text


@pytest.mark.parametrize("text", ["{", "[1]", '[{"name": "x"}]', '[{"type": "tensor"}]', "5"])
def test_a_damaged_signature_is_a_format_error(text: str) -> None:
    """The message says which part of MLmodel it is."""
    with pytest.raises(ModelFormatError, match=r"MLmodel: signature\.inputs"):
        Signature.from_dict({"inputs": text})
