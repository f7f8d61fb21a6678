"""The line that shows, on a terminal alone, why the program has not ended yet."""

from __future__ import annotations

import sys
import time

from autotrack import console

PROGRESS_AFTER = 2.0
"""Seconds of waiting at exit after which the wait is shown."""


class Progress:
    """Shows on a terminal that the exit of the program waits, once that takes long: one line, renewed."""

    def __init__(self, limit: float) -> None:
        self._start = time.monotonic()
        self._limit = limit
        self._shown = ""

    def left(self) -> float:
        """Seconds that are left of the limit; half a second at least, for the journal."""
        return max(0.5, self._limit - (time.monotonic() - self._start))

    def __call__(self, waiting: str) -> None:
        """Called while waiting, with what is left to do, in words."""
        if waiting == self._shown or time.monotonic() - self._start < PROGRESS_AFTER:
            return
        if console.silent or not _is_terminal():
            return
        self._write(f"\r\x1b[Kautotrack: still recording: {waiting} (Ctrl-C: end at once) ...")
        self._shown = waiting

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            return

    def end(self) -> None:
        """Finish the line, if there is one; what is said next begins a new one."""
        if self._shown:
            self._write("\n")
        self._shown = ""


def _is_terminal() -> bool:
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # it is closed
        return False
