"""A model's directory: written whole or not at all, each file's hash kept, equal content known by its digest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autotrack import clock
from autotrack.errors import AlreadyExistsError, ArtifactError, ModelFormatError
from autotrack.models.mlmodel import FILE_NAME, Model
from autotrack.streams import sha256_of, sha256_of_bytes

FORMAT_VERSION = 1
"""Version of what stands under `autotrack` in MLmodel."""


class Draft:
    """A model's directory in memory, for whoever stores it elsewhere at once: no file is made that nobody keeps.

    Attributes:
        files: Content of each file by its name, but for MLmodel.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def fill(self, files: dict[str, bytes], model: Model, version: str) -> None:
        """Take the files, and note in the model what `seal` notes of a directory."""
        self.files = files
        hashes = {name: sha256_of_bytes(files[name]) for name in sorted(files)}
        _note_content(model, hashes, sum(map(len, files.values())), version)


@contextmanager
def new_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A directory that appears at `path` when the block ends, and not at all where it fails.

    Yields:
        A temporary directory beside it.

    Raises:
        AlreadyExistsError: There is something at `path` already (an empty directory does not count).
        ArtifactError: It cannot be written.
    """
    target = Path(path)
    draft = target.with_name(f".{target.name}.{clock.new_id()[:12]}.part")
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise AlreadyExistsError("model directory", str(target), "remove it, or choose another path")
        draft.mkdir(parents=True)
        try:
            yield draft
            if target.is_dir():
                target.rmdir()
            os.rename(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise ArtifactError(f"{target}: the model cannot be written: {error}") from error


def files_of(directory: Path) -> list[Path]:
    """All files of a directory, sorted, but for MLmodel."""
    return sorted(file for file in directory.rglob("*") if file.is_file() and file != directory / FILE_NAME)


def seal(directory: Path, model: Model, version: str) -> None:
    """Note size, hashes and digest in the model, and write MLmodel: the last step of saving.

    Args:
        directory: With all other files in it.
        model: Its `autotrack` and `model_size_bytes` are set.
        version: autotrack's.
    """
    files = files_of(directory)
    hashes = {file.relative_to(directory).as_posix(): sha256_of(file) for file in files}
    _note_content(model, hashes, sum(file.stat().st_size for file in files), version)
    model.save(directory)


def _note_content(model: Model, hashes: dict[str, str], size: int, version: str) -> None:
    model.model_size_bytes = size
    digest = content_digest(model, hashes)
    model.autotrack = {"format": FORMAT_VERSION, "version": version, "digest": digest, "files": hashes}


def verify(directory: Path, model: Model) -> None:
    """See that a directory holds the files that were saved, where autotrack saved them.

    Raises:
        ModelFormatError: One is missing, or is not what it was.
    """
    hashes = (model.autotrack or {}).get("files")
    for name, expected in hashes.items() if isinstance(hashes, dict) else ():
        file = directory / str(name)
        if not file.is_file() or sha256_of(file) != expected:
            raise ModelFormatError(f"{file}: missing, damaged or replaced after the model was saved")


def content_digest(model: Model, hashes: dict[str, str]) -> str:
    """sha256 over the files, the flavors, the signature and the metadata: all but when, where and by which run."""
    parts = {
        "files": hashes,
        "flavors": model.flavors,
        "signature": model.signature.to_dict() if model.signature else None,
        "metadata": model.metadata,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
