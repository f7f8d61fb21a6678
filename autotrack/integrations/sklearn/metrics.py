"""Training metrics and the data of their figures. Runs behind the training thread, on copies.

Names are MLflow's (`training_accuracy_score`, ...). Everything comes from one pass of predictions over the sample of
the training data, within a time budget: where the whole sample would take longer, rows spread over it are used,
and the result says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from autotrack.integrations.sklearn import estimators, scores
from autotrack.tracking.behind import is_of_import
from autotrack.tracking.fit_data import Sample, bytes_of, rows_of, sample_of

MLFLOW_MARK = "_mlflow_run_id"
"""Attribute by which MLflow's autologging finds the run of a model."""

PROBE_ROWS = 64
"""Rows on which the speed of `predict` is measured first."""

FEW_ROWS = 1_000
"""Rows of a training set so small that predicting it takes no time worth measuring."""

MAX_CURVE_POINTS = 200
"""Points of a ROC or precision-recall curve that are kept."""

MAX_CLASSES = 50
"""Classes up to which a confusion matrix is kept."""


CURVES = ("roc_curve", "precision_recall_curve")
"""Figures of a classifier with two classes."""


MOST_PROBABLE = {
    ("sklearn.ensemble._bagging", "BaggingClassifier.predict"),
    ("sklearn.ensemble._forest", "ForestClassifier.predict"),
}
"""Where `predict` is the most probable class by `predict_proba`, which asks each of many estimators."""


class Evaluation(msgspec.Struct):
    """What was computed of a fitted estimator and its training data."""

    metrics: dict[str, float] = {}
    figures: dict[str, Any] = {}
    """Data of figures by name: `confusion_matrix`, `roc_curve`, `precision_recall_curve`."""
    rows: int = 0
    """Rows that the metrics are of."""
    predictions: Any = None
    """Predictions for the rows of `used`."""
    probabilities: Any = None
    """Probabilities of the classes for these rows, where the predictions were made of them."""
    used: Sample | None = None
    skipped: dict[str, str] = {}
    """What was left out, and why."""


class CannotPredictError(Exception):
    """The model does not predict its own training data; says in words why. Never shown to a user."""


PREDICTING_ERRORS = (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError, AttributeError)
"""What an estimator raises that was fitted and will not predict; RuntimeError has NotImplementedError."""


def evaluate(estimator: Any, sample: Sample, seconds: float) -> Evaluation:
    """Predict the training rows once and score the predictions.

    Args:
        estimator: A fitted copy that nobody else uses.
        sample: Rows of the training data, with target and weights where the fit had them.
        seconds: Time budget.

    Raises:
        CannotPredictError: The estimator refuses, which is no error of autotrack's.
        ModelFormatError: Only its own library could predict.
    """
    single_threaded(estimator)
    _let_go_of_mlflow(estimator)
    used = _within_budget(estimator, sample, seconds)
    predictions, probabilities = _predicted(estimator, used.data)
    result = Evaluation(rows=used.rows, predictions=predictions, probabilities=probabilities, used=used)
    if used.target is None or rows_of(predictions) != used.rows:
        no_target = "the fit was given no target to compare predictions with"
        result.skipped["training_metrics"] = no_target if used.target is None else "predict gave no value for each row"
        return result
    kind = estimators.type_of(estimators.final_of(getattr(estimator, "best_estimator_", estimator)))
    if kind == "classifier":
        _score_classifier(estimator, used, predictions, result)
    elif kind == "regressor":
        _score_regressor(used, predictions, result)
    else:
        result.skipped["training_metrics"] = "the estimator is neither a classifier nor a regressor"
    if result.metrics:
        _own_score(estimator, used, kind, result)
    return result


def _predicted(estimator: Any, data: Any) -> tuple[Any, Any]:
    """Predictions, and the probabilities that they were made of; None where they were made in another way."""
    predict = getattr(type(estimator), "predict", None)
    place = (getattr(predict, "__module__", ""), getattr(predict, "__qualname__", ""))
    if place not in MOST_PROBABLE or getattr(estimator, "n_outputs_", 1) != 1:
        return _asked(estimator.predict, data), None
    probabilities = _asked(estimator.predict_proba, data)
    return estimator.classes_.take(probabilities.argmax(axis=1), axis=0), probabilities


def _asked(method: Callable[..., Any], *data: Any) -> Any:
    """What a method of the estimator's gives.

    Raises:
        CannotPredictError: It refuses.
    """
    try:
        return method(*data)
    except PREDICTING_ERRORS as error:
        if is_of_import(error):
            raise
        raise CannotPredictError(f"{type(error).__name__}: {error}"[:200]) from error


def single_threaded(estimator: Any) -> None:
    """Have a copy predict without starting threads or processes of its own."""
    params = estimator.get_params(deep=True)
    parallel = {
        key: 1 for key, value in params.items() if key.rpartition("__")[2] == "n_jobs" and value not in (None, 1)
    }
    if parallel:
        estimator.set_params(**parallel)
    best = getattr(estimator, "best_estimator_", None)
    if best is not None:
        single_threaded(best)


def _let_go_of_mlflow(estimator: Any) -> None:
    """Have a copy be none of the model that MLflow's autologging recorded, which would get metrics of what we call."""
    for one in (estimator, getattr(estimator, "best_estimator_", None)):
        getattr(one, "__dict__", {}).pop(MLFLOW_MARK, None)


def _within_budget(estimator: Any, sample: Sample, seconds: float) -> Sample:
    """The sample, or so many rows of it that predicting them (about four times) stays within the budget."""
    if sample.rows <= PROBE_ROWS or sample.total <= FEW_ROWS:
        return sample
    probe = _thinned(sample, PROBE_ROWS)
    if probe is None:
        return sample
    begin = time.perf_counter()
    _asked(estimator.predict, probe.data)
    each = (time.perf_counter() - begin) / probe.rows
    affordable = max(PROBE_ROWS, int(seconds / 4 / each)) if each > 0 else sample.rows
    return sample if affordable >= sample.rows else _thinned(sample, affordable) or probe


def _thinned(sample: Sample, rows: int) -> Sample | None:
    bound = max(1, bytes_of(sample.data) * rows // sample.rows)
    thinned = sample_of(sample.data, sample.target, sample.weights, sample.rows, bound)
    return None if thinned is None else msgspec.structs.replace(thinned, total=sample.total)


def _score_classifier(estimator: Any, used: Sample, predictions: Any, result: Evaluation) -> None:
    target, weights = used.target, used.weights
    if _score_plain_labels(estimator, used, predictions, result):
        return
    flat = bool(rows_of(target)) and _is_flat(target) and _is_flat(predictions)
    try:
        labels = _labels_of(target, predictions) if flat else []
        if 1 < len(labels) <= MAX_CLASSES and _have_weight(weights):
            _score_labels(_confusion_matrix(target, predictions, labels, weights), labels, result)
        else:
            _score_many_labels(target, predictions, weights, result)
    except (ValueError, TypeError) as error:
        result.skipped["training_metrics"] = f"they are not defined for this target: {str(error)[:200]}"
        return
    if not flat:
        _skip_figures(result, "the target has several outputs", "confusion_matrix", *CURVES)
        return
    if not 1 < len(labels) <= MAX_CLASSES:
        reason = f"it is kept for 2 to {MAX_CLASSES} classes, and there are {len(labels)}"
        _skip_figures(result, reason, "confusion_matrix")
    _score_probabilities(estimator, used, result)


def _have_weight(weights: Any) -> bool:
    """Whether rows can be counted by their weights."""
    if weights is None:
        return True
    import numpy

    array = numpy.asarray(weights, dtype=float)
    return bool((array >= 0).all() and array.sum() > 0)


def _labels_of(target: Any, predictions: Any) -> list[Any]:
    return sorted({*_as_list(target), *_as_list(predictions)}, key=lambda label: (str(type(label)), label))


def _confusion_matrix(target: Any, predictions: Any, labels: list[Any], weights: Any) -> Any:
    from sklearn import metrics

    return metrics.confusion_matrix(target, predictions, labels=labels, sample_weight=weights)


def _score_plain_labels(estimator: Any, used: Sample, predictions: Any, result: Evaluation) -> bool:
    """The same of labels that numpy alone can compare, which is what most targets are.

    Returns:
        Whether they are such.
    """
    labels = scores.labels_of(used.target, predictions)
    weights = scores.weights_of(used.weights, used.rows)
    if labels is None or weights is None or not 1 < len(labels.classes) <= MAX_CLASSES:
        return False
    _score_labels(scores.confusion_matrix(labels, weights), labels.classes.tolist(), result)
    _score_probabilities(estimator, used, result, labels, weights)
    return True


def _score_labels(matrix: Any, labels: list[Any], result: Evaluation) -> None:
    """The confusion matrix, and what follows from it."""
    result.figures["confusion_matrix"] = {"labels": labels, "matrix": matrix.tolist()}
    right, true, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    total = true.sum()
    for name, of in (("precision", predicted), ("recall", true), ("f1", (true + predicted) / 2)):
        each = right / (of + (of == 0))
        result.metrics[f"training_{name}_score"] = float((each * true).sum() / total)
    result.metrics["training_accuracy_score"] = float(right.sum() / total)


def _score_many_labels(target: Any, predictions: Any, weights: Any, result: Evaluation) -> None:
    """The same where a confusion matrix would be too large, or is none: of one class, of several outputs."""
    from sklearn import metrics

    # The three of them in one pass over the labels.
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        target, predictions, average="weighted", zero_division=0.0, sample_weight=weights
    )
    for name, value in (("precision_score", precision), ("recall_score", recall), ("f1_score", f1)):
        result.metrics[f"training_{name}"] = float(value)
    _put(result, "accuracy_score", metrics.accuracy_score, target, predictions, sample_weight=weights)


def _skip_figures(result: Evaluation, reason: str, *names: str) -> None:
    result.skipped.update(dict.fromkeys(names, reason))


def _is_flat(labels: Any) -> bool:
    """Whether there is one label a row, and no row of labels, be it a list."""
    dimensions = getattr(labels, "ndim", None)
    if dimensions is not None:
        return bool(dimensions == 1)
    return not any(isinstance(label, (list, tuple, set)) or getattr(label, "ndim", 0) for label in labels)


def _put(result: Evaluation, name: str, score: Callable[..., Any], *args: Any, **options: Any) -> None:
    """One metric; one that is not defined for this target is left out."""
    try:
        result.metrics[f"training_{name}"] = float(score(*args, **options))
    except (ValueError, TypeError, ZeroDivisionError):
        return


def _score_probabilities(
    estimator: Any, used: Sample, result: Evaluation, labels: scores.Labels | None = None, weights: Any = None
) -> None:
    from sklearn import metrics

    classes = getattr(estimator, "classes_", None)
    if classes is None or not hasattr(estimator, "predict_proba") or len(classes) < 2:
        _skip_figures(result, "the estimator has no predict_proba for two classes", *CURVES)
        return
    try:
        known = result.probabilities
        proba = _asked(estimator.predict_proba, used.data) if known is None else known
    except CannotPredictError:
        return
    present = set(_as_list(used.target))
    if getattr(proba, "ndim", 0) != 2 or len(present) < 2:
        _skip_figures(result, "the rows at hand are all of one class", *CURVES)
        return
    if len(classes) > 2:
        _skip_figures(result, f"it is drawn for two classes, and there are {len(classes)}", *CURVES)
    if labels is not None and _score_plain_probabilities(labels, weights, classes, proba, result):
        return
    _put(result, "log_loss", metrics.log_loss, used.target, proba, labels=classes, sample_weight=used.weights)
    if len(classes) == 2:
        _curves(used, proba[:, 1], classes[1], result)
    elif len(present) == len(classes):
        _put(
            result,
            "roc_auc",
            metrics.roc_auc_score,
            used.target,
            proba,
            multi_class="ovo",
            average="weighted",
            labels=classes,
        )


def _score_plain_probabilities(
    labels: scores.Labels, weights: Any, classes: Any, proba: Any, result: Evaluation
) -> bool:
    """The same in numpy alone.

    Returns:
        Whether it is for numpy to say.
    """
    import numpy

    positions = scores.positions_in(classes, labels)
    if positions is None or proba.shape != (len(positions), len(classes)) or proba.dtype.kind != "f":
        return False
    loss = scores.log_loss(positions, proba, weights)
    if loss is None or len(numpy.unique(positions[weights > 0])) < 2:
        return False
    result.metrics["training_log_loss"] = loss
    if len(classes) == 2:
        curve = scores.curve_of(positions == 1, proba[:, 1], weights)
        _put_curves(scores.roc_of(curve), scores.precision_recall_of(curve), classes[1], result)
    elif len(set(positions.tolist())) == len(classes):
        result.metrics["training_roc_auc"] = scores.roc_auc_of_pairs(positions, proba)
    return True


def _as_list(values: Any) -> list[Any]:
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _curves(used: Sample, positive: Any, label: Any, result: Evaluation) -> None:
    """The curves of two classes, and the area below the first: one look at the rows less than `roc_auc_score`."""
    from sklearn import metrics

    fpr, tpr, _ = metrics.roc_curve(used.target, positive, pos_label=label, sample_weight=used.weights)
    precision, recall, _ = metrics.precision_recall_curve(
        used.target, positive, pos_label=label, sample_weight=used.weights
    )
    _put_curves((fpr, tpr), (precision, recall), label, result)


def _put_curves(roc: tuple[Any, Any], precision_recall: tuple[Any, Any], label: Any, result: Evaluation) -> None:
    fpr, tpr = roc
    precision, recall = precision_recall
    _put(result, "roc_auc", scores.area_under, fpr, tpr)
    result.figures["roc_curve"] = {"fpr": _spread(fpr), "tpr": _spread(tpr), "pos_label": str(label)}
    result.figures["precision_recall_curve"] = {
        "precision": _spread(precision),
        "recall": _spread(recall),
        "pos_label": str(label),
    }


def _spread(values: Any) -> list[float]:
    """At most `MAX_CURVE_POINTS` of some points, evenly spaced, both ends included."""
    count = len(values)
    if count <= MAX_CURVE_POINTS:
        return [float(value) for value in values]
    last = MAX_CURVE_POINTS - 1
    return [float(values[index * (count - 1) // last]) for index in range(MAX_CURVE_POINTS)]


def _score_regressor(used: Sample, predictions: Any, result: Evaluation) -> None:
    plain = scores.regression_scores(used.target, predictions, used.weights)
    if plain is not None:
        result.metrics.update({f"training_{name}": value for name, value in plain.items()})
    else:
        _score_outputs(used, predictions, result)
    squared = result.metrics.get("training_mean_squared_error")
    if squared is not None:
        result.metrics["training_root_mean_squared_error"] = squared**0.5


def _score_outputs(used: Sample, predictions: Any, result: Evaluation) -> None:
    """The same of several outputs, and of whatever else numpy alone does not judge."""
    from sklearn import metrics

    for score in (metrics.mean_squared_error, metrics.mean_absolute_error, metrics.r2_score):
        _put(result, score.__name__, score, used.target, predictions, sample_weight=used.weights)


def _own_score(estimator: Any, used: Sample, kind: str, result: Evaluation) -> None:
    """`training_score`: what the estimator's own `score` says; for the usual ones that is known already."""
    standard = {"classifier": "training_accuracy_score", "regressor": "training_r2_score"}.get(kind, "")
    definer = next((base for base in type(estimator).__mro__ if "score" in vars(base)), None)
    if definer is not None and definer.__name__ in ("ClassifierMixin", "RegressorMixin") and standard in result.metrics:
        result.metrics["training_score"] = result.metrics[standard]
        return
    score = getattr(estimator, "score", None)
    if score is None:
        return
    try:
        result.metrics["training_score"] = float(_asked(score, used.data, used.target))
    except (CannotPredictError, ValueError, TypeError) as error:  # some take arrays alone; what it gives is no number
        result.skipped["training_score"] = f"the estimator's own score fails: {error}"[:200]
