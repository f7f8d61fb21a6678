"""LightGBM's own training calls: one run each, with curves, parameters, datasets, importances and the model."""

from __future__ import annotations

import json

import lightgbm as lgb
import numpy as np
import pandas
import polars
import pyarrow
import pytest
import scipy.sparse
from lightgbm import train as train_by_name
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autotrack
from autotrack.integrations.lightgbm.curves import Curves
from autotrack.models import Model
from autotrack.models.uris import local_path
from autotrack.tracking import recorders

X, Y = load_breast_cancer(return_X_y=True, as_frame=True)
X_TRAIN, X_VALID, Y_TRAIN, Y_VALID = X[:400], X[400:], Y[:400], Y[400:]
XD, YD = load_diabetes(return_X_y=True)

QUIET = {"verbose": -1, "num_threads": 1, "seed": 3}
BINARY = {**QUIET, "objective": "binary"}
NEW = lgb.__version__ >= "4.7"


def datasets():
    """Fresh datasets for training and validation."""
    train = lgb.Dataset(X_TRAIN, label=Y_TRAIN)
    return train, lgb.Dataset(X_VALID, label=Y_VALID, reference=train)


def curve(recorded, run, key):
    """Steps and values of a metric."""
    history = recorded.client.get_metric_history(run.info.run_id, key)
    return [point.step for point in history], [point.value for point in history]


def description(uri):
    """What stands in a stored model's MLmodel."""
    return Model.load(local_path(uri))


def artifact(recorded, run, path):
    """A JSON file of a run."""
    with open(recorded.client.download_artifacts(run.info.run_id, path), encoding="utf-8") as file:
        return json.load(file)


def test_a_training_is_one_run_with_all_there_is_to_know(recorded):
    """Curves equal what LightGBM itself recorded; parameters have main names; datasets have the program's names."""
    train, valid = datasets()
    seen = {}
    params = {**BINARY, "metric": ["auc", "binary_logloss"], "eta": 0.2, "num_leaf": 7}
    booster = train_by_name(
        params, train, 120, [train, valid], ["train", "held out"], callbacks=[lgb.record_evaluation(seen)]
    )
    run = recorded.only_run()
    assert (run.info.status, run.info.degraded, run.info.run_name) == ("FINISHED", "", "lightgbm.train")
    for name in ("train", "held out"):
        for metric in ("auc", "binary_logloss"):
            assert curve(recorded, run, f"{name}-{metric}") == (list(range(120)), seen[name][metric])
    wanted = {"learning_rate": 0.2, "num_leaves": 7, "num_boost_round": 120, "objective": "binary", "verbosity": -1}
    assert {key: run.data.param_values[key] for key in wanted} == wanted
    assert not {"eta", "num_leaf", "verbose"} & set(run.data.params)
    found = {one.dataset.name: json.loads(one.dataset.profile) for one in run.inputs.dataset_inputs}
    assert {name: (one["rows"], one["type"]) for name, one in found.items()} == {
        "X_TRAIN": (400, "pandas.DataFrame"), "X_VALID": (169, "pandas.DataFrame"),
    }  # fmt: skip
    assert train.data is None
    for kind in ("split", "gain"):
        figure = artifact(recorded, run, f"figures/feature_importance_{kind}.json")
        assert figure["features"] == booster.feature_name()
        assert figure["importances"] == booster.feature_importance(kind).tolist()
    loaded = autotrack.lightgbm.load_model(f"runs:/{run.info.run_id}/model")
    assert loaded.model_to_string() == booster.model_to_string()
    signature = description(f"runs:/{run.info.run_id}/model").signature
    assert [column.name for column in signature.inputs] == list(X.columns)
    assert (loaded.predict(X_VALID) == booster.predict(X_VALID)).all()
    fit = recorded.client.get_fits(run.info.run_id)[0]
    assert fit.duration > 0
    assert "test_lightgbm_training.py" in fit.caller


def test_curves_are_written_without_a_second_look(recorded):
    """LightGBM's numbers are numpy's; as Python's own they go into the journal as they are, which is faster."""
    with autotrack.start_run() as run:
        curves = Curves(recorders.current().runs[run.info.run_id])
        curves._put("valid_0-auc", np.float64(0.5), 0, 1)
        curves._put("valid_0-auc", np.float32(0.25), 1, 1)
    assert [type(value) for _, value, _, _ in curves._waiting] == [float, float]


@pytest.mark.parametrize("by", ["callback", "parameter"])
def test_early_stopping_is_a_fact_and_no_point_of_a_curve(recorded, by):
    """The best iteration, its scores and the stop are metrics of the end, however early stopping was asked for."""
    train, valid = datasets()
    callbacks = [lgb.early_stopping(5, verbose=False)] if by == "callback" else None
    params = {**BINARY, "metric": "auc"} | ({} if callbacks else {"early_stopping_rounds": 5})
    booster = lgb.train(params, train, 300, valid_sets=valid, valid_names="v", callbacks=callbacks)
    run = recorded.only_run()
    steps, values = curve(recorded, run, "v-auc")
    assert steps == list(range(booster.best_iteration + 5))
    assert run.data.metrics["best_iteration"] == booster.best_iteration
    assert run.data.metrics["stopped_iteration"] == booster.best_iteration + 5
    assert run.data.metrics["best_v-auc"] == booster.best_score["v"]["auc"] == max(values)
    assert run.data.tags["stopped_early"] == "true"
    assert run.data.param_values["early_stopping_round"] == 5
    loaded = autotrack.lightgbm.load_model(f"runs:/{run.info.run_id}/model")
    assert loaded.best_iteration == booster.best_iteration
    assert loaded.model_to_string() == booster.model_to_string()


def test_without_early_stopping_there_is_no_best_iteration(recorded):
    """Nor a tag about it; early stopping that never came about says so."""
    train, valid = datasets()
    lgb.train(BINARY, train, 3, [valid])
    lgb.train(BINARY, train, 3, [valid], callbacks=[lgb.early_stopping(50, verbose=False)])
    late, plain = recorded.client.search_runs(order_by=["attributes.start_time DESC"])
    assert "best_iteration" not in plain.data.metrics
    assert "stopped_early" not in plain.data.tags
    assert late.data.tags["stopped_early"] == "false"
    assert "stopped_iteration" not in late.data.metrics


def test_a_set_of_metrics_is_recorded_in_order(recorded):
    """A parameter that is a set reads the same in every process."""
    lgb.train({**QUIET, "metric": {"l2", "l1", "mape"}}, lgb.Dataset(XD, label=YD), 1)
    assert recorded.only_run().data.param_values["metric"] == ["l1", "l2", "mape"]


def test_own_objective_and_metrics(recorded):
    """A program's own functions are named, and their values are curves; what is no number is left out."""

    def squared(predictions, data):
        return predictions - data.get_label(), np.ones_like(predictions)

    def off(predictions, data):
        return "off", float(np.abs(predictions - data.get_label()).mean()), False

    def odd(predictions, data):
        return [("zero", np.float32(0.0), True), ("at@1", 1, True)]

    train = lgb.Dataset(XD, label=YD)
    booster = lgb.train({**QUIET, "objective": squared, "metric": "None"}, train, 4, [train], feval=[off, odd])
    run = recorded.only_run()
    assert run.data.param_values["objective"] == "squared"
    assert run.data.param_values["feval"] == ["off", "odd"]
    final = float(np.abs(booster.predict(XD) - YD).mean())
    steps, values = curve(recorded, run, "training-off")
    assert steps == [0, 1, 2, 3]
    assert values[-1] == pytest.approx(final)
    assert curve(recorded, run, "training-zero")[1] == [0.0] * 4
    assert curve(recorded, run, "training-at_at_1")[1] == [1.0] * 4


def test_training_goes_on_from_a_model(recorded):
    """Steps are LightGBM's own iterations; a training booster that is kept is recorded as it is."""
    train = lgb.Dataset(XD, label=YD, free_raw_data=False)
    first = lgb.train(QUIET, train, 5)
    second = lgb.train(QUIET, train, 4, [train], init_model=first, keep_training_booster=True)
    run = recorded.client.search_runs(order_by=["attributes.start_time DESC"])[0]
    assert curve(recorded, run, "training-l2")[0] == [5, 6, 7, 8]
    assert run.data.param_values["init_model"] == "Booster"
    assert run.data.param_values["init_iterations"] == 5
    loaded = autotrack.lightgbm.load_model(f"runs:/{run.info.run_id}/model")
    assert loaded.num_trees() == second.num_trees() == 9
    second.update()  # it trains on, as it would without autotrack
    assert second.num_trees() == 10


class Rows(lgb.Sequence):
    """Rows from anywhere, as LightGBM asks for them."""

    batch_size = 100

    def __getitem__(self, index):
        return XD[index]

    def __len__(self):
        return len(XD)


KINDS = {
    "numpy": (lambda: XD, "numpy.ndarray"),
    "numpy, in parts": (lambda: [XD[:100], XD[100:]], "numpy.ndarray"),
    "pandas": (lambda: pandas.DataFrame(XD), "pandas.DataFrame"),
    "csr": (lambda: scipy.sparse.csr_matrix(XD), "scipy.csr_matrix"),
    "csc": (lambda: scipy.sparse.csc_matrix(XD), "scipy.csc_matrix"),
    "arrow": (lambda: pyarrow.table({f"x{n}": XD[:, n] for n in range(10)}), "pyarrow.Table"),
    "sequence": (Rows, f"{__name__}.Rows"),
    "sequences": (lambda: [Rows()], f"{__name__}.Rows"),
}
if NEW:
    KINDS["polars"] = (lambda: polars.DataFrame(XD), "polars.DataFrame")


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_is_remembered_as_it_was_given(recorded, kind):
    """Its kind, rows and name, also where it was binned, and its data freed, before the training; and used twice."""
    make, name = KINDS[kind]
    rows = make()
    data = lgb.Dataset(rows, label=YD, params=QUIET).construct()
    assert data.data is None
    lgb.train(QUIET, data, 2)
    lgb.train(QUIET, data, 2)
    runs = recorded.client.search_runs()
    assert [run.info.degraded for run in runs] == ["", ""]
    first, second = (run.inputs.dataset_inputs[0].dataset for run in runs)
    profile = json.loads(first.profile)
    assert (first.name, profile["rows"], profile["type"]) == ("rows", 442, name)
    assert first.digest == second.digest
    assert len(runs[0].outputs.model_outputs) == 1


def test_a_file_and_a_part_of_a_dataset(recorded, tmp_path):
    """A file is named, with its content's digest; a subset says how many of the rows it is."""
    file = tmp_path / "train.csv"
    np.savetxt(file, np.column_stack([YD, XD]), delimiter=",")
    whole = lgb.Dataset(file, params=QUIET)
    lgb.train(QUIET, whole, 2)
    part = lgb.Dataset(XD, label=YD, params=QUIET).construct().subset(list(range(100)))
    lgb.train(QUIET, part, 2)
    of_part, of_file = (run.inputs.dataset_inputs[0].dataset for run in recorded.client.search_runs())
    profile = json.loads(of_file.profile)
    assert (of_file.name, profile["rows"], profile["path"]) == ("train.csv", 442, str(file))
    assert profile["digest_of_ends"]
    profile = json.loads(of_part.profile)
    assert (of_part.name, profile["rows"]) == ("part", 100)


def test_a_failed_training_is_a_failed_run(recorded):
    """What a program's callback raises is the run's error, and the rounds before it are on its curves."""
    train, valid = datasets()

    def stop(env):
        if env.iteration == 7:
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        lgb.train(BINARY, train, 50, [valid], callbacks=[stop])
    run = recorded.only_run()
    assert run.info.status == "FAILED"
    assert "enough" in run.info.error.message
    assert "stop" in run.info.error.traceback
    assert curve(recorded, run, "valid_0-binary_logloss")[0] == list(range(8))
    assert not run.outputs.model_outputs


def test_a_call_that_lightgbm_refuses_is_refused_as_before(recorded):
    """Arguments that do not fit raise LightGBM's own errors; the runs failed."""
    with pytest.raises(TypeError, match="unexpected keyword"):
        lgb.train(BINARY, datasets()[0], rounds=3)
    with pytest.raises(TypeError, match="Dataset"):
        lgb.train(BINARY, XD)
    with pytest.raises(TypeError):
        lgb.train(BINARY, datasets()[0], 3, callbacks=5)
    assert {run.info.status for run in recorded.client.search_runs()} == {"FAILED"}


def test_trainings_in_one_run_do_not_mix(recorded):
    """The second training of an explicit run has curves, figures and a model of its own."""
    train, valid = datasets()
    with autotrack.start_run():
        lgb.train(BINARY, train, 3, [valid])
        lgb.train({**BINARY, "eta": 0.5}, train, 4, [valid])
    run = recorded.only_run()
    assert curve(recorded, run, "valid_0-binary_logloss")[0] == [0, 1, 2]
    assert curve(recorded, run, "valid_0-binary_logloss_2")[0] == [0, 1, 2, 3]
    assert {run.data.param_values[key] for key in ("num_boost_round", "Booster_2.num_boost_round")} == {3, 4}
    assert len(run.outputs.model_outputs) == 2
    artifact(recorded, run, "figures/feature_importance_gain_2.json")


def test_the_best_model_of_a_run_alone(recorded):
    """With log_models="best" the model with the best score on the first valid set stays, up or down."""
    autotrack.lightgbm.autolog(log_models="best")
    train, valid = datasets()
    with autotrack.start_run():
        for rounds in (2, 30, 4):
            lgb.train(BINARY, train, rounds, [valid], callbacks=[lgb.early_stopping(50, verbose=False)])
    run = recorded.only_run()
    assert len(run.outputs.model_outputs) == 1
    assert autotrack.lightgbm.load_model(f"runs:/{run.info.run_id}/model").num_trees() == 30


@pytest.mark.parametrize("stops", [False, True])
def test_a_cross_validation_is_one_run_with_a_trial_for_each_fold(recorded, stops):
    """Curves of mean and deviation are what `cv` gives back; a trial has a fold's scores at the end and its best."""
    callbacks = [lgb.early_stopping(3, verbose=False)] if stops else None
    data = lgb.Dataset(X, label=Y)
    result = lgb.cv(
        {**BINARY, "metric": "auc"}, data, 40, nfold=3, callbacks=callbacks, eval_train_metric=True,
        return_cvbooster=True,
    )  # fmt: skip
    run = recorded.only_run()
    assert (run.info.status, run.info.degraded, run.info.run_name) == ("FINISHED", "", "lightgbm.cv")
    rounds = len(result["valid auc-mean"])
    for key in ("valid auc-mean", "valid auc-stdv", "train auc-mean"):
        steps, values = curve(recorded, run, key.replace(" ", "-"))
        assert values[:rounds] == result[key]
        assert len(steps) == (rounds + 3 if stops else rounds)
    trials = recorded.client.get_trials(run.info.run_id)
    assert [trial.number for trial in trials] == [0, 1, 2]
    finals = [trial.scores["valid-auc"][0] for trial in trials]
    assert np.mean(finals) == pytest.approx(result["valid auc-mean"][-1])
    assert np.std(finals) == pytest.approx(result["valid auc-stdv"][-1])
    assert [trial.mean for trial in trials] == finals
    assert all(trial.scores["best_valid-auc"][0] >= final for trial, final in zip(trials, finals, strict=True))
    assert run.data.tags["stopped_early"] == str(stops).lower()
    assert run.data.metrics.get("best_iteration") == (rounds if stops else None)
    assert run.data.param_values["nfold"] == 3
    assert [one.dataset.name for one in run.inputs.dataset_inputs] == ["X"]
    assert result["cvbooster"].best_iteration == (rounds if stops else -1)


def valid_arguments():
    """The valid set of an estimator's `fit`, as this version of LightGBM wants it."""
    return {"eval_X": (X_VALID,), "eval_y": (Y_VALID,)} if NEW else {"eval_set": [(X_VALID, Y_VALID)]}


def test_an_estimators_fit_is_one_run_with_curves(recorded):
    """Curves, importances and the valid set join scikit-learn's run; the model is one of LightGBM's."""
    model = lgb.LGBMClassifier(n_estimators=200, n_jobs=1, verbose=-1)
    model.fit(X_TRAIN, Y_TRAIN, callbacks=[lgb.early_stopping(3, verbose=False)], **valid_arguments())
    run = recorded.only_run()
    assert (run.info.run_name, run.info.degraded) == ("LGBMClassifier", "")
    values = model.evals_result_["valid_0"]["binary_logloss"]
    assert curve(recorded, run, "valid_0-binary_logloss") == (list(range(len(values))), values)
    assert run.data.metrics["best_iteration"] == model.best_iteration_
    assert run.data.tags["stopped_early"] == "true"
    assert "training_accuracy_score" in run.data.metrics
    assert {one.dataset.name for one in run.inputs.dataset_inputs} == {"X_TRAIN", "valid_0"}
    figure = artifact(recorded, run, "figures/feature_importance_gain.json")
    assert figure["importances"] == model.booster_.feature_importance("gain").tolist()
    assert len(run.outputs.model_outputs) == 1
    info = description(f"runs:/{run.info.run_id}/model")
    assert set(info.flavors) == {"lightgbm", "python_function"}
    assert info.signature is not None
    loaded = autotrack.load_model(f"runs:/{run.info.run_id}/model")
    assert (loaded.predict_proba(X_VALID) == model.predict_proba(X_VALID)).all()


def test_rankers_regressors_and_pipelines(recorded):
    """A ranker's metrics at several places, and the curve of an estimator at a pipeline's end; one run each."""
    groups = [100, 100, 100, 142]
    ranks = (YD / 100).astype(int)
    valid = {"eval_X": (XD,), "eval_y": (ranks,)} if NEW else {"eval_set": [(XD, ranks)]}
    ranker = lgb.LGBMRanker(n_estimators=4, n_jobs=1, verbose=-1)
    ranker.fit(XD, ranks, group=groups, eval_group=[groups], eval_at=[1, 3], **valid)
    run = recorded.only_run()
    assert (
        len(
            curve(recorded, run, "training-ndcg_at_3" if "training" in ranker.evals_result_ else "valid_0-ndcg_at_3")[0]
        )
        == 4
    )
    pipeline = make_pipeline(StandardScaler(), lgb.LGBMRegressor(n_estimators=4, n_jobs=1, verbose=-1))
    valid = {"eval_X": (XD,), "eval_y": (YD,)} if NEW else {"eval_set": [(XD, YD)]}
    pipeline.fit(XD, YD, **{f"lgbmregressor__{key}": value for key, value in valid.items()})
    run = recorded.client.search_runs(order_by=["attributes.start_time DESC"])[0]
    assert run.info.run_name == "Pipeline"
    assert curve(recorded, run, "valid_0-l2")[1] == pipeline[-1].evals_result_["valid_0"]["l2"]
    info = description(f"runs:/{run.info.run_id}/model")
    assert set(info.flavors) == {"sklearn", "python_function"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_search_has_the_curve_of_its_last_fit_alone(recorded, jobs):
    """Candidates leave no curves; the fit on all data, at the end, does."""
    search = GridSearchCV(
        lgb.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1), {"num_leaves": [3, 7]}, cv=2, n_jobs=jobs
    )
    search.fit(X_TRAIN, Y_TRAIN, **valid_arguments())
    run = recorded.only_run()
    values = search.best_estimator_.evals_result_["valid_0"]["binary_logloss"]
    assert curve(recorded, run, "valid_0-binary_logloss") == (list(range(5)), values)
    assert len(recorded.client.get_trials(run.info.run_id)) == 2


def test_ensembles_and_folds_leave_no_curves(recorded):
    """Members of an ensemble, and folds of scikit-learn's cross-validation, add nothing to their run."""
    model = lgb.LGBMRegressor(n_estimators=3, n_jobs=1, verbose=-1)
    MultiOutputRegressor(model).fit(XD, np.column_stack([YD, -YD]))
    cross_val_score(model, XD, YD, cv=2)
    Ridge().fit(XD, YD)
    runs = recorded.client.search_runs()
    assert len(runs) == 3
    for run in runs:
        assert not [path for path in recorded.client.list_artifacts(run.info.run_id, "figures") if "split" in path.path]


def test_lightgbm_alone(autotrack_store):
    """With LightGBM's integration alone, an estimator's training is a run of LightGBM's."""
    autotrack.sklearn.autolog(disable=True)
    autotrack.lightgbm.autolog()
    lgb.LGBMRegressor(n_estimators=3, n_jobs=1, verbose=-1).fit(XD, YD)
    run = autotrack_store.only_run()
    assert run.info.run_name == "lightgbm.train"
    autotrack.lightgbm.autolog(disable=True)
    lgb.train(QUIET, lgb.Dataset(XD, label=YD), 2)
    assert len(autotrack_store.client.search_runs()) == 1
