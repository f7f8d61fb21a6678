"""scikit-learn on Dask's cluster, by joblib's backend."""

from __future__ import annotations

import pytest

pytest.importorskip("distributed")

import joblib
from distributed import Client, LocalCluster
from sklearn.datasets import load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

import autotrack

X, Y = load_iris(return_X_y=True)


def test_a_search_on_dasks_workers_is_one_run(recorded):
    """What workers fit for a search or a meta-estimator, in threads of this very process, belongs to its run, and to
    the run that the program opened.
    """
    # No limit of memory: what other tests have loaded into this process would count against it.
    options = {"n_workers": 1, "threads_per_worker": 2, "memory_limit": None, "dashboard_address": None}
    search = GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-3, 0.1]}, cv=2, n_jobs=2)
    plain = GridSearchCV(GaussianNB(), search.param_grid, cv=2)
    with autotrack.disabled():
        plain.fit(X, Y)
    with (
        LocalCluster(processes=False, **options) as cluster,
        Client(cluster),
        joblib.parallel_backend("dask"),
    ):
        search.fit(X, Y)
        with autotrack.start_run() as explicit:
            VotingClassifier([("a", GaussianNB()), ("b", GaussianNB())], n_jobs=2).fit(X, Y)
    assert list(search.cv_results_["mean_test_score"]) == list(plain.cv_results_["mean_test_score"])
    first, second = recorded.runs()
    assert (first.info.run_name, first.info.status) == ("GridSearchCV", "FINISHED")
    means = [trial.mean for trial in recorded.client.get_trials(first.info.run_id)]
    assert means == list(search.cv_results_["mean_test_score"])
    assert second.info.run_id == explicit.info.run_id
    assert [len(recorded.client.get_fits(run.info.run_id)) for run in (first, second)] == [1, 1]
