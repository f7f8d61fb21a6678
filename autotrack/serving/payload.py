"""What a request says, as data that a model takes; and predictions as JSON. The forms are those of MLflow's server.

JSON knows fewer types than a signature does: what a column or tensor is to be comes from the model's signature. What
does not convert is left as it came, so that the model's own check names it.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from autotrack.errors import InvalidArgumentError
from autotrack.models.enforcement import is_row
from autotrack.models.inference import library_of
from autotrack.models.signature import ColumnSpec, Signature, TensorSpec

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
"""Keys of a JSON request; one of them is there, and perhaps `params`."""

NUMBERS = {"integer": "int32", "long": "int64", "float": "float32", "double": "float64"}
"""numpy's dtypes of the signature's numeric types."""


def read_json(body: bytes | str, signature: Signature | None = None) -> tuple[Any, dict[str, Any]]:
    """Data and parameters out of a JSON request.

    Args:
        body: `{"dataframe_split": {"columns": [...], "data": [[...]]}}`, `{"dataframe_records": [{...}]}`,
            `{"instances": [...]}` (by rows) or `{"inputs": ...}` (by columns, or rows), each with `params` if need be.
        signature: What the model takes.

    Returns:
        A pandas DataFrame, an array or a dict of arrays; and the parameters of `predict`.

    Raises:
        InvalidArgumentError: The body is no JSON of one of these forms.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError("body", _shown(body), f"JSON ({error})") from None
    present = [form for form in FORMS if isinstance(request, dict) and form in request]
    if len(present) != 1:
        keys = list(request) if isinstance(request, dict) else type(request).__name__
        raise InvalidArgumentError("body", keys, f"a JSON object with one of the keys {', '.join(FORMS)}")
    unknown = sorted(request.keys() - {*FORMS, "params"})
    params = request.get("params") or {}
    if unknown or not isinstance(params, dict):
        raise InvalidArgumentError("body", unknown or params, f"{present[0]}, and an object `params` if need be")
    try:
        data = _READERS[present[0]](request[present[0]], signature)
    except InvalidArgumentError:
        raise
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise InvalidArgumentError(
            present[0], _shown(request[present[0]]), f"{_EXPECTED[present[0]]} ({error})"
        ) from None
    return data, params


def read_csv(body: bytes | str, signature: Signature | None = None) -> Any:
    """A pandas DataFrame out of CSV with a line of names.

    Raises:
        InvalidArgumentError: It is no CSV.
    """
    import pandas as pd

    try:
        text = body if isinstance(body, str) else body.decode("utf-8")
        return to_columns(pd.read_csv(io.StringIO(text), dtype=text_columns(signature)), signature)
    except (ValueError, pd.errors.ParserError) as error:
        raise InvalidArgumentError("body", _shown(body), f"CSV with a line of names ({error})") from None


def text_columns(signature: Signature | None) -> dict[Any, Any]:
    """Columns whose texts a CSV reader must not take for numbers or dates, each with its dtype."""
    columns = _columns(signature)
    return {column.name: object for column in columns if column.type in ("string", "datetime", "binary")}


def to_columns(frame: Any, signature: Signature | None) -> Any:
    """A frame with the signature's types, as far as its values go there without loss.

    Args:
        frame: pandas DataFrame, of shape (rows, columns).
        signature: What the model takes.

    Returns:
        The frame; a dict of arrays for a model that takes arrays by name.
    """
    tensors = _tensors(signature)
    if tensors:
        return _to_tensors(frame, tensors)
    casts = {}
    for column in _columns(signature):
        if column.name in frame.columns and frame.columns.is_unique:
            cast = _cast(frame[column.name], column.type)
            if cast is not None:
                casts[column.name] = cast
    return frame.assign(**{str(name): values for name, values in casts.items()}) if casts else frame


def _to_tensors(frame: Any, tensors: Mapping[str | None, TensorSpec]) -> Any:
    """A table of numbers, or a column for each array, with the precision that the model wants."""
    import pandas as pd

    if None not in tensors:
        return {name: _array(frame[name].tolist(), spec) for name, spec in tensors.items() if name in frame.columns}
    table = frame.to_numpy()
    array = _array(table, tensors[None])
    return frame if array is table else pd.DataFrame(array, frame.index, frame.columns)


def _columns(signature: Signature | None) -> list[ColumnSpec]:
    inputs = signature.inputs if signature is not None and signature.inputs is not None else ()
    return [spec for spec in inputs if isinstance(spec, ColumnSpec) and isinstance(spec.name, str)]


def _cast(values: Any, kind: Any) -> Any:
    """A pandas Series of another dtype; None where it stays as it is."""
    import pandas as pd

    try:
        if kind == "datetime":
            return pd.to_datetime(values, format="ISO8601") if values.dtype.kind == "O" else None
        if kind == "binary":
            return values.map(_from_base64, na_action="ignore")
        if kind in NUMBERS:
            return _number_cast(values, NUMBERS[kind])
    except (ValueError, TypeError, OverflowError, binascii.Error):
        return None
    return None


def _number_cast(values: Any, dtype: str) -> Any:
    import numpy as np

    if values.isna().all():
        return values.astype("float64")
    if values.dtype.kind not in "iuf" or (values.dtype.kind == "f" and dtype.startswith("int")):
        return None
    cast = values.astype(dtype)
    return cast if dtype.startswith("float") or bool(np.array_equal(cast, values)) else None


def _from_base64(value: Any) -> Any:
    return base64.b64decode(value, validate=True) if isinstance(value, str) else value


def _split(value: Any, signature: Signature | None) -> Any:
    import pandas as pd

    if not isinstance(value, dict) or "data" not in value or value.keys() - {"columns", "data", "index"}:
        raise ValueError("no `data`, or keys beside `columns`, `data` and `index`")
    return to_columns(pd.DataFrame(value["data"], value.get("index"), value.get("columns")), signature)


def _records(value: Any, signature: Signature | None) -> Any:
    import pandas as pd

    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ValueError("no list of objects")
    return to_columns(pd.DataFrame(value), signature)


def _instances(value: Any, signature: Signature | None) -> Any:
    if not isinstance(value, list):
        raise ValueError("no list")
    tensors = _tensors(signature)
    if value and all(isinstance(row, dict) for row in value):
        if not tensors:
            return _records(value, signature)
        names = dict.fromkeys(name for row in value for name in row)
        value = {name: [row[name] for row in value] for name in names}
    return _by_signature(value, signature)


def _inputs(value: Any, signature: Signature | None) -> Any:
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return _instances(value, signature)
    return _by_signature(value, signature)


def _by_signature(value: Any, signature: Signature | None) -> Any:
    """A list of rows, or a dict of columns or arrays."""
    import numpy as np
    import pandas as pd

    tensors, columns = _tensors(signature), _columns(signature)
    if isinstance(value, dict):
        if columns:
            return to_columns(pd.DataFrame([value] if is_row(columns, value) else value), signature)
        return {name: _array(items, tensors.get(name)) for name, items in value.items()}
    if columns and isinstance(value, list) and all(isinstance(row, list) and len(row) == len(columns) for row in value):
        return to_columns(pd.DataFrame(value, columns=[column.name for column in columns]), signature)
    if signature is not None and signature.inputs and not tensors:
        return value
    return _array(value, tensors.get(None)) if tensors else np.asarray(value)


def _tensors(signature: Signature | None) -> Mapping[str | None, TensorSpec]:
    inputs = signature.inputs if signature is not None and signature.inputs is not None else ()
    return {spec.name: spec for spec in inputs if isinstance(spec, TensorSpec)}


def _array(value: Any, spec: TensorSpec | None) -> Any:
    import numpy as np

    array = np.asarray(value)
    if spec is None or spec.dtype in ("object", "str", "bytes"):
        return array
    wanted = np.dtype(spec.dtype)
    return array.astype(wanted) if np.can_cast(array.dtype, wanted, "same_kind") or array.dtype.kind in "iu" else array


_READERS: dict[str, Callable[[Any, Signature | None], Any]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _instances,
    "inputs": _inputs,
}
_EXPECTED = {
    "dataframe_split": "an object with `columns` (names) and `data` (a list of rows)",
    "dataframe_records": "a list of objects, one a row",
    "instances": "a list, one entry a row",
    "inputs": "a list of rows, or an object of columns or arrays",
}


def _shown(value: Any) -> Any:
    """A value short enough for a message."""
    text = value if isinstance(value, (bytes, str)) else repr(value)
    return text[:100] if len(text) > 100 else value


def json_bytes(predictions: Any) -> bytes:
    """`{"predictions": ...}`; NaN and +-inf, which JSON lacks, are null.

    Args:
        predictions: What `predict` returned: array, DataFrame (as records), Series, tensor, list, dict, scalar.

    Raises:
        TypeError: It holds what has no form in JSON.
    """
    return msgspec.json.encode({"predictions": plain(predictions)}, enc_hook=plain)


def plain(value: Any) -> Any:
    """An object of a numerical library as lists, dicts and numbers.

    Raises:
        TypeError: It is of no kind that has such a form.
    """
    library, kind = library_of(value)
    if kind == "DataFrame":
        return value.to_dict("records") if library == "pandas" else value.to_dicts()
    if library == "scipy":
        return value.toarray().tolist()
    if library == "torch":
        return value.detach().cpu().tolist()
    if library == "polars":
        return value.to_list()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (dict, list, tuple, str, int, float, bool, bytes)) or value is None:
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"{type(value).__qualname__} has no form in JSON")
