"""What a program sees that looks at the functions and objects themselves: names, signatures, identities, references."""

from __future__ import annotations

import copy
import functools
import gc
import hashlib
import inspect
import pickle
import sys
import threading
import traceback
import weakref
from unittest import mock

import joblib
import numpy as np
import sklearn.metrics
import sklearn.model_selection
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - or else not all of `__all__` is there
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

METHODS = ("fit", "fit_transform", "fit_predict", "partial_fit", "predict", "predict_proba", "score", "transform")
X = np.random.RandomState(0).rand(40, 3)
y = (X[:, 0] > 0.5).astype(int)


def digest(text):
    """A short name for a long text."""
    return hashlib.sha256(str(text).encode()).hexdigest()[:10]


def functions():
    """Every method of every estimator, as its class shows it."""
    for name, cls in all_estimators():
        members = [key for key, _ in inspect.getmembers(cls, inspect.isfunction)]
        kinds = [(one.name, one.kind, one.defining_class.__name__) for one in inspect.classify_class_attrs(cls)]
        print(name, digest(dir(cls)), digest(members), digest(kinds))
        for method in METHODS:
            found = getattr(cls, method, None)
            if not callable(found):
                print(" ", method, type(found).__name__)
                continue
            site = next(base for base in cls.__mro__ if method in vars(base))
            alone = getattr(site, method)
            print(
                " ", method, found.__name__, found.__qualname__, found.__module__, digest(found.__doc__),
                inspect.signature(found), inspect.isfunction(found), inspect.isroutine(found), found is alone,
                found == alone, hash(found) == hash(alone), digest(inspect.getsource(found)), found.__defaults__,
                type(found.__code__).__name__, isinstance(found, type(digest)), callable(found),
            )  # fmt: skip
    for module in (sklearn.metrics, sklearn.model_selection):
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isfunction(found):
                print(" ", name, found.__module__, inspect.signature(found), digest(inspect.getsource(found)))
                assert pickle.loads(pickle.dumps(found)) is found
                assert copy.deepcopy(found) is found


class Own(ClassifierMixin, BaseEstimator):
    """An estimator of the program's own, with an alias, a partial method and a property among its methods."""

    def fit(self, X, y):
        """Learn nothing."""
        self.classes_ = np.unique(y)
        return self

    learn = fit
    fit_predict = functools.partialmethod(fit)

    @property
    def predict(self):
        """A method made on the spot."""
        return lambda X: np.full(len(X), self.classes_[0])

    @classmethod
    def fit_transform(cls):
        """No fit at all."""
        return cls.__name__


class Derived(Own):
    """One that overrides, and one that does not."""

    def fit(self, X, y):
        """More of the same."""
        return super().fit(X, y)


def identities():
    """What is the same object as what."""
    print(Derived.fit is Own.fit, Derived.learn is Own.learn, Own.learn is vars(Own)["learn"], Own.fit is Own.fit)
    one = Own()
    print(one.fit == one.fit, one.fit.__func__ is Own.fit, one.fit.__self__ is one, one.fit.__func__ is type(one).fit)
    print(inspect.ismethod(one.fit), type(one.fit.__self__).__name__, weakref.WeakMethod(one.fit)() == one.fit)
    print(one.fit(X, y) is one, one.fit_predict(X, y) is one, one.fit_transform(), one.predict(X).tolist()[:3])
    print(pickle.dumps(clone(one)) == pickle.dumps(Own()), vars(Own()), sorted(vars(one)), vars(Derived()))
    with mock.patch.object(Own, "fit", autospec=True, return_value=5) as fake:
        print(one.fit(X, y), fake.call_count, Derived().fit(X, y))
    print(one.fit(X, y) is one, "fit" in vars(Own), [name for name in vars(Own) if "fit" in name])
    pipe = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())])
    print(
        hasattr(pipe, "transform"), hasattr(pipe, "predict"), hasattr(Pipeline, "predict"), hasattr(pipe, "fit_predict")
    )


def references():
    """What holds what, after fits."""
    model = DecisionTreeClassifier(random_state=0)
    before = sys.getrefcount(X), sys.getrefcount(y), sys.getrefcount(model)
    for _ in range(5):
        model.fit(X, y)
        model.predict(X)
        model.score(X, y)
    gc.collect()
    after = sys.getrefcount(X), sys.getrefcount(y), sys.getrefcount(model)
    print([now - then for now, then in zip(after, before, strict=True)])
    made = [make_pipeline(StandardScaler(), Ridge()).fit(X, y), X.copy()]
    watched = [weakref.ref(one) for one in made]
    made.clear()
    gc.collect()
    print([one() for one in watched], sys.gettrace(), sys.getprofile(), gc.isenabled(), sys.getrecursionlimit())


def refusals():
    """Exceptions, and what hangs on them."""
    for call in (
        lambda: LogisticRegression().fit(X, y[:5]),
        lambda: LogisticRegression().fit(X),
        lambda: LogisticRegression().fit(X, y, no_such=1),
        lambda: LogisticRegression().predict(X),
        lambda: LogisticRegression.fit(),
        lambda: Pipeline([("scale", StandardScaler())]).predict,
        lambda: sklearn.metrics.accuracy_score(y, y[:3]),
    ):
        try:
            call()
        except (TypeError, ValueError, AttributeError) as error:
            chain = type(error.__cause__).__name__, type(error.__context__).__name__, error.__suppress_context__
            frames = [one.name for one in traceback.extract_tb(error.__traceback__) if "autotrack" not in one.filename]
            print(type(error).__name__, str(error)[:120], *chain, frames[-1], getattr(error, "__notes__", None))


def traced():
    """Lines of the program's own that a tracer and a profiler see."""
    seen = []

    def tracer(frame, event, argument):
        if frame.f_code.co_filename == __file__:
            seen.append((event, frame.f_code.co_name, frame.f_lineno))
        return tracer

    sys.settrace(tracer)
    try:
        Derived().fit(X, y)
    finally:
        sys.settrace(None)
    print(seen)
    calls = []
    sys.setprofile(lambda frame, event, argument: calls.append(event) if frame.f_code.co_filename == __file__ else None)
    Derived().fit(X, y)
    sys.setprofile(None)
    print(calls)


def workers():
    """Threads and processes of the program's own."""
    fitted = joblib.Parallel(n_jobs=2, prefer="threads")(
        joblib.delayed(clone(Ridge(alpha=alpha)).fit)(X, y) for alpha in (0.1, 1.0)
    )
    print([one.coef_.tolist() for one in fitted])
    fitted = joblib.Parallel(n_jobs=2)(joblib.delayed(Derived().fit)(X, y) for _ in range(2))
    print([(type(one).__name__, one.classes_.tolist()) for one in fitted])
    found = []
    thread = threading.Thread(target=lambda: found.append(Ridge().fit(X, y).intercept_))
    thread.start()
    thread.join()
    print(found)


if __name__ == "__main__":
    functions()
    identities()
    references()
    refusals()
    traced()
    workers()
