"""The progress bar of what takes long (big files, many runs): on a terminal's stderr, nowhere else."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Literal

Unit = Literal["B", "runs", "files", "rows"]


@contextlib.contextmanager
def progress_bar(
    label: str, total: int | None, unit: Unit = "B", leave: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show how far something has come.

    Args:
        label: What is being done, in a word or two.
        total: How much there is to do, in `unit`; None where nobody knows.
        unit: What is counted; bytes are shown as KiB, MiB.
        leave: Whether the full bar stays at the end.

    Yields:
        A function that is called with how much more has been done. It does nothing where stderr is no terminal.
    """
    if not _on_terminal():
        yield lambda done: None
        return
    from tqdm import tqdm

    counted = {"unit": "B", "unit_scale": True, "unit_divisor": 1024} if unit == "B" else {"unit": f" {unit}"}
    with tqdm(desc=label, total=total, leave=leave, file=sys.stderr, **counted) as bar:

        def advance(done: int) -> None:
            bar.update(done)

        yield advance


def _on_terminal() -> bool:
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # it is closed
        return False
