"""pandas is not harmed: same frames, bytes, warnings and errors with autotrack on or off, and nothing is kept alive."""

from __future__ import annotations

import copy
import gc
import inspect
import io
import pickle
import sys
import warnings
import weakref

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression

import autotrack
from autotrack import testing
from autotrack.hooks import guard, taps
from autotrack.integrations import registry
from autotrack.tracking import lineage

TEXT = "a,b,c\n" + "\n".join(f"{row},{row / 7},{'xyz'[row % 3]}" for row in range(-50, 50))


class Own(pd.DataFrame):
    """A program's own kind of frame, with metadata of its own."""

    _metadata = ["origin"]

    @property
    def _constructor(self):
        return Own


def work(folder):
    """What a program can see of its frames: contents, metadata, and what they are written as."""
    frame = pd.read_csv(io.StringIO(TEXT))
    frame.attrs["unit"] = {"a": "m"}
    own = Own(frame)
    own.origin = "mine"
    made = {
        "read": frame,
        "masked": frame[frame.a > 0],
        "joined": frame.merge(frame, on="a"),
        "stacked": pd.concat([frame, frame]),
        "grouped": frame.groupby("c")[["a", "b"]].mean(),
        "own": own[own.a > 0],
        "constructed": pd.DataFrame(frame.to_numpy(), columns=frame.columns),
        "copied": copy.deepcopy(frame),
    }
    seen = []
    for name, one in made.items():
        path = folder / f"{name}.parquet"
        pd.DataFrame(one).to_parquet(path)
        state = sorted(vars(one)), dict(one.attrs), type(one), getattr(one, "origin", None)
        seen.append((name, state, pickle.dumps(one), path.read_bytes(), one.to_csv()))
    arrays = [frame[["a", "b"]].values, frame.a.to_numpy(), np.asarray(frame.b), frame.a.values]
    seen.append([(array.dtype, array.shape, array.flags.writeable, pickle.dumps(array)) for array in arrays])
    chunks = pd.read_csv(io.StringIO(TEXT), chunksize=30)
    seen.append([pickle.dumps(chunk) for chunk in chunks])
    return seen


def test_frames_and_what_they_are_written_as_are_the_same(tmp_path):
    """Attributes, `attrs`, own metadata and types; pickles, Parquet files and text, byte for byte."""
    plain = work(tmp_path)
    with testing.temporary_store():
        autotrack.autolog()
        recorded = work(tmp_path)
    assert recorded == plain


MISTAKES = {
    "missing file": lambda: pd.read_csv("nowhere.csv"),
    "empty": lambda: pd.read_csv(io.StringIO("")),
    "unknown argument": lambda: pd.read_csv(io.StringIO("a"), nonsense=1),
    "no argument": lambda: pd.read_csv(),
    "not excel": lambda: pd.read_excel(io.BytesIO(b"no workbook")),
    "not parquet": lambda: pd.read_parquet(io.BytesIO(b"no table")),
    "not json": lambda: pd.read_json(io.StringIO("{")),
    "no query": lambda: pd.read_sql("SELECT 1", None),
    "unknown column": lambda: pd.read_csv(io.StringIO(TEXT))["d"],
    "bad shape": lambda: pd.DataFrame([[1]], columns=["a", "b"]),
    "bad merge": lambda: pd.read_csv(io.StringIO(TEXT)).merge(pd.DataFrame({"d": [1]})),
    "missing polars file": lambda: pl.read_csv("nowhere.csv"),
    "unknown polars column": lambda: pl.DataFrame({"a": [1]}).select("b"),
}


def failure(call):
    """What a program sees of an error."""
    with pytest.raises(Exception) as caught:
        call()
    error = caught.value
    return type(error), str(error), repr(error.args), repr(error.__cause__), repr(error.__context__)


@pytest.mark.parametrize("call", MISTAKES.values(), ids=MISTAKES)
def test_errors_are_the_same(call):
    """Kind, message, arguments, cause and context."""
    plain = failure(call)
    with testing.temporary_store():
        autotrack.autolog()
        assert failure(call) == plain


def test_warnings_are_blamed_on_the_programs_line():
    """pandas looks for the first frame outside its own folder."""

    def warned():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            pd.read_csv(io.StringIO("a;;b\n1;;2"), sep=";;")
        return [(one.category, str(one.message), one.filename, one.lineno) for one in caught]

    plain = warned()
    assert plain[0][2] == __file__
    with testing.temporary_store():
        autotrack.autolog()
        assert warned() == plain


def looks():
    """What a program sees of the functions that are tapped."""
    functions = [pd.read_csv, pd.read_sql, pd.DataFrame.to_numpy, pd.DataFrame.__init__, pd.DataFrame, pl.read_csv]
    functions += [pl.DataFrame, pl.DataFrame.filter, pl.LazyFrame.collect, pl.DataFrame.group_by]
    signatures = [str(inspect.signature(one)) for one in functions]
    pickled = [pickle.dumps(one) for one in functions]
    named = [(one.__module__, one.__qualname__, one.__doc__) for one in functions]
    return signatures, pickled, named, inspect.getsource(pd.read_csv), pd.DataFrame.values.__doc__


def test_functions_look_and_pickle_as_before():
    """Signatures, names, documentation, source; pickled by name, they are found again."""
    plain = looks()
    with testing.temporary_store():
        autotrack.autolog()
        assert looks() == plain
        assert pickle.loads(pickle.dumps(pd.read_csv)) is pd.read_csv


def raw_attributes():
    """Everything that stands in the modules and classes that are tapped."""
    owners = [pd, pd.io.parsers.readers, pd.core.generic.NDFrame, pd.DataFrame, pd.Series, pd.core.base.IndexOpsMixin]
    owners += [pl, pl.DataFrame, pl.LazyFrame, pl.Series, sys.modules["polars.io.csv.functions"]]
    return [dict(vars(owner)) for owner in owners]


def test_everything_is_taken_back():
    """Switched off, each attribute is the very object that it was."""
    before = raw_attributes()
    with testing.temporary_store():
        autotrack.autolog()
        assert "pandas.core.generic.NDFrame.__finalize__" in taps.installed()
        assert not [patch for name in ("pandas", "polars") for patch in registry.patches(name) if patch.reason]
        pd.read_csv(io.StringIO(TEXT))
        autotrack.disable()
        assert not taps.installed()
        after = raw_attributes()
    for old, new in zip(before, after, strict=True):
        assert old.keys() == new.keys()
        assert [name for name in old if new[name] is not old[name]] == []


def test_nothing_is_kept_alive(recorded):
    """Frames, columns and arrays go when the program lets go of them, and their entries with them."""
    frame = pd.read_csv(io.StringIO(TEXT))
    polar = pl.read_csv(io.StringIO(TEXT))
    made = [
        frame,
        frame[frame.a > 0],
        frame.a,
        frame[["a"]].to_numpy(),
        polar,
        polar.filter(pl.col("a") > 0),
        polar["a"],
    ]
    LinearRegression().fit(frame[["a"]], frame.b)
    autotrack.flush()
    references = [weakref.ref(one) for one in made]
    assert all(lineage.of(one) for one in made)
    del frame, polar, made
    gc.collect()
    assert [reference() for reference in references] == [None] * 7
    assert not lineage.marks


def test_a_loop_of_reads_leaves_nothing_behind(recorded):
    """A thousand frames later the table is as it was."""
    for _ in range(1000):
        frame = pd.read_csv(io.StringIO("a\n1\n"))
        frame = frame[frame.a > 0].copy()
    del frame
    gc.collect()
    assert not lineage.marks


def test_a_pickle_may_hold_anything(recorded, tmp_path):
    """Objects that are no frames go through `read_pickle` unmarked, dicts of frames with a mark on each."""
    for name, value in {"number": 3, "list": [1, 2], "array": np.arange(3)}.items():
        pd.to_pickle(value, tmp_path / name)
        assert repr(pd.read_pickle(tmp_path / name)) == repr(value)
    assert not lineage.marks
    pd.to_pickle({"one": pd.DataFrame({"a": [1]})}, tmp_path / "frames")
    assert lineage.of(pd.read_pickle(tmp_path / "frames")["one"])


def test_sources_of_any_kind_harm_nobody(recorded, shield_on):
    """Readers of the program's own, with names that fail or mean nothing."""

    class Odd(io.StringIO):
        @property
        def name(self):
            raise RuntimeError("no name")

    class Number(io.StringIO):
        name = 7

    for source in (Odd(TEXT), Number(TEXT)):
        assert len(pd.read_csv(source)) == 100
    assert guard.health("pandas").errors <= 1


def test_python_leaves_quietly_with_frames_in_hand(run_python):
    """At the end of a program nothing is written to stderr, whatever goes first."""
    done = run_python(
        """
        import autotrack
        autotrack.autolog()
        import io, pandas, polars
        frame = pandas.read_csv(io.StringIO("a\\n1\\n2"))
        kept = {"self": [frame, frame.a, frame.to_numpy(), polars.DataFrame({"a": [1]})]}
        kept["self"].append(kept)
        """
    )
    assert (done.stdout, done.stderr) == ("", "")
