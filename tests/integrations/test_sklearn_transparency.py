"""The training is not harmed: same results, same random streams, same objects, with autotrack on or off."""

from __future__ import annotations

import logging
import pickle
import random
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators
from sklearn.utils.estimator_checks import check_estimator

import autotrack
from autotrack import testing

X, Y = load_iris(return_X_y=True)

ESTIMATORS = [
    LogisticRegression(max_iter=100),
    Ridge(),
    SGDClassifier(max_iter=5, tol=None),
    DecisionTreeClassifier(splitter="random"),
    RandomForestClassifier(3),
    ExtraTreesClassifier(3),
    AdaBoostClassifier(n_estimators=2),
    BaggingClassifier(GaussianNB(), 2),
    GaussianNB(),
    KNeighborsClassifier(1),
    SVC(probability=False),
    KMeans(2, n_init=1),
    make_pipeline(StandardScaler(), SGDClassifier(max_iter=3, tol=None)),
    GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=2),
]


def outcome(estimator, data, target, seed):
    """All that a program can see of a fit: what it raised or predicted, the model's state, the random streams."""
    random.seed(seed)
    np.random.seed(seed)
    model = clone(estimator)
    given_data, given_target = data.copy(), target.copy()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            returned = model.fit(given_data, given_target)
            predictions = model.predict(given_data)
            result = (returned is model, type(predictions), predictions.tobytes())
        except (ValueError, TypeError) as error:
            result = (type(error), str(error))
    state = vars(model).keys()
    streams = random.getstate(), pickle.dumps(np.random.get_state())
    same = (given_data == data).all() and (given_target == target).all()
    return result, sorted(state), streams, bool(same), [(w.category, str(w.message)) for w in caught], pickled(model)


def pickled(model):
    """The model's pickle, where it holds no times of its own."""
    return None if isinstance(model, GridSearchCV) else pickle.dumps(model)


@given(
    index=st.integers(0, len(ESTIMATORS) - 1),
    rows=st.integers(2, 40),
    columns=st.integers(1, 4),
    classes=st.integers(1, 3),
    dtype=st.sampled_from(["float64", "float32"]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_fit_is_the_same_with_and_without_autotrack(index, rows, columns, classes, dtype, seed):
    """Over estimators and data: equal predictions, errors, warnings, state, pickle bytes and random streams."""
    source = np.random.RandomState(seed)
    data = source.rand(rows, columns).astype(dtype)
    target = source.randint(0, classes, rows)
    estimator = ESTIMATORS[index]
    plain = outcome(estimator, data, target, seed)
    with testing.temporary_store():
        autotrack.autolog()
        recorded = outcome(estimator, data, target, seed)
        autotrack.flush()
    assert recorded == plain


@pytest.mark.parametrize("name", sorted(name for name, _ in all_estimators()))
def test_every_estimator_of_scikit_learn_fits_the_same(name, autotrack_store):
    """Each estimator that fits simple data has, when recorded, the attributes, and gives the predictions, that it has
    otherwise; and makes one run or one preparation step."""
    cls = dict(all_estimators())[name]
    try:
        model = cls()
    except TypeError:
        pytest.skip("it needs arguments to be made")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.random.seed(0)
        try:
            plain = clone(model).fit(X, Y)
        except (ValueError, TypeError, AttributeError, ImportError) as error:
            pytest.skip(f"it does not fit this data: {type(error).__name__}")
        np.random.seed(0)
        autotrack.autolog(log_models=False, log_training_metrics="none")
        model.fit(X, Y)
    assert sorted(vars(model)) == sorted(vars(plain))
    runs = autotrack_store.runs()
    client = autotrack_store.client
    assert len(runs) <= 1
    if runs:
        assert runs[0].info.status == "FINISHED"
        assert runs[0].info.degraded == ""
        assert len(client.get_fits(runs[0].info.run_id)) == 1
    else:
        assert hasattr(cls, "transform")
    with autotrack.disabled():
        if hasattr(plain, "predict"):
            assert np.array_equal(model.predict(X), plain.predict(X))


def test_the_environment_of_the_program_is_untouched(recorded):
    """Warning filters, the root logger, the working directory and both random streams are as they were."""
    import os

    random.seed(1)
    np.random.seed(1)
    before = (
        list(warnings.filters),
        warnings.showwarning,
        logging.getLogger().level,
        list(logging.getLogger().handlers),
        os.getcwd(),
        random.getstate(),
        pickle.dumps(np.random.get_state()),
    )
    with autotrack.start_run():
        LogisticRegression(max_iter=500).fit(X, Y)
    autotrack.flush()
    after = (
        list(warnings.filters),
        warnings.showwarning,
        logging.getLogger().level,
        list(logging.getLogger().handlers),
        os.getcwd(),
        random.getstate(),
        pickle.dumps(np.random.get_state()),
    )
    assert after == before


def test_nothing_is_set_on_the_model_and_it_pickles_the_same(recorded):
    """A recorded model has the attributes and pickle bytes of a plain one, and its pickle names no autotrack."""
    with autotrack.disabled():
        plain = DecisionTreeClassifier(random_state=0).fit(X, Y)
    model = DecisionTreeClassifier(random_state=0).fit(X, Y)
    model.predict(X)
    assert vars(model).keys() == vars(plain).keys()
    assert pickle.dumps(model) == pickle.dumps(plain)
    assert b"autotrack" not in pickle.dumps(model)


@pytest.mark.parametrize("model", [LogisticRegression(), DecisionTreeClassifier(), StandardScaler()])
def test_scikit_learns_own_checks_pass_while_recording(recorded, model):
    """`check_estimator` finds nothing wrong with a patched class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(model, on_skip=None)
    assert recorded.runs() == []


def test_background_work_emits_no_warning(recorded, recwarn):
    """Metrics that are not defined for a fit's predictions raise no warning in the program."""
    from sklearn.dummy import DummyClassifier

    DummyClassifier(strategy="constant", constant=0).fit(X, Y)
    autotrack.flush()
    assert [str(warning.message) for warning in recwarn] == []


def test_a_handler_that_fails_harms_nothing(recorded, shield_on, monkeypatch):
    """When autotrack's own code raises in every step, the fit is what it would be, and the doctor knows of it."""
    from autotrack.hooks import guard
    from autotrack.integrations.sklearn import recording

    def broken(*arguments: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(recording, "_read_before", broken)
    monkeypatch.setattr(recording, "take_snapshot", broken)
    model = GaussianNB().fit(X, Y)
    assert (model.predict(X) == GaussianNB().fit(X, Y).predict(X)).all()
    health = guard.health("sklearn")
    assert health.errors >= 1
    assert "a bug of ours" in health.last_message()
    assert {run.info.status for run in recorded.runs()} == {"FINISHED"}


def test_a_trouble_behind_the_training_degrades_the_run_and_never_its_status(recorded, shield_on, monkeypatch):
    """When computing the training metrics fails, the run stays FINISHED and says what it lacks."""
    from autotrack.integrations.sklearn import metrics

    def broken(*arguments: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(metrics, "evaluate", broken)
    GaussianNB().fit(X, Y)
    run = recorded.only_run()
    assert run.info.status == "FINISHED"
    assert "a bug of ours" in run.info.degraded
    assert len(run.outputs.model_outputs) == 1
