"""How many training calls a run has had, counted by all the processes that record into it.

A file beside the journals that each call makes a byte longer: what is appended with O_APPEND lands behind all that was
there before, so the place where one's own byte ends is a number that nobody else has.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from autotrack.store.location import Location


def begin(location: Location, run_id: str, counted: int) -> None:
    """Have a run's training calls counted in a file; where none can be written, each process counts its own.

    Args:
        location: The run's store.
        run_id: The run.
        counted: How many it has had already.
    """
    path = _path(location, run_id)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, b"." * counted)
        finally:
            os.close(handle)


def count(location: Location, run_id: str) -> int | None:
    """Count one more; None where there is no such file: the run has ended, or began on another machine."""
    try:
        handle = os.open(_path(location, run_id), os.O_WRONLY | os.O_APPEND)
    except OSError:
        return None
    try:
        os.write(handle, b".")
        return os.lseek(handle, 0, os.SEEK_CUR)
    except OSError:
        return None
    finally:
        os.close(handle)


def end(location: Location, run_id: str) -> None:
    """The run has ended: nobody counts any more."""
    with contextlib.suppress(OSError):
        _path(location, run_id).unlink()


def _path(location: Location, run_id: str) -> Path:
    return location.journal_folder / f"{run_id}.fits"
