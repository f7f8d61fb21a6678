"""An object's attributes as JSON and back: numbers, texts, containers and arrays, and nothing that could run code."""

from __future__ import annotations

import base64
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

from autotrack.errors import ModelFormatError
from autotrack.models.safety import UNREADABLE

KIND = "$"
"""Key that marks a value with no form of its own in JSON: `{"$": "tuple", "items": [...]}`."""


class NotPlainError(Exception):
    """There is no such form for this object; says which. Internal to models."""


def encode(value: Any) -> Any:
    """A value in a form for `json.dumps`.

    Raises:
        NotPlainError: It is, or holds, something else than numbers, texts, containers and arrays of those.
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if value - value == 0 else {KIND: "float", "text": repr(value)}
    if type(value) is list:
        return [encode(item) for item in value]
    if type(value) in (tuple, set, frozenset):
        items = value if type(value) is tuple else sorted(value, key=repr)
        return {KIND: type(value).__name__, "items": [encode(item) for item in items]}
    if type(value) in _DICTS:
        return {KIND: type(value).__name__, "items": [[encode(key), encode(item)] for key, item in value.items()]}
    if type(value).__module__ == "numpy":
        return _encode_numpy(value)
    place = f"{type(value).__module__}.{type(value).__qualname__}"
    if place == "sklearn.preprocessing._label.LabelEncoder":
        return {KIND: "LabelEncoder", "state": encode(vars(value))}
    raise NotPlainError(f"a {place} has no form in JSON")


def _encode_numpy(value: Any) -> dict[str, Any]:
    import numpy as np

    if not isinstance(value, (np.ndarray, np.generic)):
        raise NotPlainError(f"a numpy.{type(value).__qualname__} has no form in JSON")
    array = np.asarray(value)
    kind = "array" if isinstance(value, np.ndarray) else "scalar"
    if array.dtype.kind == "O":
        return {KIND: kind, "shape": list(array.shape), "items": [encode(item) for item in array.ravel().tolist()]}
    if array.dtype.kind not in "biufcSUmM":
        raise NotPlainError(f"an array of {array.dtype} has no form in JSON")
    content = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {KIND: kind, "shape": list(array.shape), "dtype": array.dtype.str, "bytes": content}


def decode(form: Any) -> Any:
    """Inverse of `encode`.

    Raises:
        ModelFormatError: It is not what `encode` makes.
    """
    if isinstance(form, list):
        return [decode(item) for item in form]
    if not isinstance(form, dict):
        return form
    try:
        return _DECODERS[form[KIND]](form)
    except UNREADABLE as error:
        raise ModelFormatError(f"a value in the model's state is damaged: {error!r}") from None


def _decode_items(form: dict[str, Any]) -> Any:
    return (decode(item) for item in form["items"])


def _decode_pairs(form: dict[str, Any]) -> Any:
    return ((decode(key), decode(item)) for key, item in form["items"])


def _decode_array(form: dict[str, Any]) -> Any:
    import numpy as np

    shape = tuple(int(size) for size in form["shape"])
    if "items" in form:
        array = np.empty(len(form["items"]), dtype=object)
        for index, item in enumerate(_decode_items(form)):
            array[index] = item
        return array.reshape(shape)
    dtype = np.dtype(str(form["dtype"]))
    if dtype.kind not in "biufcSUmM":
        raise ValueError(f"an array of {dtype}")
    return np.frombuffer(base64.b64decode(form["bytes"]), dtype).reshape(shape).copy()


def _decode_label_encoder(form: dict[str, Any]) -> Any:
    from sklearn.preprocessing import LabelEncoder

    encoder = LabelEncoder()
    vars(encoder).update(decode(form["state"]))
    return encoder


_DICTS = (dict, OrderedDict, defaultdict)

_DECODERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "LabelEncoder": _decode_label_encoder,
    "OrderedDict": lambda form: OrderedDict(_decode_pairs(form)),
    "array": _decode_array,
    # The one use: scores by data set, then by metric.
    "defaultdict": lambda form: defaultdict(OrderedDict, _decode_pairs(form)),
    "dict": lambda form: dict(_decode_pairs(form)),
    "float": lambda form: float(form["text"]),
    "frozenset": lambda form: frozenset(_decode_items(form)),
    "scalar": lambda form: _decode_array(form)[()],
    "set": lambda form: set(_decode_items(form)),
    "tuple": lambda form: tuple(_decode_items(form)),
}
