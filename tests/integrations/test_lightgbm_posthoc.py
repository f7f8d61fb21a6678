"""Metrics of what a booster predicts go to the run of that booster, wherever that can be known for certain."""

from __future__ import annotations

import sys

import lightgbm as lgb
import numpy as np
import pytest
from sklearn import metrics
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, mean_squared_error, roc_auc_score

import autotrack

X, Y = load_breast_cancer(return_X_y=True)
X_TRAIN, X_TEST, Y_TRAIN, Y_TEST = X[:400], X[400:], Y[:400], Y[400:]
QUIET = {"verbose": -1, "num_threads": 1, "objective": "binary"}

positions = pytest.mark.skipif(sys.version_info < (3, 11), reason="older code does not say where its calls stand")


def trained(rounds=5):
    """A booster."""
    return lgb.train(QUIET, lgb.Dataset(X_TRAIN, Y_TRAIN), rounds)


def found(recorded):
    """The metrics of all runs, the oldest run first."""
    autotrack.flush()
    return [run.data.metrics for run in recorded.client.search_runs(order_by=["attributes.start_time", "run_id"])]


def test_metrics_of_predictions_belong_to_their_booster(recorded):
    """Of two boosters each gets its own, under the function's name and the variable's; views of predictions count."""
    first, second = trained(2), trained(20)
    predictions, others = first.predict(X_TEST), second.predict(data=X_TEST)
    wanted = [
        {"roc_auc_score_X_TEST": roc_auc_score(Y_TEST, predictions)},
        {
            "mean_squared_error_X_TEST": mean_squared_error(Y_TEST, others),
            "r2_score_X_TEST": metrics.r2_score(y_true=Y_TEST, y_pred=others),
        },
    ]
    mean_squared_error(Y_TEST[:50], predictions[:50])
    one, two = found(recorded)
    assert one.pop("mean_squared_error_X_TEST") > 0
    assert [one, two] == wanted
    assert type(predictions) is np.ndarray
    assert predictions.base is None


def test_predictions_compared_with_each_other_are_no_metric(recorded):
    """Nor is what is computed of arrays that were made of predictions elsewhere, or of leaves and contributions."""
    first, second = trained(2), trained(20)
    mean_squared_error(first.predict(X_TEST), second.predict(X_TEST))
    labels = first.predict(X_TEST) > 0.5
    accuracy_score(Y_TEST, labels)
    mean_squared_error(Y_TEST, first.predict(X_TEST, pred_contrib=True)[:, 0])
    mean_squared_error(Y_TEST, first.predict(X_TEST, pred_leaf=True)[:, 0])
    assert found(recorded) == [{}, {}]


@positions
def test_what_is_made_of_predictions_inside_the_call_counts(recorded):
    """A threshold, rounding and the like, written where the metric is called, leave no doubt whose they are."""
    booster, threshold = trained(), 0.4
    values = [
        accuracy_score(Y_TEST, booster.predict(X_TEST) > 0.5),
        accuracy_score(Y_TEST, (booster.predict(X_TEST) > threshold).astype(int)),
        accuracy_score(Y_TEST, booster.predict(X_TEST).round()),
        accuracy_score(Y_TEST, y_pred=np.where(booster.predict(X_TEST) >= 0.5, 1, 0)),
        accuracy_score(
            Y_TEST,
            np.round(
                booster.predict(X_TEST),
            ),
        ),
    ]
    run = recorded.only_run()
    history = recorded.client.get_metric_history(run.info.run_id, "accuracy_score_X_TEST")
    assert [point.value for point in history] == values


@positions
def test_many_classes_and_other_frameworks_models(recorded):
    """The most likely of several classes, and a threshold of a scikit-learn model's probabilities."""
    three = np.digitize(X_TRAIN[:, 0], [12, 16])
    booster = lgb.train({**QUIET, "objective": "multiclass", "num_class": 3}, lgb.Dataset(X_TRAIN, three), 3)
    accuracy_score(three, np.argmax(booster.predict(X_TRAIN), axis=1))
    accuracy_score(three, booster.predict(X_TRAIN).argmax(axis=1))
    linear = LogisticRegression(max_iter=200, solver="liblinear").fit(X_TRAIN, Y_TRAIN)
    accuracy_score(Y_TEST, linear.predict_proba(X_TEST)[:, 1] > 0.3)
    boosted, fitted = found(recorded)
    assert "accuracy_score_X_TRAIN" in boosted
    assert "accuracy_score_X_TEST" in fitted


class Stranger:
    """A model that autotrack knows nothing of."""

    def predict(self, rows):
        """Always the same."""
        return np.ones(len(rows))


@positions
def test_a_doubt_is_no_metric(recorded):
    """Other models at the same place of the code, several models in one call, and own functions add nothing."""
    booster = trained()
    for model in (booster, Stranger(), lgb.Booster(model_str=booster.model_to_string())):
        accuracy_score(Y_TEST, model.predict(X_TEST) > 0.5)
    accuracy_score(Stranger().predict(X_TEST), booster.predict(X_TEST) > 0.5)
    accuracy_score(Y_TEST, (booster.predict(X_TEST) + Stranger().predict(X_TEST)) > 1)

    def labels(predictions):
        return predictions > 0.5

    accuracy_score(Y_TEST, labels(booster.predict(X_TEST)))
    run = recorded.only_run()
    assert len(recorded.client.get_metric_history(run.info.run_id, "accuracy_score_X_TEST")) == 1


def test_the_booster_of_an_estimator(recorded):
    """What `booster_` predicts is a metric of the estimator's run; the estimator's own predictions stay its own."""
    model = lgb.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1).fit(X_TRAIN, Y_TRAIN)
    direct = model.booster_.predict(X_TEST)
    roc_auc_score(Y_TEST, direct)
    predictions = model.predict(X_TEST)
    accuracy_score(Y_TEST, predictions)
    (run,) = found(recorded)
    assert {"roc_auc_score_X_TEST", "accuracy_score_X_TEST"} < set(run)


def test_switched_off(recorded):
    """Without `log_post_training_metrics` there are none."""
    autotrack.lightgbm.autolog(log_post_training_metrics=False)
    predictions = trained().predict(X_TEST)
    roc_auc_score(Y_TEST, predictions)
    assert found(recorded) == [{}]


def found_of(recorded, name):
    """How many values of a metric each run has, the oldest run first."""
    autotrack.flush()
    runs = recorded.client.search_runs(order_by=["attributes.start_time", "run_id"])
    return [len(recorded.client.get_metric_history(run.info.run_id, name)) for run in runs]


def test_a_variable_that_was_made_of_predictions_in_a_statement_of_its_own_counts(recorded):
    """A threshold, rounding, the most likely class, a column of probabilities, while the predictions are there."""
    linear = LogisticRegression(max_iter=200, solver="liblinear").fit(X_TRAIN, Y_TRAIN)
    probabilities = linear.predict_proba(X_TEST)
    positive = probabilities[:, 1]
    above = positive > 0.5
    as_numbers = (positive >= 0.4).astype(int)
    chosen = np.where(positive > 0.3, 1, 0)
    rounded = np.round(positive)
    likely = probabilities.argmax(axis=1)
    values = [
        accuracy_score(Y_TEST, above),
        accuracy_score(Y_TEST, as_numbers),
        accuracy_score(Y_TEST, y_pred=chosen),
        accuracy_score(Y_TEST, rounded),
        accuracy_score(Y_TEST, likely),
    ]
    run = recorded.only_run()
    history = recorded.client.get_metric_history(run.info.run_id, "accuracy_score_X_TEST")
    assert [point.value for point in history] == values


def test_of_two_models_the_variable_is_of_the_one_whose_values_it_has(recorded):
    """Where both would give the same, it is neither's; nor is one that has other values than its assignment says."""
    first, second = trained(2), trained(20)
    one, other = first.predict(X_TEST), second.predict(X_TEST)
    labels = other > 0.5
    assert ((one > 0.5) != labels).any()
    accuracy_score(Y_TEST, labels)
    assert found_of(recorded, "accuracy_score_X_TEST") == [0, 1]
    same = trained(20).predict(X_TEST)
    accuracy_score(Y_TEST, labels)  # two models have just these values now
    assert same is not None
    turned = other > 0.5
    turned[:40] = ~turned[:40]
    accuracy_score(Y_TEST, turned)
    assert found_of(recorded, "accuracy_score_X_TEST") == [0, 1, 0]


def test_a_variable_that_is_assigned_twice_or_by_other_code_is_nobodys(recorded):
    """Assignments in branches, arguments, loops, other functions' results, and thresholds that are variables."""
    predictions, threshold, truth = trained().predict(X_TEST), 0.5, Y_TEST > 0
    twice = predictions > 0.4
    twice = predictions > 0.5

    def inside(given):
        accuracy_score(Y_TEST, given)

    by_variable = predictions > threshold
    by_call = np.array([one > 0.5 for one in predictions])
    all_alike = predictions > -1
    for looped in (predictions > 0.5,):
        accuracy_score(Y_TEST, looped)
    accuracy_score(Y_TEST, twice)
    accuracy_score(Y_TEST, by_variable)
    accuracy_score(Y_TEST, by_call)
    accuracy_score(Y_TEST, all_alike)
    accuracy_score(Y_TEST, truth)
    best = LogisticRegression().fit(np.c_[Y_TEST], Y_TEST)
    predicted, alias = best.predict(np.c_[Y_TEST]), Y_TEST
    labels = alias.astype(int)
    assert (predicted == labels).all()
    accuracy_score(Y_TEST, labels)  # the very labels: a model that hits them all did not make them
    inside(predictions > 0.5)
    assert not any("accuracy_score_" in key for one in found(recorded) for key in one if "training" not in key)
