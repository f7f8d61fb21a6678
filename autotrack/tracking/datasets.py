"""Datasets that a program logs: descriptions of autotrack's or MLflow's making, or the data itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from autotrack.errors import InvalidArgumentError
from autotrack.events import DatasetInfo
from autotrack.tracking import lineage
from autotrack.tracking.values import checked_key, checked_list, checked_tags, checked_text, storable

SAMPLE_ROWS = 10_000
"""Rows, half of them from either end, whose content a digest is made of."""

MAX_COLUMNS = 1_000
"""Columns that a stored schema lists."""

MAX_HASHED = 16 << 20
"""Bytes of the biggest file that is hashed while the program waits."""

CONTEXT_TAG = "mlflow.data.context"
"""The tag that says what a dataset was used for, in MLflow."""

EXPECTED = (
    "an autotrack.DatasetInfo, a dataset of mlflow.data's, or data: a DataFrame (pandas, polars), an array or tensor "
    "(numpy, scipy, torch), a dict of columns, a list"
)


def dataset_of(data: object, argument: str = "dataset") -> DatasetInfo:
    """Describe a dataset.

    Args:
        data: A `DatasetInfo`; an object with `name` and `digest` (and `source`, `source_type`, `schema`, `profile`), as
            MLflow has them; or the data itself, of which a bounded sample is hashed.
        argument: What the caller calls it.

    Raises:
        InvalidArgumentError: It is none of these.
    """
    if isinstance(data, DatasetInfo):
        name, digest = checked_key(data.name, f"{argument}.name"), checked_key(data.digest, f"{argument}.digest")
        rest = (data.source_type, data.source, data.schema, data.profile)
        return DatasetInfo(name, digest, *(checked_text(text, argument) for text in rest))
    if hasattr(data, "name") and hasattr(data, "digest"):
        return _described(data, argument)
    return _seen(data, argument)


def _described(data: Any, argument: str) -> DatasetInfo:
    """A dataset object of another library's."""
    own = data.to_dict() if callable(getattr(data, "to_dict", None)) else {}
    plain: Mapping[str, Any] = own if isinstance(own, Mapping) else {}

    def field(name: str) -> str:
        value = plain.get(name, getattr(data, name, None))
        return "" if value is None else storable(value if isinstance(value, str) else _text_of(value))

    name = checked_key(data.name, f"{argument}.name")
    digest = checked_key(data.digest, f"{argument}.digest")
    kind = field("source_type") or _source_type(getattr(data, "source", None))
    return DatasetInfo(name, digest, kind, field("source"), field("schema"), field("profile"))


def _source_type(source: Any) -> str:
    find = getattr(source, "_get_source_type", None)
    return str(find()) if callable(find) else "code"


def _text_of(value: Any) -> str:
    """A schema, a profile or a source as text: its own JSON where it makes one."""
    for method in ("to_json", "to_dict"):
        made = getattr(value, method, None)
        if callable(made):
            value = made()
            break
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _seen(data: Any, argument: str) -> DatasetInfo:
    """The data itself."""
    profile = _profile_of(data, argument)
    schema = _schema_of(data)
    digest = hashlib.sha256(json.dumps([profile, schema], default=str).encode("utf-8", "replace"))
    for piece in _sample(data):
        digest.update(piece)
    profile["digest_of_rows"] = min(profile["rows"], SAMPLE_ROWS)
    known = lineage.of(data)
    source_type, source, about = lineage.described(known, MAX_HASHED) if known is not None else ("code", "", {})
    texts = (json.dumps(schema, default=str), json.dumps({**profile, **about}))
    return DatasetInfo("dataset", digest.hexdigest()[:16], source_type, source, *texts)


def _profile_of(data: Any, argument: str) -> dict[str, Any]:
    kind = f"{type(data).__module__.partition('.')[0]}.{type(data).__name__}"
    shape = getattr(data, "shape", None)
    if isinstance(shape, tuple):
        sides = [int(side) for side in shape]
        return {"rows": sides[0] if sides else 1, "type": kind, "shape": sides}
    if isinstance(data, Mapping):
        lengths = {
            len(column) for column in data.values() if hasattr(column, "__len__") and not isinstance(column, str)
        }
        if data and len(lengths) == 1:
            return {"rows": lengths.pop(), "type": kind, "columns": len(data)}
    if isinstance(data, (list, tuple)):
        return {"rows": len(data), "type": kind}
    raise InvalidArgumentError(argument, data, EXPECTED)


def _schema_of(data: Any) -> dict[str, Any]:
    if isinstance(data, Mapping):
        kinds = [(name, getattr(column, "dtype", type(column).__name__)) for name, column in data.items()]
        return {"columns": {str(name): str(dtype) for name, dtype in kinds[:MAX_COLUMNS]}}
    columns, dtypes = getattr(data, "columns", None), getattr(data, "dtypes", None)
    if columns is not None and dtypes is not None:
        pairs = zip(list(columns)[:MAX_COLUMNS], list(dtypes)[:MAX_COLUMNS], strict=False)
        return {"columns": {str(name): str(dtype) for name, dtype in pairs}}
    return {"dtype": str(data.dtype)} if getattr(data, "dtype", None) is not None else {}


def _sample(data: Any) -> list[bytes]:
    """Bytes of the first and the last rows."""
    if isinstance(data, Mapping):
        return [piece for column in data.values() for piece in _sample(column)]
    package = type(data).__module__.partition(".")[0]
    if package == "scipy":
        return [getattr(data, name).tobytes() for name in ("data", "indices", "indptr") if hasattr(data, name)]
    if not hasattr(data, "__len__") or getattr(data, "shape", None) == ():
        return [repr(data).encode("utf-8", "replace")]
    half = SAMPLE_ROWS // 2
    rows = data.iloc if package == "pandas" else data
    parts = [rows[:]] if len(data) <= SAMPLE_ROWS else [rows[:half], rows[len(data) - half :]]
    return [_bytes_of(part, package) for part in parts]


def _bytes_of(part: Any, package: str) -> bytes:
    if package == "pandas":
        return bytes(part.to_csv().encode("utf-8", "replace"))
    if package == "polars":
        frame = part.to_frame() if hasattr(part, "to_frame") else part
        return bytes(frame.hash_rows(seed=0).to_numpy().tobytes())
    if package == "torch":
        part = part.detach().cpu().contiguous().flatten().view(dtype=_bytes_dtype())
        return bytes(part.numpy().tobytes())
    if hasattr(part, "tobytes") and part.dtype != object:
        return bytes(part.tobytes())
    return repr(list(part)).encode("utf-8", "replace")


def _bytes_dtype() -> Any:
    import torch

    return torch.uint8


def inputs_of(datasets: object) -> list[tuple[DatasetInfo, str, dict[str, str]]]:
    """What `log_inputs` is given, as datasets with context and tags.

    Args:
        datasets: Datasets, or objects with `dataset`, `context` and `tags` (a dict, or objects with `key` and `value`).

    Raises:
        InvalidArgumentError: One of them is neither.
    """
    return [
        _input_of(one, f"datasets[{place}]") for place, one in enumerate(checked_list(datasets, "datasets", "datasets"))
    ]


def _input_of(given: Any, argument: str) -> tuple[DatasetInfo, str, dict[str, str]]:
    if isinstance(given, (DatasetInfo, Mapping)) or not hasattr(given, "dataset"):
        return dataset_of(given, argument), "", {}
    tags = getattr(given, "tags", None)
    if tags is not None and not isinstance(tags, Mapping):
        tags = {tag.key: tag.value for tag in tags}
    labels = checked_tags(tags)
    context = getattr(given, "context", None) or labels.pop(CONTEXT_TAG, "")
    return dataset_of(given.dataset, f"{argument}.dataset"), checked_text(context, f"{argument}.context"), labels
