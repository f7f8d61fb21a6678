"""After the fit: which run a prediction, and a metric computed from it, belong to.

Found through the model object and the arrays that its `predict` returned, by identity and weak references: nothing is
kept alive, nothing is set on the user's objects. A slice or another view of predictions is known by its base; what is
made of them inside of a metric's call (`accuracy_score(y, booster.predict(X) > 0.5)`), by how that is written; in a
statement of its own (`q = p > 0.5`), by that and by its values, while `p` is there. Two
models' predictions compared with each other are no metric of either.

All integrations share one `links`: a metric function is hooked by one of them, and the model may be another's.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Generic, NamedTuple, TypeVar

from autotrack import callsite
from autotrack.hooks import calls
from autotrack.origin import attribute_of
from autotrack.tracking import derived
from autotrack.tracking.run import RunWriter
from autotrack.tracking.values import safe_number

PREDICTION_NAMES = ("y_pred", "y_score", "y_prob", "y_proba")
"""Names under which metric functions take predictions."""

MAX_COMPARED = 8
"""Latest predictions that a copy is looked for among."""

MAX_ROWS = 1_000_000
"""Rows of a copy that are compared at most."""

T = TypeVar("T")


class IdentityMap(Generic[T]):
    """Values for objects, by identity; an entry goes when its object does."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[Any], T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: Any, value: T, when_gone: Callable[[], None] | None = None) -> bool:
        """Remember a value for an object; False where the object cannot be referred to weakly."""
        number = id(key)
        entries = self._entries

        def forget(reference: weakref.ref[Any]) -> None:
            entry = entries.get(number)
            if entry is not None and entry[0] is reference:
                entries.pop(number, None)  # another thread may have dropped it
            if when_gone is not None:
                when_gone()

        try:
            entries[number] = (weakref.ref(key, forget), value)
        except TypeError:
            return False
        return True

    def get(self, key: Any) -> T | None:
        """The value for this very object."""
        entry = self._entries.get(id(key))
        return entry[1] if entry is not None and entry[0]() is key else None

    def items(self) -> list[tuple[Any, T]]:
        """Objects that are still there, with their values."""
        pairs = [(reference(), value) for reference, value in list(self._entries.values())]
        return [(key, value) for key, value in pairs if key is not None]

    def drop(self, unwanted: Callable[[T], bool]) -> None:
        """Forget the objects whose value is unwanted."""
        for number, entry in list(self._entries.items()):
            if unwanted(entry[1]):
                self._entries.pop(number, None)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()


class Fitted(NamedTuple):
    """What is known of a model that was fitted here."""

    run: RunWriter
    name: str
    """Name of its class."""
    integration: str = ""
    """The one that knows it."""


class Prediction(NamedTuple):
    """What is known of an array that a model's `predict` returned."""

    fitted: Fitted
    data: str
    """The caller's variable that was predicted."""


class PostHoc:
    """Links from models to runs, and from predictions to models."""

    def __init__(self) -> None:
        self._models: IdentityMap[Fitted] = IdentityMap()
        self._predictions: IdentityMap[Prediction] = IdentityMap()
        self._counts: weakref.WeakKeyDictionary[RunWriter, dict[str, int]] = weakref.WeakKeyDictionary()
        """How often each metric was computed, for as long as somebody may compute it of a run's models."""
        self._lock = threading.Lock()
        self._recent = threading.local()
        """Where each thread has predicted last, and what, until a metric was computed."""

    def link(self, model: Any, run: RunWriter, integration: str) -> None:
        """A model was fitted in a run, as an integration has seen."""
        self._models.put(model, Fitted(run, type(model).__name__, integration))

    def fitted(self, model: Any) -> Fitted | None:
        """What is known of a model; None where it was not fitted in a recorded run.

        In a handler: what it takes is charged to that run.
        """
        found = self._models.get(model)
        if found is not None:
            calls.charge_to(found.run.cost)
        return found

    def remember(self, predictions: Any, fitted: Fitted, data: str, frame: FrameType | None = None) -> None:
        """A model returned predictions to a frame."""
        prediction = Prediction(fitted, data)
        place = callsite.place_of(frame)
        self._recent.last = None if place is None else (place, prediction)
        for array in _itself_and_bases(predictions):
            self._predictions.put(array, prediction)

    def source_of(
        self, values: Iterable[Any], predictions: Any = None, frame: FrameType | None = None
    ) -> Prediction | None:
        """The one model's prediction that a metric is of; None where there is none, or several models' are compared.

        Args:
            values: What the metric function was given.
            predictions: What of that it takes for predictions.
            frame: The frame that called it.
        """
        found: dict[int, Prediction] = {}
        for value in values:
            prediction = self._prediction_of(value)
            if prediction is not None:
                found[id(prediction.fitted)] = prediction
        if found:
            return next(iter(found.values())) if len(found) == 1 else None
        return (
            self._source_written(frame) or self._source_copied(predictions) or self._source_assigned(predictions, frame)
        )

    def _source_copied(self, value: Any) -> Prediction | None:
        """The one model whose predictions a Series or list holds: pandas and Python copy what they are made of.

        Args:
            value: What a metric function was given as predictions.
        """
        if not _is_copy(value):
            return None
        import numpy

        count = len(value)
        known = [(array, one) for array, one in self._predictions.items() if type(array).__module__ == "numpy"]
        alike = [(array, one) for array, one in known[-MAX_COMPARED:] if array.shape == (count,)]
        if not alike or count > MAX_ROWS:
            return None
        held = numpy.asarray(value)
        found = {id(one.fitted): one for array, one in alike if numpy.array_equal(array, held)}
        return next(iter(found.values())) if len(found) == 1 else None

    def _source_assigned(self, value: Any, frame: FrameType | None) -> Prediction | None:
        """The one model of whose predictions a variable was made, in a statement of its own: `q = p > 0.5`.

        Args:
            value: What a metric function was given as predictions.
            frame: The frame that called it.
        """
        if not len(self._predictions) or not derived.is_candidate(value):
            return None
        expression = derived.expression_of(frame, PREDICTION_NAMES, 1)
        if expression is None:
            return None
        found: dict[int, Prediction] = {}
        for array, one in self._predictions.items()[-MAX_COMPARED:]:
            if id(one.fitted) not in found and derived.is_made_of(value, array, expression):
                found[id(one.fitted)] = one
        return next(iter(found.values())) if len(found) == 1 else None

    def _source_written(self, frame: FrameType | None) -> Prediction | None:
        """The prediction that a metric's second argument was made of, where it was made inside of the very call.

        Args:
            frame: The frame that called the metric function.
        """
        last, self._recent.last = getattr(self._recent, "last", None), None
        if last is None or not callsite.is_made_of(frame, last[0], PREDICTION_NAMES, 1):
            return None
        prediction: Prediction = last[1]
        return prediction

    def _prediction_of(self, value: Any) -> Prediction | None:
        for array in _itself_and_bases(value):
            prediction = self._predictions.get(array)
            if prediction is not None:
                return prediction
        return None

    def log(self, run: RunWriter, key: str, value: Any) -> None:
        """One more value of a metric that was computed after the fit; the first has step 0."""
        if safe_number(value) is None:
            return
        calls.charge_to(run.cost)
        with self._lock:
            counts = self._counts.setdefault(run, {})
            step = counts[key] = counts.get(key, -1) + 1
        run.log_safe_metrics({key: value}, step)

    def forget(self, integration: str) -> None:
        """Forget the models of an integration, and their predictions."""
        self._models.drop(lambda fitted: fitted.integration == integration)
        self._predictions.drop(lambda prediction: prediction.fitted.integration == integration)
        if not len(self._models):
            self._counts.clear()

    def reset_after_fork(self) -> None:
        """In a forked child: a thread that is not here may have held the lock."""
        self._lock = threading.Lock()


links = PostHoc()
"""Of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=links.reset_after_fork)


def _is_copy(value: Any) -> bool:
    kind = type(value)
    if kind is list:
        return bool(value) and type(value[0]) in (int, float, bool, str)
    plain = kind.__module__.partition(".")[0] == "pandas" and kind.__name__ == "Series"
    return plain and getattr(value.dtype, "kind", "O") in "biuf"


def _itself_and_bases(value: Any) -> list[Any]:
    """An array, what it is a view of, and what a Series or DataFrame holds."""
    found = []
    for _ in range(4):
        if value is None or isinstance(value, (str, bytes, int, float, list, tuple, dict)):
            break
        found.append(value)
        inner = attribute_of(value, "base")
        if inner is None and type(value).__module__.partition(".")[0] == "pandas":
            inner = getattr(getattr(value, "array", None), "_ndarray", None)
        value = inner
    return found
