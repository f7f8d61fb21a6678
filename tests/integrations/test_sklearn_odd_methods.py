"""Classes whose `fit` is no ordinary method, and calls of it without an estimator, record nothing and harm nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression

from autotrack.client import Client
from autotrack.hooks import guard

X, Y = np.arange(6.0).reshape(3, 2), np.arange(3.0)


class Delegating(BaseEstimator):
    """Hands on what it does not do itself by properties, and makes itself by classmethods."""

    def __init__(self, inner=None):
        self.inner = inner

    @property
    def fit(self):
        """That of the estimator inside."""
        return self.inner.fit

    @property
    def score(self):
        """The same."""
        return self.inner.score

    @classmethod
    def fit_transform(cls, X):
        """Ready-made."""
        return cls(LinearRegression()), X

    @staticmethod
    def fit_predict(X):
        """No estimator at all."""
        return X


def test_properties_classmethods_and_staticmethods_are_no_training_calls(recorded):
    """Reading a property is no fit: what it hands out is; the other two have no estimator."""
    model, same = Delegating.fit_transform(X)
    assert same is X
    assert Delegating.fit_predict(X) is X
    assert hasattr(model, "fit")
    assert hasattr(model, "score")
    assert recorded.runs() == []
    model.fit(X, Y)
    assert model.score(X, Y) == pytest.approx(1)
    run = recorded.only_run()
    assert run.info.run_name == "LinearRegression"
    assert "LinearRegression_score_X" in run.data.metrics
    assert guard.health("sklearn").errors == 0


def test_a_fit_without_an_estimator_fails_as_it_does(recorded):
    """`LinearRegression.fit()` is Python's own TypeError, and no run."""
    with pytest.raises(TypeError, match="fit"):
        LinearRegression.fit()
    with pytest.raises(AttributeError):
        LinearRegression.fit(object(), X, Y)
    assert recorded.runs() == []
    assert guard.health("sklearn").errors == 0


def test_parameters_follow_a_class_that_is_changed_while_the_program_runs(recorded):
    """Their names are kept by class, for as long as it has the same `__init__`."""

    class Changing(BaseEstimator):
        def __init__(self, depth=1):
            self.depth = depth

        def fit(self, X, y=None):
            return self

    def init(self, depth=1, width=2):
        self.depth, self.width = depth, width

    Changing().fit(X)
    Changing().fit(X)
    Changing.__init__ = init
    Changing(depth=3).fit(X)
    # In no order: they may have begun in one millisecond.
    found = sorted((run.data.params for run in recorded.runs()), key=len)
    assert found == [{"depth": "1"}, {"depth": "1"}, {"depth": "3", "width": "2"}]


ODD_METACLASS = """
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression
import autotrack
from autotrack.hooks import guard

class Odd(type):
    __hash__ = None

    def __eq__(cls, other):
        raise ValueError("do not compare me")

class Before(BaseEstimator, metaclass=Odd):
    def __init__(self, depth=1):
        self.depth = depth

    def fit(self, X, y=None):
        return self

autotrack.autolog()

class After(Before):
    pass

for estimator in (Before(), After(), LinearRegression()):
    estimator.fit([[1.0]], [1.0])
assert guard.health("sklearn").errors == 0
"""


def test_a_metaclass_that_forbids_to_hash_and_to_compare_is_no_obstacle(run_python):
    """For classes that are there when autologging is switched on, those that come after, and all others."""
    assert run_python(ODD_METACLASS).stderr == ""
    assert sorted(run.info.run_name for run in Client().search_runs()) == ["After", "Before", "LinearRegression"]


UNPICKLABLE = """
import threading
from sklearn.base import BaseEstimator
import autotrack

LOCK = threading.Lock()

class Locked(BaseEstimator):
    def fit(self, X, y=None):
        with LOCK:
            return self

for _ in range(7):
    Locked().fit([[1.0]])
    autotrack.flush()
"""


def test_models_that_no_format_can_hold_are_left_out_and_fits_go_on_being_recorded(run_python, tmp_path):
    """A class of the main program is taken along by value, with its globals, and one of them cannot be."""
    script = tmp_path / "program.py"
    script.write_text(UNPICKLABLE)
    assert run_python("-m", "autotrack", script).stderr == ""
    runs = Client().search_runs()
    assert [run.info.run_name for run in runs] == ["Locked"] * 7
    for run in runs:
        assert run.info.degraded.startswith("the model is not recorded: ")
        assert "lock" in run.info.degraded


class OneWay(BaseEstimator):
    """Goes into a pickle, and does not come out again."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        return X

    def __setstate__(self, state):
        raise UserWarning("there is no way back")


@pytest.mark.parametrize("metrics", ["library", "all"])
def test_models_that_do_not_come_back_from_their_pickle_are_left_out(autotrack_store, metrics):
    """More of them than failures of an integration's would be borne with."""
    import autotrack

    autotrack.sklearn.autolog(log_training_metrics=metrics)
    for _ in range(7):
        OneWay().fit(X, Y)
    autotrack.flush()
    assert guard.health("sklearn").errors == 0
    assert ["there is no way back" in run.info.degraded for run in autotrack_store.runs()] == [True] * 7
