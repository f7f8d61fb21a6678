"""Notebooks: training that lasts beyond one call ends with the cell that it is in.

A program's training ends with the program at the latest. In a notebook the kernel goes on, and with it all that cells
made: by its name, by `Out`, by the traceback of the last exception. A PyTorch loop, say, would go on for ever. So what
lasts beyond a call is told when the cell ends, and how the cell ended.

A later cell that trains on begins anew, in another run, which has the one before in its tag `autotrack.continues`.

A run that the program opens itself lasts until it ends it, in whichever cell. What a cell that awaits something opens
or ends would be seen by that cell alone, since it has a context of its own: it is carried over when the cell ends.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

from autotrack import cells
from autotrack.hooks import guard
from autotrack.tracking import scope

CONTINUES_TAG = "autotrack.continues"
"""Id of the run in which what is trained here was trained before."""


class Lasting(Protocol):
    """Training that lasts beyond a call."""

    def cell_over(self, error: BaseException | None) -> bool:
        """A cell has ended, by an exception or well; False where there is nothing more to be told of later ones."""


_lasting: WeakKeyDictionary[threading.Thread, WeakSet[Any]] = WeakKeyDictionary()
"""By the thread that runs the cells: what another thread trains goes on when the cell that started it is over."""


_left: WeakKeyDictionary[threading.Thread, scope.Stack] = WeakKeyDictionary()
"""What was open in the cell that is running, by the thread that runs it, where that is not seen from outside."""


def carry_over() -> None:
    """The program has opened or ended a run; without a cell that awaits something nothing happens."""
    if cells.is_asynchronous():
        cells.shell().events.register("post_run_cell", _on_cell_over)
        _left[threading.current_thread()] = tuple(frame for frame in scope.stack() if frame.kind == "run")


def until_end_of_cell(training: Lasting) -> None:
    """Have something that begins now told when cells end; without a notebook nothing happens."""
    shell = cells.shell()
    if shell is not None:
        _lasting.setdefault(threading.current_thread(), WeakSet()).add(training)
        shell.events.register("post_run_cell", _on_cell_over)  # a second time does nothing


def _on_cell_over(result: Any = None) -> None:
    """IPython's event: the cell's result, or None where it was broken off."""
    error = KeyboardInterrupt() if result is None else result.error_in_exec or result.error_before_exec
    if _is_cancelled(error):  # what the kernel makes of an interrupt inside an `await`
        error = KeyboardInterrupt()
    left = _left.pop(threading.current_thread(), None)
    if left is not None:
        scope.enter(left)
    several = _lasting.get(threading.current_thread())
    for one in list(several or ()):
        if not guard.call(guard.health("tracking", breaker=False), "end of a cell", one.cell_over, error):
            several.discard(one)  # type: ignore[union-attr]


def _is_cancelled(error: BaseException | None) -> bool:
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)
