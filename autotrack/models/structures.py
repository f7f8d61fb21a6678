"""Arrays inside a loaded model that compiled code follows without looking: checked before the first prediction.

Decision trees, boosting's trees and neighbour trees hold indices of nodes, features and samples. scikit-learn's
compiled code uses them as they are, so that a crafted file could make it read outside its memory or never end. A file
that names only trusted classes is not enough: these are its contents. It covers the structures that skops leaves
untrusted for this reason; it is no proof against every crafted array in every estimator.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from autotrack.errors import ModelFormatError
from autotrack.models.safety import UNREADABLE

_SHARED = ("sklearn.ensemble._forest", "sklearn.ensemble._gb")
"""Ensembles that hand their data to their trees without another check of its width."""

_NEIGHBOUR_MODULES = ("sklearn.neighbors._kd_tree", "sklearn.neighbors._ball_tree")


def check(model: object) -> None:
    """Check all such arrays of a model.

    Raises:
        ModelFormatError: An index points nowhere, or sizes do not belong together.
    """
    for part, features in _parts(model):
        place = (type(part).__module__, type(part).__name__)
        try:
            if place == ("sklearn.tree._tree", "Tree"):
                _check_tree(part, features)
            elif place[1] == "TreePredictor":
                _check_predictor(part, features)
            elif place[0] in _NEIGHBOUR_MODULES:
                _check_neighbours(part)
        except UNREADABLE as error:
            _require(False, part, f"it cannot be read ({error!r})")


def _parts(model: object) -> Iterator[tuple[Any, int | None]]:
    """Every object of a model, with the number of features of the data that it is given (None: not known)."""
    seen: set[int] = set()
    waiting: list[tuple[Any, int | None, bool]] = [(model, None, False)]
    while waiting:
        part, features, fixed = waiting.pop()
        if id(part) in seen or isinstance(part, (str, bytes, int, float, type, type(None))):
            continue
        seen.add(id(part))
        yield part, features
        if isinstance(part, dict):
            inner: Any = part.values()
        elif isinstance(part, (list, tuple, set, frozenset)):
            inner = part
        elif getattr(getattr(part, "dtype", None), "hasobject", False) and hasattr(part, "flat"):
            inner = list(part.flat)
        else:
            state = getattr(part, "__dict__", None) or {}
            count = state.get("n_features_in_")
            if isinstance(count, int):
                features = min(count, features) if fixed and features is not None else count
            fixed = fixed or type(part).__module__ in _SHARED
            inner = state.values()
        waiting.extend((item, features, fixed) for item in inner)


def _require(holds: Any, part: object, what: str) -> None:
    if not bool(holds):
        raise ModelFormatError(f"a {type(part).__name__} in the model is damaged: {what}; it is not used")


def _check_tree(tree: Any, features: int | None) -> None:
    count = int(tree.node_count)
    _require(0 < count <= int(tree.capacity), tree, "it has fewer nodes than it says")
    nodes = tree.__getstate__()["nodes"]
    _check_nodes(tree, nodes["left_child"], nodes["right_child"], nodes["left_child"] == -1)
    width = int(tree.n_features) if features is None else min(int(tree.n_features), features)
    inner = nodes["left_child"] != -1
    used = nodes["feature"][inner]
    _require(((used >= 0) & (used < width)).all(), tree, "a node asks for a feature that is not there")


def _check_nodes(tree: Any, left: Any, right: Any, leaf: Any) -> None:
    import numpy as np

    inner = ~leaf
    own = np.arange(len(leaf))[inner]
    for child in (left[inner].astype(np.int64), right[inner].astype(np.int64)):
        # Children come after their parent: no node is out of range, and no path returns.
        _require(((child > own) & (child < len(leaf))).all(), tree, "a node has a child that is not there")


def _check_predictor(predictor: Any, features: int | None) -> None:
    nodes = predictor.nodes
    _require(getattr(nodes, "ndim", 0) == 1 and len(nodes) > 0, predictor, "it has no nodes")
    leaf = nodes["is_leaf"].astype(bool)
    _check_nodes(predictor, nodes["left"], nodes["right"], leaf)
    used = nodes["feature_idx"][~leaf]
    _require(features is not None and ((used >= 0) & (used < features)).all(), predictor, "a feature is not there")
    categories = nodes["bitset_idx"][~leaf & nodes["is_categorical"].astype(bool)]
    for bitsets in (predictor.raw_left_cat_bitsets, predictor.binned_left_cat_bitsets):
        _require(bitsets.ndim == 2 and bitsets.shape[1] == 8, predictor, "sets of categories of another size")
        _require((categories < len(bitsets)).all(), predictor, "a set of categories is not there")


def _check_neighbours(tree: Any) -> None:
    state = tree.__getstate__()
    data, samples, nodes, bounds, leaf_size, levels, count = state[:7]
    n_samples, width = data.shape
    _require(count == len(nodes) == 2**levels - 1 and leaf_size > 0, tree, "it has fewer nodes than it says")
    sides = 2 if type(tree).__name__.startswith("KD") else 1
    _require(bounds.shape == (sides, count, width), tree, "bounds of another size")
    _require(len(samples) == n_samples and _within(samples, 0, n_samples - 1), tree, "a sample is not there")
    starts, ends = nodes["idx_start"], nodes["idx_end"]
    _require(_within(starts, 0, n_samples) and _within(ends, 0, n_samples), tree, "a node has samples beyond the last")
    _require((starts <= ends).all(), tree, "a node ends before it begins")
    # A node without children is a leaf, else the search would go on beyond the last node.
    _require(nodes["is_leaf"][count // 2 :].all(), tree, "its last level has children")
    # scikit-learn's own check that a distance's weights are of this width.
    state[11]._validate_data(data)


def _within(values: Any, low: int, high: int) -> bool:
    return not len(values) or bool(values.min() >= low and values.max() <= high)
