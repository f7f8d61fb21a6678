"""Whose code is this: the user's, an installed library's, or Python's own?

Used to decide which training calls are the user's, which `repr` and `predict` are safe to call, and which frame of a
traceback to show.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Collection
from functools import lru_cache
from types import FrameType, MemberDescriptorType, ModuleType

from autotrack import cells

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TRANSPARENT = frozenset({"autotrack", "wrapt", "joblib", "dask", "distributed", "ray", "concurrent", "multiprocessing"})
"""Packages that call on behalf of whoever called them: whose call it is, is asked of the frame above."""


@lru_cache(maxsize=1)
def _library_folders() -> tuple[str, ...]:
    names = ("purelib", "platlib", "stdlib", "platstdlib")
    folders = {os.path.realpath(path) + os.sep for name in names if (path := sysconfig.get_paths().get(name))}
    # A virtual environment's packages stand beside a standard library that lies elsewhere.
    folders.add(os.path.realpath(os.path.dirname(os.__file__)) + os.sep)
    return tuple(folders)


@lru_cache(maxsize=1)
def _stdlib_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {os.path.realpath(paths[name]) + os.sep for name in ("stdlib", "platstdlib") if paths.get(name)}
    return tuple(folders)


def is_library_file(path: str) -> bool:
    """Whether a file belongs to the standard library or to an installed package (and not to the user's project)."""
    if path.startswith("<"):
        # <frozen importlib>, <__array_function__ internals>: libraries' own; notebooks and `-c` name theirs otherwise.
        return path.startswith(("<frozen", "<__array_function__", "<decorator-gen", "<attrs"))
    real = os.path.realpath(path)
    return real.startswith(_library_folders()) or f"{os.sep}site-packages{os.sep}" in real


@lru_cache(maxsize=4096)
def is_library_module(name: str) -> bool:
    """Whether a module, by its dotted name, is an installed library's or Python's own. `__main__` never is."""
    root = name.partition(".")[0]
    if root in ("__main__", "__mp_main__"):
        return False
    if root in sys.builtin_module_names or root in sys.stdlib_module_names:
        return True
    module = sys.modules.get(root)
    file = _file_of(module) if module is not None else None
    return file is not None and _is_library_code(file)


def is_library_type(kind: type) -> bool:
    """Whether a class is an installed library's or Python's own."""
    module = kind.__module__
    return isinstance(module, str) and is_library_module(module)


def attribute_of(value: object, name: str, default: Any = None) -> Any:
    """An attribute of an object of any class, without running code that the user wrote.

    That code may raise, block or lie, and was not asked for. A property of a class of the user's is therefore not
    read, nor does its `__getattr__` come into it; what stands in the object, and what a library's base class says, is.
    """
    kind = type(value)
    if is_library_type(kind):
        return getattr(value, name, default)
    own = _instance_dict(value)
    for base in kind.__mro__:
        found = base.__dict__.get(name, _MISSING)
        if found is _MISSING:
            continue
        getter = getattr(type(found), "__get__", None)
        if name in own and not hasattr(type(found), "__set__"):
            return own[name]
        if getter is None:
            return found
        if is_library_type(base) or isinstance(found, MemberDescriptorType):
            try:
                return getter(found, value, kind)
            except AttributeError:
                return default
        return default
    return own.get(name, default)


_MISSING = object()


def _instance_dict(value: object) -> dict[str, Any]:
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return own if type(own) is dict else {}


def _file_of(module: ModuleType) -> str | None:
    file = getattr(module, "__file__", None)
    if file is None:
        paths = list(getattr(module, "__path__", ()))
        file = paths[0] + os.sep if paths else None
    return file if isinstance(file, str) else None


@lru_cache(maxsize=4096)
def _is_stdlib_file(path: str) -> bool:
    real = os.path.realpath(path)
    return real.startswith(_stdlib_folders()) and f"{os.sep}site-packages{os.sep}" not in real


@lru_cache(maxsize=4096)
def _is_library_code(path: str) -> bool:
    return is_library_file(path)


def calling_frame(frame: FrameType | None) -> FrameType | None:
    """The frame that a call belongs to: the nearest one that does not merely call on another's behalf.

    Skips autotrack, wrapt, the standard library (threads, pools, decorators) and libraries that dispatch work.
    None at the root of a thread.
    """
    while frame is not None:
        root = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if root not in TRANSPARENT and not _is_stdlib_file(frame.f_code.co_filename):
            return frame
        frame = frame.f_back
    return None


def is_users(frame: FrameType | None) -> bool:
    """Whether a call that comes from this frame (see `calling_frame`) is the user's program calling.

    A program that is itself an installed package (`python -m package`, a console script) counts as the user's.
    """
    if frame is None or not _is_library_code(frame.f_code.co_filename):
        return True
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in _program_roots()


def is_users_module(name: str) -> bool:
    """Whether a module, by its dotted name, belongs to the user's program; see `is_users`."""
    return not is_library_module(name) or name.partition(".")[0] in _program_roots()


def caller_past(frame: FrameType | None, packages: Collection[str]) -> FrameType | None:
    """The frame that a call belongs to, as in `calling_frame`, where these packages too call on another's behalf."""
    frame = calling_frame(frame)
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in packages:
        frame = calling_frame(frame.f_back)
    return frame


def _program_roots() -> set[str]:
    main = sys.modules.get("__main__")
    roots = {"__main__"}
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        roots.add(spec.name.partition(".")[0])
    file = getattr(main, "__file__", None)
    if file and _is_console_script(file):
        # A few lines that import the program's entry point.
        roots.update(
            value.__module__.partition(".")[0] for value in vars(main).values() if hasattr(value, "__module__")
        )
    return roots - {"pytest", "IPython", "ipykernel", "ipykernel_launcher"}


@lru_cache(maxsize=16)
def _is_console_script(file: str) -> bool:
    return os.path.dirname(os.path.realpath(file)) == os.path.realpath(sysconfig.get_path("scripts"))


def describe(frame: FrameType | None) -> str:
    """`file:line in function` of a frame, of a notebook's cell its number and the line's text; empty for none."""
    return "" if frame is None else place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def place(file: str, line: int, function: str) -> str:
    """The same of a place in code."""
    cell = cells.label_of(file)
    return cells.describe(cell, file, line, function) if cell else f"{file}:{line} in {function}"
