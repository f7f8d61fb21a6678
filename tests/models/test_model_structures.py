"""Crafted trees: indices that point nowhere are found before compiled code follows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import model_zoo
import numpy as np
import pytest
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from autotrack.errors import ModelFormatError
from autotrack.models.structures import check

FITTED = {
    "tree": DecisionTreeClassifier(random_state=0),
    "forest": RandomForestClassifier(2, random_state=0),
    "extra trees": ExtraTreesRegressor(2, random_state=0),
    "boosting": GradientBoostingRegressor(n_estimators=2, random_state=0),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=2),
    "kd tree": KNeighborsClassifier(algorithm="kd_tree", leaf_size=5),
    "ball tree": KNeighborsClassifier(algorithm="ball_tree", leaf_size=5),
}


def fitted(name: str) -> Any:
    """A freshly fitted model, whose arrays may be damaged."""
    from sklearn.base import clone

    return clone(FITTED[name]).fit(model_zoo.X, model_zoo.y)


def with_nodes(change: Callable[[dict[str, Any]], Any]) -> Callable[[Any], None]:
    """A change to the state of a decision tree."""

    def damage(model: Any) -> None:
        tree = model.tree_ if hasattr(model, "tree_") else np.ravel(model.estimators_)[0].tree_
        state = tree.__getstate__()
        state["nodes"] = state["nodes"].copy()
        change(state)
        tree.__setstate__(state)

    return damage


def set_node(field: str, value: int, place: int = 0) -> Callable[[Any], None]:
    """One field of one node of a decision tree."""
    return with_nodes(lambda state: state["nodes"][field].__setitem__(place, value))


def in_predictor(field: str, value: int) -> Callable[[Any], None]:
    """One field of the first node of a boosting tree."""

    def damage(model: Any) -> None:
        predictor = model._predictors[0][0]
        predictor.nodes = predictor.nodes.copy()
        predictor.nodes[field][0] = value

    return damage


def in_neighbours(position: int, change: Callable[[Any], Any]) -> Callable[[Any], None]:
    """One part of the state of a neighbour tree."""

    def damage(model: Any) -> None:
        state = list(model._tree.__getstate__())
        state[position] = change(np.array(state[position]) if hasattr(state[position], "shape") else state[position])
        model._tree.__setstate__(tuple(state))

    return damage


def replaced(field: str, value: int, place: int = 0) -> Callable[[Any], Any]:
    """An array of records with one field of one record changed."""

    def change(nodes: Any) -> Any:
        nodes[field][place] = value
        return nodes

    return change


@pytest.mark.parametrize("name", FITTED)
def test_honest_models_pass(name: str) -> None:
    """Every kind of tree that scikit-learn grows is in order."""
    check(fitted(name))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("tree", set_node("left_child", 10_000)),
        ("tree", set_node("right_child", -7)),
        ("tree", set_node("left_child", 0)),
        ("tree", set_node("right_child", 1, place=2)),
        ("tree", set_node("feature", 4)),
        ("tree", set_node("feature", -5)),
        ("tree", with_nodes(lambda state: state.update(node_count=0))),
        ("tree", with_nodes(lambda state: state.update(node_count=10**9))),
        ("tree", lambda model: setattr(model, "n_features_in_", 2)),
        ("forest", set_node("feature", 4)),
        ("forest", lambda model: setattr(model, "n_features_in_", 1)),
        ("extra trees", set_node("left_child", 10_000)),
        ("boosting", set_node("right_child", 10_000)),
        ("boosting", lambda model: setattr(model, "n_features_in_", 1)),
        ("histogram boosting", in_predictor("left", 10_000)),
        ("histogram boosting", in_predictor("right", 0)),
        ("histogram boosting", in_predictor("feature_idx", 4)),
        ("histogram boosting", in_predictor("feature_idx", -1)),
        ("histogram boosting", in_predictor("is_categorical", 1)),
        ("histogram boosting", lambda model: setattr(model._predictors[0][0], "nodes", np.zeros(0))),
        ("kd tree", in_neighbours(1, lambda samples: samples + 1)),
        ("kd tree", in_neighbours(1, lambda samples: samples - 1)),
        ("kd tree", in_neighbours(2, replaced("idx_end", 10_000))),
        ("kd tree", in_neighbours(2, replaced("idx_start", -1))),
        ("kd tree", in_neighbours(2, replaced("is_leaf", 0, place=-1))),
        ("kd tree", in_neighbours(3, lambda bounds: bounds[:, :2].copy())),
        ("kd tree", in_neighbours(6, lambda count: count + 1)),
        ("kd tree", in_neighbours(11, lambda _: KNeighborsClassifier())),
        ("ball tree", in_neighbours(1, lambda samples: samples[:5])),
        ("ball tree", in_neighbours(2, replaced("idx_end", 10_000, place=1))),
    ],
)
def test_a_damaged_tree_is_refused(name: str, damage: Callable[[Any], None]) -> None:
    """An index out of range, a circle, a size that does not fit: each is an error instead of a crash at predict."""
    model = fitted(name)
    try:
        damage(model)
    except (TypeError, ValueError):
        # scikit-learn itself refuses such a state.
        return
    with pytest.raises(ModelFormatError, match=r"is damaged: .*; it is not used"):
        check(model)


def test_a_tree_is_found_wherever_it_stands() -> None:
    """Inside lists, dicts, object arrays and other estimators."""
    bad = fitted("tree")
    set_node("left_child", 10_000)(bad)
    array = np.empty(1, object)
    array[0] = bad
    for place in ([bad], {"a": (bad,)}, array, KNeighborsClassifier(metric=bad)):
        with pytest.raises(ModelFormatError, match="is damaged"):
            check(place)
