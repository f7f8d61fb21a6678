"""The skops format as written here: what skops itself reads back from it."""

from __future__ import annotations

import datetime
import functools
import io
import zipfile
from collections import OrderedDict, defaultdict
from typing import Any

import model_zoo
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import scipy.special
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from sklearn.utils import Bunch

from autotrack.models.skops_writer import NotHeldError, _npy, dumps


def arrays() -> st.SearchStrategy[Any]:
    """Arrays of numbers, texts, times and records, of up to three dimensions, in either order, whole or in part."""
    plain = st_numpy.scalar_dtypes().filter(lambda dtype: dtype.kind != "O")
    kinds = plain | st_numpy.array_dtypes(plain, min_size=1, max_size=3)
    whole = st_numpy.arrays(kinds, st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    return st.builds(
        lambda array, form: form(array), whole, st.sampled_from([np.asarray, np.asfortranarray, np.transpose])
    )


def back(value: Any) -> Any:
    """A value, written here and read by skops."""
    data, names = dumps(value)
    return skops.io.loads(data, trusted=[*names, "builtins.frozenset"])


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -(2**70),
        1.5,
        float("inf"),
        "text \u20ac \ud800",
        {"key \u20ac": 1, "key \ud800": 2},
        b"\x00bytes",
        [1, [2, "x"]],
        (1, (2, None)),
        {1, 2},
        frozenset({"a", "b"}),
        {"a": 1, "b": {"c": [1.5]}},
        {0: 1.5, 2: "x"},
        {np.int64(3): 1},
        {0.5: 1},
        OrderedDict(a=1),
        Bunch(a=1, b="x"),
        slice(1, None, 2),
        float,
        np.float32,
        np.int64(3),
        np.float32(0.1),
        np.str_("x"),
        np.dtype("int16"),
        np.log1p,
        np.mean,
        scipy.special.expit,
        datetime.timedelta(days=2),
        datetime.datetime(2020, 1, 2, 3, 4),
        pd.Index(["a", "b"], name="columns"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_come_back(value: Any) -> None:
    """Each kind of value that estimators hold is read by skops as it was."""
    again = back(value)
    assert type(again) is type(value)
    assert again.equals(value) and again.name == value.name if isinstance(value, pd.Index) else again == value


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(10)[::2],
        np.array(["a", "bcd"]),
        np.array([], "int8"),
        np.array(["2020-01-01"], "datetime64[D]"),
        np.array([1, "a", None, [2]], dtype=object),
        np.array([["a", 1], [None, 2.5]], dtype=object),
        np.zeros(2, [("a", "i4"), ("b", "f8")]),
    ],
    ids=repr,
)
def test_arrays_come_back(array: Any) -> None:
    """Values, dtype, shape and order in memory."""
    again = back(array)
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.tolist() == array.tolist()
    assert again.flags.f_contiguous == np.ascontiguousarray(array).flags.f_contiguous or array.flags.f_contiguous


def test_masked_sparse_partial_and_random_come_back() -> None:
    """Masked arrays, sparse matrices of each kind, partials, defaultdicts, and random streams where they stood."""
    masked = np.ma.MaskedArray([1.0, 2.0], [True, False])
    assert (back(masked).mask == masked.mask).all()
    for matrix in (scipy.sparse.csr_matrix(np.eye(3)), scipy.sparse.csc_array(np.eye(3))):
        assert type(back(matrix)) is type(matrix)
        assert (back(matrix) != matrix).nnz == 0
    power = back(functools.partial(np.power, 2))
    assert power(3) == 8
    assert back(defaultdict(int, a=1))["b"] == 0
    for stream in (np.random.RandomState(7), np.random.default_rng(7)):
        draw = (lambda s: s.random_sample(3)) if hasattr(stream, "random_sample") else (lambda s: s.random(3))
        draw(stream)
        assert (draw(back(stream)) == draw(stream)).all()


@pytest.mark.filterwarnings("ignore:Stored array in format")
@given(arrays())
def test_an_array_is_written_as_numpy_writes_it(array: Any) -> None:
    """To the byte, in each order and dtype."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    assert _npy(array) == buffer.getvalue()


@pytest.mark.parametrize("name", ["grüße", "價格", "long" * 20_000])
@pytest.mark.filterwarnings("ignore:Stored array in format")
def test_fields_whose_names_need_a_later_form_come_back(name: str) -> None:
    """Not Latin-1, or longer than the first form of a header can hold."""
    array = np.array([(1, 2.5)], dtype=[(name, "i8"), ("other", "f8")])
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    assert _npy(array) == buffer.getvalue()


def test_equal_small_arrays_are_one_file_and_several_arrays() -> None:
    """The trees of a forest have much in common; each gets an array of its own back."""
    data, _ = dumps([np.arange(3), np.arange(3), np.arange(3.0), np.zeros(1_000), np.zeros(1_000), b"\x93NUMPY"])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert len(archive.namelist()) == 6
    one, other, *_ = back([np.arange(3), np.arange(3)])
    one[0] = 7
    assert other[0] == 0


def test_a_file_of_bytes_is_not_taken_for_an_array() -> None:
    """Though their content is the same: they are read in different ways."""
    content = _npy(np.arange(3))
    array, text = back([np.arange(3), content])
    assert text == content
    assert array.tolist() == [0, 1, 2]


def test_shared_parts_stay_shared() -> None:
    """An object that stands in two places is one object again."""
    array = np.zeros(2)
    one, other = back([array, {"a": array}])
    assert other["a"] is one


def test_a_watched_function_is_named_as_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapper around a metric, as autologging puts it at the public name, leaves no trace in the file."""
    import sklearn.metrics
    import wrapt

    class Watched(wrapt.FunctionWrapper):  # type: ignore[misc]
        """Of no public place."""

    original = sklearn.metrics.f1_score
    watched = Watched(original, lambda wrapped, _, args, kwargs: wrapped(*args, **kwargs))
    monkeypatch.setattr(Watched, "__module__", "autotrack.hooks.patching")
    monkeypatch.setattr(sklearn.metrics, "f1_score", watched)
    data, names = dumps([watched, original, sklearn.metrics.make_scorer(watched)])
    assert "sklearn.metrics._classification.f1_score" in names
    assert not any("autotrack" in name or "wrapt" in name for name in names)
    assert skops.io.loads(data, trusted=names)[0] is original


class Slotted:
    """A class of no library."""

    __slots__ = ("a",)


def circle() -> list[Any]:
    """A list that holds itself."""
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize(
    "value",
    [
        Slotted(),
        Slotted,
        lambda: 1,
        model_zoo.fitted,
        len,
        print,
        np.load,
        [].append,
        model_zoo.LOGISTIC.fit,
        circle(),
        {(1, 2): 1},
        {True: 1},
        {1: "a", "1": "b"},
        defaultdict(int, {1: 2}),
        slice("a", "b"),
        np.array([[[1], [2]], [[3], [4]]], dtype=object).reshape(2, 2)[:, :1][:0],
        np.zeros(1, [("a", object)]),
        np.datetime64("2020-01-01"),
        pd.DataFrame({"a": [1]}),
        pd.RangeIndex(3),
        pd.Timestamp(0),
        functools.partial(print, "x"),
        np.matrix([1]),
    ],
    ids=lambda value: f"{type(value).__name__} {value!r:.20}",
)
def test_what_cannot_be_held_is_refused_while_writing(value: Any) -> None:
    """Nothing is written that would come back changed, or would not be trusted at the next load."""
    with pytest.raises(NotHeldError) as caught:
        dumps([value])
    assert str(caught.value)


def test_a_value_nested_too_deeply_is_refused() -> None:
    """A thousand lists in each other are an answer, not a crash."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NotHeldError, match="too deeply"):
        dumps(deep)


def test_equal_models_are_equal_files_in_another_process() -> None:
    """No address, time or hash seed gets into the file."""
    import hashlib
    import os
    import subprocess
    import sys
    from pathlib import Path

    code = (
        "import hashlib, model_zoo; from autotrack.models.skops_writer import dumps\n"
        "print(hashlib.sha256(dumps([model_zoo.frame_pipeline(), {'a', 'b', 'c', 'd'}])[0]).hexdigest())"
    )
    roots = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": roots, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    here = hashlib.sha256(dumps([model_zoo.frame_pipeline(), {"a", "b", "c", "d"}])[0]).hexdigest()
    assert digests == {here}
