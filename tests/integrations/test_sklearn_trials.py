"""Searches and cross-validations are one run each, with a trials table."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import autotrack

X, Y = load_iris(return_X_y=True)
XD, YD = load_diabetes(return_X_y=True)

# Imported by name before autolog() is ever called here: they count all the same.


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_grid_search_is_one_run_with_all_its_trials(recorded, jobs):
    """A grid search makes one run whose trials are the whole of `cv_results_`, per fold, on one job and on two."""
    search = GridSearchCV(SVC(), {"C": [0.1, 1.0, 10.0], "kernel": ["linear", "rbf"]}, cv=3, n_jobs=jobs)
    search.fit(X, Y)
    run = recorded.only_run()
    trials = recorded.client.get_trials(run.info.run_id)
    results = search.cv_results_
    assert [trial.params for trial in trials] == results["params"]
    assert [trial.mean for trial in trials] == list(results["mean_test_score"])
    assert [trial.std for trial in trials] == list(results["std_test_score"])
    assert [trial.rank for trial in trials] == list(results["rank_test_score"])
    assert [trial.fit_time for trial in trials] == list(results["mean_fit_time"])
    folds = [[results[f"split{fold}_test_score"][index] for fold in range(3)] for index in range(6)]
    assert [trial.scores["test_score"] for trial in trials] == folds
    assert run.data.metrics["best_cv_score"] == search.best_score_
    assert {key: run.data.param_values[f"best_{key}"] for key in search.best_params_} == search.best_params_
    assert recorded.client.get_fits(run.info.run_id)[0].kind == "search"


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing", "sequential"])
def test_nested_fits_open_no_run_on_any_backend(recorded, backend):
    """Searches and meta-estimators are one run each on every joblib backend."""
    import joblib
    from sklearn.ensemble import BaggingClassifier, VotingClassifier
    from sklearn.multiclass import OneVsRestClassifier

    models = [
        GridSearchCV(LogisticRegression(max_iter=300), {"C": [1.0, 2.0]}, cv=2, n_jobs=2),
        VotingClassifier([("a", SVC()), ("b", GaussianNB())], n_jobs=2),
        OneVsRestClassifier(SVC(), n_jobs=2),
        BaggingClassifier(GaussianNB(), 4, n_jobs=2),
        GridSearchCV(OneVsRestClassifier(SVC(), n_jobs=2), {"estimator__C": [1.0, 2.0]}, cv=2, n_jobs=2),
    ]
    with joblib.parallel_backend(backend, n_jobs=2):
        for model in models:
            model.fit(X, Y)
    runs = recorded.runs()
    assert [run.info.run_name for run in runs] == [type(model).__name__ for model in models]
    assert all(len(recorded.client.get_fits(run.info.run_id)) == 1 for run in runs)


def test_a_randomized_search_records_what_it_drew(recorded):
    """A randomized search's trials hold the parameters that it drew."""
    search = RandomizedSearchCV(Ridge(), {"alpha": np.logspace(-3, 3, 50)}, n_iter=4, cv=2, random_state=0)
    search.fit(XD, YD)
    trials = recorded.client.get_trials(recorded.only_run().info.run_id)
    assert [trial.params["alpha"] for trial in trials] == [float(one["alpha"]) for one in search.cv_results_["params"]]


@pytest.mark.parametrize("kind", [HalvingGridSearchCV, HalvingRandomSearchCV])
def test_a_halving_search_is_one_run_with_its_resources(recorded, kind):
    """Successive halving is one run; each trial says how much of the resource it got."""
    search = kind(SVC(), {"C": [0.1, 1.0, 10.0, 100.0]}, cv=2, random_state=0).fit(X, Y)
    trials = recorded.client.get_trials(recorded.only_run().info.run_id)
    assert [trial.resource for trial in trials] == list(search.cv_results_["n_resources"])


def test_a_search_with_several_metrics_is_ranked_by_the_one_it_refits_on(recorded):
    """With several metrics, mean and rank are those of `refit`, and all metrics' folds are kept."""
    search = GridSearchCV(
        GaussianNB(), {"var_smoothing": [1e-9, 1e-1]}, scoring=["accuracy", "f1_macro"], refit="f1_macro", cv=2
    ).fit(X, Y)
    trials = recorded.client.get_trials(recorded.only_run().info.run_id)
    assert [trial.mean for trial in trials] == list(search.cv_results_["mean_test_f1_macro"])
    assert set(trials[0].scores) == {"test_accuracy", "test_f1_macro"}


def test_a_search_without_refit_is_recorded(recorded):
    """A search that refits nothing has its trials, and no training metrics."""
    GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-1]}, refit=False, cv=2).fit(X, Y)
    run = recorded.only_run()
    assert run.info.degraded == ""
    assert len(recorded.client.get_trials(run.info.run_id)) == 2
    assert not any(key.startswith("training_") for key in run.data.metrics)


def test_failed_candidates_are_failed_trials(recorded, recwarn):
    """A candidate whose fits raise is a trial in state FAILED with NaN scores; the search itself is fine."""
    GridSearchCV(SVC(), {"C": [1.0, -1.0]}, cv=2).fit(X, Y)
    run = recorded.only_run()
    states = [trial.state for trial in recorded.client.get_trials(run.info.run_id)]
    assert states == ["COMPLETE", "FAILED"]
    assert run.info.status == "FINISHED"


def test_cross_val_score_is_one_run_with_a_trial_a_fold(recorded):
    """`cross_val_score` makes one run with a trial for each fold, and gives back what it always does."""
    scores = cross_val_score(LogisticRegression(max_iter=300), X, Y, cv=4)
    run = recorded.only_run()
    trials = recorded.client.get_trials(run.info.run_id)
    assert [trial.scores["test_score"] for trial in trials] == [[score] for score in scores]
    assert run.data.metrics["mean_test_score"] == pytest.approx(scores.mean())
    assert run.data.metrics["std_test_score"] == pytest.approx(scores.std())
    assert run.data.tags["estimator_name"] == "LogisticRegression"
    assert run.data.param_values["cv"] == 4
    assert [one.dataset.name for one in run.inputs.dataset_inputs] == ["X"]


def test_cross_validate_records_all_its_columns(recorded):
    """`cross_validate` keeps test and train scores of all metrics, and the times of each fold."""
    result = cross_validate(Ridge(), XD, YD, cv=3, scoring=["r2", "neg_mean_squared_error"], return_train_score=True)
    run = recorded.only_run()
    trials = recorded.client.get_trials(run.info.run_id)
    assert set(trials[0].scores) == {
        "test_r2",
        "train_r2",
        "test_neg_mean_squared_error",
        "train_neg_mean_squared_error",
    }
    assert [trial.fit_time for trial in trials] == list(result["fit_time"])
    assert run.data.metrics["mean_train_r2"] == pytest.approx(result["train_r2"].mean())


def test_cross_val_predict_links_its_predictions(recorded):
    """A metric of out-of-fold predictions goes to the run of the `cross_val_predict` that made them."""
    from sklearn import metrics

    predictions = cross_val_predict(make_pipeline(StandardScaler(), GaussianNB()), X, Y, cv=3)
    accuracy = metrics.accuracy_score(Y, predictions)
    assert recorded.only_run().data.metrics == {"accuracy_score_X": accuracy}


def test_learning_and_validation_curves_are_runs_with_curves(recorded):
    """`learning_curve` and `validation_curve` make one run each: a trial a point, and the mean scores as curves."""
    sizes, _, test_scores = learning_curve(GaussianNB(), X, Y, cv=3, shuffle=True, random_state=0)
    validation_curve(SVC(), X, Y, param_name="C", param_range=[0.1, 1.0, 10.0], cv=2)
    by_name = {run.info.run_name: run.info.run_id for run in recorded.runs()}
    learning, validation = by_name["learning_curve GaussianNB"], by_name["validation_curve SVC"]
    history = recorded.client.get_metric_history(learning, "mean_test_score")
    assert [point.step for point in history] == list(sizes)
    assert [point.value for point in history] == pytest.approx(test_scores.mean(axis=1))
    assert [trial.params for trial in recorded.client.get_trials(validation)] == [{"C": 0.1}, {"C": 1.0}, {"C": 10.0}]


def test_a_permutation_test_is_one_run(recorded):
    """`permutation_test_score` makes one run with score, p-value and a trial for each permutation."""
    score, permuted, pvalue = permutation_test_score(GaussianNB(), X, Y, n_permutations=5, cv=2, random_state=0)
    run = recorded.only_run()
    assert run.data.metrics["score"] == score
    assert run.data.metrics["pvalue"] == pvalue
    assert [trial.mean for trial in recorded.client.get_trials(run.info.run_id)] == list(permuted)


def test_a_cross_validation_that_fails_is_a_failed_run(recorded):
    """A cross-validation that raises gives a FAILED run, and the exception goes on."""
    with pytest.raises(ValueError, match="All the 2 fits failed"):
        cross_val_score(SVC(C=-1.0), X, Y, cv=2)
    assert recorded.only_run().info.status == "FAILED"


def test_a_cross_validation_with_bad_arguments_says_what_it_always_does(recorded):
    """A call that scikit-learn refuses for its arguments raises as without autotrack, and opens no run."""
    with pytest.raises(TypeError, match="unexpected keyword"):
        cross_val_score(GaussianNB(), X, Y, nonsense=1)
    assert recorded.runs() == []


def test_cross_validation_joins_an_explicit_run(recorded):
    """Inside `start_run()` a cross-validation records its trials into that run."""
    with autotrack.start_run():
        cross_val_score(GaussianNB(), X, Y, cv=3)
    assert len(recorded.client.get_trials(recorded.only_run().info.run_id)) == 3


def test_folds_of_a_function_that_escaped_the_patch_open_no_run(recorded):
    """Where a cross-validation function is called by a way that no patch sees, its folds still open no run."""
    from sklearn.model_selection import _validation

    _validation.cross_val_score(GaussianNB(), X, Y, cv=3)
    assert recorded.runs() == []
