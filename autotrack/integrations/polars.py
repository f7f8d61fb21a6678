"""Polars.

Hooked: the readers (`read_csv`, `scan_parquet`, `read_database`, ...), and the methods and functions that make a frame,
a lazy frame, a column, a group or an array of others. All of it by taps, which cost a fraction of a microsecond.

Recorded: nothing by itself. What a frame was read from is known beside it (`tracking/lineage.py`), and the dataset of a
training call names it. A scan's rows are not known, since only what is asked for is read.

Deliberately not: expressions, and most of what is computed of single columns; queries of `polars.sql`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, ValuesView
from functools import partial
from types import ModuleType
from typing import Any

from autotrack import origin
from autotrack.hooks.patching import Patcher
from autotrack.integrations.options import IntegrationConfig
from autotrack.tracking import lineage

FILE_READERS = (
    "read_csv read_parquet read_json read_ndjson read_excel read_ods read_ipc read_ipc_stream read_avro read_delta "
    "read_lines scan_csv scan_parquet scan_ndjson scan_ipc scan_delta scan_lines"
)
SQL_READERS = {"read_database": "connection", "read_database_uri": "uri"}
"""Readers of databases, and their second parameter; the first is `query`."""

FRAMES = (
    "__getitem__ bottom_k cast clear clone drop drop_nans drop_nulls explode extend fill_nan fill_null filter gather "
    "gather_every group_by group_by_dynamic head hstack insert_column interpolate join join_asof join_where lazy limit "
    "map_rows map_batches match_to_schema melt merge_sorted pivot rechunk remove rename reverse rolling sample select "
    "select_seq set_sorted shift shrink_to_fit slice sort sql tail top_k transpose unique unnest unpivot unstack "
    "update upsample vstack with_columns with_columns_seq with_row_count with_row_index"
)
"""What makes a frame of one, lazy or not; each version has some of them."""

OF_FRAMES = (
    "__array__ get_column get_columns map_columns partition_by to_arrow to_dummies to_numpy to_pandas to_series "
    "to_struct to_torch"
)
OF_LAZY_FRAMES = "cache collect collect_async fetch"
OF_COLUMNS = (
    "__array__ __getitem__ alias cast clone drop_nans drop_nulls fill_nan fill_null filter gather head rename sample "
    "slice sort tail to_arrow to_frame to_numpy to_pandas to_torch"
)
OF_GROUPS = "agg all first having head last len map_groups max mean median min n_unique quantile sum tail"

STACKED = frozenset({"vstack", "extend", "merge_sorted", "concat", "union"})
"""What puts frames one below the other: numbers of rows add up."""


def instrument(patcher: Patcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the taps on."""
    del configuration
    polars: Any = sys.modules["polars"]
    patcher.on_revert(lineage.clear)
    for name in FILE_READERS.split():
        _tap(patcher, polars, name, partial(on_read, name))
    for name, parameter in SQL_READERS.items():
        _tap(patcher, polars, name, partial(on_read_database, name, parameter))
    for name in ("concat", "union", "collect_all", "from_pandas", "from_arrow", "from_numpy"):
        _tap(
            patcher, polars, name, on_collect_all if name == "collect_all" else partial(on_making, name), lineage.marks
        )
    patcher.tap(polars.DataFrame, "__init__", on_frame, watch=lineage.marks)
    names = {
        polars.DataFrame: (FRAMES, OF_FRAMES),
        polars.LazyFrame: (FRAMES, OF_LAZY_FRAMES),
        polars.Series: (OF_COLUMNS,),
    }
    for cls, methods in (*names.items(), *((cls, (OF_GROUPS,)) for cls in _groups())):
        for name in " ".join(methods).split():
            _tap(patcher, cls, name, partial(on_making, name), lineage.marks)


def _groups() -> Iterable[type]:
    modules = [sys.modules.get(f"polars.{kind}.group_by") for kind in ("dataframe", "lazyframe")]
    classes = {value for module in modules if module for value in vars(module).values() if isinstance(value, type)}
    return [cls for cls in classes if cls.__module__.startswith("polars.") and cls.__name__.endswith("GroupBy")]


def _tap(patcher: Patcher, owner: Any, name: str, after: Any, watch: Any = None) -> None:
    if name in vars(owner):  # not in every version
        patcher.tap(owner, name, after, watch=watch, rebind_in=_is_users)


def _is_users(module: ModuleType) -> bool:
    return not origin.is_library_module(module.__name__)


def on_read(name: str, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A reader of files has returned a frame, several sheets, or a lazy frame."""
    _mark(result, name, lineage.files_of(args[0] if args else kwargs.get("source")))


def on_read_database(name: str, parameter: str, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A reader of databases has returned a frame."""
    query = args[0] if args else kwargs.get("query")
    connection = args[1] if len(args) > 1 else kwargs.get(parameter)
    _mark(result, name, (lineage.database_of(connection),), lineage.query_of(query))


def _mark(result: Any, name: str, files: tuple[lineage.File, ...], query: str = "") -> None:
    for one in result.values() if isinstance(result, dict) else (result,):
        rows = one.height if type(one).__name__ == "DataFrame" else None
        lineage.put(one, lineage.Lineage((lineage.Read(f"polars.{name}", files, rows, 0, query),)))


def on_making(name: str, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Something was made of a frame, or of several."""
    if len(args) == 1 and not kwargs and not isinstance(args[0], (list, tuple)):
        sources: list[Any] = [args[0]]
    else:
        sources = [one for given in (*args, *kwargs.values()) for one in _listed(given)]
    known = [source for source in sources if id(source) in lineage.marks]
    if not known:
        return
    stacked = name in STACKED and str(kwargs.get("how", "vertical")).startswith(("vertical", "diagonal"))
    for made in _listed(result.values() if isinstance(result, dict) else result):
        lineage.follow(made, known, joined=not stacked)


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple, ValuesView)) else (value,)


def on_collect_all(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`collect_all`: a frame for each lazy one."""
    given = args[0] if args else kwargs.get("lazy_frames")
    if isinstance(given, (list, tuple)):
        for made, lazy in zip(result, given, strict=False):
            lineage.pass_on(made, lazy)


def on_frame(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`DataFrame(data)`."""
    data = args[1] if len(args) > 1 else kwargs.get("data")
    lineage.follow(args[0], data.values() if type(data) is dict else (data,), joined=True)
