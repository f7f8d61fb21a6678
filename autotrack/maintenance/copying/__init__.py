"""A whole store into another one, of any engine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Connection, func, select

from autotrack.artifacts import Artifacts
from autotrack.errors import ArtifactError, InvalidArgumentError, StoreError
from autotrack.maintenance.copying.paging import Page, pages, tables
from autotrack.maintenance.copying.places import Moved
from autotrack.maintenance.copying.rows import Sum, advance_keys, refuse_strangers, sum_of, write_page
from autotrack.maintenance.places import walk
from autotrack.progress_bar import progress_bar
from autotrack.records import Record
from autotrack.store.engine import Store
from autotrack.store.location import sqlite_file
from autotrack.tracking import journal
from autotrack.tracking.access import Access

__all__ = ["Copied", "copy_store"]


class Copied(Record, frozen=True):
    """What a copy holds."""

    source: str
    target: str
    """URLs without credentials."""
    rows: dict[str, int]
    """How many rows each table has, the same in both."""
    written: int
    """Rows that were not there yet, or were others."""
    files: int = 0
    """Files that were stored."""
    size: int = 0
    """Bytes of them."""


def copy_store(
    source_uri: str | os.PathLike[str], target_uri: str | os.PathLike[str], with_artifacts: bool = False
) -> Copied:
    """Copy all that a store holds into another one: ids, times and numbers stay what they are.

    It is copied as it was at the beginning, in bounded transactions; at the end counts and checksums of all tables are
    compared. Copying again, after an interruption or when the source has gone on, writes what is missing or other. The
    target is empty, or a copy of this source.

    Args:
        source_uri: The store; programs may go on recording into it.
        target_uri: The other one, made where there is none; nobody writes into it meanwhile.
        with_artifacts: Copy the files below the source's artifact root below the target's. Without it they stay where
            they are, and the copied runs say so; files elsewhere (an experiment's own location) always stay.

    Raises:
        InvalidArgumentError: Both are the same store, or a URI is of no known kind.
        StoreError: There is no such source; the target holds something else, or is not the same at the end.
        ArtifactError: A file cannot be copied.
    """
    source, target = Access(source_uri), Access(target_uri)
    if source.location.key == target.location.key:
        raise InvalidArgumentError("target", target.tracking_uri, "another store than the source")
    file = sqlite_file(source.location.url)
    if file is not None and not file.exists():
        raise StoreError(source.tracking_uri, "there is no such store", "name one that is there")
    reader, store = source.reader, target.store
    files = size = 0
    journal.prepare_folder(target.location)  # says to other stores of the same folder that there is this one
    if with_artifacts and source.location.artifact_root != target.location.artifact_root:
        files, size = _copy_files(source.location.artifact_root, target.location.artifact_root)
    moved = Moved(source.location, target.location, with_artifacts, store.dialect.storable)
    with reader.store.reading() as connection:
        refuse_strangers(connection, store, source.tracking_uri)
        written, sums = _copy_rows(connection, store, moved)
        advance_keys(store, tables())
        _compare(connection, store, sums)
    rows = {name: found.count for name, found in sums.items()}
    return Copied(source.tracking_uri, target.tracking_uri, rows, written, files, size)


def _copy_rows(connection: Connection, store: Store, moved: Moved) -> tuple[int, dict[str, Sum]]:
    written = 0
    sums: dict[str, Sum] = {}
    with progress_bar("copying", _rows_of(connection), "rows") as advance:
        for table in tables():
            found = sums[table.name] = Sum()
            for page in pages(connection, table):
                rows = moved.rows(connection, page)
                written += write_page(store, page, rows)
                found.add(rows)
                advance(len(page.rows))
    return written, sums


def _rows_of(connection: Connection) -> int:
    return sum(int(connection.execute(select(func.count()).select_from(table)).scalar() or 0) for table in tables())


def _compare(connection: Connection, store: Store, sums: dict[str, Sum]) -> None:
    """Read the copy anew, and compare."""
    with progress_bar("verifying", sum(found.count for found in sums.values()), "rows") as advance:
        for table in tables():
            wanted = sums[table.name]
            found = sum_of(store, table, _ranges(connection, table, advance))
            if found != wanted:
                reason = f"its table {table.name} has {found.count} rows, or others, instead of {wanted.count}"
                raise StoreError(store.safe_url, reason, "was it written to meanwhile? copy again")


def _ranges(connection: Connection, table: object, advance: Callable[[int], None]) -> Iterator[Page]:
    for page in pages(connection, table):  # type: ignore[arg-type]
        yield page
        advance(len(page.rows))


def _copy_files(source: str, target: str) -> tuple[int, int]:
    """Copy what is not there yet, or has another size; MLmodel after the other files of a model."""
    there, here = Artifacts(source), Artifacts(target)
    found = sorted(walk(there), key=lambda info: info.path.endswith("/MLmodel"))
    files = size = 0
    with progress_bar("copying files", sum(info.file_size or 0 for info in found)) as advance:
        for info in found:
            if _size(here, info.path) != info.file_size or info.file_size is None:
                with tempfile.TemporaryDirectory(prefix="autotrack-") as scratch:
                    stored = here.put_file(there.download(info.path, Path(scratch)), info.path)
                files, size = files + 1, size + stored.size
            advance(info.file_size or 0)
    return files, size


def _size(artifacts: Artifacts, path: str) -> int | None:
    """Size of a file; -1 where there is none."""
    folder = path.rpartition("/")[0]
    try:
        return next((one.file_size for one in artifacts.list(folder) if one.path == path and not one.is_dir), -1)
    except ArtifactError:
        return -1
