"""Input of predict against a signature."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch

from autotrack.errors import SignatureMismatchError
from autotrack.models import Signature, infer_signature

FRAME = pd.DataFrame({"age": [31, 42], "height": [1.7, 1.8], "name": ["a", "b"]})
PEOPLE = infer_signature(FRAME)


def test_fitting_data_passes_unchanged() -> None:
    """The very frame is handed on, in either library."""
    assert PEOPLE.enforce(FRAME) is FRAME
    frame = pl.from_pandas(FRAME)
    assert PEOPLE.enforce(frame).equals(frame)
    assert Signature().enforce("anything") == "anything"


@pytest.mark.parametrize("make", [lambda frame: frame, pl.from_pandas], ids=["pandas", "polars"])
def test_columns_are_put_in_order_and_unknown_ones_dropped(make: Any) -> None:
    """Order does not matter, and more columns than needed do no harm."""
    shuffled = make(FRAME.assign(extra=1)[["name", "extra", "height", "age"]])
    assert list(PEOPLE.enforce(shuffled).columns) == ["age", "height", "name"]


@pytest.mark.parametrize("make", [lambda frame: frame, pl.from_pandas], ids=["pandas", "polars"])
def test_a_missing_column_is_named(make: Any) -> None:
    """The message says which column is missing and which came."""
    with pytest.raises(SignatureMismatchError, match="column 'height' is missing; got 'age', 'name'"):
        PEOPLE.enforce(make(FRAME[["age", "name"]]))


@pytest.mark.parametrize("make", [lambda frame: frame, pl.from_pandas], ids=["pandas", "polars"])
def test_numbers_are_widened(make: Any) -> None:
    """Smaller integers become longs and integers become doubles, as the model was fitted on."""
    narrow = make(FRAME.astype({"age": "int16", "height": "int64"}))
    widened = PEOPLE.enforce(narrow)
    assert [str(dtype).lower() for dtype in (widened["age"].dtype, widened["height"].dtype)] == ["int64", "float64"]


@pytest.mark.parametrize("make", [lambda frame: frame, pl.from_pandas], ids=["pandas", "polars"])
def test_a_wrong_type_is_named(make: Any) -> None:
    """The message names the column, what was expected, what came, and an example of it."""
    with pytest.raises(SignatureMismatchError, match=r"column 'age': expected long, got double \(such as 31.5"):
        PEOPLE.enforce(make(FRAME.assign(age=[31.5, 42.0])))
    with pytest.raises(SignatureMismatchError, match=r"column 'height': expected double, got string \(such as 'tall'"):
        PEOPLE.enforce(make(FRAME.assign(height=["tall", "small"])))
    with pytest.raises(SignatureMismatchError, match=r"column 'name': expected string, got long"):
        PEOPLE.enforce(make(FRAME.assign(name=[1, 2])))


def test_missing_values_make_no_integer_column_wrong() -> None:
    """Whole numbers as floats, with gaps, are what pandas makes of an integer column with gaps."""
    with_gap = FRAME.assign(age=[31.0, np.nan])
    assert PEOPLE.enforce(with_gap) is with_gap
    nullable = FRAME.assign(age=pd.array([31, None], dtype="Int64"))
    assert PEOPLE.enforce(nullable) is nullable
    empty = FRAME.assign(name=[None, None])
    assert PEOPLE.enforce(empty) is empty


def test_mixed_values_are_described() -> None:
    """A column of several types says which ones came."""
    with pytest.raises(SignatureMismatchError, match="column 'name': expected string, got values of int, str"):
        PEOPLE.enforce(FRAME.assign(name=["a", 1]))


@pytest.mark.parametrize(
    "names", [pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]), ["a", "a"], [0, 1], [1.5, None]], ids=str
)
def test_a_frame_fits_its_own_signature_whatever_its_columns_are_called(names: Any) -> None:
    """Levels, numbers, one name twice: what a model was fitted on it can predict on."""
    frame = pd.DataFrame([[1.0, 2.0]], columns=names)
    assert infer_signature(frame).enforce(frame) is frame


NESTED = infer_signature(
    pd.DataFrame({"points": [[[0.5, 1.5]], [[2.5]]], "place": [{"x": 1.5, "tags": ["a"]}, {"x": 2.5, "tags": []}]})
)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("points", [[1, 2], [3]]),
        ("points", []),
        ("place", {"x": 1, "tags": ["b", "c"]}),
        ("place", {"x": None, "tags": ["b"]}),
        ("place", {"x": 1.0, "tags": [], "more": 1}),
    ],
)
def test_what_is_inside_nested_values_may_be_widened_or_missing(column: str, value: Any) -> None:
    """Whole numbers stand for fractions, empty lists for any list, unknown keys are no harm."""
    frame = pd.DataFrame({"points": [[[0.5]]], "place": [{"x": 1.5, "tags": ["a"]}]}).assign(**{column: [value]})
    assert NESTED.enforce(frame)[column].tolist() == [value]


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("points", [0.5], "array of array of double"),
        ("points", [["a"]], "array of array of double"),
        ("points", [[1, "a"]], "array of array of double"),
        ("points", "a", "array of array of double"),
        ("place", {"x": "a", "tags": []}, "object"),
        ("place", {"tags": ["a"]}, "object"),
        ("place", {"x": 1.5, "tags": [3]}, "object"),
        ("place", [1.5], "object"),
    ],
)
def test_what_is_inside_nested_values_is_checked(column: str, value: Any, expected: str) -> None:
    """To any depth; the column and what it expects are named."""
    frame = pd.DataFrame({"points": [[[0.5]]], "place": [{"x": 1.5, "tags": ["a"]}]}).assign(**{column: [value]})
    with pytest.raises(SignatureMismatchError, match=f"column '{column}': expected {expected}, got"):
        NESTED.enforce(frame)


def test_optional_columns_may_be_absent() -> None:
    """A column that had gaps when the signature was inferred is not required."""
    signature = infer_signature(FRAME.assign(height=[1.7, None]))
    assert list(signature.enforce(FRAME[["age", "name"]]).columns) == ["age", "name"]


@pytest.mark.parametrize(
    "data",
    [
        [{"age": 31, "height": 1.7, "name": "a"}, {"age": 42, "height": 1.8, "name": "b"}],
        {"age": [31, 42], "height": [1.7, 1.8], "name": ["a", "b"]},
        np.array([[31, 1.7, "a"], [42, 1.8, "b"]], object),
    ],
    ids=["rows", "columns", "array"],
)
def test_other_forms_become_a_frame(data: Any) -> None:
    """Rows, columns and nameless arrays become the frame that a pipeline over column names needs."""
    enforced = PEOPLE.enforce(data)
    assert list(enforced.columns) == ["age", "height", "name"]
    assert enforced.to_dict("list") == FRAME.to_dict("list")


def test_a_single_row_as_a_dict_becomes_a_frame() -> None:
    """A dict of plain values is one row."""
    assert len(PEOPLE.enforce({"age": 31, "height": 1.7, "name": "a"})) == 1


@pytest.mark.parametrize(
    "data",
    [
        pl.Series("a", [1, 2]),
        pl.Series("a", ["x", None]),
        np.float32(1.5),
        [],
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        pd.DataFrame(index=[0, 1]),
        {},
    ],
    ids=repr,
)
def test_data_fits_the_signature_that_was_inferred_from_it(data: Any) -> None:
    """Also data of no columns and no values, and a Series of polars, which is a column."""
    signature = infer_signature(data)
    assert Signature.from_dict(signature.to_dict()) == signature
    assert np.size(signature.enforce(data)) == np.size(data)


@pytest.mark.parametrize(
    "data",
    [
        {"a": [1, 2], "b": ["x", "y"]},
        {"a": {"b": {"c": [1, 2]}}, "n": 1},
        {"a": np.ones(2), "b": ["x"]},
        {"a": None, "b": "x"},
    ],
    ids=repr,
)
def test_a_dict_whose_lists_are_values_is_one_row(data: dict[str, Any]) -> None:
    """As MLflow has it; two such rows may come as lists of them."""
    signature = infer_signature(data)
    enforced = signature.enforce({**data, "more": [1, 2, 3]})
    assert [list(enforced.columns), len(enforced)] == [list(data), 1]
    if data["a"] is not None:
        assert len(signature.enforce({name: [value, value] for name, value in data.items()})) == 2


def test_the_wrong_number_of_columns_is_said() -> None:
    """An array of another width, rows of different lengths, and things that are no data."""
    with pytest.raises(SignatureMismatchError, match=r"expected 3 columns, got an array of shape \(2, 2\)"):
        PEOPLE.enforce(np.zeros((2, 2)))
    with pytest.raises(SignatureMismatchError, match="different lengths"):
        PEOPLE.enforce([[1, 2, 3], [1]])
    with pytest.raises(SignatureMismatchError, match=r"expected a DataFrame .* got int"):
        PEOPLE.enforce(5)
    with pytest.raises(SignatureMismatchError, match="column 'age' is there more than once"):
        PEOPLE.enforce(pd.concat([FRAME, FRAME], axis=1))


def test_tensors_are_checked_by_shape_and_dtype() -> None:
    """Any number of rows; the other axes and the dtype must fit, and are named where they do not."""
    signature = infer_signature(np.zeros((3, 4)))
    data = np.zeros((7, 4))
    assert signature.enforce(data) is data
    assert signature.enforce(np.zeros((1, 4), "float32")).dtype == "float64"
    assert signature.enforce([[1, 2, 3, 4]]).dtype == "float64"
    assert signature.enforce(pd.DataFrame(data)).shape == (7, 4)
    sparse = scipy.sparse.csr_matrix((2, 4))
    assert signature.enforce(sparse) is sparse
    with pytest.raises(SignatureMismatchError, match=r"expected shape \(-1, 4\), got \(2, 3\)"):
        signature.enforce(np.zeros((2, 3)))
    with pytest.raises(SignatureMismatchError, match="expected dtype float64, got str"):
        signature.enforce(np.array([["a", "b", "c", "d"]]))
    with pytest.raises(SignatureMismatchError, match="expected an array, got dict"):
        signature.enforce({"a": 1})
    with pytest.raises(SignatureMismatchError, match="expected dtype float64, got object"):
        signature.enforce(np.array([["a", 1, 2, 3]], object))


def test_torch_tensors_stay_tensors() -> None:
    """A tensor is widened as a tensor; a double for a float model is refused by name."""
    signature = infer_signature(torch.zeros(2, 3))
    assert signature.enforce(torch.zeros(5, 3, dtype=torch.float16)).dtype == torch.float32
    with pytest.raises(SignatureMismatchError, match="expected dtype float32, got float64"):
        signature.enforce(torch.zeros(5, 3, dtype=torch.float64))


def test_named_tensors() -> None:
    """A dict of arrays is checked array by array."""
    signature = infer_signature({"ids": np.zeros((2, 3), "int64"), "mask": np.zeros((2, 3), "bool")})
    good = {"ids": np.ones((1, 3), "int32"), "mask": np.ones((1, 3), "bool"), "more": 1}
    assert list(signature.enforce(good)) == ["ids", "mask"]
    with pytest.raises(SignatureMismatchError, match="array 'mask' is missing; got 'ids'"):
        signature.enforce({"ids": good["ids"]})
    with pytest.raises(SignatureMismatchError, match="array 'ids': expected dtype int64, got float64"):
        signature.enforce({**good, "ids": np.zeros((1, 3))})
    with pytest.raises(SignatureMismatchError, match="expected a dict of arrays 'ids', 'mask', got ndarray"):
        signature.enforce(np.zeros(3))


def test_nameless_values() -> None:
    """A list of texts takes lists and Series of texts, and says what else came."""
    signature = infer_signature(["a", "b"])
    assert signature.enforce(["x"]) == ["x"]
    assert len(signature.enforce(pd.Series(["x", "y"]))) == 2
    with pytest.raises(SignatureMismatchError, match="expected values of string, got long"):
        signature.enforce([1, 2])
    rows = infer_signature([[1.0, 2.0], [3.0, 4.0]])
    assert rows.enforce(np.zeros((3, 2))).shape == rows.enforce(pd.DataFrame(np.zeros((3, 2)))).shape == (3, 2)
    with pytest.raises(SignatureMismatchError, match="without a name, got a DataFrame"):
        signature.enforce(FRAME)


def test_params_are_checked_and_filled_in() -> None:
    """Known parameters take their default; unknown names and wrong types are named."""
    signature = infer_signature("text", params={"size": 3, "rate": 0.5, "names": ["a"]})
    assert signature.enforce_params(None) == {"size": 3, "rate": 0.5, "names": ["a"]}
    assert signature.enforce_params({"rate": 1})["rate"] == 1
    with pytest.raises(SignatureMismatchError, match="'speed' is not a parameter of this model; it takes 'size'"):
        signature.enforce_params({"speed": 1})
    with pytest.raises(SignatureMismatchError, match="'size': expected long, got 'x'"):
        signature.enforce_params({"size": "x"})
    with pytest.raises(SignatureMismatchError, match="'names': expected list of string, got 'a'"):
        signature.enforce_params({"names": "a"})
    with pytest.raises(SignatureMismatchError, match="it takes none"):
        PEOPLE.enforce_params({"a": 1})
