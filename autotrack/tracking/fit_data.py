"""What a training call saw: names, shapes, dtypes, and a bounded copy of its rows.

Nothing is copied whole beyond the bound, nothing sparse is made dense, nothing is changed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

import msgspec

from autotrack import callsite
from autotrack.events import DatasetInfo
from autotrack.origin import attribute_of, is_library_type
from autotrack.tracking import lineage
from autotrack.tracking.value_texts import safe_text

MAX_DIGESTED = 10_000
"""Items of a list, or of an array of objects, that a digest is made of."""

MAX_COLUMNS = 1_000
"""Columns that a stored schema lists."""

_DATA_NAMES = ("X", "raw_documents", "Xs", "K")
_TARGET_NAMES = ("y", "Y")


class Sample(msgspec.Struct, frozen=True):
    """Rows, spread over the whole, of what was given, in the containers in which it was given."""

    data: Any
    target: Any
    weights: Any
    rows: int
    """Rows in the sample."""
    total: int
    """Rows in the whole."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self.rows == self.total


class FitData(msgspec.Struct, frozen=True):
    """What a training call was given."""

    name: str
    """The caller's variable, or "dataset"."""
    profile: dict[str, Any]
    schema: dict[str, Any]
    sample: Sample | None
    nbytes: int
    """Bytes that the sample holds."""
    lineage: lineage.Lineage | None = None
    """What it was read from, where that is known."""


def arguments_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Data, target and sample weights among the arguments of a `fit`."""
    data = args[0] if args else next((kwargs[name] for name in _DATA_NAMES if name in kwargs), None)
    target = args[1] if len(args) > 1 else next((kwargs[name] for name in _TARGET_NAMES if name in kwargs), None)
    return data, target, kwargs.get("sample_weight")


def name_of(frame: FrameType | None, value: Any, default: str = "dataset", position: int = 0) -> str:
    """The name under which the code that makes a call knows the data that it passes, as argument `position`."""
    return callsite.name_of_argument(frame, value, _DATA_NAMES, position) or default


def fit_data_of(
    arguments: tuple[Any, Any, Any], frame: FrameType | None, max_bytes: int, position: int = 0
) -> FitData | None:
    """Describe what a fit is given, and copy a bounded sample of it; None where there is nothing to describe.

    Args:
        arguments: Data, target and sample weights.
        frame: The caller's, to know the data's name.
        max_bytes: Bound of the copy.
        position: Position of the data among the call's arguments.
    """
    data, target, weights = arguments
    if is_lazy(data):
        return _lazy_of(data, target, name_of(frame, data, position=position))
    total = rows_of(data)
    if total is None:
        return None
    profile: dict[str, Any] = {
        "rows": total,
        "type": f"{type(data).__module__.partition('.')[0]}.{type(data).__name__}",
    }
    sides = {"shape": _sides_of(data), "target_shape": _sides_of(target)}
    profile.update((key, known) for key, known in sides.items() if known is not None)
    # Of the class, since a frame would look for a column of that name, and compare it with each label.
    stored = attribute_of(data, "nnz") if hasattr(type(data), "nnz") else None
    if is_library_type(type(data)) and stored is not None and not callable(stored):
        profile["stored_values"] = int(stored)
    sample = sample_of(data, target, weights, total, max_bytes)
    size = 0 if sample is None else bytes_of(sample.data) + bytes_of(sample.target)
    known = lineage.of_fit(data, target)
    return FitData(name_of(frame, data, position=position), profile, _schema_of(data, target), sample, size, known)


def is_lazy(data: Any) -> bool:
    """Whether it is a collection of dask's, of which nothing may be asked that has to be computed."""
    return type(data).__module__.partition(".")[0] == "dask" and hasattr(data, "dask")


def _lazy_of(data: Any, target: Any, name: str) -> FitData:
    """What is known of a collection of dask's before anything of it is computed."""
    sides = _known_sides(data)
    profile: dict[str, Any] = {"rows": sides[0] if sides else None, "type": f"dask.{type(data).__name__}"}
    profile |= {"shape": sides, "target_shape": _known_sides(target), "partitions": _partitions_of(data)}
    # The name under which dask knows it is a digest of how it is made.
    graph = str(getattr(data, "name", "") if hasattr(data, "chunks") else getattr(data, "_name", ""))
    return FitData(name, profile, {**_schema_of(data, target), "graph": graph}, None, 0)


def _known_sides(data: Any) -> list[int | None]:
    """A lazy collection's shape; None for a side that is only known when it is computed."""
    shape = getattr(data, "shape", None)
    sides = shape if isinstance(shape, tuple) else ()
    return [int(side) if isinstance(side, int) else None for side in sides]


def _partitions_of(data: Any) -> int | None:
    count = getattr(data, "npartitions", None)
    return count if isinstance(count, int) else None


def loader_data_of(loader: Any, name: str, max_bytes: int) -> FitData | None:
    """Describe the data behind torch's `DataLoader`, where it is tensors; other datasets are the program's own code.

    Args:
        loader: The loader.
        name: Name of the dataset.
        max_bytes: Bound of the copied sample.
    """
    dataset: Any = getattr(loader, "dataset", None)
    if type(dataset).__name__ != "TensorDataset" or not dataset.tensors:
        return None
    data, *others = dataset.tensors
    found = fit_data_of((data, others[0] if others else None, None), None, max_bytes)
    if found is None:
        return None
    return msgspec.structs.replace(found, name=name, profile={**found.profile, "type": "torch.TensorDataset"})


def rows_of(data: Any) -> int | None:
    """Number of rows; None where that is not to be known without reading."""
    if is_lazy(data):
        return next(iter(_known_sides(data)), None)
    sides = _sides_of(data)
    if sides is not None:
        return sides[0] if sides else None
    if isinstance(data, list):
        return list.__len__(data)
    return tuple.__len__(data) if isinstance(data, tuple) else None


def _sides_of(data: Any) -> list[int] | None:
    """A shape; None where there is none, or one that is no shape."""
    shape = attribute_of(data, "shape")
    if type(shape) is not tuple and not (isinstance(shape, tuple) and is_library_type(type(shape))):
        return None
    whole = all(isinstance(side, int) or type(side).__module__ == "numpy" for side in shape)
    return [int(side) for side in shape] if whole else None


def bytes_of(data: Any) -> int:
    """About how many bytes some data holds; cheap, never exact for objects."""
    if data is None:
        return 0
    if isinstance(data, (list, tuple)):
        head = _items_of(data, 50)
        each = sum(_size_of(item) + bytes_of(item) * isinstance(item, (list, tuple)) for item in head)
        return int(each / max(1, len(head)) * (rows_of(data) or 0))
    if not is_library_type(type(data)):
        return 0
    if hasattr(data, "memory_usage"):
        usage = data.memory_usage(index=False)
        return int(usage.sum() if hasattr(usage, "sum") else usage)
    if hasattr(data, "estimated_size"):
        return int(data.estimated_size())
    if hasattr(data, "indptr"):
        return int(data.data.nbytes + data.indices.nbytes + data.indptr.nbytes)
    size = getattr(data, "nbytes", 0)
    return size if isinstance(size, int) else 0


def _items_of(data: list[Any] | tuple[Any, ...], count: int | None = None) -> list[Any]:
    """The first items of a list or tuple, also of one of a class of the user's."""
    base: Any = list if isinstance(data, list) else tuple
    return list(base.__getitem__(data, slice(count)))


def _size_of(item: Any) -> int:
    return sys.getsizeof(item) if is_library_type(type(item)) else object.__sizeof__(item)


def sample_of(data: Any, target: Any, weights: Any, total: int, max_bytes: int) -> Sample | None:
    """Copy all rows, or so many spread ones that they stay within a bound; None where rows cannot be picked."""
    size = bytes_of(data)
    count = total if size <= max_bytes else max(1, int(total * max_bytes / size))
    rows = None if count >= total else _spread_rows(total, count)
    picked = _picked(data, rows)
    if picked is None:
        return None
    targets, weighed = (_picked(side, rows) if rows_of(side) == total else None for side in (target, weights))
    return Sample(picked, targets, weighed, total if rows is None else len(rows), total)


def _spread_rows(total: int, count: int) -> Any:
    """Row numbers spread over the whole, by multiples of the golden ratio: even, and in step with no period of it."""
    import numpy

    places = numpy.arange(1, count + 1) * 0.6180339887498949 % 1.0
    rows = (places * total).astype(numpy.int64)
    rows.sort()  # `numpy.unique` goes by hashes since 2.3, which takes three times as long
    return rows[numpy.append(True, rows[1:] != rows[:-1])]


def _picked(data: Any, rows: Any) -> Any:
    """A copy of some rows (None: all); None for containers whose rows cannot be picked cheaply."""
    package = type(data).__module__.partition(".")[0]
    if package == "numpy":
        return data.copy() if rows is None else data[rows]
    if package == "pandas":
        return data.copy() if rows is None else data.iloc[rows]
    if package == "polars":
        return data.clone() if rows is None else data[rows]
    if package == "scipy":
        # Only row-compressed matrices give up rows without being converted whole.
        if rows is None:
            return data.copy()
        return data[rows] if getattr(data, "format", "") == "csr" else None
    if package == "pyarrow":
        return data if rows is None else data.take(rows)  # nobody changes it in place
    if package == "torch":
        return data.detach().clone() if rows is None else data.detach()[rows]
    if isinstance(data, (list, tuple)):
        items = _items_of(data)
        return items if rows is None else [items[row] for row in rows]
    return None


def _schema_of(data: Any, target: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    columns: Any = None
    dtypes: Any = None
    if is_library_type(type(data)):
        columns, dtypes = attribute_of(data, "columns"), attribute_of(data, "dtypes")
    if columns is not None and hasattr(dtypes, "__iter__"):
        pairs = zip(list(columns)[:MAX_COLUMNS], list(dtypes)[:MAX_COLUMNS], strict=False)
        schema["columns"] = {_text_of(name): _text_of(dtype) for name, dtype in pairs}
    elif attribute_of(data, "dtype") is not None:
        schema["dtype"] = _text_of(attribute_of(data, "dtype"))
    if attribute_of(target, "dtype") is not None:
        schema["target_dtype"] = _text_of(attribute_of(target, "dtype"))
    return schema


def _text_of(value: Any) -> str:
    """`str` of what is Python's or a library's; columns may be called by any object of the user's."""
    return str(value) if is_library_type(type(value)) else safe_text(value)


def dataset_of(fit: FitData) -> DatasetInfo:
    """The dataset as it is stored. Hashes the sample, and the files: call it behind the training thread."""
    profile = dict(fit.profile)
    if fit.sample is not None and not fit.sample.is_whole:
        profile["digest_of_rows"] = fit.sample.rows
    source_type, source = "code", ""
    if fit.lineage is not None:
        source_type, source, about = lineage.described(fit.lineage)
        profile.update(about)
    return DatasetInfo(
        name=fit.name,
        digest=digest_of(fit),
        source_type=source_type,
        source=source,
        schema=json.dumps(fit.schema),
        profile=json.dumps(profile),
    )


def digest_of(fit: FitData) -> str:
    """Content digest: 16 hexadecimal digits of a sha256 over the sample, the shape and the dtypes."""
    digest = hashlib.sha256(json.dumps([fit.profile.get("shape"), fit.profile["rows"], fit.schema]).encode())
    if fit.sample is not None:
        for part in (fit.sample.data, fit.sample.target):
            _feed(digest, part)
    return digest.hexdigest()[:16]


def _feed(digest: Any, part: Any) -> None:
    package = type(part).__module__.partition(".")[0]
    if part is None:
        return
    if package == "pandas":
        _feed_pandas(digest, part)
    elif package == "polars":
        frame = part.to_frame() if hasattr(part, "to_frame") else part
        digest.update(frame.hash_rows(seed=0).to_numpy().tobytes())
    elif package == "scipy":
        for name in ("data", "indices", "indptr", "row", "col"):
            if hasattr(part, name):
                digest.update(getattr(part, name).tobytes())
    elif package == "numpy" and part.dtype != object:
        digest.update(part.tobytes())
    elif package == "pyarrow" and hasattr(part, "to_batches"):
        digest.update(_stream_of(part))
    elif package == "torch":
        digest.update(part.cpu().numpy().tobytes())
    else:
        items = part.ravel()[:MAX_DIGESTED].tolist() if package == "numpy" else list(part)[:MAX_DIGESTED]
        for item in items:
            digest.update(safe_text(item).encode("utf-8", "replace") + b",")


def _feed_pandas(digest: Any, part: Any) -> None:
    import pandas

    columns = [part.iloc[:, place] for place in range(part.shape[1])] if hasattr(part, "columns") else [part]
    if all(map(_is_hashed_by_itself, columns)):
        try:
            digest.update(pandas.util.hash_pandas_object(part, index=False).to_numpy().tobytes())
            return
        except TypeError:  # columns of lists, dicts and the like; their text can
            pass
    for column in columns:
        texts = column if column.dtype != object else [safe_text(value) for value in column.tolist()]
        digest.update(pandas.util.hash_pandas_object(pandas.Series(texts), index=False).to_numpy().tobytes())


def _is_hashed_by_itself(column: Any) -> bool:
    """Whether no cell is an object of the user's, whose code would run for it."""
    return column.dtype != object or all(map(is_library_type, set(map(type, column.tolist()))))


def _stream_of(table: Any) -> bytes:
    """An Arrow table's rows, without what its buffers hold besides."""
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
