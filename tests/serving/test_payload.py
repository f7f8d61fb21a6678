"""Requests and answers of the server: the forms of JSON, types by the signature, what has no form in JSON."""

from __future__ import annotations

import contextlib
import datetime
import json
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from autotrack.errors import AutotrackError, InvalidArgumentError, SignatureMismatchError
from autotrack.models import infer_signature
from autotrack.models.signature import Signature
from autotrack.serving import payload

FRAME = pd.DataFrame(
    {
        "whole": np.array([1, 2], "int32"),
        "small": np.array([0.5, 0.25], "float32"),
        "name": ["00123", "b"],
        "when": pd.to_datetime(["2026-01-01T00:00:00", "2026-01-02T03:04:05"]),
        "raw": [b"\x00\x01", b"z"],
        "yes": [True, False],
    }
)
SIGNATURE = infer_signature(FRAME)
ROWS = [
    [1, 0.5, "00123", "2026-01-01T00:00:00", "AAE=", True],
    [2, 0.25, "b", "2026-01-02T03:04:05", "eg==", False],
]
RECORDS = [dict(zip(FRAME.columns, row, strict=True)) for row in ROWS]


def read(request: Any, signature: Signature | None = None) -> Any:
    """The data of a request."""
    return payload.read_json(json.dumps(request), signature)[0]


@pytest.mark.parametrize(
    "request_",
    [
        {"dataframe_split": {"columns": list(FRAME.columns), "data": ROWS}},
        {"dataframe_split": {"columns": list(FRAME.columns), "data": ROWS, "index": [5, 6]}},
        {"dataframe_records": RECORDS},
        {"instances": RECORDS},
        {"instances": ROWS},
        {"inputs": {name: [row[place] for row in ROWS] for place, name in enumerate(FRAME.columns)}},
        {"inputs": ROWS},
    ],
    ids=["split", "split with index", "records", "instances by name", "instances", "inputs by name", "inputs"],
)
def test_every_form_gives_the_frame_that_the_signature_wants(request_: dict[str, Any]) -> None:
    """32-bit numbers, dates, bytes and texts that look like numbers come out as what the model was fitted on."""
    data = SIGNATURE.enforce(read(request_, SIGNATURE)).reset_index(drop=True)
    for name in FRAME.columns:
        assert list(data[name]) == list(FRAME[name])
        assert data[name].dtype.kind == FRAME[name].dtype.kind or name in ("name", "raw")
    assert data["small"].dtype == "float32"


def test_csv_gives_it_too() -> None:
    """A code such as 00123 stays a text."""
    text = pd.DataFrame(ROWS, columns=list(FRAME.columns)).to_csv(index=False)
    data = SIGNATURE.enforce(payload.read_csv(text.encode(), SIGNATURE))
    assert list(data["name"]) == ["00123", "b"]
    assert list(data["when"]) == list(FRAME["when"])


def test_missing_values_stay_missing() -> None:
    """null is NaN in numbers, NaT in dates."""
    frame = pd.DataFrame({"a": [1.0, None], "d": pd.to_datetime(["2026-01-01", None]), "s": ["x", None]})
    records = [{"a": None, "d": None, "s": None}, {"a": 2.5, "d": "2026-01-01", "s": "x"}]
    data = infer_signature(frame).enforce(read({"dataframe_records": records}, infer_signature(frame)))
    assert data["a"].isna().tolist() == data["d"].isna().tolist() == data["s"].isna().tolist() == [True, False]
    alone = read({"dataframe_records": records[:1]}, infer_signature(frame))
    assert alone["a"].dtype == "float64"


def test_tensors_take_the_dtype_of_the_signature() -> None:
    """One array, or several by name, by rows and by columns."""
    one = infer_signature(np.zeros((2, 3), "float32"))
    assert read({"inputs": [[1, 2, 3]]}, one).dtype == "float32"
    assert read({"instances": [[1.5, 2, 3]]}, one).dtype == "float32"
    several = infer_signature({"a": np.zeros((2, 3)), "b": np.zeros((2,), "int64")})
    by_columns = read({"inputs": {"a": [[1, 2, 3]], "b": [4]}}, several)
    by_rows = read({"instances": [{"a": [1, 2, 3], "b": 4}]}, several)
    for data in (by_columns, by_rows):
        assert data["a"].dtype == "float64"
        assert data["a"].shape == (1, 3)
        assert data["b"].tolist() == [4]
        assert several.enforce(data).keys() == {"a", "b"}


def test_frames_of_numbers_take_it_too() -> None:
    """Records, a split frame and CSV for a model that was fitted on arrays; what is lost in rounding is the text's."""
    one = infer_signature(np.zeros((2, 3), "float32"))
    records = [{"x": 0.1, "y": 2, "z": None}]
    split = {"columns": ["x", "y", "z"], "data": [[0.1, 2, None]]}
    for data in (
        read({"dataframe_records": records}, one),
        read({"dataframe_split": split}, one),
        payload.read_csv(b"x,y,z\n0.1,2,\n", one),
    ):
        enforced = one.enforce(data)
        assert enforced.dtype == "float32"
        assert np.array_equal(enforced, np.array([[0.1, 2, np.nan]], "float32"), equal_nan=True)
    with pytest.raises(SignatureMismatchError, match="expected dtype float32, got object"):
        one.enforce(payload.read_csv(b"x,y,z\n0.1,2,a\n", one))
    several = infer_signature({"a": np.zeros((2, 3), "float32"), "b": np.zeros((2,), "int64")})
    data = read({"dataframe_records": [{"a": [1, 2, 3], "b": 4, "c": 0}]}, several)
    assert several.enforce(data)["a"].tolist() == [[1, 2, 3]]
    with pytest.raises(SignatureMismatchError, match="array 'a' is missing"):
        several.enforce(payload.read_csv(b"b\n1\n", several))


def test_without_a_signature_the_form_decides() -> None:
    """Frames for the frame forms, arrays for the others."""
    assert read({"dataframe_records": [{"a": 1}]}).to_dict("list") == {"a": [1]}
    assert read({"instances": [[1, 2]]}).shape == (1, 2)
    assert read({"instances": [{"a": 1}]}).to_dict("list") == {"a": [1]}
    assert read({"inputs": {"a": [1, 2]}})["a"].tolist() == [1, 2]


def test_parameters_come_with_the_data() -> None:
    """And are absent otherwise."""
    assert payload.read_json(b'{"inputs": [1], "params": {"t": 0.5}}')[1] == {"t": 0.5}
    assert payload.read_json(b'{"inputs": [1]}')[1] == {}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "expected JSON"),
        (b"\xff", "expected JSON"),
        (b"[1]", "dataframe_split, dataframe_records, instances, inputs"),
        (b"{}", "dataframe_split"),
        (b'{"inputs": [1], "instances": [1]}', "one of the keys"),
        (b'{"inputs": [1], "colour": 1}', "colour"),
        (b'{"inputs": [1], "params": 3}', "params"),
        (b'{"dataframe_split": [[1]]}', "`columns` (names) and `data`"),
        (b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}', "dataframe_split"),
        (b'{"dataframe_records": [1]}', "list of objects"),
        (b'{"instances": 3}', "a list, one entry a row"),
        (b'{"instances": [[1], [1, 2]]}', "instances"),
        (b"[" * 100_000, "expected JSON"),
    ],
)
def test_a_body_of_another_form_is_a_clear_error(body: bytes, said: str) -> None:
    """The message says what came and what is expected, and is short."""
    with pytest.raises(InvalidArgumentError) as caught:
        payload.read_json(body)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 600


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["whole", "when", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(form=st.sampled_from(payload.FORMS), value=JSON)
def test_no_request_does_worse_than_a_typed_error(form: str, value: Any) -> None:
    """Whatever stands in the JSON: data that fits the signature, or an error of autotrack's own."""
    with contextlib.suppress(AutotrackError):
        SIGNATURE.enforce(payload.read_json(json.dumps({form: value}), SIGNATURE)[0])


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        (np.array([1, 2]), [1, 2]),
        (np.array([[0.5, np.nan], [np.inf, 1]]), [[0.5, None], [None, 1.0]]),
        (np.float32(0.5), 0.5),
        (pd.Series([1.5, None]), [1.5, None]),
        (pd.DataFrame({"a": [1], "b": ["x"]}), [{"a": 1, "b": "x"}]),
        (pl.DataFrame({"a": [1]}), [{"a": 1}]),
        (pl.Series([1, None]), [1, None]),
        (scipy.sparse.csr_matrix([[0, 1]]), [[0, 1]]),
        ({"a": np.array([1])}, {"a": [1]}),
        ([np.int64(3), "x", None], [3, "x", None]),
        (pd.Series(pd.to_datetime(["2026-01-01"])), ["2026-01-01T00:00:00"]),
        ([datetime.date(2026, 1, 2)], ["2026-01-02"]),
    ],
)
def test_predictions_become_json(predictions: Any, expected: Any) -> None:
    """What JSON has no word for, NaN and infinity, is null."""
    assert json.loads(payload.json_bytes(predictions)) == {"predictions": expected}


def test_tensors_become_json_and_other_objects_do_not() -> None:
    """An object without a form is a TypeError that names its type."""
    import torch

    assert json.loads(payload.json_bytes(torch.tensor([[1.0]], requires_grad=True)))["predictions"] == [[1.0]]
    with pytest.raises(TypeError, match="object has no form"):
        payload.json_bytes([object()])
