"""Descriptions of data, for `log_input`: functions with MLflow's names and arguments."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import msgspec

from autotrack.events import DatasetInfo
from autotrack.tracking.datasets import dataset_of
from autotrack.tracking.values import checked_key, checked_text

__all__ = ["from_numpy", "from_pandas", "from_polars"]


def from_pandas(
    df: Any,
    source: Any = None,
    targets: str | None = None,
    name: str | None = None,
    digest: str | None = None,
    predictions: str | None = None,
) -> DatasetInfo:
    """Describe a DataFrame of pandas.

    Args:
        df: The data, of which a bounded sample is hashed.
        source: Where it came from: a path or a URL; by default what it was read from, where that is known.
        targets: The column that is to be predicted.
        name: What to call it; "dataset" by default.
        digest: What it is known by; a digest of its content by default.
        predictions: The column with a model's predictions.

    Returns:
        What `log_input` takes.

    Raises:
        InvalidArgumentError: An argument is not usable.
    """
    return _described(df, "df", source, name, digest, {"targets": targets, "predictions": predictions})


def from_polars(
    df: Any,
    source: Any = None,
    targets: str | None = None,
    name: str | None = None,
    digest: str | None = None,
    predictions: str | None = None,
) -> DatasetInfo:
    """Describe a DataFrame of polars; arguments and errors as for `from_pandas`."""
    return _described(df, "df", source, name, digest, {"targets": targets, "predictions": predictions})


def from_numpy(
    features: Any, source: Any = None, targets: Any = None, name: str | None = None, digest: str | None = None
) -> DatasetInfo:
    """Describe an array, or a dict of arrays.

    Args:
        features: The data, of which a bounded sample is hashed.
        source: Where it came from: a path or a URL.
        targets: What is to be predicted: an array, or a dict of arrays.
        name: What to call it; "dataset" by default.
        digest: What it is known by; a digest of its content by default.

    Returns:
        What `log_input` takes.

    Raises:
        InvalidArgumentError: An argument is not usable.
    """
    info = _described(features, "features", source, name, digest, {})
    if targets is None:
        return info
    about = dataset_of(targets, "targets")
    profile = {**json.loads(info.profile), "targets": json.loads(about.profile)}
    schema = {**json.loads(info.schema), "targets": json.loads(about.schema)}
    both = dataset_of([info.digest, about.digest]).digest if digest is None else info.digest
    return msgspec.structs.replace(info, digest=both, profile=json.dumps(profile), schema=json.dumps(schema))


def _described(
    data: Any, argument: str, source: Any, name: str | None, digest: str | None, columns: dict[str, str | None]
) -> DatasetInfo:
    info = dataset_of(data, argument)
    kind, place = _source_of(source) if source is not None else (info.source_type, info.source)
    named = {key: checked_text(column, key) for key, column in columns.items() if column is not None}
    return msgspec.structs.replace(
        info,
        name=info.name if name is None else checked_key(name, "name"),
        digest=info.digest if digest is None else checked_key(digest, "digest"),
        source_type=kind,
        source=place,
        schema=json.dumps({**json.loads(info.schema), **named}) if named else info.schema,
    )


def _source_of(source: Any) -> tuple[str, str]:
    """Kind and description of where data came from."""
    text = checked_text(source if isinstance(source, str) else str(source), "source")
    scheme = urlsplit(text).scheme
    if scheme in ("http", "https"):
        return "http", json.dumps({"url": text})
    return (scheme if "://" in text and scheme != "file" else "local"), json.dumps({"uri": text})
