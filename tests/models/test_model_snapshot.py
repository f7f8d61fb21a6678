"""Snapshots: what the training thread takes, and what can be told from them."""

from __future__ import annotations

import io
import pickle
import threading
from typing import Any

import cloudpickle
import model_zoo
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from autotrack.models import NoSnapshot, Snapshot, take_snapshot
from autotrack.models.pickles import MAX_OPCODES, UNKNOWN, scan


class Doubler(BaseEstimator):
    """A user's own transformer."""

    def fit(self, X: Any, y: Any = None) -> Doubler:
        return self

    def transform(self, X: Any) -> Any:
        return X * 2


def taken(model: object, limit: int = 10**8) -> Snapshot:
    """A snapshot that must succeed."""
    snapshot = take_snapshot(model, limit)
    assert isinstance(snapshot, Snapshot)
    return snapshot


def test_a_snapshot_restores_to_an_equal_model() -> None:
    """What comes back predicts the same and is another object; the original pickles as before."""
    model, data = model_zoo.fitted(model_zoo.FOREST)
    before = pickle.dumps(model)
    snapshot = taken(model)
    restored = snapshot.restore()
    assert restored is not model
    assert (restored.predict_proba(data) == model.predict_proba(data)).all()
    assert pickle.dumps(model) == before
    assert snapshot.size == len(snapshot.data)
    assert (snapshot.type_module, snapshot.type_name) == ("sklearn.ensemble._forest", "RandomForestClassifier")


def test_a_model_over_the_limit_gives_a_reason() -> None:
    """Pickling stops at the cap, for a large array as for many small parts."""
    scaler = StandardScaler().fit(np.zeros((2, 100_000)))
    for model in (scaler, [str(number) for number in range(100_000)]):
        outcome = take_snapshot(model, 100_000)
        assert outcome == NoSnapshot("larger than 100000 bytes")


def test_the_limit_is_inclusive() -> None:
    """A model of exactly the limit is taken."""
    size = taken([1, 2, 3]).size
    assert isinstance(take_snapshot([1, 2, 3], size), Snapshot)
    assert isinstance(take_snapshot([1, 2, 3], size - 1), NoSnapshot)


def test_a_model_that_cannot_be_pickled_gives_a_reason() -> None:
    """A lock in the model is no error, but a reason that names it."""
    outcome = take_snapshot(FunctionTransformer(kw_args={"lock": threading.Lock()}), 10**6)
    assert isinstance(outcome, NoSnapshot)
    assert "cannot be pickled" in outcome.reason
    assert "lock" in outcome.reason


def test_a_lambda_falls_back_to_cloudpickle() -> None:
    """Where plain pickle fails, cloudpickle takes over, and the code counts as the user's."""
    model = make_pipeline(FunctionTransformer(lambda data: data * 2), StandardScaler()).fit(model_zoo.X)
    snapshot = taken(model)
    assert snapshot.pickled_by == "cloudpickle"
    assert any("_make_function" in name for name in snapshot.user_defined())
    assert (snapshot.restore().transform(model_zoo.X) == model.transform(model_zoo.X)).all()


def test_library_models_hold_no_user_code() -> None:
    """Pipelines of scikit-learn's own parts name scikit-learn and numpy only."""
    snapshot = taken(model_zoo.fitted(model_zoo.FOREST)[0])
    assert snapshot.pickled_by == "pickle"
    assert snapshot.user_defined() == []
    assert {module.partition(".")[0] for module, _ in snapshot.globals()} == {"sklearn", "numpy"}


def test_user_written_parts_are_named() -> None:
    """A class of the user's inside a pipeline is found, by module and name."""
    snapshot = taken(make_pipeline(Doubler(), StandardScaler()).fit(model_zoo.X))
    assert snapshot.user_defined() == [f"{__name__}.Doubler"]
    assert (__name__, "Doubler") in snapshot.globals()


def test_a_user_written_part_after_a_long_vocabulary_is_not_missed() -> None:
    """A model too long to be looked through counts as one that holds user code."""
    snapshot = taken([list(range(MAX_OPCODES + 10)), Doubler()])
    assert snapshot.user_defined() != []


@pytest.mark.parametrize("protocol", range(6))
def test_the_scan_names_what_unpickling_would_import(protocol: int) -> None:
    """For every protocol, the globals are exactly those that the unpickler asks for."""
    model = model_zoo.fitted(model_zoo.FOREST)[0]
    data = pickle.dumps(model, protocol, fix_imports=False)
    asked: set[tuple[str, str]] = set()

    class Watching(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            asked.add((module, name))
            return super().find_class(module, name)

    Watching(io.BytesIO(data), fix_imports=False).load()
    found = scan(data)
    assert found.complete
    assert found.globals == asked


def test_the_scan_reads_cloudpickles() -> None:
    """Code stored by value shows as cloudpickle's makers of functions and classes."""
    names = {name for _, name in scan(cloudpickle.dumps(lambda: Doubler)).globals}
    assert "_make_function" in names


def test_the_scan_runs_nothing_and_survives_garbage() -> None:
    """A pickle that would raise, one that breaks off and one whose names are computed are read all the same."""

    class Evil:
        def __reduce__(self) -> Any:
            return exec, ("raise SystemExit",)

    assert ("builtins", "exec") in scan(pickle.dumps(Evil())).globals
    assert not scan(pickle.dumps(Evil())[:-3]).complete
    assert not scan(b"\x80\x05garbage").complete
    # Both names come out of a tuple, so no text stands before STACK_GLOBAL.
    assert UNKNOWN in scan(b"\x80\x04)\x81)\x81\x93.").globals
