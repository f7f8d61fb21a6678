"""What a model takes and gives: column or tensor specifications, written in `MLmodel` as MLflow 3 writes them.

The format: `signature: {inputs, outputs, params}`, each a JSON text or null. A column is
`{"type": "double", "name": "x", "required": true}`, a tensor
`{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}`, a parameter
`{"name": "t", "default": 0.5, "shape": null, "type": "double"}`. `required` is false for a column in which values
were missing. Nested types (array, object, map) keep their JSON as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from autotrack.errors import ModelFormatError, SignatureMismatchError

SCALARS = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
"""Scalar types by MLflow's names; integer and float are of 32 bits, long and double of 64."""

Type = str | dict[str, Any]
"""A scalar type's name, or the JSON of a nested type: `{"type": "array", "items": {"type": "double"}}`."""

ANY: Type = {"type": "any"}
"""The type of a column about which nothing can be said."""


def type_json(kind: Type) -> dict[str, Any]:
    """The JSON of a type: `{"type": ...}` and what a nested type adds."""
    return {"type": kind} if isinstance(kind, str) else dict(kind)


def type_name(kind: Type) -> str:
    """A type in words, for messages: `double`, `array of double`, `object`."""
    if isinstance(kind, str):
        return kind
    if kind["type"] == "array":
        return f"array of {type_name(_type_of(kind['items']))}"
    return str(kind["type"])


_INNER = {"array": "items", "map": "values"}
"""Where a nested type has the type of what is in it."""

MAX_NESTING = 100
"""Levels of nested types that are read."""


def _type_of(data: dict[str, Any]) -> Type:
    kind = data["type"]
    return kind if kind in SCALARS else data


def _checked_type(data: dict[str, Any]) -> Type:
    """The type that its JSON says.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: It lacks what a type of its kind has, at any depth.
    """
    waiting = [(data, 0)]
    while waiting:
        one, depth = waiting.pop()
        if depth > MAX_NESTING:
            raise ValueError(f"more than {MAX_NESTING} levels of types")
        kind = one["type"]
        if not isinstance(kind, str):
            raise TypeError(f"the type {kind!r:.100}")
        if kind == "object":
            waiting += ((item, depth + 1) for item in one["properties"].values())
        elif kind in _INNER:
            waiting.append((one[_INNER[kind]], depth + 1))
    return _type_of(data)


@dataclass(frozen=True)
class ColumnSpec:
    """One column. Unnamed where the data is one list of values."""

    type: Type
    name: str | int | None = None
    required: bool = True

    def to_dict(self) -> dict[str, Any]:
        """As in `MLmodel`."""
        named = {} if self.name is None else {"name": self.name}
        return {**type_json(self.type), **named, "required": self.required}


@dataclass(frozen=True)
class TensorSpec:
    """One array: numpy dtype name, shape with -1 for any length, and a name where it is one of a dict."""

    dtype: str
    shape: tuple[int, ...]
    name: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As in `MLmodel`."""
        named = {} if self.name is None else {"name": self.name}
        return {**named, "type": "tensor", "tensor-spec": {"dtype": self.dtype, "shape": list(self.shape)}}


@dataclass(frozen=True)
class ParamSpec:
    """One parameter of `predict`: scalar (shape None) or list (shape (-1,))."""

    name: str
    type: Type
    default: Any
    shape: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As in `MLmodel`."""
        shape = None if self.shape is None else list(self.shape)
        return {"name": self.name, "default": self.default, "shape": shape, **type_json(self.type)}


Spec = ColumnSpec | TensorSpec
Schema = tuple[Spec, ...]


def _checked_name(data: dict[str, Any]) -> Any:
    name = data.get("name")
    if name is not None and type(name) not in (str, int):
        raise TypeError(f"the name {name!r:.100}")
    return name


def _spec(data: dict[str, Any]) -> Spec:
    if data["type"] == "tensor":
        tensor = data["tensor-spec"]
        return TensorSpec(str(tensor["dtype"]), tuple(int(size) for size in tensor["shape"]), _checked_name(data))
    rest = {key: value for key, value in data.items() if key not in ("name", "required")}
    return ColumnSpec(
        _checked_type(rest), _checked_name(data), bool(data.get("required", not data.get("optional", False)))
    )


def _param(data: dict[str, Any]) -> ParamSpec:
    rest = {key: value for key, value in data.items() if key not in ("name", "default", "shape")}
    # MLflow 2 wrote the type as `dtype`.
    kind = _checked_type(rest if "type" in rest else {"type": rest["dtype"]})
    shape = data.get("shape")
    return ParamSpec(str(data["name"]), kind, data.get("default"), None if shape is None else tuple(shape))


S = TypeVar("S")


def _read(data: dict[str, Any], name: str, read: Callable[[dict[str, Any]], S]) -> tuple[S, ...] | None:
    text = data.get(name)
    try:
        return (tuple(read(item) for item in json.loads(text)) or None) if text else None
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise ModelFormatError(f"MLmodel: signature.{name} cannot be read: {error!r}") from None


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a model, and the parameters of its `predict`."""

    inputs: Schema | None = None
    outputs: Schema | None = None
    params: tuple[ParamSpec, ...] | None = None

    def to_dict(self) -> dict[str, str | None]:
        """The three JSON texts, as in `MLmodel`."""
        return {
            name: json.dumps([spec.to_dict() for spec in specs]) if specs else None
            for name, specs in (("inputs", self.inputs), ("outputs", self.outputs), ("params", self.params))
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Signature:
        """Inverse of `to_dict`.

        Raises:
            ModelFormatError: A text is no JSON, or not of the format.
        """
        return cls(
            _read(data, "inputs", _spec),
            _read(data, "outputs", _spec),
            _read(data, "params", _param),
        )

    def enforce(self, data: Any) -> Any:
        """Check the input of `predict`, and bring it into the form that the model was fitted on.

        Columns are put in order and unknown ones dropped, numbers are widened where nothing is lost (integer to
        long, integer to double, float to double), lists and dicts become frames or arrays.

        Args:
            data: DataFrame (pandas, polars), array, sparse matrix, tensor, list or dict.

        Returns:
            The data, unchanged where it fits already.

        Raises:
            SignatureMismatchError: It does not match; the message names the column, what was expected, what came.
        """
        from autotrack.models.enforcement import enforce_inputs

        try:
            return data if self.inputs is None else enforce_inputs(self.inputs, data)
        except RecursionError:
            raise SignatureMismatchError("input of predict: it is nested too deeply") from None

    def enforce_params(self, params: dict[str, Any] | None) -> dict[str, Any]:
        """Check the parameters of `predict`; those not given take their default.

        Raises:
            SignatureMismatchError: A name is unknown, or a value of the wrong type.
        """
        from autotrack.models.enforcement import enforce_params

        try:
            return enforce_params(self.params or (), params or {})
        except RecursionError:
            raise SignatureMismatchError("params of predict: nested too deeply") from None


def infer_signature(
    model_input: Any = None, model_output: Any = None, params: dict[str, Any] | None = None
) -> Signature:
    """Signature of a model, from samples of what it takes and gives.

    At most the first 10,000 rows are looked at. A column without a type that MLflow knows (mixed values, durations,
    complex numbers) is of type `any`.

    Args:
        model_input: DataFrame or Series (pandas, polars), numpy array, scipy sparse matrix, torch tensor, dict of
            arrays, dict or list of dicts of plain values, list, scalar.
        model_output: The same kinds.
        params: Parameters of `predict` with their defaults.

    Raises:
        InvalidArgumentError: One of them is of another kind.
    """
    from autotrack.models.inference import infer_params, infer_schema

    return Signature(
        None if model_input is None else infer_schema(model_input, "model_input") or None,
        None if model_output is None else infer_schema(model_output, "model_output") or None,
        infer_params(params) if params else None,
    )
