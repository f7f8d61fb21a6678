"""Datasets as they were given: LightGBM lets go of the raw data as soon as it has binned it."""

from __future__ import annotations

import hashlib
import os
from copy import copy
from pathlib import Path
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from autotrack import callsite, config, origin
from autotrack.tracking.fit_data import MAX_COLUMNS, FitData, Sample, bytes_of, fit_data_of

ENDS = 1 << 20
"""Bytes at either end of a file that its digest is made of."""


def program_frame(frame: FrameType | None) -> FrameType | None:
    """The frame that a call belongs to: LightGBM calls itself on others' behalf."""
    frame = origin.calling_frame(frame)
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "lightgbm":
        frame = origin.calling_frame(frame.f_back)
    return frame


def variable_of(frame: FrameType | None, dataset: Any) -> str:
    """The program's name for a dataset that it trains with."""
    return callsite.name_of_argument(frame, dataset, ("train_set",), 1) or "dataset"


def variable_of_rows(frame: FrameType | None, rows: Any) -> str:
    """The program's name for rows that it has predicted."""
    return callsite.name_of_argument(frame, rows, ("data",)) or "unknown_dataset"


class Datasets:
    """What is known of the datasets that are alive. Holds bounded copies of rows, none of the program's objects."""

    def __init__(self) -> None:
        self._names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._known: WeakKeyDictionary[Any, FitData] = WeakKeyDictionary()
        self._sources: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()

    def name(self, dataset: Any, data: Any, frame: FrameType | None) -> None:
        """A dataset is made: the program's name for the data."""
        if data is None or not origin.is_users(frame):
            return
        name = (
            Path(data).name
            if isinstance(data, (str, os.PathLike))
            else callsite.name_of_argument(frame, data, ("data",))
        )
        if name:
            self._names[dataset] = name

    def remember(self, dataset: Any) -> None:
        """Describe a dataset while its raw data is there."""
        if dataset in self._known or dataset.data is None:
            return
        found = _description(dataset)
        if found is not None:
            self._known[dataset] = found
        else:
            self._sources[dataset] = _source_of(dataset.data)

    def of(self, dataset: Any, name: str) -> FitData:
        """What a dataset was made of, after it was trained with.

        Args:
            dataset: The dataset.
            name: Its name where its data has none.
        """
        found = self._known.get(dataset) or _binned(dataset, self._sources.get(dataset, {}))
        return msgspec.structs.replace(found, name=self._names.get(dataset) or name)

    def name_of(self, dataset: Any) -> str:
        """The program's name for its data; empty where it is not known."""
        return self._names.get(dataset, "")

    def clear(self) -> None:
        """Forget everything."""
        self._names.clear()
        self._known.clear()
        self._sources.clear()


def _description(dataset: Any) -> FitData | None:
    data, target = dataset.data, dataset.label
    limit = config.settings().max_sample_size
    if isinstance(data, list) and data and hasattr(data[0], "shape"):
        return _of_parts(data, target, limit)
    if isinstance(data, (str, os.PathLike)) or _is_sequence(data):
        return None
    return fit_data_of((data, target, dataset.weight), None, limit)


def _is_sequence(data: Any) -> bool:
    """Whether it is an object of the program's, or a list of such, that LightGBM asks for rows."""
    return hasattr(data[0] if isinstance(data, list) and data else data, "batch_size")


def _of_parts(parts: list[Any], target: Any, limit: int) -> FitData | None:
    """Arrays that stand for one below the other."""
    import numpy

    if sum(bytes_of(part) for part in parts) > limit or not all(isinstance(part, numpy.ndarray) for part in parts):
        return None
    found = fit_data_of((numpy.concatenate(parts), target, None), None, limit)
    return found and msgspec.structs.replace(found, profile={**found.profile, "parts": len(parts)})


def _source_of(data: Any) -> dict[str, Any]:
    """What can be said of data that nobody reads twice: a file, or an object of the program's that gives rows."""
    if isinstance(data, (str, os.PathLike)):
        return {"type": "file", "path": os.fspath(data), "digest_of_ends": _file_digest(Path(data))}
    one = data[0] if isinstance(data, list) and data else data
    return {"type": f"{type(one).__module__}.{type(one).__qualname__}"}


def _binned(dataset: Any, source: dict[str, Any]) -> FitData:
    """What LightGBM itself knows of a dataset whose raw data nobody may read, or is gone."""
    profile: dict[str, Any] = {"rows": 0, "type": "lightgbm.Dataset", **source}
    schema: dict[str, Any] = {}
    if dataset._handle is not None:
        profile["rows"] = int(dataset.num_data())
        profile["shape"] = [profile["rows"], int(dataset.num_feature())]
        schema["columns"] = dict.fromkeys(list(dataset.get_feature_name())[:MAX_COLUMNS], "")
    if "digest_of_ends" in source:
        schema["file"] = source["digest_of_ends"]
    label = _label_of(dataset)
    sample = None if label is None else Sample(None, label, None, profile["rows"], profile["rows"])
    return FitData("dataset", profile, schema, sample, bytes_of(label))


def _label_of(dataset: Any) -> Any:
    label = dataset.get_label() if dataset._handle is not None else None
    limit = config.settings().max_sample_size
    return label if label is None or bytes_of(label) > limit else copy(label)


def _file_digest(path: Path) -> str:
    """Digest of a file's size and ends."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            digest = hashlib.sha256(f"{size}:".encode() + file.read(ENDS))
            file.seek(max(ENDS, size - ENDS))
            digest.update(file.read(ENDS))
    except OSError:
        return ""
    return digest.hexdigest()[:16]
