"""Scores in numpy: each is scikit-learn's own value, for every kind of label, weight and tie."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from autotrack.integrations.sklearn import scores

KINDS: dict[str, Any] = {
    "integers": lambda codes: codes,
    "numbers apart": lambda codes: codes * 7 - 3,
    "bools": lambda codes: codes > 0,
    "texts": lambda codes: np.array(["maybe so", "no", "yes"])[codes],
    "objects": lambda codes: np.array(["maybe so", "no", "yes"], dtype=object)[codes],
    "whole floats": lambda codes: codes.astype(float),
    "a Series": lambda codes: pd.Series(codes, index=range(5, 5 + len(codes))),
    "a categorical": lambda codes: pd.Series(np.array(["maybe so", "no", "yes"])[codes], dtype="category"),
    "a list": lambda codes: codes.tolist(),
}


@st.composite
def rows(draw: st.DrawFn, classes: int) -> tuple[Any, Any, Any, Any]:
    """Labels and predictions as codes, scores with ties, and weights (or none)."""
    count = draw(st.integers(classes * 2, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    target = np.concatenate((np.arange(classes), random.integers(0, classes, count - classes)))
    raw = np.round(random.random((count, classes)), draw(st.integers(1, 12))) + 0.01
    proba = raw / raw.sum(axis=1, keepdims=True)
    if draw(st.booleans()):  # sure of itself: zeros are clipped
        proba = np.eye(classes)[random.integers(0, classes, count)]
    kind = draw(st.sampled_from(["none", "ones", "numbers", "some zero"]))
    weights = {
        "none": None, "ones": np.ones(count), "numbers": random.random(count) + 0.1,
        "some zero": np.concatenate((np.ones(classes), random.integers(0, 2, count - classes))),
    }[kind]  # fmt: skip
    return target, random.integers(0, classes, count), proba, weights


def plain(target: Any, predictions: Any) -> scores.Labels:
    """Labels that numpy can compare."""
    found = scores.labels_of(target, predictions)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_labels_are_counted_as_scikit_learn_counts_them(kind: str, data: st.DataObject) -> None:
    """The confusion matrix, its labels and its weights are those of scikit-learn."""
    classes = 2 if kind == "bools" else 3
    codes, predicted, _, weights = data.draw(rows(classes))
    target, predictions = KINDS[kind](codes), KINDS[kind](predicted)
    labels = plain(target, predictions)
    found = scores.confusion_matrix(labels, scores.weights_of(weights, len(codes)))
    expected = reference.confusion_matrix(target, predictions, sample_weight=weights)
    assert labels.classes.tolist() == sorted({*list(target), *list(predictions)})
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    if weights is None:
        assert found.dtype.kind == "i"


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_probabilities_are_scored_as_scikit_learn_scores_them(kind: str, data: st.DataObject) -> None:
    """Log loss, both curves point by point, and the areas, are those of scikit-learn."""
    classes = 2 if kind == "bools" else data.draw(st.sampled_from([2, 3]))
    codes, predicted, proba, weights = data.draw(rows(classes))
    target = KINDS[kind](codes)
    labels = plain(target, KINDS[kind](predicted))
    named = np.unique(np.asarray(target))
    positions = scores.positions_in(named, labels)
    assert positions.tolist() == codes.tolist()
    counted = scores.weights_of(weights, len(codes))
    loss = scores.log_loss(positions, proba, counted)
    assert loss == pytest.approx(reference.log_loss(target, proba, labels=named, sample_weight=weights), rel=1e-9)
    if classes > 2:
        area = reference.roc_auc_score(target, proba, multi_class="ovo", average="weighted", labels=named)
        assert scores.roc_auc_of_pairs(positions, proba) == pytest.approx(area, rel=1e-9)
        return
    curve = scores.curve_of(positions == 1, proba[:, 1], counted)
    options = {"pos_label": named[1], "sample_weight": weights}
    fpr, tpr, _ = reference.roc_curve(np.asarray(target), proba[:, 1], **options)
    precision, recall, _ = reference.precision_recall_curve(np.asarray(target), proba[:, 1], **options)
    np.testing.assert_allclose(scores.precision_recall_of(curve), (precision, recall), rtol=1e-9)
    np.testing.assert_allclose(scores.roc_of(curve), (fpr, tpr), rtol=1e-9)
    assert scores.area_under(*scores.roc_of(curve)) == pytest.approx(reference.auc(fpr, tpr), rel=1e-9)


@given(data=st.data(), scale=st.sampled_from([1e-6, 1.0, 1e9]), form=st.sampled_from(["array", "column", "Series"]))
def test_numbers_are_scored_as_scikit_learn_scores_them(data: st.DataObject, scale: float, form: str) -> None:
    """Errors and R2 are those of scikit-learn, weighted or not."""
    _, _, values, weights = data.draw(rows(2))
    target, predictions = values[:, 0] * scale, np.random.default_rng(len(values)).random(len(values)) * scale
    given_as = {"array": target, "column": target.reshape(-1, 1), "Series": pd.Series(target)}[form]
    found = scores.regression_scores(given_as, predictions, weights)
    if np.ptp(target if weights is None else target[weights > 0]) == 0:
        assert found is None
        return
    assert found is not None
    for name, value in found.items():
        expected = getattr(reference, name)(target, predictions, sample_weight=weights)
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("target", "predictions"),
    [
        ([0.5, 1.0], [0.5, 1.0]),
        ([[0, 1], [1, 0]], [[0, 1], [1, 0]]),
        ([0, 1], ["0", "1"]),
        ([0, 1], [0.0, 1.0]),
        (np.array([None, "a"], dtype=object), np.array(["a", "a"], dtype=object)),
        (np.array([1, "a"], dtype=object), np.array([1, "a"], dtype=object)),
        ([float("nan"), 1.0], [1.0, 1.0]),
        (("a", "b"), ("a", "b")),
        ([0, 1], [0]),
        ([], []),
    ],
    ids=repr,
)
def test_other_labels_are_left_to_scikit_learn(target: Any, predictions: Any) -> None:
    """Fractions, rows of labels, mixed kinds, missing ones and what is no array are none of numpy's business."""
    assert scores.labels_of(target, predictions) is None


@pytest.mark.parametrize("weights", [[-1.0, 1.0], [0.0, 0.0], [float("nan"), 1.0], [[1.0], [1.0]], ["1", "2"], [1.0]])
def test_other_weights_are_left_to_scikit_learn(weights: Any) -> None:
    """Those below zero, or of nothing, count no rows."""
    assert scores.weights_of(weights, 2) is None


def test_what_is_no_probability_is_left_to_scikit_learn() -> None:
    """Rows that do not add up to one get scikit-learn's warning, or error; so do numbers outside 0 and 1."""
    ones = np.ones(2, dtype=int)
    assert scores.log_loss(np.array([0, 1]), np.array([[0.5, 0.1], [0.2, 0.8]]), ones) is None
    assert scores.log_loss(np.array([0, 1]), np.array([[1.5, -0.5], [0.2, 0.8]]), ones) is None
    assert scores.log_loss(np.array([0, 1]), np.array([[np.nan, 0.5], [0.2, 0.8]]), ones) is None


def test_classes_in_another_order_are_left_to_scikit_learn() -> None:
    """Columns are found by sorted classes alone."""
    labels = plain([0, 1, 2], [0, 1, 2])
    assert scores.positions_in([2, 1, 0], labels) is None
    assert scores.positions_in([0, 1], labels) is None
    assert scores.positions_in(["0", "1", "2"], labels) is None
    assert scores.positions_in([0, 1, 2, 3], labels).tolist() == [0, 1, 2]


def test_numbers_without_spread_or_bounds_are_left_to_scikit_learn() -> None:
    """It has rules of its own for R2 of a constant target, and says what is wrong with others."""
    assert scores.regression_scores([1.0, 1.0], [1.0, 2.0], None) is None
    assert scores.regression_scores([1.0], [1.0], None) is None
    assert scores.regression_scores([1.0, np.inf], [1.0, 2.0], None) is None
    assert scores.regression_scores([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]], None) is None
    assert scores.regression_scores(["a", "b"], [1.0, 2.0], None) is None


def test_no_warning_comes_out_of_numpy() -> None:
    """Perfect, hopeless and huge predictions are scored in silence."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sure = np.eye(2)[[0, 1, 1]]
        assert scores.log_loss(np.array([1, 0, 0]), sure, np.ones(3, dtype=int)) == pytest.approx(
            reference.log_loss([1, 0, 0], sure)
        )
        assert scores.roc_of(scores.curve_of(np.array([True, False]), np.array([0.5, 0.5]), np.ones(2)))
        assert scores.regression_scores([1.0, 2.0], [1e200, 2.0], None) is None
