"""The checks that stand between a model file and its being loaded. None of them runs anything of the file's."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from pathlib import Path

from autotrack.config import settings
from autotrack.errors import ModelFormatError, UntrustedModelError
from autotrack.models.mlmodel import Model
from autotrack.models.pickles import Scan, looks_like_pickle, scan
from autotrack.streams import sha256_of

MEBIBYTE = 1024 * 1024

MAX_EXPANSION = 200
"""How many times its own size a zip may unpack to; arrays of zeros and long lists of names come to 100."""

ALWAYS_ALLOWED = 64 * MEBIBYTE
"""Unpacked size that is no danger whatever the ratio."""

UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What readers raise on a file that is damaged or was made by another version."""


def allows_pickle(trusted: bool) -> bool:
    """Whether pickles may be loaded: asked for, or by the setting `allow_pickle`."""
    return trusted or settings().allow_pickle


def file_inside(directory: Path, name: object, key: str) -> Path:
    """The file of a model directory that a key of MLmodel names.

    Raises:
        ModelFormatError: It is not inside the directory (also by way of a link), or not there.
    """
    if not isinstance(name, str) or not name:
        raise ModelFormatError(f"{directory}: MLmodel: {key} is {name!r}; expected a file name")
    root = directory.resolve()
    try:
        file = (root / name).resolve()
        there = _is_there(file)
    except (OSError, ValueError, RuntimeError) as error:
        # Too long, a zero byte, a circle of links.
        raise ModelFormatError(f"{directory}: MLmodel: {key} is {name[:100]!r}: no file name ({error})") from None
    if not file.is_relative_to(root) or file == root:
        raise ModelFormatError(f"{directory}: MLmodel: {key} is {name!r}, which leaves the model directory")
    if not there:
        raise ModelFormatError(f"{directory}: {name} is missing")
    return file


def _is_there(file: Path) -> bool:
    """As `Path.exists`, which from Python 3.14 on does not tell a name that can be none from one that is missing."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def read_verified(directory: Path, model: Model, name: object, key: str) -> bytes:
    """Content of a model's file, whose hash is the one that MLmodel keeps (where autotrack wrote it).

    Raises:
        ModelFormatError: The file is missing, unreadable, outside the directory, or not the one that was saved.
    """
    file = file_inside(directory, name, key)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ModelFormatError(f"{file}: cannot be read: {error}") from None
    _verify(directory, model, file, hashlib.sha256(data).hexdigest())
    return data


def _verify(directory: Path, model: Model, file: Path, found: str) -> None:
    """Check a file's hash against the one that MLmodel keeps."""
    hashes = (model.autotrack or {}).get("files")
    if not isinstance(hashes, dict):
        return
    expected = hashes.get(file.relative_to(directory.resolve()).as_posix())
    if found != expected:
        what = "is not among the files that were saved" if expected is None else f"has sha256 {found}, not {expected}"
        raise ModelFormatError(f"{file}: {what}: damaged, cut short or replaced after the model was saved")


def verify_folder(directory: Path, model: Model, name: object, key: str) -> Path:
    """A file or folder of a model, for code that opens it by itself; every file in it is the one that was saved.

    Raises:
        ModelFormatError: It is missing, leads out of the directory, or holds a file that is not the saved one.
    """
    found = file_inside(directory, name, key)
    root = directory.resolve()
    inner = sorted(found.rglob("*")) if found.is_dir() else [found]
    for file in inner:
        if not file.resolve().is_relative_to(root):
            raise ModelFormatError(f"{directory}: {file.relative_to(root)} is a link that leaves the model directory")
        # Python makes these by itself when it imports a model's code.
        if file.is_file() and file.suffix != ".pyc":
            _verify(directory, model, file, sha256_of(file))
    return found


def check_zip(data: bytes, file: Path) -> None:
    """Check that a file is a zip and that it unpacks to no more than its size can mean.

    Raises:
        ModelFormatError: It is a pickle, cut short, damaged, or a zip bomb.
    """
    if looks_like_pickle(data[:2]):
        raise ModelFormatError(f"{file}: a pickle where a zip file is expected; it is not read")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_expansion(entries, len(data), file)
            for entry in entries:
                # scipy's sparse matrices are zips of their own.
                with archive.open(entry) as stream:
                    nested = stream.read(4) == b"PK\x03\x04"
                if nested:
                    inner = archive.read(entry)
                    with zipfile.ZipFile(io.BytesIO(inner)) as inside:
                        _check_expansion(inside.infolist(), len(inner), file)
    except UNREADABLE as error:
        raise ModelFormatError(f"{file}: not a whole zip file ({error}): damaged or cut short") from None


def _check_expansion(entries: list[zipfile.ZipInfo], size: int, file: Path) -> None:
    unpacked = sum(entry.file_size for entry in entries)
    if sum(entry.compress_size for entry in entries) > size:
        raise ModelFormatError(f"{file}: a zip whose entries overlap; it is not read")
    if unpacked > max(ALWAYS_ALLOWED, MAX_EXPANSION * size):
        raise ModelFormatError(f"{file}: {size} bytes that unpack to {unpacked}; it is not read")


def refuse_pickle(data: bytes, file: Path) -> UntrustedModelError:
    """The error for a pickle that nobody has allowed: what it names, and how to load it."""
    found = scan(data)
    return UntrustedModelError(
        f"{file}: a pickle; loading it runs whatever code it holds. It names {_listed(found)}. If you know where it "
        "comes from, load it with trusted=True, or set allow_pickle (AUTOTRACK_ALLOW_PICKLE=1)"
    )


def refuse_types(names: list[str], file: Path) -> UntrustedModelError:
    """The error for a skops file that names classes or functions beyond the policy."""
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return UntrustedModelError(
        f"{file}: it names classes or functions that are not loaded without being asked to: {shown}. If you know where "
        "the file comes from, load it with trusted=True, or set allow_pickle (AUTOTRACK_ALLOW_PICKLE=1)"
    )


def _listed(found: Scan) -> str:
    names = sorted(f"{module}.{name}" for module, name in found.globals)
    # What is out of the ordinary comes first.
    names.sort(key=lambda name: name.startswith(("sklearn.", "numpy.", "scipy.")))
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return (shown or "nothing") + ("" if found.complete else " (and what follows where reading it stopped)")
