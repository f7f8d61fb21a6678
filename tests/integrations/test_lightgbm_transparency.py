"""LightGBM is not harmed: same models, same callbacks, same random streams, with autotrack on or off."""

from __future__ import annotations

import copy
import ctypes
import gc
import inspect
import pickle
import random
import weakref

import lightgbm as lgb
import numpy as np
import pytest
from sklearn.datasets import load_diabetes

import autotrack
from autotrack import testing

X, Y = load_diabetes(return_X_y=True)
PARAMS = {
    "verbose": -1,
    "num_threads": 1,
    "seed": 5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "metric": ["l1", "l2"],
}


class Witness:
    """A callback that keeps what it sees."""

    def __init__(self, before=False):
        self.before_iteration = before
        self.seen = []

    def __call__(self, env):
        results = [tuple(result) for result in env.evaluation_result_list or ()]
        self.seen.append((env.iteration, env.begin_iteration, env.end_iteration, results, dict(env.params)))


def trained(call):
    """All that a program can see of a training: its model, what callbacks saw, its own objects, random streams."""
    random.seed(1)
    np.random.seed(1)
    callbacks = [Witness(), Witness(before=True), lgb.reset_parameter(learning_rate=lambda n: 0.2 * 0.9**n)]
    callbacks.append(lgb.early_stopping(3, verbose=False))
    params, given = copy.deepcopy(PARAMS), list(callbacks)
    train = lgb.Dataset(X[:300], label=Y[:300])
    valid_sets = [lgb.Dataset(X[300:], label=Y[300:], reference=train), train]
    kept = list(valid_sets)
    found = call(params, train, valid_sets, callbacks)
    unchanged = params == PARAMS and callbacks == given and valid_sets == kept
    witnessed = [one.seen for one in callbacks[:2]], [getattr(one, "order", None) for one in callbacks]
    return found, unchanged, witnessed, random.getstate(), pickle.dumps(np.random.get_state()), sorted(vars(train))


def by_keyword(params, train, valid_sets, callbacks):
    """The usual call."""
    booster = lgb.train(params, train, 50, valid_sets=valid_sets, callbacks=callbacks)
    return booster.model_to_string(), booster.best_iteration, booster.best_score, sorted(vars(booster))


def crossed(params, train, valid_sets, callbacks):
    """A cross-validation."""
    result = lgb.cv(params, train, 30, nfold=3, stratified=False, callbacks=callbacks, return_cvbooster=True)
    boosters = result.pop("cvbooster")
    return result, boosters.model_to_string(), boosters.best_iteration


def fitted(params, train, valid_sets, callbacks):
    """An estimator."""
    model = lgb.LGBMRegressor(n_estimators=20, n_jobs=1, subsample=0.7, subsample_freq=1, verbose=-1, random_state=5)
    valid = (
        {"eval_X": (X[300:],), "eval_y": (Y[300:],)} if lgb.__version__ >= "4.7" else {"eval_set": [(X[300:], Y[300:])]}
    )
    model.fit(X[:300], Y[:300], callbacks=callbacks, **valid)
    return model.booster_.model_to_string(), model.evals_result_, sorted(vars(model)), pickle.dumps(model)


@pytest.mark.parametrize("call", [by_keyword, crossed, fitted], ids=lambda call: call.__name__)
def test_a_training_is_the_same_with_and_without_autotrack(call):
    """Equal models, scores, callbacks' views and orders, objects of the program's and random streams."""
    plain = trained(call)
    with testing.temporary_store():
        autotrack.autolog()
        recorded = trained(call)
        autotrack.flush()
    assert recorded == plain
    assert plain[1]


def test_positions_of_arguments(recorded):
    """Valid sets and callbacks that are given by position are seen, and go through as they came."""
    names = list(inspect.signature(lgb.train).parameters)
    data, witness = lgb.Dataset(X, label=Y), Witness()
    values = {"params": PARAMS, "train_set": data, "num_boost_round": 3, "valid_sets": [data], "valid_names": ["own"]}
    defaults = {
        "keep_training_booster": False,
        "callbacks": [witness],
        "feature_name": "auto",
        "categorical_feature": "auto",
    }
    lgb.train(*({**defaults, **values}.get(name) for name in names))
    assert len(witness.seen) == 3
    assert recorded.only_run().data.metrics["own-l2"] == witness.seen[-1][3][1][2]


def test_what_a_program_lets_go_of_is_gone(recorded):
    """Neither datasets, boosters nor callbacks are kept alive."""
    train, witness = lgb.Dataset(X, label=Y), Witness()
    booster = lgb.train(PARAMS, train, 3, [train], callbacks=[witness])
    autotrack.flush()
    references = [weakref.ref(one) for one in (train, booster, witness)]
    del train, booster, witness
    gc.collect()
    assert [reference() for reference in references] == [None] * 3


def test_everything_is_taken_back(recorded):
    """Without autotrack the functions are LightGBM's own again, and what it patched is pickled as before."""
    assert pickle.loads(pickle.dumps(lgb.train)) is not None
    autotrack.disable()
    assert lgb.train is lgb.engine.train
    assert lgb.sklearn.train is lgb.engine.train
    assert vars(lgb.Dataset)["construct"].__module__ == "lightgbm.basic"


def threads():
    """The number of threads that LightGBM uses in this process unless told another: -1 for all."""
    return ctypes.c_int.in_dll(lgb.basic._LIB, "LGBM_DEFAULT_NUM_THREADS").value


@pytest.mark.skipif(not hasattr(lgb.basic._LIB, "LGBM_SetMaxThreads"), reason="older ones ask OpenMP alone")
def test_metrics_behind_leave_the_number_of_threads_alone(recorded):
    """What is predicted for training metrics is not predicted by LightGBM, which would set it for a training that goes
    on as well.
    """
    booster = lgb.train({**PARAMS, "num_threads": 2}, lgb.Dataset(X, label=Y), 3, keep_training_booster=True)
    assert threads() == 2
    models = [lgb.LGBMRegressor(n_estimators=3, n_jobs=2, verbose=-1).fit(X, Y)]
    models.append(lgb.LGBMClassifier(n_estimators=3, n_jobs=2, verbose=-1).fit(X, Y > 100))
    autotrack.flush()
    assert threads() == 2
    booster.update()
    regressed, classified = recorded.client.search_runs(order_by=["attributes.start_time"])[1:]
    assert regressed.data.metrics["training_r2_score"] == pytest.approx(models[0].score(X, Y))
    assert classified.data.metrics["training_accuracy_score"] == models[1].score(X, Y > 100)
