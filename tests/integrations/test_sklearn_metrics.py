"""Training metrics, figures' data, metrics computed after the fit, and what is read of the data."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import BaggingClassifier, ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import accuracy_score, f1_score, mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

import autotrack
from autotrack.hooks import guard
from autotrack.integrations.sklearn.metrics import evaluate
from autotrack.tracking.fit_data import Sample

X, Y = load_iris(return_X_y=True)
XB, YB = load_breast_cancer(return_X_y=True)
XD, YD = load_diabetes(return_X_y=True)


def artifact(store, run, path):
    """Content of a JSON artifact."""
    with open(store.client.download_artifacts(run.info.run_id, path)) as file:
        return json.load(file)


def test_training_metrics_of_a_classifier_are_mlflows(recorded):
    """A classifier's training metrics have MLflow's names, and the values that scikit-learn computes."""
    model = LogisticRegression(max_iter=500).fit(X, Y)
    found = recorded.only_run().data.metrics
    with autotrack.disabled():
        predictions, proba = model.predict(X), model.predict_proba(X)
        expected = {
            "training_accuracy_score": metrics.accuracy_score(Y, predictions),
            "training_precision_score": metrics.precision_score(Y, predictions, average="weighted"),
            "training_recall_score": metrics.recall_score(Y, predictions, average="weighted"),
            "training_f1_score": metrics.f1_score(Y, predictions, average="weighted"),
            "training_log_loss": metrics.log_loss(Y, proba),
            "training_roc_auc": metrics.roc_auc_score(Y, proba, multi_class="ovo", average="weighted"),
            "training_score": model.score(X, Y),
        }
    assert {key: found[key] for key in expected} == pytest.approx(expected)


def test_training_metrics_of_a_binary_classifier_and_its_figures(recorded):
    """A binary classifier has the area under its ROC curve, and the data of the three figures."""
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(XB, YB)
    run = recorded.only_run()
    with autotrack.disabled():
        area = metrics.roc_auc_score(YB, model.predict_proba(XB)[:, 1])
        matrix = metrics.confusion_matrix(YB, model.predict(XB))
    assert run.data.metrics["training_roc_auc"] == pytest.approx(area)
    assert artifact(recorded, run, "figures/training_confusion_matrix.json")["matrix"] == matrix.tolist()
    curve = artifact(recorded, run, "figures/training_roc_curve.json")
    assert np.trapezoid(curve["tpr"], curve["fpr"]) == pytest.approx(area, abs=0.01)
    assert len(artifact(recorded, run, "figures/training_precision_recall_curve.json")["recall"]) <= 200
    importances = artifact(recorded, run, "figures/training_feature_importances.json")
    assert len(importances["importances"]) == 30


def test_lists_of_several_labels_a_row_have_metrics_and_no_figures(recorded):
    """A target that is a list of lists is one of several outputs, as the array of the same numbers is."""
    labels = [[int(label == 0), int(label == 1)] for label in Y]
    for target in (labels, np.array(labels)):
        ClassifierChain(LogisticRegression(max_iter=500)).fit(X, target)
    runs = recorded.runs()
    assert [run.info.degraded for run in runs] == ["", ""]
    assert runs[0].data.metrics == runs[1].data.metrics
    assert runs[0].data.metrics["training_f1_score"] > 0.5
    assert not [file.path for file in recorded.client.list_artifacts(runs[0].info.run_id) if "figures" in file.path]


def test_sample_weights_count(recorded):
    """Training metrics are weighted where the fit was."""
    weights = np.where(Y == 0, 10.0, 1.0)
    model = GaussianNB().fit(X, Y, sample_weight=weights)
    with autotrack.disabled():
        expected = metrics.accuracy_score(Y, model.predict(X), sample_weight=weights)
    assert recorded.only_run().data.metrics["training_accuracy_score"] == pytest.approx(expected)


class Drawn:
    """What a fitted classifier says of rows that stand for themselves."""

    _estimator_type = "classifier"

    def __init__(self, predictions, proba, classes):
        self.predictions, self.proba, self.classes_ = predictions, proba, classes

    def get_params(self, deep=True):
        return {}

    def predict(self, X):
        return self.predictions

    def predict_proba(self, X):
        return self.proba


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("names", [[0, 1], ["a", "b"], [-1, 1, 7], [True, False], list(range(60))])
def test_what_is_computed_of_one_confusion_matrix_is_what_the_functions_say(seed, names):
    """Labels of any kind, weights, classes that are never predicted or never there."""
    generator = np.random.default_rng(seed)
    classes = np.array(sorted(names))
    rows = int(generator.integers(len(names), 40 + 2 * len(names)))
    target = generator.choice(classes, rows)
    predictions = target if seed == 5 else generator.choice(classes[: max(1, len(classes) - seed % 2)], rows)
    proba = generator.dirichlet(np.ones(len(classes)), rows).round(2 if seed % 3 else 12)
    proba[:, -1] = 1 - proba[:, :-1].sum(axis=1)
    weights = generator.integers(0, 4, rows) / 4 if seed % 4 == 1 else None
    sample = Sample(data=np.zeros((rows, 1)), target=target, weights=weights, rows=rows, total=rows)
    found = evaluate(Drawn(predictions, proba, classes), sample, 10).metrics
    options = {"sample_weight": weights}
    expected = {"training_accuracy_score": metrics.accuracy_score(target, predictions, **options)}
    for name in ("precision", "recall", "f1"):
        score = getattr(metrics, f"{name}_score")
        value = score(target, predictions, average="weighted", zero_division=0, **options)
        expected[f"training_{name}_score"] = value
    if len(classes) == 2 and len(set(target.tolist())) == 2:
        expected["training_roc_auc"] = metrics.roc_auc_score(target, proba[:, 1], **options)
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(7, random_state=0),
        ExtraTreesClassifier(7, random_state=0, class_weight="balanced"),
        BaggingClassifier(GaussianNB(), 5, random_state=0),
        BaggingClassifier(LinearSVC(), 5, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("target", [Y, np.array(["b", "a", "c"])[Y], np.array([True, False, False])[Y]], ids=str)
def test_the_most_probable_class_is_asked_for_once(model, target, monkeypatch):
    """Where `predict` is that of `predict_proba`, it is not computed a second time; the predictions are the same."""
    model.fit(X, target)
    sample = Sample(data=X, target=target, weights=None, rows=len(X), total=len(X))
    found = evaluate(model, sample, 10)
    assert found.probabilities is not None
    assert np.array_equal(found.predictions, model.predict(X))
    monkeypatch.setattr("autotrack.integrations.sklearn.metrics.MOST_PROBABLE", set())
    asked_twice = evaluate(model, sample, 10)
    assert asked_twice.probabilities is None
    assert (found.metrics, found.figures) == (asked_twice.metrics, asked_twice.figures)


def test_other_predictions_are_asked_for():
    """Of several outputs, of other estimators, and where a class of the user's has its own `predict`."""

    class Careful(RandomForestClassifier):
        def predict(self, X):
            return np.zeros(len(X), int)

    several = np.column_stack([Y, Y])
    models = ((RandomForestClassifier(3), several), (LogisticRegression(max_iter=500), Y), (Careful(3), Y))
    for model, target in models:
        model.fit(X, target)
        found = evaluate(model, Sample(data=X, target=target, weights=None, rows=len(X), total=len(X)), 10)
        assert found.probabilities is None
        assert np.array_equal(found.predictions, model.predict(X))


def test_curves_of_iterative_fits_are_recorded(recorded):
    """Loss curves and staged scores that a fit leaves behind become metric curves."""
    network = MLPClassifier((4,), max_iter=5, random_state=0)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        network.fit(X, Y)
    boosting = GradientBoostingClassifier(n_estimators=7, random_state=0).fit(X, Y)
    first, later = recorded.runs()
    history = recorded.client.get_metric_history(first.info.run_id, "loss_curve")
    assert [point.value for point in history] == network.loss_curve_
    history = recorded.client.get_metric_history(later.info.run_id, "train_score")
    assert [point.value for point in history] == list(boosting.train_score_)


class Chatty(ClassifierMixin, BaseEstimator):
    """A user-written classifier whose predict has side effects."""

    calls = 0

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        type(self).calls += 1
        return np.zeros(len(X), dtype=int)


def test_a_user_written_predict_is_not_called(recorded):
    """A user-written `predict` may print or count: it is not called for training metrics."""
    Chatty.calls = 0
    Chatty().fit(X, Y)
    make_pipeline(StandardScaler(), Chatty()).fit(X, Y)
    make_pipeline(FunctionTransformer(lambda data: data), GaussianNB()).fit(X, Y)
    assert all("training_score" not in run.data.metrics for run in recorded.runs())
    assert Chatty.calls == 0


def test_a_user_written_predict_is_called_on_request(autotrack_store):
    """With `log_training_metrics="all"` user-written estimators have training metrics too."""
    autotrack.autolog(log_training_metrics="all")
    Chatty().fit(X, Y)
    assert autotrack_store.only_run().data.metrics["training_accuracy_score"] == pytest.approx(1 / 3)


def test_training_metrics_can_be_switched_off(autotrack_store):
    """With `log_training_metrics="none"` there are none."""
    autotrack.autolog(log_training_metrics="none")
    GaussianNB().fit(X, Y)
    assert not any(key.startswith("training") for key in autotrack_store.only_run().data.metrics)


def test_metrics_of_large_data_come_from_a_sample_and_say_so(autotrack_store, monkeypatch):
    """Beyond the bound on copied bytes the training metrics are of evenly spaced rows, and a tag says of how many."""
    from autotrack import config

    monkeypatch.setenv("AUTOTRACK_MAX_SAMPLE_SIZE", str(64 * 1024))
    config.reload()
    autotrack.autolog()
    data = np.tile(X, (400, 1))
    GaussianNB().fit(data, np.tile(Y, 400))
    run = autotrack_store.only_run()
    rows = int(run.data.tags["autotrack.training_metrics"].split()[1])
    assert rows * 4 * 8 <= 64 * 1024
    assert run.data.metrics["training_accuracy_score"] == pytest.approx(0.96, abs=0.03)
    profile = json.loads(run.inputs.dataset_inputs[0].dataset.profile)
    assert profile["rows"] == 60_000
    assert profile["digest_of_rows"] == rows


def test_a_slow_predict_is_kept_within_its_time_budget(autotrack_store, monkeypatch):
    """A predict that would take longer than the budget for all rows is asked for fewer."""
    from sklearn.neighbors import KNeighborsClassifier

    from autotrack import config

    monkeypatch.setenv("AUTOTRACK_TRAINING_METRICS_SECONDS", "0.01")
    config.reload()
    autotrack.autolog()
    rng = np.random.RandomState(0)
    KNeighborsClassifier(algorithm="brute").fit(rng.rand(20_000, 20), rng.randint(0, 2, 20_000))
    rows = int(autotrack_store.only_run().data.tags["autotrack.training_metrics"].split()[1])
    assert rows < 20_000


def test_sparse_data_stays_sparse(recorded):
    """A huge sparse matrix, which would not fit into memory densely, is recorded with its shape."""
    rng = np.random.RandomState(0)
    places = rng.randint(0, 300_000, 20_000)
    data = scipy.sparse.csr_matrix((np.ones(20_000), places, np.arange(20_001)), shape=(20_000, 300_000))
    SGDClassifier(max_iter=1, tol=None).fit(data, rng.randint(0, 2, 20_000))
    run = recorded.only_run()
    assert run.info.degraded == ""
    profile = json.loads(run.inputs.dataset_inputs[0].dataset.profile)
    assert profile["shape"] == [20_000, 300_000]
    assert profile["stored_values"] == data.nnz
    assert "training_accuracy_score" in run.data.metrics


@pytest.mark.parametrize("layout", ["csr", "csc", "coo"])
def test_every_sparse_layout_is_recorded(recorded, layout):
    """Sparse matrices of each layout are recorded, with a digest."""
    data = scipy.sparse.csr_matrix(X).asformat(layout)
    LogisticRegression(max_iter=500).fit(data, Y)
    run = recorded.only_run()
    assert run.info.degraded == ""
    assert len(run.inputs.dataset_inputs[0].dataset.digest) == 16


@pytest.mark.parametrize(
    "data",
    [
        X,
        X.astype(np.float32),
        np.asfortranarray(X),
        X.tolist(),
        pd.DataFrame(X, columns=list("abcd")),
        pd.DataFrame(X, columns=list("abcd")).assign(a=lambda frame: frame.a.astype("float32")),
        pl.DataFrame({name: X[:, index] for index, name in enumerate("abcd")}),
    ],
    ids=["array", "float32", "fortran", "list", "pandas", "mixed", "polars"],
)
def test_every_container_is_described(recorded, data):
    """Arrays, lists, pandas and polars frames are described by rows, type and digest; frames by their columns."""
    LogisticRegression(max_iter=500).fit(data, Y)
    run = recorded.only_run()
    assert run.info.degraded == ""
    dataset = run.inputs.dataset_inputs[0].dataset
    assert json.loads(dataset.profile)["rows"] == 150
    assert dataset.name == "data"
    if hasattr(data, "columns"):
        assert list(json.loads(dataset.schema)["columns"]) == list("abcd")
    assert run.data.metrics["training_score"] > 0.9


def test_the_digest_tells_data_apart(recorded):
    """Equal data has an equal digest, changed data another."""
    changed = X.copy()
    changed[0, 0] += 1
    for data in (X, X.copy(), changed):
        GaussianNB().fit(data, Y)
    first, second, third = (run.inputs.dataset_inputs[0].dataset.digest for run in recorded.runs())
    assert first == second != third


def test_a_model_that_refuses_to_predict_has_no_training_metrics_and_is_not_degraded(recorded):
    """That scikit-learn fits what it then does not predict is no failure of the recording; the run says so."""
    SVC(break_ties=True, decision_function_shape="ovo").fit(X, Y)
    run = recorded.only_run()
    assert (run.info.status, run.info.degraded) == ("FINISHED", "")
    assert "break_ties must be False" in run.data.tags["autotrack.skipped.training_metrics"]
    assert not [key for key in run.data.metrics if key.startswith("training_")]
    assert len(run.outputs.model_outputs) == 1
    assert guard.health("sklearn").errors == 0


def test_an_own_score_that_refuses_is_left_out_and_says_why(recorded):
    """scikit-learn's `MultiOutputClassifier` takes a list as its target in `fit`, and fails on it in `score`."""
    model = MultiOutputClassifier(LogisticRegression(max_iter=500))
    model.fit(X, [[int(label == 0), int(label == 1)] for label in Y])
    run = recorded.only_run()
    assert run.info.degraded == ""
    assert "training_score" not in run.data.metrics
    assert run.data.metrics["training_f1_score"] > 0.5
    assert "own score fails: AttributeError" in run.data.tags["autotrack.skipped.training_score"]


def test_filters_that_make_errors_of_warnings_make_no_trouble_of_ours(recorded):
    """They are the whole process's: what is computed behind the training may meet them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogisticRegression(max_iter=500).fit(X, Y)
        SVC().fit(X, np.where(Y > 0, "two", "one"))
        DummyClassifier().fit(X[:50], Y[:50])
        autotrack.flush()
    assert [run.info.degraded for run in recorded.runs()] == ["", "", ""]
    assert all("training_accuracy_score" in run.data.metrics for run in recorded.runs())


def test_a_warning_that_was_made_an_error_is_why_there_are_no_metrics(recorded, monkeypatch):
    """And no failure of the integration's."""

    def warn(*args, **kwargs):
        warnings.warn("not like that", FutureWarning, stacklevel=2)

    monkeypatch.setattr("autotrack.integrations.sklearn.metrics._score_labels", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogisticRegression(max_iter=500).fit(X, Y)
        autotrack.flush()
    run = recorded.only_run()
    assert run.info.degraded == ""
    assert "not like that" in run.data.tags["autotrack.skipped.training_metrics"]


def test_a_transformer_that_names_no_features_harms_no_importances(recorded):
    """`get_feature_names_out` of the program's own may give back None."""

    class Nameless(BaseEstimator):
        def fit(self, X, y=None):
            return self

        def transform(self, X):
            return X

        def get_feature_names_out(self, input_features=None):
            return None

    autotrack.autolog(log_training_metrics="all")
    make_pipeline(Nameless(), LogisticRegression(max_iter=500)).fit(X, Y)
    run = recorded.only_run()
    assert run.info.degraded == ""
    assert artifact(recorded, run, "figures/training_feature_importances.json")["features"] == ["x0", "x1", "x2", "x3"]


def test_sparse_coefficients_are_importances_as_dense_ones_are(recorded):
    """scikit-learn's SVC of sparse data has read-only sparse coefficients; nothing is degraded by them."""
    for data in (XB, scipy.sparse.csr_matrix(XB), scipy.sparse.csr_array(XB)):
        SVC(kernel="linear", C=1e-4).fit(data, YB)
    found = [artifact(recorded, run, "figures/training_feature_importances.json") for run in recorded.runs()]
    assert [run.info.degraded for run in recorded.runs()] == ["", "", ""]
    assert found[1]["importances"] == pytest.approx(found[0]["importances"], abs=1e-3)
    assert found[2]["importances"] == pytest.approx(found[0]["importances"], abs=1e-3)


def test_text_data_is_recorded(recorded):
    """A pipeline on texts is recorded like any other."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    texts = ["good film", "bad film", "good book", "bad book"] * 5
    make_pipeline(CountVectorizer(), MultinomialNB()).fit(texts, [1, 0, 1, 0] * 5)
    run = recorded.only_run()
    assert run.info.degraded == ""
    assert run.data.metrics["training_accuracy_score"] == 1.0


def test_metrics_after_the_fit_go_to_their_models_run(recorded):
    """With three models fitted in between, each later metric goes to the run of the model that predicted."""
    X_train, X_test, y_train, y_test = train_test_split(X, Y, random_state=0)
    models = [GaussianNB(), LogisticRegression(max_iter=500), RandomForestClassifier(5, random_state=0)]
    for model in models:
        model.fit(X_train, y_train)
    expected = {}
    for model in models:
        expected[type(model).__name__] = accuracy_score(y_test, model.predict(X_test))
    f1 = f1_score(y_test, models[0].predict(X_test), average="macro")
    score = models[1].score(X_test, y_test)
    runs = {run.info.run_name: run for run in recorded.runs()}
    for name, value in expected.items():
        assert runs[name].data.metrics["accuracy_score_X_test"] == value
    assert runs["GaussianNB"].data.metrics["f1_score_X_test"] == f1
    assert "f1_score_X_test" not in runs["LogisticRegression"].data.metrics
    assert runs["LogisticRegression"].data.metrics["LogisticRegression_score_X_test"] == score
    assert all(run.info.status == "FINISHED" for run in runs.values())


def test_slices_and_views_of_predictions_are_recognised(recorded):
    """Metrics of a slice, a column of probabilities, or a Series over predictions are the model's."""
    model = LogisticRegression(max_iter=5000).fit(XB, YB)
    predictions, proba = model.predict(XB), model.predict_proba(XB)
    accuracy_score(YB[:100], predictions[:100])
    metrics.roc_auc_score(YB, proba[:, 1])
    mean_squared_error(YB, pd.Series(predictions, copy=False))
    found = recorded.only_run().data.metrics
    assert {"accuracy_score_XB", "roc_auc_score_XB", "mean_squared_error_XB"} <= set(found)


def test_two_models_compared_are_no_metric_of_either(recorded):
    """The agreement of two models' predictions is recorded for neither."""
    one, other = GaussianNB().fit(X, Y), LogisticRegression(max_iter=500).fit(X, Y)
    accuracy_score(one.predict(X), other.predict(X))
    assert all("accuracy_score_X" not in run.data.metrics for run in recorded.runs())


def test_predictions_are_the_users_own_arrays(recorded):
    """`predict` gives back what the model made, unwrapped, and writes nothing."""
    model = GaussianNB().fit(X, Y)
    autotrack.flush()
    size = recorded_size()
    result = model.predict(X)
    assert type(result) is np.ndarray
    assert recorded_size() == size


def recorded_size() -> int:
    """Bytes in the process's journal."""
    from autotrack.tracking import recorders

    return recorders.current().journal.size()


def test_the_same_metric_twice_is_one_curve(recorded):
    """A metric that is computed again is another point of the same key."""
    model = GaussianNB().fit(X, Y)
    for _ in range(3):
        accuracy_score(Y, model.predict(X))
    run = recorded.only_run()
    history = recorded.client.get_metric_history(run.info.run_id, "accuracy_score_X")
    assert [point.step for point in history] == [0, 1, 2]


def test_post_training_metrics_can_be_switched_off(autotrack_store):
    """With `log_post_training_metrics=False` they are not recorded."""
    autotrack.autolog(log_post_training_metrics=False)
    model = GaussianNB().fit(X, Y)
    accuracy_score(Y, model.predict(X))
    model.score(X, Y)
    found = autotrack_store.only_run().data.metrics
    assert not any(key.endswith("_X") for key in found)


def test_metrics_of_other_values_are_nobodys(recorded):
    """A metric of values that no recorded model predicted opens no run and is recorded nowhere."""
    assert accuracy_score([1, 0], [1, 1]) == 0.5
    assert recorded.runs() == []


def test_partial_fit_is_one_run_for_one_model(recorded):
    """All `partial_fit` calls on one model are one run, which counts calls and rows and has the last model."""
    model = SGDClassifier(random_state=0)
    for _ in range(5):
        model.partial_fit(X, Y, classes=[0, 1, 2])
    with autotrack.disabled():
        expected = model.predict(X)
    model.predict(X)
    run = recorded.only_run()
    assert run.info.status == "RUNNING"
    assert run.data.metrics["partial_fit_calls"] == 5
    assert run.data.metrics["partial_fit_rows"] == 750
    assert len(run.outputs.model_outputs) == 1
    stored = autotrack.load_model(f"runs:/{run.info.run_id}/model")
    assert (stored.predict(X) == expected).all()
    del model
    assert recorded.only_run().info.status == "FINISHED"


def test_a_failing_partial_fit_fails_its_run(recorded):
    """A `partial_fit` that raises ends the run as FAILED; a later call begins another."""
    model = SGDClassifier(random_state=0)
    model.partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :2], Y)
    assert recorded.only_run().info.status == "FAILED"
    model.partial_fit(X, Y)
    assert len(recorded.runs()) == 2


def test_partial_fit_of_a_transformer_opens_no_run(recorded):
    """A scaler that is fitted step by step is a preparation step, once."""
    scaler = StandardScaler()
    for _ in range(3):
        scaler.partial_fit(X)
    assert recorded.runs() == []
    Ridge().fit(XD, YD)
    kinds = [fit.kind for fit in recorded.client.get_fits(recorded.only_run().info.run_id)]
    assert kinds == ["preparation", "fit"]
