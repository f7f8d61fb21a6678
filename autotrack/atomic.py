"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file that takes its place when the block ends; where the block fails, all stays as it was.

    Yields:
        Where to write it: beside the target, under a name that `artifacts.paths.is_unfinished` knows.

    Raises:
        OSError: It cannot take its place.
    """
    draft = Path(target).with_name(f".{uuid.uuid4().hex}.part")
    try:
        yield draft
        os.replace(draft, target)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
