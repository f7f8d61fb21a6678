"""Tables that a program logs, as plain rows and columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autotrack.errors import InvalidArgumentError


def table_of(data: Any) -> dict[str, list[Any]]:
    """A table as MLflow stores one: `{"columns": [...], "data": [[...], ...]}`.

    Args:
        data: A DataFrame (pandas, polars), or a dict of columns; a dict of single values is a table of one row.

    Raises:
        InvalidArgumentError: It is no table, or its columns differ in length.
    """
    columns = _columns(data)
    rows: list[tuple[Any, ...]]
    try:
        rows = list(zip(*columns.values(), strict=True))
    except ValueError:
        lengths = {name: len(column) for name, column in columns.items()}
        raise InvalidArgumentError("data", lengths, "columns of one length") from None
    return {"columns": list(columns), "data": [list(row) for row in rows]}


def _columns(data: Any) -> dict[str, list[Any]]:
    if hasattr(data, "to_dict"):
        found = data.to_dict(orient="list") if hasattr(data, "iloc") else data.to_dict(as_series=False)
    elif isinstance(data, Mapping):
        found = dict(data)
        if not any(_is_column(value) for value in found.values()):
            found = {name: [value] for name, value in found.items()}
    else:
        raise InvalidArgumentError("data", data, "a DataFrame or a dict of columns")
    wrong = [name for name, column in found.items() if not _is_column(column)]
    if wrong:
        raise InvalidArgumentError(f"column {wrong[0]!r}", found[wrong[0]], "a list of values")
    return {str(name): list(column) for name, column in found.items()}


def _is_column(value: Any) -> bool:
    return hasattr(value, "__len__") and hasattr(value, "__iter__") and not isinstance(value, (str, bytes, Mapping))
