"""Run a program in this process, as close to `python program` as can be: the launcher's way where it cannot `exec`.

The program gets a `__main__` of its own that stays in `sys.modules` to the end, so that its threads and exit handlers
still pickle its classes, and its tracebacks do not show the launcher.
"""

from __future__ import annotations

import builtins
import os
import runpy
import sys
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from pkgutil import get_importer, read_code
from types import CodeType, ModuleType, TracebackType
from typing import Any


def run(target: list[str]) -> int:
    """Run a program; what it raises is raised.

    Args:
        target: What to run and its arguments, as `process.split_options` returns it.

    Returns:
        The exit status: 0, or 2 where a script cannot be read.
    """
    runner = {"-m": _run_module, "-c": _run_command, "-": _run_stdin}.get(target[0])
    if runner is None:
        runner = _run_script if get_importer(target[0]) is None else _run_folder
    try:
        return runner(target)
    except BaseException as error:
        # The first two frames are this function's and the runner's.
        own = error.__traceback__.tb_next if error.__traceback__ else None
        _hide_frames(error, own.tb_next if own else None)
        raise


def _run_module(target: list[str]) -> int:
    _fresh_main(BuiltinImporter)
    _lead_path(os.getcwd())
    sys.argv = ["-m", *target[2:]]
    runpy._run_module_as_main(target[1])  # type: ignore[attr-defined]  # what `python -m` itself calls
    return 0


def _run_folder(target: list[str]) -> int:
    """A folder or a zip file with a `__main__.py`."""
    _fresh_main(BuiltinImporter)
    if not _lead_path(os.path.abspath(target[0])):
        sys.path.insert(0, os.path.abspath(target[0]))  # also where -I keeps other programs' folders off the path
    sys.argv = list(target)
    runpy._run_module_as_main("__main__", False)  # type: ignore[attr-defined]
    return 0


def _run_command(target: list[str]) -> int:
    names = _fresh_main(BuiltinImporter)
    _lead_path("")
    sys.argv = ["-c", *target[2:]]
    exec(compile(target[1], "<string>", "exec", dont_inherit=True), names)
    return 0


def _run_stdin(target: list[str]) -> int:
    names = _fresh_main(BuiltinImporter, "<stdin>")
    _lead_path("")
    sys.argv = list(target)
    source = sys.stdin.read() if sys.stdin else ""
    exec(compile(source, "<stdin>", "exec", dont_inherit=True), names)
    return 0


def _run_script(target: list[str]) -> int:
    path = os.path.abspath(target[0])
    try:
        with open(path, "rb") as file:
            compiled = read_code(file)
            file.seek(0)
            source = b"" if compiled else file.read()
    except OSError as error:
        problem = f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}"
        sys.stderr.write(f"{sys.orig_argv[0]}: {problem}\n")
        return 2
    names = _fresh_main((SourcelessFileLoader if compiled else SourceFileLoader)("__main__", path), path)
    _lead_path(os.path.dirname(os.path.realpath(path)))
    sys.argv = list(target)
    code: CodeType = compiled or compile(source, path, "exec", dont_inherit=True)
    exec(code, names)
    return 0


def _fresh_main(loader: Any, file: str | None = None) -> dict[str, Any]:
    """Put a `__main__` as the interpreter makes it into `sys.modules`; return its names."""
    main = ModuleType("__main__")
    names = vars(main)
    names["__loader__"] = loader
    if sys.version_info < (3, 14):
        names["__annotations__"] = {}
    names["__builtins__"] = builtins
    if file is not None:
        names.update(__file__=file, __cached__=None)
    sys.modules["__main__"] = main
    return names


def _lead_path(entry: str) -> bool:
    """Replace the launcher's own folder at the head of `sys.path`, unless options keep any such folder off it."""
    if sys.flags.isolated or getattr(sys.flags, "safe_path", False):
        return False
    sys.path[0] = entry
    return True


def _hide_frames(error: BaseException, below: TracebackType | None) -> None:
    """Have `error` shown without the launcher's frames. The program is over: its own `sys.excepthook` is kept."""
    shown = sys.excepthook

    def excepthook(kind: type[BaseException], value: BaseException, traceback: TracebackType | None) -> None:
        if value is error:
            traceback = below
            value.__traceback__ = below
        shown(kind, value, traceback)

    sys.excepthook = excepthook
