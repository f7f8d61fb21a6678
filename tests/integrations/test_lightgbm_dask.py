"""LightGBM's Dask estimators on a local cluster: one run each, and nothing of what the workers do."""

from __future__ import annotations

import json
from pathlib import Path

import dask.array
import dask.dataframe
import lightgbm as lgb
import numpy as np
import pandas
import pytest
from distributed import Client, LocalCluster

import autotrack
from autotrack import testing
from autotrack.models import Model
from autotrack.models.clusters import local_form
from autotrack.models.uris import local_path

ROWS, COLUMNS = 400, 5
X = np.tile(np.random.default_rng(3).random((ROWS // 2, COLUMNS)), (2, 1))
Y = (X[:, 0] + X[:, 1] > 1).astype(int)
OPTIONS = {"n_estimators": 5, "num_leaves": 7, "random_state": 3, "verbose": -1}

PROGRAM = """
import sys
import dask.array, numpy
import lightgbm as lgb
from distributed import Client, LocalCluster

if __name__ == "__main__":
    # Two equal parts: which worker gets which is the scheduler's affair.
    X = numpy.tile(numpy.random.default_rng(3).random((200, 5)), (2, 1))
    y = (X[:, 0] > 0.5).astype(int)
    options = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": "600MB", "dashboard_address": None}
    with LocalCluster(processes=True, **options) as cluster, Client(cluster) as client:
        rows, target = dask.array.from_array(X, chunks=(200, 5)), dask.array.from_array(y, chunks=200)
        model = lgb.DaskLGBMClassifier(n_estimators=4, random_state=3, verbose=-1, client=client)
        model.fit(rows, target)
        print("result", model.predict_proba(rows).compute()[:, 1].round(6).tolist())
        print("result", model.get_params()["client"] is client, list(vars(model))[:5], sorted(vars(model)))
"""


@pytest.fixture(scope="module")
def cluster():
    """One worker, of two threads of this process: several in one process may wait for each other for ever.

    It has no limit of memory: what other tests have loaded into this process counts, and a worker beyond its limit
    takes no more work.
    """
    options = {"n_workers": 1, "threads_per_worker": 2, "memory_limit": None, "dashboard_address": None}
    with LocalCluster(processes=False, **options) as running, Client(running) as client:
        yield client


def parts():
    """The data, as a collection of dask's in two equal parts: which worker gets which is the scheduler's affair."""
    return dask.array.from_array(X, chunks=(200, COLUMNS)), dask.array.from_array(Y, chunks=200)


def test_workers_that_are_processes_record_nothing(run_python, tmp_path):
    """Under zero-code start the workers are followed, and open no run; output, model and estimator are those of plain
    Python.
    """
    script = tmp_path / "train.py"
    script.write_text(PROGRAM)
    plain = run_python(script, env={"AUTOTRACK_DISABLE": "1"})
    store = str(tmp_path / "store")
    recorded = run_python("-m", "autotrack", script, env={"AUTOTRACK_TRACKING_URI": store})
    results = [[line for line in done.stdout.splitlines() if line.startswith("result")] for done in (plain, recorded)]
    assert results[1] == results[0]
    assert len(results[0]) == 2
    client = autotrack.Client(store)
    (run,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert (run.info.run_name, run.info.status, run.info.degraded) == ("DaskLGBMClassifier", "FINISHED", "")
    fits = client.get_fits(run.info.run_id)
    assert [fit.method for fit in fits] == ["fit"]
    assert fits[0].duration > 0


@pytest.mark.parametrize("explicit", [False, True])
def test_workers_that_are_threads_record_nothing(cluster, recorded, explicit):
    """One run with parameters, the data's shape, curves, importances and a model that loads without dask, also inside
    a run of the program's own.
    """
    rows, target = parts()
    model = lgb.DaskLGBMClassifier(**OPTIONS, client=cluster)
    valid = {"eval_set": [(rows, target)], "eval_names": ["held"]}
    if explicit:
        with autotrack.start_run():
            model.fit(rows, target, **valid)
    else:
        model.fit(rows, target, **valid)
    run = recorded.only_run()
    assert (run.info.status, run.info.degraded) == ("FINISHED", "")
    assert len(recorded.client.get_fits(run.info.run_id)) == 1
    assert run.data.param_values["num_leaves"] == 7
    (dataset,) = [one.dataset for one in run.inputs.dataset_inputs]
    profile = json.loads(dataset.profile)
    assert (dataset.name, profile["type"], profile["shape"]) == ("rows", "dask.Array", [ROWS, COLUMNS])
    assert profile["partitions"] == 2
    history = recorded.client.get_metric_history(run.info.run_id, "held-binary_logloss")
    assert [point.value for point in history] == model.evals_result_["held"]["binary_logloss"]
    path = recorded.client.download_artifacts(run.info.run_id, "figures/feature_importance_gain.json")
    assert json.loads(Path(path).read_text())["importances"] == model.booster_.feature_importance("gain").tolist()
    uri = f"runs:/{run.info.run_id}/model"
    assert Model.load(local_path(uri)).flavors["lightgbm"]["model_class"] == "lightgbm.sklearn.LGBMClassifier"
    loaded = autotrack.load_model(uri)
    assert (loaded.predict_proba(X) == model.to_local().predict_proba(X)).all()


def test_training_on_a_cluster_is_the_same(cluster):
    """The same model, and an estimator with the same attributes in the same order, with autotrack and without."""

    def trained():
        # One part: how several are spread over the workers is the scheduler's affair, and shows in the last bits.
        rows, target = dask.array.from_array(X, chunks=(ROWS, COLUMNS)), dask.array.from_array(Y, chunks=ROWS)
        model = lgb.DaskLGBMRegressor(**OPTIONS, client=cluster)
        model.fit(rows, target)
        trees = model.booster_.model_to_string().partition("parameters:")[0]  # those name ports
        return trees, list(vars(model)), model.client is cluster

    plain = trained()
    with testing.temporary_store():
        autotrack.autolog()
        recorded = trained()
        autotrack.flush()
    assert recorded == plain


ASKED = []


def frame_part(number):
    """A part of a frame; that it was asked for is noted."""
    ASKED.append(number)
    return pandas.DataFrame(X[number * 100 : number * 100 + 100], columns=list("abcde"))


def test_nothing_of_a_frame_is_computed_for_its_description(cluster, recorded):
    """A frame of unknown length has its columns; neither it nor its parts are asked for more than LightGBM asks."""
    ASKED.clear()
    frame = dask.dataframe.from_map(frame_part, range(4), meta=pandas.DataFrame(X[:0], columns=list("abcde")))
    target = dask.dataframe.from_pandas(pandas.Series(Y), npartitions=4)
    lgb.DaskLGBMRegressor(**OPTIONS).fit(frame, target)
    assert sorted(ASKED) == [0, 1, 2, 3]
    run = recorded.only_run()
    dataset = run.inputs.dataset_inputs[0].dataset
    profile = json.loads(dataset.profile)
    assert (dataset.name, profile["shape"], profile["rows"]) == ("frame", [None, COLUMNS], None)
    assert list(json.loads(dataset.schema)["columns"]) == list("abcde")


def test_a_ranker_and_a_failure(cluster, recorded):
    """A ranker is a run like any other; data that is none of dask's is refused as before, and the run failed."""
    rows, target = parts()
    groups = dask.array.from_array(np.full(16, 25), chunks=8)
    lgb.DaskLGBMRanker(**OPTIONS, client=cluster).fit(rows, target, group=groups)
    with pytest.raises(AttributeError):
        lgb.DaskLGBMClassifier(**OPTIONS, client=cluster).fit(X, Y)
    failed, ranked = recorded.client.search_runs(order_by=["attributes.start_time DESC"])
    assert (ranked.info.run_name, ranked.info.status, ranked.info.degraded) == ("DaskLGBMRanker", "FINISHED", "")
    assert (failed.info.run_name, failed.info.status) == ("DaskLGBMClassifier", "FAILED")
    assert failed.info.error.type == "AttributeError"


def test_the_local_form_is_what_lightgbm_makes_of_it(cluster):
    """It predicts the same as `to_local` gives, and the estimator keeps its client."""
    rows, target = parts()
    model = lgb.DaskLGBMClassifier(**OPTIONS).set_params(client=cluster).fit(rows, target)
    local = local_form(model)
    assert type(local) is lgb.LGBMClassifier
    assert model.get_params()["client"] is cluster
    assert "client" not in local.get_params()
    assert (local.predict_proba(X) == model.to_local().predict_proba(X)).all()


def test_a_model_that_is_logged_by_a_call(cluster, recorded):
    """`autotrack.lightgbm.log_model` takes a Dask estimator too."""
    rows, target = parts()
    autotrack.lightgbm.autolog(log_models=False)
    autotrack.sklearn.autolog(log_models=False)
    model = lgb.DaskLGBMClassifier(**OPTIONS, client=cluster).fit(rows, target)
    logged = autotrack.lightgbm.log_model(model, name="mine")
    assert (autotrack.load_model(logged.uri).predict(X) == model.to_local().predict(X)).all()
