"""pandas.

Hooked: the readers (`read_csv`, `read_parquet`, `read_sql`, ...) and what they give in chunks; `__finalize__`, by which
pandas itself carries metadata from frame to frame; the constructor of `DataFrame`, and the ways from a frame to arrays.
All of it by taps, which cost a fraction of a microsecond.

Recorded: nothing by itself. What a frame was read from is known beside it (`tracking/lineage.py`), and the dataset of a
training call names it. Selections, copies, aggregations and the like came from where their frame came from; `merge` and
`concat` from several places.

Deliberately not: anything in the frames, their `attrs` or what they are written to; chunks of SQL queries; columns that
are put into a frame that is there already; frames made of bare numpy arithmetic.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from types import ModuleType
from typing import Any

from autotrack import origin
from autotrack.hooks.patching import Patcher
from autotrack.integrations.options import IntegrationConfig
from autotrack.tracking import lineage

NAME = "pandas"

_pass_on = lineage.pass_on

FILE_READERS = {
    "read_csv": "filepath_or_buffer",
    "read_table": "filepath_or_buffer",
    "read_fwf": "filepath_or_buffer",
    "read_parquet": "path",
    "read_feather": "path",
    "read_orc": "path",
    "read_excel": "io",
    "read_json": "path_or_buf",
    "read_xml": "path_or_buffer",
    "read_hdf": "path_or_buf",
    "read_pickle": "filepath_or_buffer",
    "read_stata": "filepath_or_buffer",
    "read_sas": "filepath_or_buffer",
    "read_spss": "path",
}
"""Readers, and their first parameter."""

SQL_READERS = {"read_sql": "sql", "read_sql_query": "sql", "read_sql_table": "table_name"}

MAX_COLUMNS = 100
"""So many columns of a dict are looked at that a frame is made of."""


def instrument(patcher: Patcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the taps on."""
    del configuration
    pandas: Any = sys.modules["pandas"]
    patcher.on_revert(lineage.clear)
    for name, parameter in FILE_READERS.items():
        patcher.tap(pandas, name, partial(on_read, f"pandas.{name}", parameter), rebind_in=_is_users)
    for name, parameter in SQL_READERS.items():
        patcher.tap(pandas, name, partial(on_read_sql, f"pandas.{name}", parameter), rebind_in=_is_users)
    patcher.tap(pandas.ExcelFile, "parse", on_parse)
    for reader in _chunk_readers(pandas):
        patcher.tap(*reader, on_chunk, watch=lineage.marks)
    _instrument_frames(patcher, pandas)


def _chunk_readers(pandas: Any) -> tuple[tuple[type, str], ...]:
    return (pandas.io.parsers.readers.TextFileReader, "read"), (pandas.io.json._json.JsonReader, "__next__")


def _instrument_frames(patcher: Patcher, pandas: Any) -> None:
    generic, base, frame = pandas.core.generic.NDFrame, pandas.core.base.IndexOpsMixin, pandas.DataFrame
    patcher.tap(generic, "__finalize__", partial(on_finalize, generic), watch=lineage.marks)
    patcher.tap(frame, "__init__", on_frame, watch=lineage.marks)
    for owner, name in (
        (frame, "values"),
        (frame, "to_numpy"),
        (generic, "__array__"),
        (pandas.Series, "values"),
        (pandas.Series, "__array__"),
        (base, "to_numpy"),
    ):
        patcher.tap(owner, name, on_array, watch=lineage.marks)


def _is_users(module: ModuleType) -> bool:
    return not origin.is_library_module(module.__name__)


def on_read(reader: str, parameter: str, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A reader of files has returned a frame, several, or what gives frames in chunks."""
    source = args[0] if args else kwargs.get(parameter)
    if type(source).__name__ in ("ExcelFile", "HDFStore"):
        source = getattr(source, "_io", None) or getattr(source, "_path", None)
    _mark(result, reader, lineage.files_of(source))


def on_parse(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`ExcelFile.parse`: a sheet, or several."""
    _mark(result, "pandas.ExcelFile.parse", lineage.files_of(getattr(args[0], "_io", None)))


def on_read_sql(reader: str, parameter: str, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A reader of databases has returned a frame."""
    query = args[0] if args else kwargs.get(parameter)
    connection = args[1] if len(args) > 1 else kwargs.get("con")
    _mark(result, reader, (lineage.database_of(connection),), lineage.query_of(query))


def _mark(result: Any, reader: str, files: tuple[lineage.File, ...], query: str = "") -> None:
    frame = sys.modules["pandas"].core.generic.NDFrame
    for one in result.values() if type(result) is dict else (result,):
        rows = len(one) if isinstance(one, frame) else None
        if rows is None and type(one).__module__.partition(".")[0] != NAME:
            continue  # a pickle may hold anything
        lineage.put(one, lineage.Lineage((lineage.Read(reader, files, rows, 0, query),)))


def on_chunk(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """One chunk more of a file."""
    known = lineage.of(args[0])
    if known is not None:
        lineage.put(result, lineage.Lineage((known.reads[0].next_chunk(len(result)),)))


def on_finalize(generic: type, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`made.__finalize__(source)`: called for nearly everything that pandas makes, so what comes first is short."""
    if len(args) > 1 and not _pass_on(result, args[1]) and "method" in kwargs and not isinstance(args[1], generic):
        _on_several(result, args[1])


def _on_several(made: Any, source: Any) -> None:
    """The end of `concat` and `merge`, which hand over an object that has what they joined."""
    parts: Iterable[Any]
    if hasattr(source, "left"):
        parts, adds_up = (source.left, source.right), False
    else:
        parts = list(getattr(source, "input_objs", None) or getattr(source, "objs", None) or ())
        adds_up = len(made) == sum(map(len, parts))
    lineage.follow(made, parts, joined=not adds_up)


def on_frame(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`DataFrame(data)`."""
    data = args[1] if len(args) > 1 else kwargs.get("data")
    if type(data) is dict:
        if len(data) <= MAX_COLUMNS:
            lineage.follow(args[0], data.values(), joined=True)
    elif id(data) in lineage.marks:
        lineage.follow(args[0], (data,))


def on_array(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The rows of a frame, or the values of a column, as an array."""
    if _pass_on(result, args[0]):
        # It is a view; further views of it will have the same base, and not it.
        _pass_on(getattr(result, "base", None), args[0])
