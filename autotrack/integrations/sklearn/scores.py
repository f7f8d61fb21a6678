"""Scores of plain labels and numbers, in numpy: scikit-learn's own values, without its looks at every argument.

scikit-learn checks what it is given in each of its functions anew. For a few hundred rows that takes ten times as long
as the scores themselves, and longer than many a fit. Here are those of one-dimensional arrays of one kind, which most
targets are. Of anything else `None` says that it is scikit-learn's to judge.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Labels(msgspec.Struct, frozen=True):
    """Labels of some rows and predictions for them, as positions in `classes`, both 1-D."""

    classes: Any
    """All that are there, sorted."""
    true: Any
    predicted: Any


class Curve(msgspec.Struct, frozen=True):
    """Weight of the rows at or above each score that occurs, scores falling: 1-D, growing."""

    false: Any
    """Of rows that are of the other class."""
    true: Any


def labels_of(target: Any, predictions: Any) -> Labels | None:
    """Labels as they are compared; None where that is not for numpy to say."""
    import numpy

    target, predictions = _plain(target), _plain(predictions)
    if target is None or predictions is None or target.dtype.kind != predictions.dtype.kind:
        return None
    if target.shape != predictions.shape or not len(target):
        return None
    classes, codes = numpy.unique(numpy.concatenate((target, predictions)), return_inverse=True)
    return Labels(classes, codes[: len(target)], codes[len(target) :])


def positions_in(classes: Any, labels: Labels) -> Any:
    """Position of each row's label in `classes_`; None where one is not there, or they are not sorted."""
    import numpy

    classes = _plain(classes)
    if classes is None or classes.dtype.kind != labels.classes.dtype.kind:
        return None
    places = numpy.searchsorted(classes, labels.classes).clip(max=len(classes) - 1)
    return places[labels.true] if (classes[places] == labels.classes).all() else None


def _plain(values: Any) -> Any:
    """Labels as an array of integers, bools, whole floats or texts; None where they are others."""
    array = _array(values)
    if array is None or array.ndim != 1:
        return None
    if array.dtype.kind == "O":
        return array.astype(str) if all(type(value) is str for value in array) else None
    if array.dtype.kind == "f":
        return array if (array == array.round()).all() else None
    return array if array.dtype.kind in "biuU" else None


def _array(values: Any) -> Any:
    import numpy

    if isinstance(values, (numpy.ndarray, list)) or type(values).__module__.partition(".")[0] == "pandas":
        return numpy.asarray(values)
    return None


def weights_of(weights: Any, rows: int) -> Any:
    """Weights of rows; 1 each, as integers, where there are none. None where they are no weights that count."""
    import numpy

    if weights is None:
        return numpy.ones(rows, dtype=int)
    array = numpy.asarray(weights)
    if array.shape != (rows,) or array.dtype.kind not in "biuf":
        return None
    array = array.astype(float)
    return array if (array >= 0).all() and numpy.isfinite(array).all() and array.sum() > 0 else None


def confusion_matrix(labels: Labels, weights: Any) -> Any:
    """Weight of the rows of each class (row) that are predicted to be of each (column)."""
    import numpy

    count = len(labels.classes)
    cells = numpy.bincount(labels.true * count + labels.predicted, weights=weights, minlength=count * count)
    return cells.reshape(count, count).astype(weights.dtype)


def log_loss(positions: Any, proba: Any, weights: Any) -> float | None:
    """Log loss.

    Args:
        positions: Column of each row's class, (rows,).
        proba: Probabilities, (rows, classes).
        weights: Of the rows.

    Returns:
        None where the probabilities are none: scikit-learn has warnings and errors for that.
    """
    import numpy

    tolerance = numpy.finfo(proba.dtype).eps
    sums = proba.sum(axis=1)
    if (proba < 0).any() or (proba > 1).any() or not numpy.allclose(sums, 1, rtol=tolerance**0.5, atol=0):
        return None
    own = proba[numpy.arange(len(proba)), positions].clip(tolerance, 1 - tolerance)
    return float(numpy.average(-numpy.log(own), weights=weights))


def curve_of(positive: Any, score: Any, weights: Any) -> Curve:
    """What both curves of a classifier with two classes are made of.

    Args:
        positive: Which rows are of the class, bool.
        score: The higher, the more likely; finite.
        weights: Of the rows.
    """
    import numpy

    counts = weights > 0
    if not counts.all():
        positive, score, weights = positive[counts], score[counts], weights[counts]
    order = numpy.argsort(-score, kind="stable")
    score = score[order]
    last = numpy.append(numpy.flatnonzero(numpy.diff(score)), len(score) - 1)
    positive, weights = positive[order], weights[order]
    return Curve(false=numpy.cumsum(~positive * weights)[last], true=numpy.cumsum(positive * weights)[last])


def roc_of(curve: Curve) -> tuple[Any, Any]:
    """False and true positive rates, without the points that lie on a line between their neighbours."""
    import numpy

    false, true = curve.false, curve.true
    if len(false) > 2:
        corner = (numpy.diff(false, 2) != 0) | (numpy.diff(true, 2) != 0)
        kept = numpy.concatenate(([True], corner, [True]))
        false, true = false[kept], true[kept]
    false, true = numpy.append(0.0, false), numpy.append(0.0, true)
    return false / false[-1], true / true[-1]


def area_under(x: Any, y: Any) -> float:
    """Area under a curve that goes to the right."""
    return float(((x[1:] - x[:-1]) * (y[1:] + y[:-1])).sum() / 2)


def precision_recall_of(curve: Curve) -> tuple[Any, Any]:
    """Precision and recall, scores growing, ending at 1 and 0."""
    import numpy

    precision, recall = curve.true / (curve.true + curve.false), curve.true / curve.true[-1]
    return numpy.append(precision[::-1], 1.0), numpy.append(recall[::-1], 0.0)


def roc_auc_of_pairs(positions: Any, proba: Any) -> float:
    """Area under the ROC curve of each pair of classes, averaged by how many rows they have ("ovo", "weighted").

    Args:
        positions: Column of each row's class, (rows,); each class has rows.
        proba: Probabilities, (rows, classes); finite.
    """
    import numpy

    areas, shares = [], []
    rows = [numpy.flatnonzero(positions == column) for column in range(proba.shape[1])]
    for first in range(len(rows)):
        for second in range(first + 1, len(rows)):
            one, other = rows[first], rows[second]
            higher = _wins(proba[one, first], proba[other, first]) + _wins(proba[other, second], proba[one, second])
            areas.append(higher / (2 * len(one) * len(other)))
            shares.append(len(one) + len(other))
    return float(numpy.average(areas, weights=shares))


def _wins(positive: Any, negative: Any) -> float:
    """How many pairs of a positive and a negative score have the positive one higher, ties counting half."""
    negative = negative.copy()
    negative.sort()
    return float((negative.searchsorted(positive, "left") + negative.searchsorted(positive, "right")).sum() / 2)


def regression_scores(target: Any, predictions: Any, weights: Any) -> dict[str, float] | None:
    """Mean squared and absolute error, and R2, of 1-D numbers; None where that is not for numpy to say."""
    import numpy

    true, predicted = _numbers(target), _numbers(predictions)
    if true is None or predicted is None or true.shape != predicted.shape or len(true) < 2:
        return None
    weights = weights_of(weights, len(true))
    if weights is None:
        return None
    error = true - predicted
    with numpy.errstate(over="ignore", invalid="ignore"):
        squared = float(numpy.average(error**2, weights=weights))
        spread = float(numpy.average((true - numpy.average(true, weights=weights)) ** 2, weights=weights))
    if not numpy.isfinite((squared, spread)).all() or not spread:
        return None
    return {
        "mean_squared_error": squared,
        "mean_absolute_error": float(numpy.average(abs(error), weights=weights)),
        "r2_score": 1 - squared / spread,
    }


def _numbers(values: Any) -> Any:
    import numpy

    array = _array(values)
    if array is None or array.ndim > 2 or array.dtype.kind not in "iuf" or array.size != len(array):
        return None
    array = array.reshape(-1)
    return array.astype(float) if numpy.isfinite(array).all() else None
