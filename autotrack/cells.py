"""Code that comes from no file: cells of IPython's, in a notebook or a terminal.

IPython is asked where it is loaded and running, and never imported.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

MAX_SOURCE = 8_000
"""Characters of a cell's code that are kept (its beginning)."""

_OLD_NAME = "<ipython-input-"
"""What the names of cells began with, before IPython could be asked; then come the cell's number and a hash."""


def shell() -> Any:
    """The IPython shell of this process; None without one."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get() if get is not None else None


def notebook() -> str | None:
    """The notebook that this process runs: its file's name where its front end tells it, else "notebook".

    None where this is no kernel.
    """
    found = shell()
    if getattr(found, "kernel", None) is None:
        return None
    names = getattr(found, "user_ns", {})
    for told in (names.get("__vsc_ipynb_file__"), names.get("__session__")):  # VS Code, Jupyter's server
        if isinstance(told, str) and told.endswith(".ipynb"):
            return os.path.basename(told)
    return "notebook"


def is_asynchronous() -> bool:
    """Whether this is a cell that awaits something: IPython runs it as a task, in a context of its own."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or shell() is None:
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and getattr(task.get_coro(), "__name__", "") == "run_cell_async"


def label_of(file: str) -> str:
    """What IPython calls the cell whose code has this file name: `In[5]`; empty for a file, and without IPython."""
    found = shell()
    if found is None:
        return ""
    tell = getattr(getattr(found, "compile", None), "format_code_name", None)
    told = tell(file) if tell is not None else None
    if told:
        return str(told[-1])
    return f"In[{file.removeprefix(_OLD_NAME).partition('-')[0]}]" if file.startswith(_OLD_NAME) else ""


def describe(label: str, file: str, line: int, function: str) -> str:
    """`In[5]:3 in <module>: model.fit(X, y)`: the cell's number is not enough, the cell may be changed any time."""
    import linecache

    text = linecache.getline(file, line).strip()
    return f"{label}:{line} in {function}" + (f": {text}" if text else "")


def source_of(frame: FrameType | None) -> str:
    """The code of the cell that a call comes from, directly or through functions of other cells; "" without one."""
    if frame is None or shell() is None:
        return ""
    import linecache

    while frame is not None:
        code = frame.f_code
        if code.co_name.startswith(("<module", "<cell")) and label_of(code.co_filename):  # IPython 8.0: <cell line: 1>
            return "".join(linecache.getlines(code.co_filename))[:MAX_SOURCE]
        frame = frame.f_back
    return ""
