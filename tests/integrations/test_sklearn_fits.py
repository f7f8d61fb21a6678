"""One run for each outermost fit, whatever kind of estimator it is."""

from __future__ import annotations

import gc
import os
import sys
import threading

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.manifold import TSNE
from sklearn.mixture import GaussianMixture
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import LabelEncoder, OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import check_estimator

import autotrack
from autotrack.tracking import recorders

X, Y = load_iris(return_X_y=True)
XD, YD = load_diabetes(return_X_y=True)


class Nearest(ClassifierMixin, BaseEstimator):
    """An estimator as a user would write it."""

    def __init__(self, k: int = 1) -> None:
        self.k = k

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.centres_ = np.array([X[y == label].mean(axis=0) for label in self.classes_])
        return self

    def predict(self, X):
        distances = ((X[:, None, :] - self.centres_[None]) ** 2).sum(axis=2)
        return self.classes_[distances.argmin(axis=1)]


KINDS = {
    "classifier": LogisticRegression(max_iter=500),
    "tree": DecisionTreeClassifier(),
    "forest": RandomForestClassifier(5, random_state=0),
    "svc": SVC(),
    "naive Bayes": GaussianNB(),
    "neighbours": KNeighborsClassifier(),
    "boosting": AdaBoostClassifier(n_estimators=3),
    "pipeline": make_pipeline(StandardScaler(), PCA(2), LogisticRegression()),
    "pipeline with union": make_pipeline(FeatureUnion([("a", PCA(1)), ("b", SelectKBest(k=2))]), GaussianNB()),
    "voting": VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression(max_iter=500))]),
    "stacking": StackingClassifier([("a", GaussianNB())], LogisticRegression(max_iter=500), cv=2),
    "bagging": BaggingClassifier(GaussianNB(), 3),
    "one vs rest": OneVsRestClassifier(LinearSVC()),
    "calibration": CalibratedClassifierCV(LinearSVC(), cv=2),
    "self training": SelfTrainingClassifier(GaussianNB()),
    "clusterer": KMeans(3, n_init=1, random_state=0),
    "outlier detector": IsolationForest(n_estimators=5, random_state=0),
    "mixture": GaussianMixture(2, random_state=0),
    "user-written": Nearest(),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_estimator_makes_one_run(recorded, name):
    """An outermost fit of any kind of estimator makes exactly one finished run with parameters, tags and dataset."""
    estimator = clone(KINDS[name])
    estimator.fit(X, Y)
    run = recorded.only_run()
    assert run.info.status == "FINISHED"
    assert run.info.degraded == ""
    assert run.info.run_name == type(estimator).__name__
    assert set(run.data.params) == {str(key) for key in estimator.get_params(deep=True)}
    assert run.data.tags["estimator_name"] == type(estimator).__name__
    assert run.data.tags["estimator_class"] == f"{type(estimator).__module__}.{type(estimator).__qualname__}"
    assert [one.dataset.name for one in run.inputs.dataset_inputs] == ["X"]
    assert len(run.outputs.model_outputs) == 1


@pytest.mark.parametrize(
    "estimator",
    [
        Ridge(),
        HistGradientBoostingRegressor(max_iter=5),
        VotingRegressor([("a", Ridge()), ("b", LinearRegression())]),
        TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.exp),
        make_pipeline(StandardScaler(), Ridge()),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_each_kind_of_regressor_makes_one_run(recorded, estimator):
    """An outermost fit of any kind of regressor makes exactly one run, with a regressor's training metrics."""
    clone(estimator).fit(XD, YD)
    run = recorded.only_run()
    assert run.info.status == "FINISHED"
    assert {
        "training_mean_squared_error",
        "training_mean_absolute_error",
        "training_r2_score",
        "training_root_mean_squared_error",
        "training_score",
    } <= set(run.data.metrics)


def test_several_targets_are_recorded(recorded):
    """A regressor of several targets is one run."""
    MultiOutputRegressor(Ridge()).fit(XD, np.column_stack([YD, -YD]))
    assert recorded.only_run().data.metrics["training_r2_score"] > 0


def test_fit_predict_and_fit_transform_are_fits(recorded):
    """`fit_predict` of a clusterer and `fit_transform` of an embedding make one run each, named after the method."""
    DBSCAN().fit_predict(X)
    TSNE(2, perplexity=5, max_iter=250, init="random", random_state=0).fit_transform(X[:30])
    runs = recorded.runs()
    assert {run.info.run_name for run in runs} == {"DBSCAN", "TSNE"}
    methods = {fit.method for run in runs for fit in recorded.client.get_fits(run.info.run_id)}
    assert methods == {"fit_predict", "fit_transform"}


@pytest.mark.parametrize(
    "transformer",
    [
        StandardScaler(),
        PCA(2),
        SelectKBest(k=2),
        ColumnTransformer([("scale", StandardScaler(), [0])]),
        make_pipeline(StandardScaler(), PCA(2)),
        FeatureUnion([("a", PCA(1))]),
        Pipeline([("scale", StandardScaler()), ("rest", "passthrough")]),
    ],
    ids=lambda transformer: type(transformer).__name__,
)
def test_a_transformer_alone_opens_no_run_and_is_a_preparation_step(recorded, transformer):
    """A transformer fitted on its own opens no run; it is listed as a preparation step of the runs that follow."""
    clone(transformer).fit_transform(X, Y)
    assert recorded.runs() == []
    GaussianNB().fit(X, Y)
    steps = recorded.client.get_fits(recorded.only_run().info.run_id)
    assert [(step.kind, step.estimator.rpartition(".")[2]) for step in steps] == [
        ("preparation", type(transformer).__name__),
        ("fit", "GaussianNB"),
    ]


def test_encoders_and_vectorizers_open_no_run(recorded):
    """Encoders and vectorizers, whose input is no numeric matrix, open no run either."""
    LabelEncoder().fit(["a", "b"])
    OneHotEncoder().fit([["a"], ["b"]])
    CountVectorizer().fit_transform(["some text", "more text"])
    assert recorded.runs() == []


def test_log_transformers_makes_transformers_runs(autotrack_store):
    """With `log_transformers=True` a transformer's fit is a run like any other."""
    autotrack.autolog(log_transformers=True)
    StandardScaler().fit(X)
    assert autotrack_store.only_run().info.run_name == "StandardScaler"


def test_classes_defined_before_and_after_autolog_both_count(recorded):
    """An estimator class that is defined after `autolog()` is recorded like one that existed before."""

    class Later(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            self.mean_ = y.mean()
            return self

        def predict(self, X):
            return np.full(len(X), self.mean_)

    class LaterStill(Later):
        def fit(self, X, y):
            return super().fit(X, y)

    Nearest().fit(X, Y)
    Later().fit(XD, YD)
    LaterStill().fit(XD, YD)
    assert [run.info.run_name for run in recorded.runs()] == ["Nearest", "Later", "LaterStill"]


def test_a_third_partys_estimator_counts(recorded):
    """An estimator of an installed third-party library is recorded."""
    imblearn_ensemble = pytest.importorskip("imblearn.ensemble")
    imblearn_ensemble.BalancedRandomForestClassifier(5, random_state=0).fit(X, Y)
    run = recorded.only_run()
    assert run.data.tags["estimator_class"].startswith("imblearn.")
    assert run.info.status == "FINISHED"


def test_fits_inside_a_library_open_no_run(recorded):
    """Fits that a library makes on its own behalf are not the program's and open no run."""
    check_estimator(LogisticRegression(), on_skip=None)
    assert recorded.runs() == []


def test_a_user_written_meta_estimator_is_one_run(recorded):
    """Fits that a user-written estimator makes inside its own fit are nested in its run."""

    class Twice(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.scaler_ = StandardScaler().fit(X)
            self.models_ = [GaussianNB().fit(X, y), LogisticRegression(max_iter=500).fit(X, y)]
            self.classes_ = self.models_[0].classes_
            return self

        def predict(self, X):
            return self.models_[0].predict(X)

    Twice().fit(X, Y)
    run = recorded.only_run()
    assert run.info.run_name == "Twice"
    assert len(recorded.client.get_fits(run.info.run_id)) == 1


def test_failed_fit_is_recorded_and_reraised(recorded):
    """A fit that raises gives a FAILED run with the error, and the program sees the very same exception."""
    with pytest.raises(ValueError, match="C") as caught:
        LogisticRegression(C=-1).fit(X, Y)
    assert caught.value.__context__ is None
    run = recorded.only_run()
    assert run.info.status == "FAILED"
    assert run.info.error is not None
    assert run.info.error.type.endswith("InvalidParameterError")
    assert "The 'C' parameter" in run.info.error.message
    assert "autotrack" not in run.info.error.traceback.replace(__file__, "")
    assert "test_failed_fit_is_recorded_and_reraised" in run.info.error.frame
    assert recorded.client.get_fits(run.info.run_id)[0].status == "FAILED"


def test_an_interrupted_fit_is_killed(recorded):
    """Ctrl-C inside a fit gives a KILLED run and goes on to the program."""

    class Interrupted(BaseEstimator):
        def fit(self, X, y=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Interrupted().fit(X)
    assert recorded.only_run().info.status == "KILLED"


def test_fits_inside_an_explicit_run_join_it_and_are_numbered(recorded):
    """Fits inside `start_run()` join that run; the second one's conflicting parameters stand under its own name."""
    with autotrack.start_run(run_name="mine") as active:
        LogisticRegression(C=0.5, max_iter=500).fit(X, Y)
        LogisticRegression(C=2.0, max_iter=500).fit(X, Y)
        Ridge(alpha=3.0).fit(XD, YD)
    run = recorded.only_run()
    assert run.info.run_id == active.info.run_id
    assert run.data.param_values["C"] == 0.5
    assert run.data.param_values["LogisticRegression_2.C"] == 2.0
    assert run.data.param_values["alpha"] == 3.0
    assert [fit.number for fit in recorded.client.get_fits(run.info.run_id)] == [1, 2, 3]
    assert len(run.outputs.model_outputs) == 3
    history = recorded.client.get_metric_history(run.info.run_id, "training_accuracy_score")
    assert [point.step for point in history] == [0, 1]


def test_exclusive_records_nothing_inside_an_explicit_run(autotrack_store):
    """With `exclusive=True` a fit inside `start_run()` adds nothing to that run, and opens none."""
    autotrack.autolog(exclusive=True)
    with autotrack.start_run():
        GaussianNB().fit(X, Y)
    run = autotrack_store.only_run()
    assert run.data.params == {}
    assert run.data.tags == {}


def test_parameters_keep_their_type(recorded):
    """Parameters keep their type beside their text: None is not "None", and numbers compare as numbers."""
    LogisticRegression(C=0.25, class_weight=None, max_iter=500).fit(X, Y)
    run = recorded.only_run()
    assert run.data.param_values["C"] == 0.25
    assert run.data.param_values["class_weight"] is None
    assert run.data.params["class_weight"] == "None"
    assert [found.info.run_id for found in recorded.client.search_runs(filter_string="params.C < 0.3")] == [
        run.info.run_id
    ]


def test_concurrent_fits_in_threads_are_runs_of_their_own(recorded):
    """Twelve fits in four threads are twelve whole runs, without cross-talk."""

    def work(number: int) -> None:
        for index in range(3):
            LogisticRegression(C=float(number * 10 + index + 1), max_iter=200).fit(X, Y)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = recorded.runs()
    assert len(runs) == 12
    assert len({run.data.param_values["C"] for run in runs}) == 12
    assert all(run.info.status == "FINISHED" and run.data.metrics["training_score"] > 0.9 for run in runs)


def test_threads_started_inside_an_explicit_run_join_it(recorded):
    """Fits in threads and thread pools that were started under an explicit run join that run."""
    from concurrent.futures import ThreadPoolExecutor

    with autotrack.start_run():
        thread = threading.Thread(target=lambda: GaussianNB().fit(X, Y))
        thread.start()
        thread.join()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: GaussianNB().fit(X, Y), range(2)))
    run = recorded.only_run()
    assert len(recorded.client.get_fits(run.info.run_id)) == 3


def test_an_estimator_that_fits_itself_is_one_event(recorded):
    """A recursive fit is one run with one fit."""

    class Recursive(BaseEstimator):
        def __init__(self, depth: int = 3) -> None:
            self.depth = depth

        def fit(self, X, y=None):
            if self.depth:
                self.depth -= 1
                self.fit(X)
            return self

    Recursive().fit(X)
    assert len(recorded.client.get_fits(recorded.only_run().info.run_id)) == 1


def test_a_configuration_change_during_a_fit_leaves_that_fit_alone(recorded):
    """A fit in flight keeps the configuration that it began with, though autolog is called anew inside it."""

    class Changer(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            autotrack.autolog(extra_tags={"late": "yes"}, log_datasets=False)
            self.mean_ = 0.0
            return self

        def predict(self, X):
            return np.zeros(len(X))

    Changer().fit(XD, YD)
    Ridge().fit(XD, YD)
    first, later = recorded.runs()
    assert first.info.status == "FINISHED"
    assert "late" not in first.data.tags
    assert later.data.tags["late"] == "yes"
    assert later.inputs.dataset_inputs == []


def test_switching_off_during_a_fit_lets_the_call_complete(recorded):
    """`disable()` inside a fit: the call completes, its run is closed, and nothing of the end is recorded."""

    class Switch(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            autotrack.disable()
            self.fitted_ = True
            return self

        def predict(self, X):
            return np.zeros(len(X))

    model = Switch().fit(XD, YD)
    assert model.fitted_
    Ridge().fit(XD, YD)
    run = recorded.only_run()
    assert run.info.status == "FINISHED"
    assert "switched off" in run.info.degraded
    assert run.outputs.model_outputs == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_forked_inside_a_fit_writes_nothing_to_the_parents_run(recorded):
    """A child that is forked in mid-fit and comes back from that fit leaves the parent's run alone."""

    class Forking(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            self.child_ = os.fork()
            self.mean_ = 0.0
            return self

        def predict(self, X):
            return np.zeros(len(X))

    model = Forking().fit(XD, YD)
    if model.child_ == 0:
        os._exit(0)
    _, status = os.waitpid(model.child_, 0)
    assert status == 0
    run = recorded.only_run()
    assert len(recorded.client.get_fits(run.info.run_id)) == 1
    assert list(recorded.client.location.journal_folder.glob("*.jsonl")) == [recorders.current().journal.path]


def test_disabled_records_nothing_inside(recorded):
    """Inside `autotrack.disabled()` nothing is recorded, and after it everything is again."""
    with autotrack.disabled():
        GaussianNB().fit(X, Y)
    assert recorded.runs() == []
    GaussianNB().fit(X, Y)
    assert len(recorded.runs()) == 1


def test_no_reference_to_data_or_model_is_kept(recorded):
    """After a fit and a prediction have been recorded, the model and its data can be collected."""
    import gc
    import weakref

    data = X.copy()
    model = GaussianNB().fit(data, Y)
    model.predict(data)
    references = [weakref.ref(model), weakref.ref(data)]
    autotrack.flush()
    del model, data
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_reference_counts_are_stable_over_many_fits(autotrack_store):
    """A thousand fits on the same data leave its reference count as it was."""
    autotrack.autolog(log_models=False, log_training_metrics="none")
    model = GaussianNB()
    model.fit(X, Y)
    autotrack.flush()
    gc.collect()  # tests before this one may have left cycles that hold X, which go in the midst of the thousand
    before = sys.getrefcount(X), sys.getrefcount(model)
    with autotrack.start_run():
        for _ in range(1_000):
            model.fit(X, Y)
    autotrack.flush()
    assert (sys.getrefcount(X), sys.getrefcount(model)) == before
    assert sorted(len(autotrack_store.client.get_fits(run.info.run_id)) for run in autotrack_store.runs()) == [1, 1_000]
