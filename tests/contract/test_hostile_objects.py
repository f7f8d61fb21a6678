"""Objects that raise, block or lie when they are looked at harm no training, and are recorded as far as they can be."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

import autotrack
from autotrack.errors import InvalidArgumentError
from autotrack.hooks import guard

LOOKS = (
    *("__repr__", "__str__", "__len__", "__eq__", "__hash__", "__bool__", "__array__", "__iter__", "__getitem__"),
    *("__getattr__", "__float__", "__int__", "__index__", "__sizeof__", "__format__", "__contains__", "__call__"),
)
"""Methods by which an object is looked at."""
PROPERTIES = (
    *("shape", "dtype", "dtypes", "columns", "nnz", "nbytes", "ndim", "size", "base", "name", "cv_results_", "steps"),
    *("best_estimator_", "best_score_", "best_params_", "n_iter_", "refit", "_estimator_type", "loss_curve_"),
)


class Custom(Exception):
    """An error of the program's own."""


class Looked(BaseException):
    """No code of ours may stop this one: an object was looked at that must not be."""


def hostile(answer: Any, base: type = object) -> Any:
    """An object of which every look at it gives `answer()`."""
    calls: list[str] = []

    def method(name: str) -> Any:
        def look(self: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return answer()

        return look

    body: dict[str, Any] = {name: method(name) for name in LOOKS if name != "__hash__"}
    body |= {"__hash__": object.__hash__, **{name: property(method(name)) for name in PROPERTIES}}
    made = type("Hostile", (base,), body)()
    object.__setattr__(made, "calls", calls)
    return made


def raising() -> Any:
    """An error that is no built-in one."""
    raise Custom("looked at")


def forbidden() -> Any:
    """What would end the program: the same as blocking for ever, but that the test ends."""
    raise Looked


def lying() -> Any:
    """What is nothing that was asked for."""
    return -1


class Loose(ClassifierMixin, BaseEstimator):
    """An estimator that takes anything, and looks at nothing."""

    seen: ClassVar[list[Any]] = []

    def __init__(self, thing: Any = None, other: Any = None) -> None:
        self.thing = thing
        self.other = other

    def fit(self, X: Any, y: Any = None, **more: Any) -> Loose:
        self.seen.append(X)
        return self

    def predict(self, X: Any) -> Any:
        return X


@pytest.mark.parametrize("answer", [raising, forbidden, lying])
def test_what_a_fit_is_given_is_not_looked_at(answer: Any, autotrack_store: Any) -> None:
    """Data, target, predictions and parameters whose every method raises, blocks or lies: the fit gets them as they
    are, no method of theirs is called, and the run is there."""
    thing, data, target = hostile(answer), hostile(answer), hostile(answer)
    listed, holder = hostile(answer, list), OrderedDict(a=thing, b=functools.partial(print, thing))
    list.append(listed, thing)
    autotrack.autolog(log_models=False)
    for x, y in ((data, target), ([thing], [thing]), (listed, None), (SimpleNamespace(shape=(thing, 2)), target)):
        model = Loose(thing, {"k": [thing], thing: holder})
        assert model.fit(x, y) is model
        assert Loose.seen.pop() is x
        assert model.predict(data) is data
    autotrack.flush()
    for one in (thing, data, target, listed):
        assert object.__getattribute__(one, "calls") == []
    assert guard.health("sklearn").errors == 0
    runs = autotrack_store.runs()
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    assert runs[0].data.params["thing"].endswith("Hostile()")
    assert "partial(" in runs[0].data.params["other"]


@pytest.mark.parametrize("answer", [raising, forbidden, lying])
def test_an_estimator_is_asked_for_nothing_but_its_parameters(answer: Any, autotrack_store: Any) -> None:
    """Properties under the names of fitted attributes, `__getattr__`, `__eq__`, `__len__` of an estimator of the
    user's are not called before, in or after its fit."""
    calls: list[str] = []

    def look(name: str) -> Any:
        def called(self: Any, *args: Any) -> Any:
            calls.append(name)
            return answer()

        return called

    names = [name for name in LOOKS if name not in ("__getattr__", "__hash__")]
    body = {name: look(name) for name in names} | {name: property(look(name)) for name in PROPERTIES}
    kind: Any = type("Closed", (Loose,), {**body, "__hash__": object.__hash__, "__getattr__": look("__getattr__")})
    model = kind(1.5)
    assert "__init__" not in vars(kind)
    autotrack.autolog(log_models=False)
    assert model.fit([[0.0]], [0]) is model
    autotrack.flush()
    assert calls == []
    assert guard.health("sklearn").errors == 0
    run = autotrack_store.only_run()
    assert run.info.status == "FINISHED"
    assert run.data.params["thing"] == "1.5"


class Unsaid(Loose):
    """It does not keep what it is given, as many do."""

    def __init__(self, alpha: float = 0.5, beta: float = 1.0) -> None:
        self.alpha = alpha
        self.beta_ = beta


class Mute(Loose):
    """It cannot say its parameters, nor be pickled."""

    def get_params(self, deep: bool = True) -> Any:
        raise Custom("no")

    def __reduce__(self) -> Any:
        raise Custom("no pickle")


def test_estimators_that_cannot_tell_or_be_pickled_are_recorded_as_far_as_they_go(autotrack_store: Any) -> None:
    """`get_params` and `__reduce__` that raise are the estimator's fault: the run says so, and however many of them
    there are, the integration goes on."""
    autotrack.autolog()
    for _ in range(guard.MAX_ERRORS + 1):
        Mute(7).fit([[0.0]], [0])
    Unsaid(0.25).fit([[0.0]], [0])
    LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    autotrack.flush()
    assert guard.health("sklearn").errors == 0
    runs = autotrack_store.runs()
    mute = [run for run in runs if run.info.run_name == "Mute"]
    (unsaid,) = (run for run in runs if run.info.run_name == "Unsaid")
    (plain,) = (run for run in runs if run.info.run_name == "LogisticRegression")
    assert len(mute) == guard.MAX_ERRORS + 1
    assert mute[0].data.params["thing"] == "7"
    assert "get_params of Mute fails: Custom: no" in mute[0].info.degraded
    assert "the model is not recorded" in mute[0].info.degraded
    assert unsaid.data.params == {"alpha": "0.25"}
    assert "beta" in unsaid.info.degraded
    assert plain.info.degraded == ""


def test_frames_arrays_and_lists_of_the_users_objects_are_described_without_them(autotrack_store: Any) -> None:
    """Cells, labels and items that must not be looked at stand in data of libraries': shapes and types are known, a
    digest is made, and no method of theirs is called in the background either."""
    thing = hostile(forbidden)
    cells = np.empty((3, 2), dtype=object)
    cells[:] = 1.0
    cells[1, 1] = thing
    frame = pd.DataFrame({"a": [1, 2, 3]})
    frame["b"] = pd.Series([1.0, thing, None], dtype=object)
    labelled = pd.DataFrame(np.eye(2))
    labelled.columns = pd.Index([thing, "b"], dtype=object)
    calls = object.__getattribute__(thing, "calls")
    calls.clear()  # what numpy and pandas did to make these
    autotrack.autolog(log_models=False)
    for data in (cells, frame, [[1.0, thing]], labelled):
        Loose().fit(data, [0, 1, 0])
    autotrack.flush()
    assert calls == []
    assert guard.health("sklearn").errors == 0
    datasets = [run.inputs.dataset_inputs[0].dataset for run in autotrack_store.runs()]
    assert len({one.digest for one in datasets}) == 4
    assert '"b": "object"' in datasets[1].schema


def test_a_search_over_the_users_objects_lists_them_by_their_class(autotrack_store: Any) -> None:
    """Candidates of a grid that must not be looked at are listed, each with its scores."""
    choices = [Choice(1.0), Choice(2.0)]
    autotrack.autolog(log_models=False)
    search = GridSearchCV(Choosing(), {"thing": choices}, cv=2, refit=False).fit([[0.0]] * 4, [0, 0, 1, 1])
    run = autotrack_store.only_run()
    trials = autotrack_store.client.get_trials(run.info.run_id)
    assert search.cv_results_["mean_test_score"].tolist() == [1.0, 2.0]
    assert [trial.mean for trial in trials] == [1.0, 2.0]
    assert [dict(trial.params) for trial in trials] == [{"thing": "Choice()"}] * 2
    assert guard.health("sklearn").errors == 0


class Choice:
    """One that nobody may print."""

    def __init__(self, worth: float) -> None:
        self.worth = worth

    def __repr__(self) -> str:
        raise Looked

    __str__ = __repr__


class Choosing(Loose):
    """Its score is its parameter's worth."""

    def score(self, X: Any, y: Any = None) -> float:
        return float(self.thing.worth)


def test_what_the_program_logs_itself_is_kept_or_refused_by_a_typed_error(autotrack_store: Any) -> None:
    """An explicit call with an object whose `__float__` or `__repr__` raises ends in an error about the argument, and
    the run goes on."""

    class Unprintable:
        def __repr__(self) -> str:
            raise AssertionError("no")

        def __float__(self) -> float:
            raise OverflowError("no")

    class Endless:
        def __iter__(self) -> Any:
            while True:
                yield 1

    with autotrack.start_run() as run:
        for call in (
            lambda: autotrack.log_metric("m", Unprintable()),
            lambda: autotrack.log_metric("m", Endless()),
            lambda: autotrack.log_metrics(Unprintable()),  # type: ignore[arg-type]
            lambda: autotrack.log_params(Endless()),  # type: ignore[arg-type]
            lambda: autotrack.log_metric(Unprintable(), 1.0),  # type: ignore[arg-type]
            lambda: autotrack.log_metric("m", 1.0, step=Unprintable()),  # type: ignore[arg-type]
        ):
            with pytest.raises(InvalidArgumentError):
                call()
        autotrack.log_param("text", Endless())
        autotrack.log_metric("m", 1.0)
    found = autotrack_store.client.get_run(run.info.run_id)
    assert found.data.metrics == {"m": 1.0}
    assert "Endless" in found.data.params["text"]


def test_a_parameter_that_blocks_when_it_is_printed_does_not_hold_up_the_fit(autotrack_store: Any) -> None:
    """A lock that nobody ever opens stands in the `__repr__` of a parameter, of the data and of a fitted attribute."""
    never = threading.Event()

    class Blocking:
        def __repr__(self) -> str:
            never.wait()
            return ""

        __str__ = __repr__

        @property
        def shape(self) -> Any:
            return never.wait()

    autotrack.autolog(log_models=False)
    model = Loose(Blocking(), other=[Blocking()])
    model.fitted_ = Blocking()
    done = threading.Thread(target=lambda: model.fit(Blocking(), Blocking()), daemon=True)
    done.start()
    done.join(60)
    assert not done.is_alive()
    assert autotrack_store.only_run().info.status == "FINISHED"
