"""Weaknesses that were measured in MLflow 3.17's autologging, W1 to W17, each shown not to be autotrack's."""

from __future__ import annotations

import gc
import json
import logging
import os
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn.metrics
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB

import autotrack
from autotrack import Client, config
from autotrack.tracking import posthoc, recorders

X, Y = load_iris(return_X_y=True)
PARAMS = {"objective": "binary", "verbose": -1, "num_leaves": 3, "num_threads": 1, "min_data_in_leaf": 1}

Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def recorded(autotrack_store: Any) -> Any:
    """A fresh store, with automatic recording on."""
    autotrack.autolog()
    return autotrack_store


def rows(count: int = 60) -> tuple[Any, Any]:
    """Data for a booster: two columns, two classes."""
    data = np.random.RandomState(0).rand(count, 2)
    return data, (data[:, 0] > 0.5).astype(int)


def names(store: Any) -> list[str]:
    """Names of all runs."""
    return [run.info.run_name for run in store.runs()]


IN_WORKERS = """
    import multiprocessing, sys, warnings
    import autotrack
    from joblib import Parallel, delayed
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    warnings.simplefilter("ignore")
    X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]

    def fit(c):
        return float(LogisticRegression(C=c).fit(X, y).coef_[0, 0])

    autotrack.autolog(log_models=False)
    before = [fit(1.0) for _ in range(5)]
    with autotrack.start_run(run_name="parent"):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            forked = pool.map_async(fit, [1.0] * 4).get(60)
        with Parallel(n_jobs=2, backend="loky") as parallel:
            loky = parallel(delayed(fit)(1.0) for _ in range(4))
        GaussianNB().fit(X, y)
    assert before[:4] == forked == loky
    autotrack.flush()
"""


def test_w1_fits_in_forked_and_spawned_workers_return_and_litter_no_runs(run_python: Python, tmp_path: Path) -> None:
    """After five fits of the parent the fits of a forked pool, and of loky's, come back with the same result; they
    open no runs of their own, and are fits of the parent's run."""
    run_python(IN_WORKERS, env={"AUTOTRACK_TRACKING_URI": str(tmp_path / "s")})
    found = Client(str(tmp_path / "s")).search_runs()
    assert [run.info.status for run in found] == ["FINISHED"] * 6
    assert sorted(run.info.run_name for run in found) == ["LogisticRegression"] * 5 + ["parent"]
    (parent,) = (run for run in found if run.info.run_name == "parent")
    assert len(Client(str(tmp_path / "s")).get_fits(parent.info.run_id)) == 4 + 4 + 1


def test_w2_every_fit_of_every_thread_is_a_whole_run(autotrack_store: Any) -> None:
    """Twelve fits in four threads are twelve runs, each with its own parameters and metrics; so are twelve runs that
    the threads open themselves, and joblib's threads."""
    from joblib import Parallel, delayed

    def fit(number: int) -> None:
        GaussianNB(var_smoothing=number).fit(X, Y)

    autotrack.autolog(log_models=False)

    def explicit(number: int) -> None:
        with autotrack.start_run(run_name=f"by hand {number}"):
            fit(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fit, range(1, 13)))
        list(pool.map(explicit, range(13, 25)))
    Parallel(n_jobs=2, backend="threading")(delayed(fit)(number) for number in range(25, 29))
    runs = autotrack_store.runs()
    assert sorted(float(run.data.params["var_smoothing"]) for run in runs) == [float(number) for number in range(1, 29)]
    assert all("training_accuracy_score" in run.data.metrics for run in runs)
    assert all(
        run.info.run_name == f"by hand {run.data.params['var_smoothing']}"
        for run in runs
        if "hand" in run.info.run_name
    )


def test_w2_a_fit_beside_a_cross_validation_is_not_swallowed(recorded: Any) -> None:
    """While one thread is in the middle of a cross-validation, another's fit is a run all the same."""
    inside, fitted = threading.Event(), threading.Event()

    class Waiting(ClassifierMixin, BaseEstimator):
        def fit(self, X: Any, y: Any) -> Any:
            inside.set()
            fitted.wait(60)
            self.classes_ = [0, 1, 2]
            return self

        def predict(self, X: Any) -> Any:
            return np.zeros(len(X), int)

    thread = threading.Thread(target=cross_val_score, args=(Waiting(), X, Y), kwargs={"cv": 2})
    thread.start()
    assert inside.wait(60)
    GaussianNB().fit(X, Y)
    fitted.set()
    thread.join()
    assert sorted(names(recorded)) == ["GaussianNB", "cross_val_score Waiting"]


def test_w3_a_store_that_is_locked_all_through_a_training_holds_up_no_iteration(recorded: Any) -> None:
    """Another program holds the database until the training is over: 50 iterations of a booster and a fit come to
    their end before it lets go, and all of it is in the store afterwards."""
    autotrack.create_experiment("made so that the database is there")
    other = sqlite3.connect(recorded.path / "autotrack.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    data, target = rows()
    train = lgb.Dataset(data, target)
    lgb.train(PARAMS, train, 50, valid_sets=[lgb.Dataset(data, target, reference=train)], valid_names=["va"])
    GaussianNB().fit(X, Y)
    other.execute("ROLLBACK")
    other.close()
    runs = {run.info.run_name: run for run in recorded.runs()}
    assert set(runs) == {"lightgbm.train", "GaussianNB"}
    history = recorded.client.get_metric_history(runs["lightgbm.train"].info.run_id, "va-binary_logloss")
    assert len(history) == 50
    assert {run.info.degraded for run in runs.values()} == {""}


def test_w3_a_server_that_is_not_there_costs_one_warning_and_loses_nothing(run_python: Python, tmp_path: Path) -> None:
    """Nothing listens: the fits go on, one line is said however many there are, and the journal has every event."""
    code = """
    import autotrack
    from sklearn.naive_bayes import GaussianNB
    autotrack.autolog(log_models=False)
    for _ in range(20):
        GaussianNB().fit([[0.0], [1.0]], [0, 1])
    """
    place = {"AUTOTRACK_TRACKING_URI": "postgresql://me@127.0.0.1:1/x", "AUTOTRACK_DRAIN_SECONDS": "10"}
    done = run_python(code, env=place)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) <= 2
    (journal,) = tmp_path.glob(".autotrack/journal/*/*.jsonl")
    kinds = [json.loads(line)["t"] for line in journal.read_text().splitlines()]
    assert kinds.count("run") == kinds.count("end") == 20


def test_w4_the_programs_list_of_callbacks_stays_as_it_is(recorded: Any) -> None:
    """Two trainings share a list of callbacks: it has the length that it had, and the first run's curve is not written
    on by the second."""
    data, target = rows()
    seen: list[int] = []
    callbacks = [lambda env: seen.append(env.iteration)]
    train = lgb.Dataset(data, target, free_raw_data=False)
    options: Any = {"valid_sets": [train], "valid_names": ["tr"], "callbacks": callbacks}
    lgb.train(PARAMS, train, 4, **options)
    first = recorded.only_run().info.run_id
    before = recorded.client.get_metric_history(first, "tr-binary_logloss")
    lgb.train(PARAMS, train, 6, **options)
    assert len(callbacks) == 1
    assert seen == [*range(4), *range(6)]
    assert recorded.client.get_metric_history(first, "tr-binary_logloss") == before
    assert len(before) == 4


def test_w5_a_sparse_matrix_is_not_made_dense_and_big_data_is_not_copied(
    autotrack_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A matrix that would take 480 MB dense, and an array of 40 MB of which 1 MB may be sampled, cost a few MB."""
    monkeypatch.setenv("AUTOTRACK_MAX_SAMPLE_SIZE", str(1_000_000))
    config.reload()
    sparse = scipy.sparse.random(2_000, 30_000, density=1e-4, format="csr", random_state=0)
    dense = np.zeros((500_000, 10))
    autotrack.autolog(log_models=False)
    DummyClassifier().fit(X, Y)
    autotrack.flush()  # what is loaded at the first time is no copy
    for data in (sparse, dense):
        target = np.arange(data.shape[0]) % 2
        tracemalloc.start()
        DummyClassifier().fit(data, target)
        autotrack.flush()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 25e6
    assert [run.info.status for run in autotrack_store.runs()] == ["FINISHED"] * 3


def test_w5_to_predict_writes_nothing(recorded: Any) -> None:
    """A thousand predictions of a recorded model add not one byte to the journal."""
    model = GaussianNB().fit(X, Y)
    autotrack.flush()
    journal = sum(path.stat().st_size for path in recorded.path.rglob("*.jsonl"))
    for _ in range(1000):
        model.predict(X)
    autotrack.flush()
    assert sum(path.stat().st_size for path in recorded.path.rglob("*.jsonl")) == journal > 0


def test_w5_nothing_is_kept_of_a_fit_once_its_model_is_gone(autotrack_store: Any) -> None:
    """Cycles of fit, predict and metric leave no entry in any map of autotrack's."""
    autotrack.autolog(log_models=False)

    def cycle() -> None:
        model = GaussianNB().fit(X, Y)
        accuracy_score(Y, model.predict(X))

    sizes = []
    for _ in range(3):
        for _ in range(3):
            cycle()
        autotrack.flush()
        gc.collect()
        links = posthoc.links
        kept = len(links._models), len(links._predictions), len(links._counts)
        sizes.append((*kept, len(recorders.current().runs)))
    assert sizes[0] == sizes[1] == sizes[2]
    assert sum(sizes[0]) <= 1  # the last run, which `last_active_run()` gives


WATCHED = """
    import json, logging, os, random, sys, warnings
    seen = {"started": []}
    sys.addaudithook(lambda name, args: seen["started"].append(str(args[0])) if name == "subprocess.Popen" else None)
    before = logging.root.level, list(logging.root.handlers), list(warnings.filters), warnings.showwarning
    import autotrack, autotrack.sklearn, autotrack.lightgbm, autotrack.pytorch, autotrack.lightning
    autotrack.autolog()
    after = logging.root.level, list(logging.root.handlers), list(warnings.filters), warnings.showwarning
    seen["frameworks"] = [name for name in ("sklearn", "torch", "lightning", "lightgbm") if name in sys.modules]
    import lightgbm
    from sklearn.linear_model import LogisticRegression
    seen["sklearn"] = [name for name in ("cluster", "ensemble", "manifold") if "sklearn." + name in sys.modules]
    import numpy
    X, y = numpy.array([[0.0], [1.0], [2.0], [3.0]]), numpy.array([0, 0, 1, 1])
    LogisticRegression().fit(X, y)
    autotrack.flush()
    seen["started"].clear()
    for number in range(2):
        LogisticRegression(C=number + 1.0).fit(X, y)
    lightgbm.train({"verbose": -1, "min_data_in_leaf": 1, "num_threads": 1}, lightgbm.Dataset(X, y), 2)
    autotrack.flush()
    at_end = logging.root.level, list(logging.root.handlers), warnings.showwarning
    seen["same"] = before == after, at_end == (before[0], before[1], before[3])
    with open("seen.json", "w") as file:
        json.dump(seen, file)
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a child saw that records under `-W error`, with what it wrote."""
    place = tmp_path_factory.mktemp("watched")
    (place / "watched.py").write_text(textwrap.dedent(WATCHED))
    paths = os.pathsep.join(filter(None, (str(Path(autotrack.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    environ = {**os.environ, "PYTHONPATH": paths, "AUTOTRACK_TRACKING_URI": str(place / "s")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "watched.py"],
        cwd=place,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads((place / "seen.json").read_text())
    return {**seen, "stdout": done.stdout, "stderr": done.stderr, "store": str(place / "s")}


def test_w5_a_fit_starts_no_process_and_imports_no_framework(watched: dict[str, Any]) -> None:
    """To record fits with their models starts no interpreter each time; to switch on imports no framework, nor all of
    scikit-learn once that is imported."""
    assert watched["started"] == []
    assert watched["frameworks"] == []
    assert watched["sklearn"] == []
    models = [run.outputs.model_outputs for run in Client(watched["store"]).search_runs()]
    assert [len(one) for one in models] == [1] * 4


def test_w17_logging_warnings_and_output_of_the_program_are_its_own(watched: dict[str, Any]) -> None:
    """The root logger, the filters and `showwarning` are untouched; with every warning an error nothing fails, and not
    a word is written."""
    assert watched["same"] == [True, True]
    assert (watched["stdout"], watched["stderr"]) == ("", "")
    assert logging.getLogger("autotrack").level == logging.NOTSET


class Ending(ClassifierMixin, BaseEstimator):
    """Its fit ends as it is told."""

    def __init__(self, how: Any = None) -> None:
        self.how = how

    def fit(self, X: Any, y: Any) -> Any:
        raise self.how


@pytest.mark.parametrize(
    ("how", "status"),
    [(SystemExit(3), "FAILED"), (KeyboardInterrupt(), "KILLED"), (ValueError("the reason"), "FAILED")],
)
def test_w6_the_status_says_how_the_fit_ended(recorded: Any, how: BaseException, status: str) -> None:
    """`sys.exit(3)` is no success and Ctrl-C no failure; the exception, its message and the line are kept."""
    with pytest.raises(type(how)) as raised:
        Ending(how).fit(X, Y)
    assert raised.value is how
    info = recorded.only_run().info
    assert info.status == status
    assert info.error.type == type(how).__name__
    assert info.error.message == str(how)
    assert "test_mlflow_weaknesses.py" in info.error.frame


def test_w6_no_point_is_lost_when_a_training_fails(recorded: Any) -> None:
    """The error comes at iteration 30 of 50: all thirty points before it are there."""

    def fail(env: Any) -> None:
        if env.iteration == 30:
            raise ValueError("no more")

    fail.order = 0  # type: ignore[attr-defined]
    fail.before_iteration = True  # type: ignore[attr-defined]
    data, target = rows()
    train = lgb.Dataset(data, target)
    with pytest.raises(ValueError, match="no more"):
        lgb.train(PARAMS, train, 50, valid_sets=[train], valid_names=["tr"], callbacks=[fail])
    run = recorded.only_run()
    assert run.info.status == "FAILED"
    assert len(recorded.client.get_metric_history(run.info.run_id, "tr-binary_logloss")) == 30


def test_w6_sigterm_ends_the_run_as_killed(tmp_path: Path) -> None:
    """A program that the scheduler ends inside a fit leaves no run that seems to run for ever."""
    code = """
import sys, time, autotrack
from sklearn.base import BaseEstimator
class Long(BaseEstimator):
    def fit(self, X, y):
        autotrack.log_metric("before", 1.0); print("inside", flush=True); time.sleep(600)
autotrack.autolog()
with autotrack.start_run(): Long().fit([[0]], [0])
"""
    environ = {**os.environ, "PYTHONPATH": str(Path(autotrack.__file__).parents[1])}
    environ["AUTOTRACK_TRACKING_URI"] = str(tmp_path / "s")
    child = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "inside\n"
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == -signal.SIGTERM
    child.stdout.close()
    (run,) = Client(str(tmp_path / "s")).search_runs()
    assert run.info.status == "KILLED"
    assert run.data.metrics == {"before": 1.0}


def test_w7_trouble_of_our_own_neither_fails_the_run_nor_drops_its_metrics(
    autotrack_store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shield_on: None
) -> None:
    """Files have nowhere to go: the run is FINISHED with all its metrics and parameters, and says what it lacks."""
    (tmp_path / "a file").write_text("where a folder should be")
    monkeypatch.setenv("AUTOTRACK_ARTIFACT_URI", str(tmp_path / "a file" / "below"))
    config.reload()
    autotrack.autolog()
    LogisticRegression(C=2.0, max_iter=500).fit(X, Y)
    run = autotrack_store.only_run()
    assert run.info.status == "FINISHED"
    assert run.data.params["C"] == "2.0"
    assert run.data.metrics["training_accuracy_score"] > 0.9
    assert "model" in run.info.degraded


def test_w8_metric_functions_scorers_and_models_pickle_as_without(recorded: Any) -> None:
    """A patched function pickles by its name, a search with a scorer made of it too; models gain no attribute, and one
    that was pickled and loaded again writes into no run."""
    assert pickle.loads(pickle.dumps(sklearn.metrics.accuracy_score)) is sklearn.metrics.accuracy_score
    scorer = sklearn.metrics.make_scorer(sklearn.metrics.f1_score, average="macro")
    search = GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-8]}, scoring=scorer, cv=2).fit(X, Y)
    copied = pickle.loads(pickle.dumps(search))
    with autotrack.disabled():
        plain = GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-8]}, scoring=scorer, cv=2).fit(X, Y)
    assert vars(search).keys() == vars(plain).keys()
    assert b"autotrack" not in pickle.dumps(search)
    before = recorded.only_run()
    copied.score(X, Y)
    accuracy_score(Y, copied.predict(X))
    assert recorded.only_run() == before


def test_w9_to_switch_one_integration_off_leaves_the_patches_of_another(recorded: Any) -> None:
    """LightGBM's is switched off: metrics after a fit are recorded as before, and a cross-validation is one run."""
    autotrack.lightgbm.autolog(disable=True)
    model = GaussianNB().fit(X, Y)
    accuracy_score(Y, model.predict(X))
    cross_val_score(GaussianNB(), X, Y, cv=5)
    data, target = rows()
    lgb.train(PARAMS, lgb.Dataset(data, target), 2)
    assert sorted(names(recorded)) == ["GaussianNB", "cross_val_score GaussianNB"]
    (fitted,) = (run for run in recorded.runs() if run.info.run_name == "GaussianNB")
    assert fitted.data.metrics["accuracy_score_X"] > 0.9


def test_w10_wrappers_of_other_tools_stay_through_every_switch(recorded: Any) -> None:
    """Another tool wraps `fit` after us: to switch on anew, off, and on again loses not one of its calls."""
    plain = vars(GaussianNB)["fit"]
    seen: list[int] = []

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(len(seen))
        return plain.__get__(self, type(self))(*args, **kwargs)

    GaussianNB.fit = wrapped  # type: ignore[method-assign]
    try:
        for switch in ({}, {"log_models": False}, {"disable": True}, {"disable": False}):
            autotrack.autolog(**switch)
            GaussianNB().fit(X, Y)
        assert vars(GaussianNB)["fit"] is wrapped
    finally:
        GaussianNB.fit = plain  # type: ignore[method-assign]
    assert seen == [0, 1, 2, 3]
    assert len(names(recorded)) == 3


def test_w11_random_numbers_of_the_program_are_those_without(autotrack_store: Any) -> None:
    """After fits, runs with made-up names and models the streams of `random`, numpy and torch go on as without."""

    def drawn() -> tuple[Any, ...]:
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        SGDClassifier(max_iter=5, tol=None).fit(X, Y)
        with autotrack.start_run():
            KMeans(2, n_init=1).fit(X)
        autotrack.flush()
        return random.random(), np.random.rand(), torch.rand(1).item()

    with autotrack.disabled():
        plain = drawn()
    autotrack.autolog()
    assert drawn() == plain


def test_w12_off_means_off_and_options_outlive_a_pause(autotrack_store: Any) -> None:
    """`autolog(disable=True)` beats what was said for one framework; pauses nest, survive an error and keep options."""
    autotrack.sklearn.autolog(log_models=False)
    autotrack.autolog(disable=True)
    GaussianNB().fit(X, Y)
    assert names(autotrack_store) == []
    autotrack.autolog(disable=False)
    autotrack.sklearn.autolog(log_models=False)
    with autotrack.disabled():
        with pytest.raises(ValueError, match="x"), autotrack.disabled():
            raise ValueError("x")
        GaussianNB().fit(X, Y)
    assert names(autotrack_store) == []
    GaussianNB().fit(X, Y)
    assert autotrack_store.only_run().outputs.model_outputs == []


class Own(ClassifierMixin, BaseEstimator):
    """An estimator of the program's."""

    def fit(self, X: Any, y: Any) -> Any:
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X), int)


def test_w13_what_scikit_learn_trains_in_other_ways_is_a_run_too(recorded: Any) -> None:
    """A custom estimator, steps of `partial_fit`, a halving search and a cross-validation by a function that was
    imported before: one run each, and no litter."""
    Own().fit(X, Y)
    steps = SGDClassifier()
    for _ in range(3):
        steps.partial_fit(X, Y, classes=[0, 1, 2])
    HalvingGridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-8, 1e-7]}, cv=2).fit(X, Y)
    cross_val_score(GaussianNB(), X, Y, cv=3)
    assert names(recorded) == ["Own", "SGDClassifier", "HalvingGridSearchCV", "cross_val_score GaussianNB"]
    *_, halving, folds = recorded.runs()
    assert len(recorded.client.get_trials(halving.info.run_id)) >= 3
    assert len(recorded.client.get_trials(folds.info.run_id)) == 3


def test_w13_a_plain_torch_loop_is_one_run_and_two_hundred_scalars_of_tensorboard_too(
    recorded: Any, tmp_path: Path
) -> None:
    """A loop without a line of any tracker has its loss and optimizer; its 200 scalars are 200 points of one run."""
    from tensorboardX import SummaryWriter

    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(200):
            loss = model(torch.ones(4, 2)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("by_hand", 0.5, step)
    del model, optimizer
    run = recorded.only_run()
    assert run.data.params["optimizer"] == "SGD"
    for key in ("loss", "by_hand"):
        assert len(recorded.client.get_metric_history(run.info.run_id, key)) == 200


def test_w13_cross_validation_and_predictions_of_boosters_are_recorded(recorded: Any) -> None:
    """`lightgbm.cv` is a run, and so are metrics of scikit-learn's of what a booster predicted."""
    data, target = rows()
    lgb.cv(PARAMS, lgb.Dataset(data, target), 3, nfold=2)
    booster = lgb.train(PARAMS, lgb.Dataset(data, target), 3)
    accuracy_score(target, booster.predict(data) > 0.5)
    cv, train = recorded.runs()
    assert len(recorded.client.get_trials(cv.info.run_id)) == 2
    assert train.data.metrics["accuracy_score_data"] > 0.5


def test_w14_metrics_find_their_model_and_nothing_else(recorded: Any) -> None:
    """By a function imported before; of slices, thresholds and Series; computed twice it is a curve of two points; the
    agreement of two models is no metric of either, and no name inside of a library becomes a key."""
    first, second = GaussianNB().fit(X, Y), LogisticRegression(max_iter=500).fit(X, Y)
    predicted = first.predict(X)
    accuracy_score(Y[:50], predicted[:50])
    accuracy_score(Y, predicted)
    sklearn.metrics.f1_score(Y, pd.Series(predicted), average="macro")
    sklearn.metrics.balanced_accuracy_score(Y, pd.Series(first.predict(X)))
    sklearn.metrics.recall_score(Y == 0, first.predict_proba(X)[:, 0] > 0.5)
    accuracy_score(predicted, second.predict(X))
    runs = {run.info.run_name: run for run in recorded.runs()}
    found = {key for key in runs["GaussianNB"].data.metrics if not key.startswith("training_")}
    assert found == {"accuracy_score_X", "f1_score_X", "recall_score_X", "balanced_accuracy_score_X"}
    points = recorded.client.get_metric_history(runs["GaussianNB"].info.run_id, "accuracy_score_X")
    assert [point.step for point in points] == [0, 1]
    assert not [key for key in runs["LogisticRegression"].data.metrics if key.endswith("_X")]


def test_w15_two_fits_in_one_run_stay_two(recorded: Any) -> None:
    """What differs is kept under the second one's name, and the run lists both, with a model of each."""
    with autotrack.start_run() as run:
        LogisticRegression(C=0.1, max_iter=500).fit(X, Y)
        LogisticRegression(C=5.0, max_iter=500).fit(X, Y)
    found = recorded.client.get_run(run.info.run_id)
    assert (found.data.params["C"], found.data.params["LogisticRegression_2.C"]) == ("0.1", "5.0")
    fits = recorded.client.get_fits(run.info.run_id)
    assert [fit.number for fit in fits] == [1, 2]
    assert len({model.model_id for model in found.outputs.model_outputs}) == 2
    points = recorded.client.get_metric_history(run.info.run_id, "training_accuracy_score")
    assert [point.step for point in points] == [0, 1]


def test_w16_the_other_ranks_of_a_job_open_no_run(run_python: Python, tmp_path: Path) -> None:
    """Two processes of one job, told apart as launchers do, fit the same: there is one run, that of rank 0."""
    code = """
    import autotrack
    from sklearn.naive_bayes import GaussianNB
    autotrack.autolog(log_models=False)
    GaussianNB().fit([[0.0], [1.0]], [0, 1])
    """
    for rank in ("1", "0"):
        job = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "AUTOTRACK_TRACKING_URI": str(tmp_path / "s")}
        assert run_python(code, env=job).stderr == ""
    (run,) = Client(str(tmp_path / "s")).search_runs()
    assert run.info.run_name == "GaussianNB"
