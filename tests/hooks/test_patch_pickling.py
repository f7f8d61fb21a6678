"""Patched methods and functions travel like unpatched ones, into processes that know nothing of autotrack too."""

from __future__ import annotations

import copy
import functools
import multiprocessing
import pickle
import types
import weakref
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pytest
from sklearn import metrics
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from autotrack.hooks.guard import Health
from autotrack.hooks.patching import Call, Patcher

Child = Callable[..., str]
METRICS = ["accuracy_score", "r2_score", "f1_score", "log_loss", "mean_squared_error"]
X, Y = load_iris(return_X_y=True)


def on_call(call: Call) -> Generator[None, Any, None]:
    """Watches and does nothing."""
    yield


@pytest.fixture
def patcher(health: Health) -> Iterator[Patcher]:
    """fit, score and predict of some estimators, and some metrics, are patched."""
    patcher = Patcher(health.name, health)
    with patcher.applying():
        for cls in (LogisticRegression, RandomForestClassifier, StandardScaler, Pipeline, GridSearchCV):
            for name in ("fit", "fit_transform", "predict", "score"):
                patcher.method(cls, name, on_call)
        for name in METRICS:
            patcher.function(metrics, name, on_call)
    yield patcher
    patcher.revert()


pytestmark = pytest.mark.usefixtures("patcher")
DUMPS = [pickle.dumps, cloudpickle.dumps]
dumps = pytest.mark.parametrize("dumps", DUMPS, ids=["pickle", "cloudpickle"])


@pytest.fixture
def model() -> Any:
    """A fitted classifier."""
    return LogisticRegression(max_iter=500).fit(X, Y)


@dumps
def test_bound_methods_pickle(model: Any, dumps: Any) -> None:
    """A bound method, a partial of one, and an unbound one come back as what they were; the bytes do not name us."""
    part = functools.partial(model.predict, X[:3])
    for thing, args in ((model.predict, (X[:3],)), (part, ()), (LogisticRegression.predict, (model, X[:3]))):
        data = dumps(thing)
        assert b"autotrack" not in data
        assert b"wrapt" not in data
        assert np.array_equal(pickle.loads(data)(*args), Y[:3])


@dumps
def test_methods_load_where_autotrack_is_not(model: Any, dumps: Any, child: Child, tmp_path: Path) -> None:
    """In a process without autotrack the unpickled method is the native one."""
    (tmp_path / "method.pkl").write_bytes(dumps([model.predict, functools.partial(model.predict, X[:3])]))
    out = child(
        """
        import pickle, types, sys
        method, part = pickle.load(open("method.pkl", "rb"))
        assert type(method) is types.MethodType, type(method)
        assert list(part()) == [0, 0, 0]
        print(sys.modules["autotrack"], "wrapt" in sys.modules)
        """,
        autotrack=False,
    )
    assert out == "None False\n"


@dumps
def test_metric_functions_pickle_by_name(dumps: Any) -> None:
    """A patched function is written by its public name, small, without code; it comes back as the very same object."""
    for name in METRICS:
        data = dumps(getattr(metrics, name))
        assert len(data) < 120
        assert b"autotrack" not in data
        assert f"sklearn.metrics:{name}".encode() in data
        assert pickle.loads(data) is getattr(metrics, name)


@dumps
def test_scorers_and_searches_pickle(dumps: Any, child: Child, tmp_path: Path) -> None:
    """make_scorer(r2_score) and a fitted GridSearchCV(scoring="r2") load in a process without autotrack."""
    search = GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0]}, scoring="r2", cv=2).fit(X, Y)
    named = GridSearchCV(
        LogisticRegression(max_iter=500), {"C": [1.0]}, scoring=make_scorer(metrics.accuracy_score), cv=2
    ).fit(X, Y)
    things = [make_scorer(metrics.r2_score), search, named, metrics.get_scorer("f1_macro")]
    data = dumps(things)
    assert b"autotrack" not in data
    assert b"wrapt" not in data
    (tmp_path / "scorers.pkl").write_bytes(data)
    out = child(
        """
        import pickle, types
        from sklearn.datasets import load_iris
        X, y = load_iris(return_X_y=True)
        scorer, search, named, f1 = pickle.load(open("scorers.pkl", "rb"))
        assert type(named.scorer_._score_func) is types.FunctionType
        print(round(scorer(search, X, y), 6), round(search.score(X, y), 6), round(named.score(X, y), 6))
        """,
        autotrack=False,
    )
    r2, own, accuracy = (float(text) for text in out.split())
    assert r2 == pytest.approx(make_scorer(metrics.r2_score)(search, X, Y), abs=1e-6)
    assert own == pytest.approx(search.score(X, Y), abs=1e-6)
    assert accuracy == pytest.approx(named.score(X, Y), abs=1e-6)


@dumps
def test_estimators_pickle_to_the_same_bytes(model: Any, patcher: Patcher, dumps: Any) -> None:
    """An estimator's pickle does not depend on whether its class is patched."""
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    watched = dumps(model), dumps(pipeline)
    patcher.revert()
    assert (dumps(model), dumps(pipeline)) == watched
    assert vars(model).keys() == vars(LogisticRegression(max_iter=500).fit(X, Y)).keys()


def test_hashes_and_deep_copies_of_estimators_are_the_same(model: Any, patcher: Patcher) -> None:
    """joblib.hash (the key of its disk cache) and copy.deepcopy do not see the patch."""
    watched = joblib.hash(model), joblib.hash(copy.deepcopy(model))
    patcher.revert()
    assert (joblib.hash(model), joblib.hash(copy.deepcopy(model))) == watched


def test_bound_methods_copy(model: Any) -> None:
    """copy gives the method of the same instance, deepcopy that of a copy; functions are not copied."""
    shallow, deep = copy.copy(model.predict), copy.deepcopy(model.predict)
    assert shallow.__self__ is model
    assert deep.__self__ is not model
    assert np.array_equal(deep(X), model.predict(X))
    assert copy.copy(metrics.r2_score) is copy.deepcopy(metrics.r2_score) is metrics.r2_score
    unbound = copy.deepcopy(LogisticRegression.predict)
    assert np.array_equal(unbound(model, X[:1]), Y[:1])


def test_weak_methods_and_rebinding_keep_working(model: Any) -> None:
    """weakref.WeakMethod, `method.__func__`, types.MethodType over it: what schedulers and callbacks do."""
    weak = weakref.WeakMethod(model.predict)
    assert np.array_equal(weak()(X[:2]), Y[:2])  # type: ignore[misc]
    assert weak() == model.predict
    other = LogisticRegression(max_iter=500).fit(X, 2 - Y)
    rebound = types.MethodType(model.predict.__func__, other)
    assert np.array_equal(rebound(X[:2]), other.predict(X[:2]))
    available = Pipeline([("model", model)])
    assert np.array_equal(available.predict.__func__(available, X[:2]), Y[:2])
    gone = weakref.WeakMethod(LogisticRegression().predict)
    assert gone() is None


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_joblib_takes_bound_methods(backend: str) -> None:
    """`Parallel(delayed(est.fit))` and a metric function as task, over processes and threads."""
    with joblib.Parallel(n_jobs=2, backend=backend) as parallel:
        fitted = parallel(joblib.delayed(LogisticRegression(C=c, max_iter=500).fit)(X, Y) for c in (0.1, 1.0))
        scores = parallel(joblib.delayed(metrics.accuracy_score)(Y, m.predict(X)) for m in fitted)
    assert [m.C for m in fitted] == [0.1, 1.0]
    assert min(scores) > 0.9


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_multiprocessing_takes_bound_methods(model: Any, method: str) -> None:
    """A pool of started or forked processes maps a bound method."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("no such start method on this system")
    with multiprocessing.get_context(method).Pool(1) as pool:
        (result,) = pool.map(model.predict, [X[:3]])
    assert np.array_equal(result, Y[:3])


def test_a_fit_with_processes_gives_the_same_search(patcher: Patcher) -> None:
    """GridSearchCV(n_jobs=2) under the patch finds what it finds without."""
    grid = {"C": [0.1, 1.0]}
    watched = GridSearchCV(LogisticRegression(max_iter=500), grid, n_jobs=2, scoring="accuracy").fit(X, Y)
    patcher.revert()
    plain = GridSearchCV(LogisticRegression(max_iter=500), grid, n_jobs=2, scoring="accuracy").fit(X, Y)
    assert np.array_equal(watched.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])


def test_class_level_attributes_pickle() -> None:
    """A classmethod, a staticmethod and the raw wrapper of a method come back as what is read off the class."""
    raw = vars(LogisticRegression)["fit"]
    assert pickle.loads(pickle.dumps(raw)) == LogisticRegression.fit
    patcher = Patcher("tests: class level", Health("tests: class level"))
    with patcher.applying():
        patcher.method(Holder, "make", on_call)
        patcher.method(Holder, "plain", on_call)
    try:
        assert pickle.loads(pickle.dumps(Holder.make))() is Holder
        assert pickle.loads(pickle.dumps(Holder().plain))(3) == 3
        assert pickle.loads(cloudpickle.dumps(Holder.plain))(3) == 3
    finally:
        patcher.revert()


def test_a_class_that_travels_by_value_takes_its_own_methods_along(child: Child, tmp_path: Path) -> None:
    """A patched class of a function's, or of a notebook's, loads where it never was, with each kind of method."""

    class Base:
        def fit(self, x: int) -> int:
            return x

    class Local(Base):
        def fit(self, x: int) -> int:
            return super().fit(x) + 1

        @classmethod
        def make(cls) -> Any:
            return cls()

        @staticmethod
        def plain(x: int) -> int:
            return x

        @property
        def score(self) -> int:
            return 7

        score_samples = fit

    patcher = Patcher("tests: by value", Health("tests: by value"))
    with patcher.applying():
        for name in ("fit", "make", "plain", "score", "score_samples"):
            assert patcher.method(Local, name, on_call)
        patcher.method(Base, "fit", on_call)
    try:
        data = cloudpickle.dumps((Local(), Local().fit, Local.fit, Local))
    finally:
        patcher.revert()
    assert b"autotrack" not in data
    assert b"wrapt" not in data
    (tmp_path / "local.pkl").write_bytes(data)
    out = child(
        """
        import pickle, types
        one, bound, unbound, cls = pickle.load(open("local.pkl", "rb"))
        assert type(one) is cls and type(vars(cls)["fit"]) is types.FunctionType
        print(one.fit(1), bound(2), unbound(one, 3), type(cls.make()) is cls, one.plain(4), one.score)
        print(one.score_samples(5), type(vars(cls)["make"]).__name__, type(vars(cls)["plain"]).__name__)
        """,
        autotrack=False,
    )
    assert out == "2 3 4 True 4 7\n6 classmethod staticmethod\n"


class Holder:
    """Importable by name, for pickle."""

    @classmethod
    def make(cls) -> type:
        """The class itself."""
        return cls

    @staticmethod
    def plain(x: int) -> int:
        """What it gets."""
        return x
