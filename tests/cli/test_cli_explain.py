from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from autotrack.client import Client

PROGRAM = """
    import autotrack
    autotrack.autolog()
    import numpy as np
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.cluster import DBSCAN
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.model_selection import cross_validate

    X, y = np.arange(80.0).reshape(40, 2), np.arange(40) % 3

    class Mine(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return np.zeros(len(X), dtype=int)

    model = LogisticRegression().fit(X, y)
    model.score(X, y)
    Mine().fit(X, y)
    DBSCAN().fit(X)
    cross_validate(Ridge(), X, y, cv=2)
    with autotrack.start_run(run_name="by hand"):
        for step in range(200):
            autotrack.log_metric("loss", 1 / (step + 1))
        autotrack.log_text("hello", "notes.txt")
    autotrack.sklearn.autolog(log_models=False, log_datasets=False, log_training_metrics="none")
    Ridge(alpha=2.0).fit(X, y)
    autotrack.sklearn.autolog(log_models=True, log_training_metrics="library")
    with autotrack.start_run(run_name="two fits"):
        LogisticRegression().fit(X, y)
        Mine().fit(X, y)
"""


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory, run_child: Callable) -> Path:
    """The store of a project whose program leaves various things out."""
    folder = tmp_path_factory.mktemp("explained")
    done = run_child(folder, PROGRAM)
    assert done.returncode == 0, done.stderr
    return folder / ".autotrack"


def run_id(store: Path, name: str) -> str:
    return Client(store).search_runs(filter_string=f"name = '{name}'")[0].info.run_id


@pytest.fixture
def explain(autotrack: Callable, explained: Path) -> Callable:
    """`autotrack explain --json` of a run, by its name."""

    def call(name: str) -> dict:
        shown = autotrack("explain", run_id(explained, name), "--json", "--store", explained)
        assert shown.status == 0, shown.err
        return json.loads(shown.out)

    return call


def test_each_run_says_why_what_one_misses_is_not_there(explain: Callable) -> None:
    """No curve for three classes, no metrics of code of the program's own, none without predict, none when told not."""
    curves = explain("LogisticRegression")["skipped"]
    assert set(curves) == {"roc_curve", "precision_recall_curve"}
    assert curves["roc_curve"] == "it is drawn for two classes, and there are 3"
    assert "__main__.Mine" in explain("Mine")["skipped"]["training_metrics"]
    assert "no predict" in explain("DBSCAN")["skipped"]["training_metrics"]
    assert set(explain("Ridge")["skipped"]) == {"model", "training_metrics", "dataset"}
    assert explain("Ridge")["skipped"]["model"] == "the option log_models is off"
    assert explain("cross_validate Ridge")["skipped"]["model"] == "a cross-validation leaves no fitted model"
    assert explain("by hand")["skipped"]["model"] == "no training call was recorded in this run"
    assert "__main__.Mine" in explain("two fits")["skipped"]["training_metrics_2"]


def test_each_run_says_what_recording_it_took(explain: Callable) -> None:
    """Handlers around the calls, the calls that log by hand, the background and the ingest are each accounted for."""
    fit = explain("LogisticRegression")["cost"]
    assert fit["calls"] == 2  # fit and score
    assert fit["handlers_ms"] > 0
    assert fit["background_ms"] > 0
    assert fit["ingest_ms"] > 0
    assert fit["logged"] == fit["steps"] == 0
    assert fit["hooked"]["sklearn"].startswith("active ")
    hand = explain("by hand")["cost"]
    assert (hand["logged"], hand["calls"]) == (200, 0)
    assert hand["logging_ms"] > 0
    assert hand["storing_ms"] > 0
    assert hand["training_ms"] == pytest.approx(hand["logging_ms"] + hand["storing_ms"], abs=0.01)


def test_explanation_is_put_into_words(autotrack: Callable, explained: Path) -> None:
    """What a person reads says what was hooked, recorded and left out, and what that took; `show` leaves it to it."""
    number = run_id(explained, "Mine")
    shown = autotrack("explain", number, "--store", explained)
    assert shown.status == 0
    titles = [line for line in shown.out.splitlines() if line and not line.startswith(" ")]
    assert titles[-4:] == ["Hooked", "Recorded", "Left out", "What recording took"]
    assert "training metrics  predict would run code of the program's own" in shown.out
    assert "on the training thread" in shown.out
    assert "autotrack.cost" not in autotrack("show", number, "--store", explained).out
    assert autotrack("explain", "nosuchrun", "--store", explained).status == 1


def test_run_that_failed_is_explained_by_its_failure(autotrack: Callable, recorded: Path) -> None:
    """A fit that raised has no model, and the explanation says that the training failed."""
    failed = Client(recorded).search_runs(filter_string="attributes.status = 'FAILED'")[0]
    found = json.loads(autotrack("explain", failed.info.run_id, "--json", "--store", recorded).out)
    assert found["skipped"]["model"] == found["skipped"]["training_metrics"] == "the training failed"
