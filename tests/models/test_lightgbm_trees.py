"""LightGBM's trees, followed by numpy: what LightGBM itself predicts, for every kind of tree, objective and data."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pandas
import polars
import pyarrow
import pytest
import scipy.sparse
from sklearn.ensemble import VotingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autotrack.errors import ModelFormatError
from autotrack.models.snapshot import Snapshot, take_snapshot
from autotrack.models.trees import Forest, restore_to_predict

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(500, 6))
X[RANDOM.random(X.shape) < 0.1] = np.nan
X[RANDOM.random(X.shape) < 0.1] = 0
X[:, 5] = RANDOM.integers(0, 80, 500)
SUMS = np.nan_to_num(X[:, 0] + X[:, 1] * X[:, 2])
TWO, THREE, POSITIVE = (SUMS > 0).astype(int), np.digitize(SUMS, [-0.5, 0.5]), np.exp(SUMS / 3)
UNSEEN = np.vstack([X[:50], np.full((1, 6), np.nan), np.full((1, 6), 1e9), np.full((1, 6), -3.0), np.zeros((1, 6))])

QUIET = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
CATEGORIES = {"min_data_per_group": 2, "cat_smooth": 1}
KINDS = {
    "binary": ({"objective": "binary", "sigmoid": 0.7}, TWO),
    "categories": ({"objective": "binary", "max_cat_to_onehot": 2, **CATEGORIES}, TWO),
    "categories one by one": ({"objective": "binary", "max_cat_to_onehot": 100, **CATEGORIES}, TWO),
    "three classes": ({"objective": "multiclass", "num_class": 3}, THREE),
    "one against all": ({"objective": "multiclassova", "num_class": 3}, THREE),
    "regression": ({"objective": "regression"}, SUMS),
    "regression of roots": ({"objective": "regression", "reg_sqrt": True}, SUMS),
    "quantile": ({"objective": "quantile", "alpha": 0.3}, SUMS),
    "mape": ({"objective": "mape"}, POSITIVE),
    "poisson": ({"objective": "poisson"}, POSITIVE),
    "gamma": ({"objective": "gamma"}, POSITIVE),
    "tweedie": ({"objective": "tweedie"}, POSITIVE),
    "cross entropy": ({"objective": "cross_entropy"}, TWO),
    "cross entropy lambda": ({"objective": "cross_entropy_lambda"}, TWO),
    "random forest": ({"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}, TWO),
    "dart": ({"objective": "regression", "boosting": "dart"}, SUMS),
    "zeros are missing": ({"objective": "binary", "zero_as_missing": True}, TWO),
    "nothing is missing": ({"objective": "binary", "use_missing": False}, TWO),
    "linear leaves": ({"objective": "regression", "linear_tree": True}, SUMS),
    "no splits": ({"objective": "regression", "min_data_in_leaf": 5000}, SUMS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_forest_predicts_what_lightgbm_predicts(kind):
    """Sums of trees equal LightGBM's to the last bit, what its objective makes of them to the last but one."""
    params, target = KINDS[kind]
    data = lgb.Dataset(X, target, categorical_feature=[5] if "categories" in kind else "auto")
    booster = lgb.train({**QUIET, **params}, data, 25)
    assert ("cat_threshold=" in booster.model_to_string()) == ("categories" in kind)
    forest = Forest(booster.model_to_string())
    for start, count in ((0, -1), (5, 10), (0, 7), (20, 100)):
        options = {"start_iteration": start, "num_iteration": count}
        raw = booster.predict(UNSEEN, raw_score=True, **options)
        assert np.array_equal(forest.predict(UNSEEN, start, count, True), raw)
        found = forest.predict(UNSEEN, start, count, False)
        np.testing.assert_allclose(found, booster.predict(UNSEEN, **options), rtol=1e-14, atol=1e-15)


def frame():
    """Columns of several types, one of categories."""
    columns = pandas.DataFrame(X, columns=list("abcdef")).astype({"f": "Int32", "a": "float32"})
    return columns.assign(g=pandas.Categorical(np.array(list("xyz"))[THREE]), h=TWO > 0)


DATA = {
    "array": lambda: X,
    "single precision": lambda: X.astype(np.float32),
    "frame": frame,
    "csr": lambda: scipy.sparse.csr_matrix(np.nan_to_num(X)),
    "csc": lambda: scipy.sparse.csc_matrix(np.nan_to_num(X)),
    "arrow": lambda: pyarrow.table({f"x{number}": X[:, number] for number in range(6)}),
}
if lgb.__version__ >= "4.7":
    DATA["polars"] = lambda: polars.DataFrame(X)


@pytest.mark.parametrize("kind", DATA)
def test_an_estimator_predicts_the_same_from_any_data(kind):
    """Restored to predict, an estimator takes what it was fitted with."""
    data = DATA[kind]()
    model = lgb.LGBMClassifier(n_estimators=15, min_child_samples=5, n_jobs=1, verbose=-1).fit(data, THREE)
    restored = restore(model)
    np.testing.assert_allclose(restored.predict_proba(data), model.predict_proba(data), rtol=1e-14)
    assert (restored.predict(data) == model.predict(data)).all()
    assert (restored.feature_importances_ == model.feature_importances_).all()


def restore(model):
    """A copy by way of a snapshot."""
    snapshot = take_snapshot(model, 10**9)
    assert isinstance(snapshot, Snapshot)
    return restore_to_predict(snapshot)


def test_categories_are_those_of_the_training():
    """Rows with other categories, or in another order, are coded as the training's were."""
    model = lgb.LGBMRegressor(n_estimators=15, min_child_samples=5, n_jobs=1, verbose=-1).fit(frame(), SUMS)
    rows = frame()[:100]
    rows["g"] = rows["g"].cat.reorder_categories(list("zyx")).cat.rename_categories({"z": "new"})
    assert np.array_equal(restore(model).predict(rows), model.predict(rows))


def test_boosters_inside_of_other_estimators_are_found():
    """A pipeline and an ensemble predict the same, without LightGBM predicting; the best iteration counts."""
    part = lgb.LGBMRegressor(n_estimators=40, n_jobs=1, verbose=-1)
    model = make_pipeline(StandardScaler(), VotingRegressor([("one", part), ("two", part)])).fit(np.nan_to_num(X), SUMS)
    restored = restore(model)
    assert np.array_equal(restored.predict(np.nan_to_num(X)), model.predict(np.nan_to_num(X)))
    assert type(restored[-1].estimators_[0]._Booster) is not lgb.Booster
    booster = lgb.train(QUIET, lgb.Dataset(X, SUMS), 20)
    booster.best_iteration = 7
    assert np.array_equal(restore(booster).predict(X), booster.predict(X))


def test_what_is_not_known_is_said():
    """Columns of text, other containers and too few columns raise an error, and nothing is predicted."""
    forest = Forest(lgb.train(QUIET, lgb.Dataset(X, SUMS), 2).model_to_string())
    for rows in (pandas.DataFrame({"a": ["x"]}, dtype=object), [[1.0] * 6], X[:, :3], pyarrow.table({"a": ["x"]})):
        with pytest.raises(ModelFormatError):
            forest.predict(rows, 0, -1, False)
