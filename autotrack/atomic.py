"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(target: str | os.PathLike[str]) -> Iterator[str]:
    """Write a file, or a folder, that takes its place when the block ends; where that fails, all stays as it was.

    Yields:
        Path to write it to: beside the target, under a name that `artifacts.paths.is_unfinished` knows.

    Raises:
        OSError: It cannot take its place.
    """
    draft = os.path.join(os.path.dirname(target), f".{uuid.uuid4().hex}.part")
    try:
        yield draft
        os.replace(draft, target)
    except BaseException:
        if os.path.isdir(draft):
            shutil.rmtree(draft, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
