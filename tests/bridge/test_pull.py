"""`autotrack pull` from stores that a real MLflow has written."""

from __future__ import annotations

import math
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autotrack
import autotrack.pyfunc
from autotrack.client import Client

MAKE = """
    import json, sys
    import mlflow
    import pandas
    from sklearn.linear_model import LogisticRegression
    X = pandas.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
    for uri in sys.argv[1:]:
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        mlflow.set_experiment("theirs")
        with mlflow.start_run(run_name="one", description="about it", tags={"team": "red"}) as run:
            mlflow.log_params({"C": 0.5, "solver": "lbfgs", "none": None, "n": 10})
            for step in range(30):
                mlflow.log_metric("loss", 1 / (step + 1), step=step)
            mlflow.log_metric("odd", float("nan"), step=-1)
            mlflow.log_metric("val/acc", 0.5)
            mlflow.log_text("hello", "notes/deep/hello.txt")
            mlflow.log_input(mlflow.data.from_pandas(X, name="rows"), context="train")
            mlflow.sklearn.log_model(
                LogisticRegression().fit(X, [0, 0, 1, 1]), name="clf", registered_model_name="theirs",
                serialization_format="skops", pip_requirements=["scikit-learn"], input_example=X,
            )
            mlflow.MlflowClient().set_registered_model_alias("theirs", "champion", "1")
            with mlflow.start_run(run_name="nested", nested=True):
                mlflow.log_metric("m", 1)
        try:
            with mlflow.start_run(run_name="bad"):
                raise ValueError("no")
        except ValueError:
            pass
        gone = mlflow.MlflowClient().create_run("0", run_name="gone")
        mlflow.MlflowClient().delete_run(gone.info.run_id)
        if uri.startswith("sqlite"):
            found = run.info.run_id, mlflow.get_run(run.info.run_id).to_dictionary(), [
                [point.step, point.timestamp, point.value]
                for point in mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")]
    print(json.dumps(found, default=str))
"""


@pytest.fixture
def default_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The store that runs are pulled into, which is also the one that URIs mean."""
    folder = tmp_path / "ours"
    monkeypatch.setenv("AUTOTRACK_TRACKING_URI", str(folder))
    autotrack.set_tracking_uri(folder)
    return folder


def test_runs_of_a_database_and_of_a_folder_come_whole(
    tmp_path: Path, default_store: Path, command: Callable[..., Any], run_mlflow: Callable[..., Any]
) -> None:
    """Under their own ids, with histories, inputs, files, models that load and the registry; twice changes nothing."""
    database = f"sqlite:///{tmp_path / 'mlflow.db'}"
    folder = tmp_path / "old" / "mlruns"
    run_id, theirs, history = run_mlflow(MAKE, database, folder.as_uri(), MLFLOW_ALLOW_FILE_STORE="true")

    pulled = command("pull", "--from", database)
    assert pulled == (f"pulled 3 runs from {database}: 3 new; 1 registered model: 1 new\n", "", 0)
    again = command("pull", "--from", database)
    assert again.out == f"pulled 3 runs from {database}: 3 there already; 1 registered model: 1 there already\n"
    check_one(Client(default_store), run_id, theirs, history)

    # What is logged later comes later; another run of the same experiment is left alone.
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        late = ("loss", 0.25, history[-1][1] + 1000, run_id, 5, 0)
        columns = "(key, value, timestamp, run_uuid, step, is_nan)"
        connection.execute(f"INSERT INTO metrics {columns} VALUES (?, ?, ?, ?, ?, ?)", late)
        connection.execute("UPDATE tags SET value = 'green' WHERE key = 'team'")
    assert "1 completed" in command("pull", "--from", database, "--run", run_id[:10]).out
    client = Client(default_store)
    assert [point.value for point in client.get_metric_history(run_id, "loss")][-2:] == [1 / 30, 0.25]
    assert client.get_run(run_id).data.tags["team"] == "green"
    assert "3 there already" in command("pull", "--from", database, "--experiment", "theirs").out

    # The file store of before.
    other = tmp_path / "other"
    assert "3 new; 1 registered model: 1 new" in command("pull", "--from", folder, "--store", other).out
    assert "3 there already; 1 registered model: 1 there" in command("pull", "--from", folder, "--store", other).out
    (one,) = Client(other).search_runs(filter_string="run_name = 'one'")
    autotrack.set_tracking_uri(other)
    check_one(Client(other), one.info.run_id, None, None)

    # There and back: what came from MLflow is there already when it is pushed.
    pushed = command("push", "--all", "--to", f"sqlite:///{tmp_path / 'mlflow.db'}", "--store", default_store)
    assert "1 registered model" in pushed.out
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (4,)
        assert connection.execute("SELECT count(*) FROM metrics WHERE key = 'loss'").fetchone() == (31,)
        assert connection.execute("SELECT count(*) FROM logged_models").fetchone() == (1,)


def check_one(client: Client, run_id: str, theirs: dict[str, Any] | None, history: list[list[float]] | None) -> None:
    """The run named "one", as it is here."""
    run = client.get_run(run_id)
    assert client.get_experiment(run.info.experiment_id).name == "theirs"
    assert (run.info.run_name, run.info.status, run.info.description) == ("one", "FINISHED", "about it")
    if theirs is not None:
        assert run.data.params == theirs["data"]["params"]
        assert (run.info.start_time, run.info.end_time) == (theirs["info"]["start_time"], theirs["info"]["end_time"])
        assert run.data.tags.items() >= theirs["data"]["tags"].items()
    assert (run.data.param_values["C"], run.data.param_values["n"], run.data.param_values["none"]) == (0.5, 10, "None")
    assert client.search_runs(filter_string="params.C < 1 and tags.team = 'red'")[0].info.run_id == run_id
    points = client.get_metric_history(run_id, "loss")
    assert [point.step for point in points] == list(range(30))
    if history is not None:
        assert [[point.step, point.timestamp, point.value] for point in points] == history
    assert math.isnan(run.data.metrics["odd"])
    assert run.data.metrics["val/acc"] == 0.5
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.context) == ("rows", "train")
    assert '"mlflow_colspec"' in used.dataset.schema
    assert Path(client.download_artifacts(run_id, "notes/deep/hello.txt")).read_text("utf-8") == "hello"
    assert client.list_artifacts(run_id, "clf") == []
    (model,) = run.outputs.model_outputs
    assert {"python_function", "sklearn"} <= set(model.flavors)
    version = client.get_model_version_by_alias("theirs", "champion")
    assert (version.version, version.run_id, version.model_id) == ("1", run_id, model.model_id)
    for uri in (f"runs:/{run_id}/clf", "models:/theirs@champion", "models:/theirs/1"):
        loaded = autotrack.pyfunc.load_model(uri)
        assert list(loaded.predict({"a": [0.0, 3.0], "b": [1.0, 0.0]})) == [0, 1]
    nested, bad = (client.search_runs(filter_string=f"run_name = '{name}'")[0] for name in ("nested", "bad"))
    assert nested.info.parent_run_id == run_id
    assert bad.info.status == "FAILED"


def test_what_cannot_be_pulled_is_said(recorded: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    """No file, no MLflow store, no such run or experiment: an error; nothing is made."""

    def refusal(*words: object) -> str:
        shown = command("pull", *words, "--store", tmp_path / "ours")
        assert shown.status == 1
        return str(shown.err)

    assert "there is no such file" in refusal("--from", f"sqlite:///{tmp_path / 'none.db'}")
    assert not (tmp_path / "none.db").exists()
    assert "this is no folder of MLflow's runs" in refusal("--from", tmp_path)
    assert "a store of autotrack, not of MLflow" in refusal("--from", f"sqlite:///{recorded / 'autotrack.db'}")
    assert "tracking URI: got 'ftp://x'" in refusal("--from", "ftp://x")
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    command("push", "--all", "--to", url, "--store", recorded)
    assert "no run 'nothing'" in refusal("--from", url, "--run", "nothing")
    assert "there are: Default, by hand" in refusal("--from", url, "--experiment", "nowhere")


def test_pushed_runs_come_back_as_they_were(recorded: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    """Names that MLflow does not take are back; a run that is deleted here stays so."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    command("push", "--all", "--to", url, "--store", recorded)
    shutil.rmtree(tmp_path / "ours", ignore_errors=True)
    assert "4 new; 1 registered model: 1 new" in command("pull", "--from", url, "--store", tmp_path / "ours").out
    before, after = Client(recorded), Client(tmp_path / "ours")
    for run in before.search_runs():
        back = after.get_run(run.info.run_id)
        assert set(back.data.params) == set(run.data.params)
        assert {key: one.count for key, one in back.data.series.items()} == {
            key: one.count for key, one in run.data.series.items()
        }
        assert back.data.tags.items() >= run.data.tags.items()
        assert (back.info.status, back.info.end_time) == (run.info.status, run.info.end_time)
        assert [model.digest for model in back.outputs.model_outputs] == [
            model.digest for model in run.outputs.model_outputs
        ]
    assert [version.version for version in after.search_model_versions("name = 'iris'")].count("3") == 1
    after.delete_run(back.info.run_id)
    assert "1 left out (deleted)" in command("pull", "--from", url, "--store", tmp_path / "ours").out
