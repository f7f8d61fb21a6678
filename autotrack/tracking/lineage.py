"""Where data came from: what a frame was read from follows it, and what was made of it, on to a training call.

Readers `put` a lineage on what they return; whatever makes one object of others lets it `follow`. It is kept beside the
objects, by identity, with weak references: nothing is set on them, and an entry goes when its object does. Nothing is
opened before a training call has a dataset to describe; then `described` hashes files, behind the training thread.

The one thing that a weak reference changes: numpy refuses to resize such an array in place.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import os
import stat
import time
import weakref
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from autotrack.tracking.redaction import redact, redact_url

MAX_FILES = 50
"""Files of one read, or sources of one dataset, that are named."""

MAX_READS = 10_000
"""Reads that one object's lineage holds."""

MAX_QUERY = 2_000
"""Characters of a query that are kept."""

MAX_PLACE = 2_000
"""Longer text is no path and no URL, but data."""

MAX_HASHED = 1 << 30
"""Bytes of the biggest file that is hashed."""

MAX_SECONDS = 5.0
"""So long is one file hashed at most."""

_CHUNK = 1 << 20


class File:
    """One place that data was read from, as it was then."""

    __slots__ = ("kind", "modified", "place", "size")

    def __init__(self, place: str, kind: str = "file", size: int | None = None, modified: int | None = None) -> None:
        self.place = place
        """Absolute path, URL, or the name of something else; secrets are taken out when it is described."""
        self.kind = kind
        """file, url, sql, or other."""
        self.size = size
        self.modified = modified
        """Nanoseconds since the epoch."""


class Read:
    """One call of a reader. `rows` is None where that is not known."""

    __slots__ = ("files", "offset", "query", "reader", "rows")

    def __init__(
        self, reader: str, files: tuple[File, ...], rows: int | None = None, offset: int = 0, query: str = ""
    ) -> None:
        self.reader = reader
        self.files = files
        self.rows = rows
        self.offset = offset
        """Rows of the place that were read before, in chunks."""
        self.query = query

    def next_chunk(self, rows: int) -> Read:
        """The read of so many rows more, where this stands for what was read so far."""
        chunk = Read(self.reader, self.files, rows, self.rows or 0, self.query)
        self.rows = chunk.offset + rows
        return chunk


class Lineage(NamedTuple):
    """What something was made of."""

    reads: tuple[Read, ...]
    joined: bool = False
    """Rows of one read were matched with another's: their numbers do not add up."""

    def total(self) -> int | None:
        """Rows of all that was read; None where that means nothing, or is not known."""
        numbers = [read.rows for read in self.reads]
        return None if self.joined or None in numbers else sum(number or 0 for number in numbers)


class Mark(weakref.ref[Any]):
    """The entry of one object."""

    __slots__ = ("key", "lineage")
    key: int
    lineage: Lineage


marks: dict[int, Mark] = {}
"""All objects whose lineage is known, by `id`. For hooks to see at a glance that there is none; use the functions."""


def _forget(mark: Any, entries: dict[int, Mark] = marks) -> None:
    # A default: when the interpreter ends, the module's own names may be gone already.
    key = mark.key
    if entries.get(key) is mark:
        entries.pop(key, None)  # another thread may have cleared them


def put(made: Any, lineage: Lineage) -> None:
    """Say where something came from. Nothing happens where it cannot be referred to weakly."""
    try:
        mark = Mark(made, _forget)
    except TypeError:
        return
    key = mark.key = id(made)
    mark.lineage = lineage
    marks[key] = mark


def pass_on(made: Any, source: Any) -> bool:
    """`follow` with one source, for hot paths; False where nothing is known of that."""
    mark = marks.get(id(source))
    if mark is None:
        return False
    key = id(made)
    known = marks.get(key)
    if known is not None:
        if known.lineage is not mark.lineage:
            follow(made, (source,), joined=True)
        return True
    try:
        new = Mark(made, _forget)
    except TypeError:  # nothing that can be referred to weakly
        return False
    new.key, new.lineage = key, mark.lineage
    marks[key] = new
    return True


def of(data: Any) -> Lineage | None:
    """Where something came from, if that is known; a view of an array came from where the array did."""
    mark = marks.get(id(data))
    if mark is None and marks and type(data).__module__ == "numpy":
        mark = marks.get(id(getattr(data, "base", None)))
    return mark.lineage if mark is not None else None


def follow(made: Any, sources: Iterable[Any], joined: bool = False) -> None:
    """Something was made of others: it came from where they came from.

    Args:
        made: The new object; what is known of it already counts as well.
        sources: What it was made of, among other things.
        joined: Rows of one were matched with another's.
    """
    known = of(made)
    found = [known] if known is not None else []
    found += [one for source in sources if source is not made and (one := of(source)) is not None]
    lineage = union(found, joined)
    if lineage is not None and lineage is not known:
        put(made, lineage)


def union(lineages: Iterable[Lineage], joined: bool = False) -> Lineage | None:
    """The lineage of what was made of several; None for none."""
    distinct = list(dict.fromkeys(lineages))
    if len(distinct) < 2:
        return distinct[0] if distinct else None
    reads = dict.fromkeys(read for lineage in distinct for read in lineage.reads)
    return Lineage(tuple(reads)[:MAX_READS], joined or any(lineage.joined for lineage in distinct))


def of_fit(data: Any, target: Any) -> Lineage | None:
    """The lineage of what a training call was given. The target's reads count only where they are others."""
    of_data, of_target = of(data), of(target)
    if of_data is None or of_target is None or set(of_target.reads) <= set(of_data.reads):
        return of_data or of_target
    return union((of_data, of_target), joined=True)


def clear() -> None:
    """Forget everything."""
    marks.clear()


def files_of(source: Any) -> tuple[File, ...]:
    """The places that a reader was given: a path, a URL, an open file, or a list of such. Cheap; nothing is opened."""
    if isinstance(source, (list, tuple)):
        return tuple(file for one in source[:MAX_FILES] for file in files_of(one))[:MAX_FILES]
    if isinstance(source, PurePath):
        return (_file(str(source)),)
    if isinstance(source, str):
        return _named(source)
    name = _name_of_open(source) if isinstance(source, io.IOBase) else ""
    return (_file(name) if name else File("<buffer>", "other"),)


def _name_of_open(source: Any) -> str:
    """The path of an open file; "" for members of archives and the like, whose names are no paths."""
    try:
        name = source.name
        if isinstance(name, str) and os.path.samestat(os.fstat(source.fileno()), os.stat(name)):
            return name
    except (AttributeError, OSError, TypeError, ValueError):
        pass
    return ""


def _named(text: str) -> tuple[File, ...]:
    if len(text) > MAX_PLACE or "\n" in text or text.lstrip()[:1] in ("{", "["):
        return (File("<text>", "other"),)
    if "://" in text and not text.startswith("file://"):
        return (File(text, "url"),)
    file = _file(unquote(urlsplit(text).path) if text.startswith("file://") else text)
    if file.size is None and glob.has_magic(text):
        found = tuple(_file(path) for path in sorted(glob.glob(file.place))[:MAX_FILES])
        return found or (file,)
    return (file,)


def _file(path: str) -> File:
    place = os.path.abspath(os.path.expanduser(path))
    try:
        found = os.stat(place)
    except (OSError, ValueError):
        return File(place)
    return File(place, "file", found.st_size if stat.S_ISREG(found.st_mode) else None, found.st_mtime_ns)


def database_of(connection: Any) -> File:
    """A database: its URL, without the password where SQLAlchemy made it; else the kind of connection."""
    url = connection if isinstance(connection, str) else getattr(getattr(connection, "engine", None), "url", None)
    if url is not None and hasattr(url, "render_as_string"):
        url = url.render_as_string(hide_password=True)
    kind = type(connection)
    return File(url if isinstance(url, str) else f"{kind.__module__}.{kind.__qualname__}", "sql")


def query_of(query: Any) -> str:
    """The text of a query, clipped; what would have to be compiled is known by its kind."""
    text = query if isinstance(query, str) else getattr(query, "text", None)
    return text[:MAX_QUERY] if isinstance(text, str) else f"<{type(query).__name__}>"


class Described(NamedTuple):
    """A lineage as a dataset names it."""

    source_type: str
    source: str
    """JSON text."""
    profile: dict[str, Any]


def described(lineage: Lineage, max_hashed: int = MAX_HASHED) -> Described:
    """The sources with their hashes. Reads files: call it behind the training thread.

    Args:
        lineage: What is to be described.
        max_hashed: Bytes of the biggest file that is hashed.
    """
    merged: dict[int, list[Read]] = {}
    for read in lineage.reads:
        merged.setdefault(id(read.files), []).append(read)
    sources = [one for reads in merged.values() for one in _sources_of(reads, max_hashed)]
    profile: dict[str, Any] = {"sources": sources[:MAX_FILES]}
    if len(sources) > MAX_FILES:
        profile["more_sources"] = len(sources) - MAX_FILES
    total = lineage.total()
    if total is not None:
        profile["rows_read"] = total
    return Described(*_place_of(sources), profile)


def _place_of(sources: list[dict[str, Any]]) -> tuple[str, str]:
    """Kind and place of the first source that has one, as MLflow writes them."""
    found = next((one for one in sources if "uri" in one), None)
    if found is None:
        return "code", ""
    uri = found["uri"]
    scheme = uri.partition("://")[0] if "://" in uri else ""
    if "query" in found or found["kind"] == "sql":
        return "sql", json.dumps({key: found[key] for key in ("uri", "query") if key in found})
    if scheme in ("http", "https"):
        return "http", json.dumps({"url": uri})
    return scheme or "local", json.dumps({"uri": uri})


def _sources_of(reads: list[Read], max_hashed: int) -> list[dict[str, Any]]:
    """One read, or the chunks of one."""
    first = reads[0]
    single: dict[str, Any] = {}
    if len(first.files) == 1 and first.rows is not None:
        single["rows"] = sum(read.rows or 0 for read in reads)
        if first.offset and len(reads) == 1:
            single["offset"] = first.offset
    if first.query:
        single["query"] = redact(first.query)
    return [{**_source_of(file, max_hashed), "reader": first.reader, **single} for file in first.files]


def _source_of(file: File, max_hashed: int) -> dict[str, Any]:
    if file.kind == "other":
        return {"name": file.place, "kind": file.kind}
    uri = redact_url(file.place)
    path = uri.partition("://")[2].partition("?")[0] if "://" in uri else uri
    about: dict[str, Any] = {"name": os.path.basename(path.rstrip("/\\")) or uri, "kind": file.kind, "uri": uri}
    if file.modified is not None:
        about["modified"] = file.modified // 1_000_000
    if file.size is not None and file.modified is not None:
        about["size"] = file.size
        about.update(_content_of(file.place, file.size, file.modified, max_hashed))
    return about


_hashes: dict[tuple[str, int, int], str] = {}
"""What files were, by path, size and time of their last change."""


def _content_of(path: str, size: int, modified: int, max_hashed: int) -> dict[str, str]:
    """The hash of a file as it was when it was read; else why there is none."""
    key = path, size, modified
    if key in _hashes:
        return {"sha256": _hashes[key]}
    if size > max_hashed:
        return {"not_hashed": f"larger than {max_hashed} bytes"}
    try:
        digest = _hash_of(path) if _is_still(path, size, modified) else "changed since it was read"
        if not _is_still(path, size, modified):
            digest = "changed since it was read"
    except OSError as error:
        digest = f"cannot be read: {error.strerror}"
    if " " in digest:
        return {"not_hashed": digest}
    if len(_hashes) >= MAX_READS:
        _hashes.clear()
    _hashes[key] = digest
    return {"sha256": digest}


def _is_still(path: str, size: int, modified: int) -> bool:
    found = os.stat(path)
    return (found.st_size, found.st_mtime_ns) == (size, modified)


def _hash_of(path: str) -> str:
    digest, until = hashlib.sha256(), time.monotonic() + MAX_SECONDS
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            if time.monotonic() > until:
                return "took too long"
    return digest.hexdigest()
