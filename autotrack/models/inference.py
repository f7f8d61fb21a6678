"""Schemas from samples of data: which columns or arrays, of which types. Nothing is imported that is not loaded."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from autotrack.errors import InvalidArgumentError
from autotrack.models.signature import ANY, ColumnSpec, ParamSpec, Schema, TensorSpec, Type, type_json

MAX_ROWS = 10_000
"""Rows that are looked at."""

KINDS = "a DataFrame or Series (pandas, polars), array, sparse matrix, tensor, dict, list or scalar"
"""What can be described, in words."""

_POLARS_TYPES = {
    **dict.fromkeys(("Int8", "Int16", "Int32", "UInt8", "UInt16"), "integer"),
    **dict.fromkeys(("Int64", "UInt32"), "long"),
    **dict.fromkeys(("String", "Utf8", "Categorical", "Enum"), "string"),
    **dict.fromkeys(("Date", "Datetime"), "datetime"),
    "Float32": "float",
    "Float64": "double",
    "Boolean": "boolean",
    "Binary": "binary",
}


def library_of(data: Any) -> tuple[str, str]:
    """Top-level package and name of the first public class among a value's bases: ("pandas", "DataFrame")."""
    known = {"pandas", "polars", "numpy", "torch"}
    for base in type(data).__mro__:
        root = base.__module__.partition(".")[0]
        if root in known and base.__name__ in ("DataFrame", "Series", "Index", "LazyFrame", "ndarray", "Tensor"):
            return root, base.__name__
    if type(data).__module__.startswith("scipy.sparse"):
        return "scipy", "sparse"
    return "", type(data).__name__


def infer_schema(data: Any, argument: str = "data") -> Schema:
    """Schema of a sample.

    Raises:
        InvalidArgumentError: The sample is of a kind that has no schema.
    """
    library, kind = library_of(data)
    if library == "pandas":
        return _pandas_schema(data) if kind == "DataFrame" else (_pandas_column(data, column_name(data.name)),)
    if library == "polars" and kind in ("DataFrame", "Series"):
        columns = data.get_columns() if kind == "DataFrame" else [data]
        return tuple(_polars_column(column) for column in columns)
    if library in ("numpy", "torch", "scipy"):
        return (tensor_spec(data),)
    if isinstance(data, dict):
        return _dict_schema(data, argument)
    if isinstance(data, (list, tuple)):
        return _list_schema(list(data[:MAX_ROWS]), argument)
    kind_of_value = value_type(data)
    if kind_of_value is None or kind_of_value == ANY:
        raise InvalidArgumentError(argument, type(data).__qualname__, KINDS)
    return (ColumnSpec(kind_of_value),)


def tensor_spec(data: Any, name: str | None = None) -> TensorSpec:
    """Spec of an array, sparse matrix or tensor; its first axis may have any length."""
    shape = tuple(int(size) for size in data.shape)
    return TensorSpec(dtype_name(data.dtype), (-1, *shape[1:]) if shape else (), name)


def dtype_name(dtype: Any) -> str:
    """numpy's name of a dtype, without sizes of texts; torch's bfloat16, which numpy does not know, is float32."""
    text = str(dtype)
    if text.startswith("torch."):
        name = text.removeprefix("torch.")
        return "float32" if name == "bfloat16" else name
    # MLflow cannot read the name of a record's type.
    return {"U": "str", "S": "bytes", "V": "object"}.get(dtype.kind) or str(dtype.name)


def column_name(name: Any) -> str | int | None:
    """A column's name as a signature can hold it; other names than texts and integers (tuples) as text."""
    if name is None or type(name) in (str, int):
        return name  # type: ignore[no-any-return]
    return int(name) if type(name).__module__ == "numpy" and getattr(name.dtype, "kind", "") in "iu" else str(name)


def _pandas_schema(data: Any) -> Schema:
    head = data.iloc[:MAX_ROWS]
    return tuple(_pandas_column(head.iloc[:, place], column_name(name)) for place, name in enumerate(data.columns))


def _pandas_column(column: Any, name: str | int | None) -> ColumnSpec:
    column = column[:MAX_ROWS]
    required = not bool(column.isna().any())
    return ColumnSpec(pandas_type(column), name, required)


def pandas_type(column: Any) -> Type:
    """Type of a pandas Series, from its dtype, or from its values where that says nothing."""
    dtype = getattr(column.dtype, "categories", column).dtype
    if dtype.kind != "O":
        return numpy_type(dtype)
    return item_type(column[:MAX_ROWS].dropna().tolist()) or ANY


def numpy_type(dtype: Any) -> Type:
    """Type of a numpy or pandas extension dtype (not object)."""
    kind, size = dtype.kind, getattr(dtype, "itemsize", 8)
    if kind in "iu":
        # Unsigned numbers need the next larger signed type.
        size = size if kind == "i" else 2 * size
        return "integer" if size <= 4 else "long" if size <= 8 else ANY
    if kind == "f":
        return "float" if size <= 4 else "double" if size <= 8 else ANY
    return {"b": "boolean", "U": "string", "S": "binary", "M": "datetime"}.get(kind, ANY)


def _polars_column(column: Any) -> ColumnSpec:
    return ColumnSpec(polars_type(column.dtype), column.name or None, column.null_count() == 0)


def polars_type(dtype: Any) -> Type:
    """Type of a polars dtype."""
    name = str(dtype).partition("(")[0]
    if name in ("List", "Array"):
        return {"type": "array", "items": type_json(polars_type(dtype.inner))}
    return _POLARS_TYPES.get(name, ANY)


def _dict_schema(data: dict[Any, Any], argument: str) -> Schema:
    if not all(isinstance(key, str) for key in data):
        raise InvalidArgumentError(argument, list(data)[:5], "a dict whose keys are all texts")
    if data and all(library_of(value)[0] in ("numpy", "torch", "scipy") for value in data.values()):
        return tuple(tensor_spec(value, name) for name, value in data.items())
    return tuple(ColumnSpec(value_type(value) or ANY, name, not _missing(value)) for name, value in data.items())


def _list_schema(data: list[Any], argument: str) -> Schema:
    if data and all(isinstance(row, dict) for row in data):
        names = dict.fromkeys(key for row in data for key in row)
        return tuple(
            ColumnSpec(
                item_type([row[name] for row in data if name in row]) or ANY,
                column_name(name),
                all(not _missing(row.get(name)) for row in data),
            )
            for name in names
        )
    kind = item_type(data) if data else "string"
    if kind is None or kind == ANY:
        raise InvalidArgumentError(argument, data[:5], "a list of values of one plain type, of lists, or of dicts")
    return (ColumnSpec(kind),)


def _missing(value: Any) -> bool:
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def value_type(value: Any) -> Type | None:
    """Type of one value: ANY for a missing one and for one without a type here, None for an empty array."""
    if _missing(value):
        return ANY
    if isinstance(value, dict):
        properties = {str(key): value_type(item) or ANY for key, item in value.items()}
        return _object({key: (kind, kind != ANY) for key, kind in properties.items()}) if value else ANY
    if isinstance(value, (list, tuple)) or library_of(value) == ("numpy", "ndarray"):
        items = item_type(list(value[:MAX_ROWS]))
        return None if items is None else {"type": "array", "items": type_json(items)}
    return _scalar_type(value)


def _scalar_type(value: Any) -> Type:
    if type(value).__module__ == "numpy" and getattr(value, "dtype", None) is not None:
        return numpy_type(value.dtype)
    plain: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "boolean"),
        (int, "long"),
        (float, "double"),
        (str, "string"),
        ((bytes, bytearray), "binary"),
        (datetime.date, "datetime"),
    )
    return next((name for kinds, name in plain if isinstance(value, kinds)), ANY)


def item_type(values: Iterable[Any]) -> Type | None:
    """The one type of several values; ANY where they differ, None where none has a type. Missing ones do not count."""
    merged: Type | None = None
    for value in values:
        kind = value_type(value)
        if kind is None or (kind == ANY and _missing(value)):
            continue
        merged = kind if merged is None else _merge(merged, kind)
        if merged == ANY:
            return ANY
    return merged


def _merge(one: Type, other: Type) -> Type:
    if one == other:
        return one
    if isinstance(one, str) or isinstance(other, str) or one["type"] != other["type"]:
        return ANY
    if one["type"] == "array":
        return {"type": "array", "items": _merge_json(one["items"], other["items"])}
    if one["type"] == "object":
        return _merge_objects(one["properties"], other["properties"])
    return ANY


def _merge_json(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    plain = [kind["type"] if len(kind) == 1 and kind != ANY else kind for kind in (one, other)]
    return type_json(_merge(plain[0], plain[1]))


def _merge_objects(one: dict[str, Any], other: dict[str, Any]) -> Type:
    merged: dict[str, tuple[Type, bool]] = {}
    for key in dict.fromkeys((*one, *other)):
        sides = [{**side[key]} for side in (one, other) if key in side]
        required = len(sides) == 2 and all(side["required"] for side in sides)
        for side in sides:
            del side["required"]
        # Of a missing value and an empty list nothing is known: the other row says what it is.
        sides = [side for side in sides if side != ANY] or sides
        merged[key] = (sides[0] if len(sides) == 1 else _merge_json(sides[0], sides[1])), required
    return _object(merged)


def _object(properties: dict[str, tuple[Type, bool]]) -> Type:
    return {
        "type": "object",
        "properties": {key: {**type_json(kind), "required": required} for key, (kind, required) in properties.items()},
    }


def infer_params(params: dict[str, Any]) -> tuple[ParamSpec, ...]:
    """Specs of `predict`'s parameters, from their defaults.

    Raises:
        InvalidArgumentError: A default is neither a scalar, nor a flat list of one type, nor a dict.
    """
    return tuple(_param(name, default) for name, default in params.items())


def _param(name: str, default: Any) -> ParamSpec:
    plain = default.tolist() if hasattr(default, "tolist") else default
    kind = item_type(plain) if isinstance(plain, (list, tuple)) else value_type(plain)
    nested = not isinstance(kind, str) and (isinstance(plain, (list, tuple)) or not isinstance(plain, dict))
    if kind is None or kind == ANY or nested:
        raise InvalidArgumentError(f"params[{name!r}]", default, "a scalar, a flat list of one type, or a dict")
    if kind == "datetime":
        plain = [item.isoformat() for item in plain] if isinstance(plain, (list, tuple)) else plain.isoformat()
    return ParamSpec(name, kind, plain, (-1,) if isinstance(plain, (list, tuple)) else None)
