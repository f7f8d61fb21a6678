"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator


def draft_of(target: str | os.PathLike[str]) -> str:
    """Where to write what is to appear at a path: beside it, with a name that `artifacts.paths.is_unfinished` knows."""
    return os.path.join(os.path.dirname(target), f".{uuid.uuid4().hex}.part")


@contextlib.contextmanager
def replacing(target: str | os.PathLike[str]) -> Iterator[str]:
    """Write a file that takes its place when the block ends; where the block fails, all stays as it was.

    Yields:
        Path to write it to, see `draft_of`.

    Raises:
        OSError: It cannot take its place.
    """
    draft = draft_of(target)
    try:
        yield draft
        os.replace(draft, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
