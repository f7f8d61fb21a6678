"""LightGBM's trees, followed by numpy.

LightGBM's own `predict` sets the number of threads of the whole process, whoever asks: of a training that goes on in
another thread, too. What predicts beside the program has to do without it. Results are LightGBM's to the last bit, but
for what exponentials are rounded to.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from autotrack.errors import ModelFormatError
from autotrack.models.snapshot import Snapshot

PAIRS = 200_000
"""Pairs of a row and a tree that are followed at once."""

_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_ZERO, _NAN = 1, 2
"""What counts as missing at a node: zeros, or NaN; bits 2 and 3 of its decision type."""

_NEAR_ZERO = 1.0000000180025095e-35
"""As LightGBM has it, in single precision."""

_PER_NODE = {"split_feature": int, "threshold": float, "decision_type": int, "left_child": int, "right_child": int}


class _Linear(NamedTuple):
    """The formula of a leaf."""

    constant: float
    features: list[int]
    coefficients: list[float]


class Forest:
    """The trees of a model, each one's nodes and leaves behind those of the tree before.

    Args:
        text: The model, as `Booster.model_to_string` gives it.

    Attributes:
        classes: Numbers that it predicts for a row.
        trees: How many there are.

    Raises:
        ModelFormatError: It is of a kind that is not known here.
    """

    def __init__(self, text: str) -> None:
        head, *trees = text.partition("\nend of trees")[0].split("\nTree=")
        fields = dict(line.partition("=")[::2] for line in head.split("\n"))
        self.classes = int(fields.get("num_tree_per_iteration", 1))
        self.trees = len(trees)
        self._averages = "average_output" in fields
        self._convert = _conversion(fields.get("objective", ""))
        self._categories = _categories_of(text)
        self._width = int(fields["max_feature_idx"]) + 1
        self._read([dict(line.partition("=")[::2] for line in tree.split("\n")[1:]) for tree in trees])

    def _read(self, trees: list[dict[str, str]]) -> None:
        import numpy

        arrays: dict[str, list[Any]] = {name: [] for name in (*_PER_NODE, "leaf_value", "words")}
        self._bounds: list[tuple[int, int]] = []
        """Where the set of each split by categories stands among the words."""
        self._formulas: dict[int, _Linear] = {}
        roots: list[int] = []
        nodes = leaves = words = 0
        for tree in trees:
            found: dict[str, Any] = {
                name: numpy.array(tree.get(name, "").split(), dtype=kind) for name, kind in _PER_NODE.items()
            }
            values = numpy.array(tree["leaf_value"].split(), dtype=float)
            roots.append(nodes if len(found["threshold"]) else ~leaves)
            for side in ("left_child", "right_child"):
                found[side] = numpy.where(found[side] >= 0, found[side] + nodes, found[side] - leaves)
            categorical = (found["decision_type"] & _CATEGORICAL) > 0
            found["threshold"][categorical] += len(self._bounds)
            bounds = [int(bound) + words for bound in tree.get("cat_boundaries", "").split()]
            self._bounds += pairwise(bounds)
            sets = numpy.array(tree.get("cat_threshold", "").split(), dtype=numpy.uint32)
            if int(tree.get("is_linear", 0) or 0):
                self._formulas.update(_formulas_of(tree, leaves))
            for name, part in {**found, "leaf_value": values, "words": sets}.items():
                arrays[name].append(part)
            nodes, leaves, words = nodes + len(found["threshold"]), leaves + len(values), words + len(sets)
        joined = {name: numpy.concatenate(parts or [numpy.zeros(0)]) for name, parts in arrays.items()}
        self._roots = numpy.array(roots, dtype=int)
        self._feature, self._threshold = joined["split_feature"], joined["threshold"]
        self._left, self._right = joined["left_child"], joined["right_child"]
        self._values, self._words = joined["leaf_value"], joined["words"]
        self._kind = joined["decision_type"].astype(int)
        self._ends = numpy.array(self._bounds, dtype=int).reshape(-1, 2)

    def predict(self, data: Any, start: int, count: int, raw: bool) -> Any:
        """What the model predicts.

        Args:
            data: Rows: an array, a DataFrame, a sparse matrix or an Arrow table.
            start: The first iteration that counts.
            count: How many iterations count; 0 or less: all from there.
            raw: Sums of the trees, as they are.

        Returns:
            An array with a number for each row, or a row of one for each class.

        Raises:
            ModelFormatError: The data is of a kind, or a width, that the model cannot be asked about here.
        """
        import numpy

        rounds = self.trees // self.classes
        start = min(max(start, 0), rounds)
        stop = min(start + count, rounds) if count > 0 else rounds
        picked = range(start * self.classes, stop * self.classes)
        sums = [self._sums(rows, picked) for rows in self._chunks(data, max(1, PAIRS // max(1, len(picked))))]
        total = numpy.concatenate(sums or [numpy.zeros((0, self.classes))])
        if self._averages and not raw:
            total /= max(1, stop - start)
        result = total if raw else self._convert(total)
        return result[:, 0] if self.classes == 1 else result

    def _sums(self, rows: Any, picked: range) -> Any:
        """What trees add up to for some rows, by class; added in their order, as LightGBM does."""
        import numpy

        leaves = self._leaves(rows, picked)
        values = self._values[leaves]
        if self._formulas:
            self._put_formulas(rows, leaves, values)
        by_class = [values[number :: self.classes].sum(axis=0) for number in range(self.classes)]
        return numpy.stack(by_class, axis=1)

    def _leaves(self, rows: Any, picked: range) -> Any:
        """The leaf in which each row ends, a line a tree."""
        import numpy

        place = numpy.repeat(self._roots[picked.start : picked.stop], len(rows))
        row = numpy.tile(numpy.arange(len(rows)), len(picked))
        going = numpy.flatnonzero(place >= 0)
        while going.size:
            node = place[going]
            left = self._goes_left(node, rows[row[going], self._feature[node]])
            place[going] = numpy.where(left, self._left[node], self._right[node])
            going = going[place[going] >= 0]
        return (~place).reshape(len(picked), len(rows))

    def _goes_left(self, node: Any, value: Any) -> Any:
        import numpy

        kind = self._kind[node]
        missing, nan = kind >> 2 & 3, numpy.isnan(value)
        number = numpy.where(nan & (missing != _NAN), 0.0, value)
        by_default = (missing == _ZERO) & (abs(number) <= _NEAR_ZERO) | (missing == _NAN) & nan
        left = numpy.where(by_default, (kind & _DEFAULT_LEFT) > 0, number <= self._threshold[node])
        if self._bounds:
            categorical = (kind & _CATEGORICAL) > 0
            left[categorical] = self._in_set(node[categorical], value[categorical])
        return left

    def _in_set(self, node: Any, value: Any) -> Any:
        import numpy

        begin, end = self._ends[self._threshold[node].astype(int)].T
        usable = (value > -1) & (value < 2**31)  # neither is NaN
        category = numpy.where(usable, value, 0).astype(int)
        place = begin + category // 32
        found = usable & (place < end)
        return found & (self._words[numpy.where(found, place, 0)] >> (category % 32) & 1 > 0)

    def _put_formulas(self, rows: Any, leaves: Any, values: Any) -> None:
        """Linear trees: a leaf's formula in place of its value, where no number in it is missing."""
        import numpy

        for leaf in numpy.unique(leaves):
            formula = self._formulas.get(int(leaf))
            if formula is None:
                continue
            tree, row = numpy.nonzero(leaves == leaf)
            found = numpy.full(len(row), formula.constant)
            for feature, coefficient in zip(formula.features, formula.coefficients, strict=True):
                found += coefficient * rows[row, feature]
            known = ~numpy.isnan(rows[row][:, formula.features]).any(axis=1)
            values[tree[known], row[known]] = found[known]

    def _chunks(self, data: Any, size: int) -> Iterator[Any]:
        """The rows as arrays of doubles."""
        package = type(data).__module__.partition(".")[0]
        if package == "pandas":
            data = _of_frame(data, self._categories)
        elif package in ("pyarrow", "polars"):
            data = _of_columns(data)
        elif package == "scipy":
            data = data.tocsr()
        elif package != "numpy":
            raise ModelFormatError(f"rows in a {type(data).__name__} are not predicted")
        if len(data.shape) != 2 or data.shape[1] < self._width:
            raise ModelFormatError(f"rows of {self._width} columns are expected, not of {data.shape[1:]}")
        for start in range(0, data.shape[0], size):
            part = data[start : start + size]
            yield (part.toarray() if package == "scipy" else part).astype(float)


def _formulas_of(tree: dict[str, str], first: int) -> dict[int, _Linear]:
    """The formulas of a tree's leaves, which are numbered from `first` on."""
    features = [int(one) for one in tree.get("leaf_features", "").split()]
    coefficients = [float(one) for one in tree.get("leaf_coeff", "").split()]
    found, place = {}, 0
    pairs = zip(tree["leaf_const"].split(), tree["num_features"].split(), strict=True)
    for leaf, (constant, count) in enumerate(pairs, first):
        stop = place + int(count)
        found[leaf] = _Linear(float(constant), features[place:stop], coefficients[place:stop])
        place = stop
    return found


def _categories_of(text: str) -> list[list[Any]] | None:
    """The categories of a training frame's columns, behind the model's text."""
    _, separator, found = text.rpartition("\npandas_categorical:")
    return json.loads(found) if separator else None


def _of_frame(frame: Any, categories: list[list[Any]] | None) -> Any:
    import numpy
    import pandas

    columns = [frame.iloc[:, number] for number in range(frame.shape[1])]
    known = iter(categories or [])
    found = []
    for column in columns:
        if isinstance(column.dtype, pandas.CategoricalDtype):
            codes = column.cat.set_categories(next(known, list(column.cat.categories))).cat.codes
            found.append(codes.to_numpy(dtype=float, na_value=-1.0))
            found[-1][found[-1] < 0] = numpy.nan
        elif column.dtype == object:
            raise ModelFormatError("columns of objects are not predicted")
        else:
            found.append(column.to_numpy(dtype=float, na_value=numpy.nan))
    return numpy.column_stack(found)


def _of_columns(table: Any) -> Any:
    import numpy

    columns = table.columns if hasattr(table, "column_names") else table.get_columns()
    try:
        return numpy.column_stack([numpy.asarray(column.to_numpy(), dtype=float) for column in columns])
    except (TypeError, ValueError) as error:
        raise ModelFormatError(f"columns of a table that are no numbers are not predicted: {error}") from None


def _conversion(objective: str) -> Callable[[Any], Any]:
    """What an objective makes of the sums of the trees."""
    name, *words = objective.split()
    options = dict(word.partition(":")[::2] for word in words)
    steep = float(options.get("sigmoid", 1))
    known = {
        "binary": lambda sums: _sigmoid(steep * sums),
        "multiclass": _softmax,
        "multiclassova": lambda sums: _sigmoid(steep * sums),
        "cross_entropy": _sigmoid,
        "cross_entropy_lambda": _log_one_plus_exp,
        "poisson": _exp,
        "gamma": _exp,
        "tweedie": _exp,
        "regression": _signed_square if "sqrt" in options else _as_it_is,
    }
    return known.get(name, _as_it_is)


def _as_it_is(sums: Any) -> Any:
    return sums


def _exp(sums: Any) -> Any:
    import numpy

    return numpy.exp(sums)


def _log_one_plus_exp(sums: Any) -> Any:
    import numpy

    return numpy.log1p(numpy.exp(sums))


def _sigmoid(sums: Any) -> Any:
    return 1.0 / (1.0 + _exp(-sums))


def _signed_square(sums: Any) -> Any:
    return sums * abs(sums)


def _softmax(sums: Any) -> Any:
    powers = _exp(sums - sums.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@lru_cache(maxsize=1)
def _quiet_booster(kind: type) -> type:
    """A class of boosters that predict without LightGBM."""

    class Booster(kind):  # type: ignore[misc]
        """A booster that sets no number of threads."""

        def __setstate__(self, state: dict[str, Any]) -> None:
            self._text = state.get("_handle") or state.get("handle") or ""
            self._forest: Forest | None = None
            super().__setstate__(state)

        def predict(
            self,
            data: Any,
            start_iteration: int = 0,
            num_iteration: int | None = None,
            raw_score: bool = False,
            **_: Any,
        ) -> Any:
            """As of `lightgbm.Booster`, as far as `predict` and `predict_proba` of an estimator need it."""
            if num_iteration is None:
                num_iteration = self.best_iteration if start_iteration <= 0 else -1
            self._forest = self._forest or Forest(self._text)
            return self._forest.predict(data, start_iteration, num_iteration, raw_score)

    return Booster


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        return _quiet_booster(found) if (module, name) == ("lightgbm.basic", "Booster") else found


def restore_to_predict(snapshot: Snapshot) -> Any:
    """A new object, equal to the model as it was, that can be asked to predict while the program goes on.

    Raises:
        ModelFormatError: When it predicts: it is of a kind that is not known here.
    """
    return _Unpickler(io.BytesIO(snapshot.data)).load()
