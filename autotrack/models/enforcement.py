"""The input of `predict` against a signature: what is missing or of the wrong type is named, what fits is widened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autotrack.errors import ModelFormatError, SignatureMismatchError
from autotrack.models.inference import (
    KINDS,
    MAX_ROWS,
    column_name,
    dtype_name,
    item_type,
    library_of,
    pandas_type,
    polars_type,
    value_type,
)
from autotrack.models.signature import ANY, ColumnSpec, ParamSpec, Schema, TensorSpec, Type, type_name

_WIDER = {
    "boolean": (),
    "integer": ("long", "double"),
    "long": ("double",),
    "float": ("double",),
}
"""What a type may be widened to without loss (a long beyond 2**53 is rounded, as numpy has it)."""

_NUMPY = {"long": "int64", "double": "float64"}
_POLARS = {"long": "Int64", "double": "Float64"}


def enforce_inputs(specs: Schema, data: Any) -> Any:
    """See `Signature.enforce`."""
    columns = [spec for spec in specs if isinstance(spec, ColumnSpec)]
    if len(columns) != len(specs):
        return _enforce_tensors([spec for spec in specs if isinstance(spec, TensorSpec)], data)
    if columns[0].name is None:
        return _enforce_values(columns[0], data)
    library, kind = library_of(data)
    if library == "polars" and kind in ("DataFrame", "Series"):
        return _enforce_polars(columns, data if kind == "DataFrame" else data.to_frame())
    return _enforce_pandas(columns, _frame(columns, data))


def _mismatch(text: str) -> SignatureMismatchError:
    return SignatureMismatchError(f"input of predict: {text}")


def _frame(columns: Sequence[ColumnSpec], data: Any) -> Any:
    """A pandas DataFrame of what came; nameless columns get the signature's names by position."""
    try:
        return _made_frame(columns, data)
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        if isinstance(error, SignatureMismatchError):
            raise
        raise _mismatch(f"it makes no table ({str(error)[:200]})") from None


def _made_frame(columns: Sequence[ColumnSpec], data: Any) -> Any:
    import pandas as pd

    library, kind = library_of(data)
    if (library, kind) == ("pandas", "DataFrame"):
        return data
    if (library, kind) == ("pandas", "Series"):
        return data.to_frame(columns[0].name if len(columns) == 1 and data.name is None else data.name)
    if isinstance(data, dict):
        return pd.DataFrame([data] if is_row(columns, data) else data)
    if isinstance(data, (list, tuple)) and data and all(isinstance(row, dict) for row in data):
        return pd.DataFrame(list(data))
    return pd.DataFrame(_table(data, len(columns)), columns=[column.name for column in columns])


def is_row(columns: Sequence[ColumnSpec], data: dict[Any, Any]) -> bool:
    """Whether a dict holds a value for each column, not a list of them: a list is a value where lists are expected."""
    return all(_is_value(column.type, data[column.name]) for column in columns if column.name in data)


def _is_value(expected: Type, value: Any) -> bool:
    if not hasattr(value, "__len__") or isinstance(value, (str, bytes)):
        return True
    if isinstance(expected, str) or expected == ANY:
        return False
    got = value_type(value)
    return got is None or _fits(expected, got)


def _table(data: Any, width: int) -> Any:
    """Rows without names (array, sparse matrix, tensor, list of rows) as an array of `width` columns."""
    import numpy as np

    library = library_of(data)[0]
    if library == "scipy":
        data = data.toarray()
    elif library == "torch":
        data = data.detach().cpu().numpy()
    elif library != "numpy" and not isinstance(data, (list, tuple)):
        raise _mismatch(f"expected {KINDS}, got {type(data).__qualname__}")
    try:
        table = np.asarray(data)
    except ValueError:
        raise _mismatch("the rows are of different lengths") from None
    if table.ndim == 1 and width == 1:
        table = table.reshape(-1, 1)
    if table.ndim != 2 or table.shape[1] != width:
        raise _mismatch(f"expected {width} columns, got an array of shape {table.shape}")
    return table


def _names_present(columns: Sequence[ColumnSpec], present: Sequence[Any]) -> list[Any]:
    missing = [column.name for column in columns if column.required and column.name not in present]
    if missing:
        shown = ", ".join(repr(name) for name in missing[:10]) + (", ..." if len(missing) > 10 else "")
        came = ", ".join(repr(name) for name in list(present)[:20])
        raise _mismatch(f"column {shown} is missing; got {came or 'no columns'}")
    return [column.name for column in columns if column.name in present]


def _enforce_pandas(columns: Sequence[ColumnSpec], frame: Any) -> Any:
    present = [column_name(name) for name in frame.columns]
    if present != [column.name for column in columns]:
        if len(set(present)) < len(present):
            twice = next(name for name in present if present.count(name) > 1)
            raise _mismatch(f"column {twice!r} is there more than once")
        wanted = _names_present(columns, present)
        columns = [column for column in columns if column.name in wanted]
        if wanted != present:
            frame = frame.iloc[:, [present.index(name) for name in wanted]]
    casts = {}
    for place, column in enumerate(columns):
        values = frame.iloc[:, place]
        cast = _check_column(column, values, pandas_type(values))
        if cast is not None:
            casts[frame.columns[place]] = _NUMPY[cast]
    return frame.astype(casts) if casts else frame


def _enforce_polars(columns: Sequence[ColumnSpec], frame: Any) -> Any:
    import polars

    wanted = _names_present(columns, frame.columns)
    frame = frame.select(wanted)
    casts = []
    for column in columns:
        if column.name in wanted:
            cast = _check_column(column, frame[column.name], polars_type(frame.schema[column.name]))
            if cast is not None:
                casts.append(frame[column.name].cast(getattr(polars, _POLARS[cast])))
    return frame.with_columns(casts) if casts else frame


def _check_column(column: ColumnSpec, values: Any, got: Type) -> str | None:
    """The type to widen a column to, or None where it stays as it is."""
    expected = column.type
    if got == expected or expected == ANY or _all_missing(values):
        return None
    if isinstance(expected, str) and isinstance(got, str):
        if expected in _WIDER.get(got, ()):
            return expected if _widenable(values) else None
        if (
            expected in ("integer", "long")
            and got in ("integer", "float", "double", "long")
            and _whole(values, expected)
        ):
            # Whole numbers: missing values make a column of integers one of floats.
            return None
    elif _nested_fits(expected, got) or (got == ANY and _all_empty(expected, values)):
        return None
    raise _mismatch(f"column {column.name!r}: expected {type_name(expected)}, got {_described(got, values)}")


def _widenable(values: Any) -> bool:
    # Nullable integers with missing values and object columns have no plain numpy type; models take them as they are.
    return library_of(values)[0] == "polars" or (values.dtype.kind in "iuf" and not values.isna().any())


def _all_missing(values: Any) -> bool:
    if library_of(values)[0] == "polars":
        return bool(values.null_count() == len(values))
    return bool(values.isna().all())


def _all_empty(expected: Type, values: Any) -> bool:
    """Whether there are but empty lists, which have no type, where lists are expected."""
    lists = not isinstance(expected, str) and expected["type"] == "array"
    return lists and all(
        hasattr(value, "__len__") and not isinstance(value, str) and not len(value) for value in values
    )


def _whole(values: Any, expected: str) -> bool:
    present = values.drop_nulls() if library_of(values)[0] == "polars" else values.dropna()
    limit = 2**31 if expected == "integer" else 2**63
    return bool(((present % 1) == 0).all() and (present >= -limit).all() and (present < limit).all())


def _nested_fits(expected: Type, got: Type) -> bool:
    """Whether values of a nested type may stand for another: what is inside counts, to any depth."""
    if isinstance(expected, str) or isinstance(got, str):
        return False
    if (expected["type"], got["type"]) == ("array", "array"):
        return _fits(_inner(expected["items"]), _inner(got["items"]))
    if expected["type"] == "map" and got["type"] in ("map", "object"):
        values = [got["values"]] if got["type"] == "map" else got["properties"].values()
        return all(_property_fits(expected["values"], value) for value in values)
    if (expected["type"], got["type"]) == ("object", "object"):
        return all(
            _property_fits(wanted, got["properties"][name])
            if name in got["properties"]
            else not wanted.get("required", True)
            for name, wanted in expected["properties"].items()
        )
    return False


def _property_fits(expected: dict[str, Any], got: dict[str, Any]) -> bool:
    """A value that is missing has no type, and fits any."""
    return _inner(got) == ANY or _fits(_inner(expected), _inner(got))


def _inner(data: dict[str, Any]) -> Type:
    """The type of an array's items or of a property, out of its JSON."""
    plain = {key: value for key, value in data.items() if key not in ("required", "name")}
    return plain["type"] if len(plain) == 1 and plain != ANY else plain


def _described(got: Type, values: Any) -> str:
    if got == ANY:
        kinds = sorted({type(value).__name__ for value in list(values[:MAX_ROWS])})
        return f"values of {', '.join(kinds[:5])}"
    example = next(iter(values[:1]), None)
    shown = repr(example)
    return f"{type_name(got)} (such as {shown if len(shown) <= 60 else shown[:57] + '...'})"


def _enforce_values(column: ColumnSpec, data: Any) -> Any:
    """Data of one nameless column: a list, array or Series of values, or one value."""
    library = library_of(data)[0]
    if library in ("pandas", "polars") and hasattr(data, "columns"):
        if not isinstance(column.type, str):
            # Fitted on a list of rows: a frame's rows are as good.
            return data.to_numpy()
        raise _mismatch(f"expected values of {type_name(column.type)} without a name, got a DataFrame")
    if library in ("pandas", "polars"):
        got: Type | None = pandas_type(data) if library == "pandas" else polars_type(data.dtype)
    else:
        values = data[:MAX_ROWS] if hasattr(data, "__len__") and not isinstance(data, (str, bytes, dict)) else [data]
        if not len(values):
            return data
        got = item_type(values)
    if got is None or not _fits(column.type, got):
        found = "values of no one type" if got in (None, ANY) else type_name(got or ANY)
        raise _mismatch(f"expected values of {type_name(column.type)}, got {found}")
    return data


def _fits(expected: Type, got: Type) -> bool:
    if expected in (ANY, got):
        return True
    if isinstance(expected, str) and isinstance(got, str):
        # A Python int is a long and a Python float a double, whatever the signature was inferred from.
        smaller = {"long": ("integer",), "double": ("float",)}.get(got, ())
        return expected in (*_WIDER.get(got, ()), *smaller)
    return _nested_fits(expected, got)


def _enforce_tensors(specs: Sequence[TensorSpec], data: Any) -> Any:
    if specs[0].name is None:
        return _enforce_tensor(specs[0], data)
    if not isinstance(data, dict):
        names = ", ".join(repr(spec.name) for spec in specs)
        raise _mismatch(f"expected a dict of arrays {names}, got {type(data).__qualname__}")
    missing = [spec.name for spec in specs if spec.name not in data]
    if missing:
        raise _mismatch(f"array {missing[0]!r} is missing; got {', '.join(map(repr, data)) or 'none'}")
    return {spec.name: _enforce_tensor(spec, data[spec.name]) for spec in specs}


def _enforce_tensor(spec: TensorSpec, data: Any) -> Any:
    library, kind = library_of(data)
    if library in ("pandas", "polars"):
        data = data.to_numpy()
    elif isinstance(data, (list, tuple, int, float, str, bool)):
        data = _array_of(spec, data)
    elif library not in ("numpy", "scipy", "torch"):
        raise _mismatch(f"{_label(spec)}expected an array, got {kind}")
    shape = tuple(data.shape)
    if len(shape) != len(spec.shape) or any(want not in (-1, got) for want, got in zip(spec.shape, shape, strict=True)):
        raise _mismatch(f"{_label(spec)}expected shape {spec.shape}, got {shape}")
    return _cast(spec, data, library)


def _label(spec: TensorSpec) -> str:
    return "" if spec.name is None else f"array {spec.name!r}: "


def _array_of(spec: TensorSpec, data: Any) -> Any:
    """An array of plain values; those have no dtype of their own, so they take the signature's where they can."""
    import numpy as np

    try:
        array = np.asarray(data)
    except ValueError:
        raise _mismatch(f"{_label(spec)}the rows are of different lengths") from None
    wanted = _dtype_of(spec)
    if array.dtype.kind in "iuf" and wanted.kind in "iuf" and np.can_cast(array.dtype, wanted, "same_kind"):
        return array.astype(wanted)
    return array


def _dtype_of(spec: TensorSpec) -> Any:
    import numpy as np

    try:
        return np.dtype(spec.dtype)
    except (TypeError, ValueError, SyntaxError):  # numpy takes a dtype's name for an expression
        raise ModelFormatError(f"MLmodel: signature: {_label(spec)}no dtype is called {spec.dtype!r:.100}") from None


def _cast(spec: TensorSpec, data: Any, library: str) -> Any:
    import numpy as np

    got = dtype_name(data.dtype)
    if got == spec.dtype or spec.dtype == "object":
        return data
    if got == "object":
        # A frame whose columns differ in type comes as objects.
        try:
            return data.astype(spec.dtype)
        except (TypeError, ValueError) as error:
            raise _mismatch(f"{_label(spec)}expected dtype {spec.dtype}, got object: {error}") from None
    came, wanted = np.dtype(got), _dtype_of(spec)
    if {came.kind, wanted.kind} <= set("biufc") and np.can_cast(came, wanted, "safe"):
        return _to_dtype(data, spec.dtype, library)
    raise _mismatch(f"{_label(spec)}expected dtype {spec.dtype}, got {got}")


def _to_dtype(data: Any, dtype: str, library: str) -> Any:
    if library == "torch":
        import torch

        return data.to(getattr(torch, dtype))
    return data.astype(dtype)


def enforce_params(specs: Sequence[ParamSpec], params: dict[str, Any]) -> dict[str, Any]:
    """See `Signature.enforce_params`."""
    known = {spec.name: spec for spec in specs}
    unknown = [name for name in params if name not in known]
    if unknown:
        takes = f"it takes {', '.join(map(repr, known))}" if known else "it takes none"
        raise SignatureMismatchError(f"params of predict: {unknown[0]!r} is not a parameter of this model; {takes}")
    return {
        name: _enforce_param(spec, params[name]) if name in params else spec.default for name, spec in known.items()
    }


def _enforce_param(spec: ParamSpec, value: Any) -> Any:
    plain = value.tolist() if hasattr(value, "tolist") else value
    is_list = isinstance(plain, (list, tuple))
    got = item_type(plain) if is_list else value_type(plain)
    if is_list != (spec.shape is not None) or (got is not None and not _fits(spec.type, got)):
        expected = ("list of " if spec.shape is not None else "") + type_name(spec.type)
        raise SignatureMismatchError(f"params of predict: {spec.name!r}: expected {expected}, got {value!r}")
    return value
