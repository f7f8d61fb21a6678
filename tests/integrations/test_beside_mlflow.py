"""MLflow's own autologging in the same program: both record, neither is harmed, either may be switched off first."""

from __future__ import annotations

import json
import os

import pytest

ORDERS = ("ours", "theirs")
"""Who is switched on first."""

BOTH = """
    import json, os, sys, warnings

    warnings.simplefilter("ignore")
    import mlflow, mlflow.sklearn
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    import autotrack
    from autotrack.hooks import layers

    X, y = load_iris(return_X_y=True)

    def theirs(**options):
        mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True, **options)

    def ours(**options):
        autotrack.autolog(log_models=False, **options)

    def names():
        autotrack.flush()
        mine = [run.info.run_name for run in autotrack.Client().search_runs()]
        runs = mlflow.search_runs(filter_string="tags.mlflow.parentRunId is null", output_format="list")
        return sorted(mine), sorted(run.data.tags["estimator_name"] for run in runs)

    def pipeline():
        return make_pipeline(StandardScaler(), LogisticRegression())

    def record(first, second):
        found = {}
        first()
        second()
        model = pipeline().fit(X, y)
        model.predict(X)
        found["fit"] = names()
        model.fit(X, y)
        GridSearchCV(pipeline(), {"logisticregression__C": [0.1, 1.0]}, cv=2).fit(X, y).predict(X)
        found["search"] = names()
        second(disable=True)
        pipeline().fit(X, y).predict(X)
        found["one"] = names()
        first(disable=True)
        found["score"] = pipeline().fit(X, y).score(X, y)
        found["none"] = names()
        found["scored"] = all("training_accuracy_score" in run.data.metrics for run in autotrack.Client().search_runs())
        runs = mlflow.search_runs(output_format="list")
        found["stray"] = sorted(key for run in runs for key in run.data.metrics if "unknown" in key)
        found["installed"] = [name for name in layers.installed() if name.startswith("sklearn")]
        return found

    # One import of the libraries for both orders.
    for first, second in ((ours, theirs), (theirs, ours)):
        child = os.fork()
        if child == 0:
            name = first.__name__
            mlflow.set_tracking_uri(os.path.abspath(f"mlflow-{name}"))
            autotrack.set_tracking_uri(f"store-{name}")
            with open(f"{name}.json", "w") as file:
                json.dump(record(first, second), file)
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the program forks")
def test_both_record_the_same_fits_and_go_in_any_order(run_mlflow, tmp_path):
    """Each outermost fit is a run of each, without what the other computes; what was switched on last goes first."""
    run_mlflow(BOTH, AUTOTRACK_CAPTURE_ENVIRONMENT="0", MLFLOW_ALLOW_FILE_STORE="true")
    both = [["GridSearchCV", "Pipeline", "Pipeline"]] * 2
    for first in ORDERS:
        found = json.loads((tmp_path / f"{first}.json").read_text("utf-8"))
        assert found["fit"] == [["Pipeline"], ["Pipeline"]]
        assert found["search"] == both
        assert found["one"] == found["none"]
        assert found["none"] == [
            sorted([*runs, *["Pipeline"] * (one == first)]) for one, runs in zip(ORDERS, both, strict=True)
        ]
        assert found["score"] > 0.9
        assert found["scored"]
        assert found["stray"] == []
        assert found["installed"] == []
