"""The usual MLflow quick-start script, with `import autotrack as mlflow`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autotrack import Client

QUICKSTART = """
    import json
    import autotrack as mlflow
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score
    from sklearn.model_selection import train_test_split

    X, y = load_iris(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
    params = {"solver": "lbfgs", "max_iter": 1000, "random_state": 8888}
    mlflow.set_tracking_uri("the store")
    mlflow.set_experiment("MLflow Quickstart")
    with mlflow.start_run() as run:
        mlflow.log_params(params)
        lr = LogisticRegression(**params)
        lr.fit(X_train, y_train)
        mlflow.log_metric("accuracy", accuracy_score(y_test, lr.predict(X_test)))
        mlflow.set_tag("Training Info", "Basic LR model for iris data")
        info = mlflow.sklearn.log_model(lr, name="iris_model", input_example=X_train)
    uri = f"runs:/{run.info.run_id}/iris_model"
    expected = lr.predict(X_test).tolist()
    as_itself = mlflow.load_model(uri).predict(X_test).tolist()
    as_function = list(mlflow.pyfunc.load_model(uri).predict(X_test))
    by_flavor = mlflow.sklearn.load_model(uri).predict(X_test).tolist()
    found = mlflow.search_runs(experiment_names=["MLflow Quickstart"], filter_string="metrics.accuracy > 0.5")
    equal = expected == as_itself == by_flavor == [int(x) for x in as_function]
    print(json.dumps([run.info.run_id, equal, len(found)]))
"""


def test_the_quickstart_of_mlflow_runs_with_autotrack_in_its_place(
    run_python: Callable[..., Any], tmp_path: Path
) -> None:
    """Parameters, metric, tag and model are recorded; the model that is loaded by `runs:/` predicts the same."""
    pytest.importorskip("sklearn")
    done = run_python(QUICKSTART)
    run_id, equal, count = json.loads(done.stdout)
    assert equal
    assert count == 1
    run = Client(tmp_path / "the store").get_run(run_id)
    assert run.data.params == {"solver": "lbfgs", "max_iter": "1000", "random_state": "8888"}
    assert run.data.metrics["accuracy"] == 1.0
    assert run.data.tags["Training Info"] == "Basic LR model for iris data"
    assert [model.name for model in run.outputs.model_outputs] == ["iris_model"]
    assert run.info.status == "FINISHED"
