"""How did it end: the status of a run or a process, and what is kept of the exception."""

from __future__ import annotations

import sys
import traceback
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from autotrack.events import EndStatus, ErrorInfo
from autotrack.origin import describe, is_library_file, place
from autotrack.tracking.values import storable

if TYPE_CHECKING:
    from autotrack.hooks.patching import Call, Patcher

MAX_TRACEBACK = 20_000
"""Characters of a traceback that are kept (its end)."""

MAX_FRAMES = 100
"""Frames of one exception that are kept, the innermost."""

_RUNNERS = ("torch.multiprocessing.spawn",)
"""Modules that call a program's function in a process of its own, and `sys.exit` where it raises."""

_exit_code: Any = None
_of_child: tuple[EndStatus, ErrorInfo | None] | None = None
"""What ended the function of a child of `multiprocessing`."""
_watch: Patcher | None = None


def status_of(error: BaseException | None) -> EndStatus:
    """The status that an exception, or none, means for what it ended."""
    if error is None or isinstance(error, GeneratorExit):
        return "FINISHED"
    if isinstance(error, KeyboardInterrupt):
        return "KILLED"
    if isinstance(error, SystemExit):
        return "FINISHED" if error.code in (None, 0, False) else "FAILED"
    return "FAILED"


def info_of(error: BaseException | None, caller: str = "") -> ErrorInfo | None:
    """What is kept of an exception: type, message, traceback without autotrack's frames, the user's frame.

    Args:
        error: The exception.
        caller: `file:line in function` of the user's call, where the exception has not got that far yet.
    """
    if error is None or status_of(error) == "FINISHED":
        return None
    from autotrack.tracking.redaction import redact

    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return ErrorInfo(
        type=name,
        message=storable(redact(_message(error))[:MAX_TRACEBACK]),
        traceback=storable(redact(_traceback_text(error))[-MAX_TRACEBACK:]),
        frame=storable(redact(_users_frame(error.__traceback__)) or caller),
    )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except (TypeError, ValueError, AttributeError, RuntimeError, LookupError):
        return f"<{type(error).__name__} whose message cannot be made>"


def _is_ours(file: str) -> bool:
    package = __file__.rpartition("tracking")[0]
    return file.startswith(package) or "wrapt" in file.replace("\\", "/").split("/")[-2:-1]


def _traceback_text(error: BaseException) -> str:
    told = traceback.TracebackException.from_exception(error, limit=-MAX_FRAMES, compact=True)
    _hide_our_frames(told)
    return "".join(told.format())


def _hide_our_frames(told: traceback.TracebackException) -> None:
    """Also of the exceptions that led to this one, and of those that a group holds."""
    told.stack = traceback.StackSummary.from_list([frame for frame in told.stack if not _is_ours(frame.filename)])
    others = [told.__cause__, told.__context__, *(getattr(told, "exceptions", None) or ())]
    for other in others:
        if other is not None:
            _hide_our_frames(other)


def _users_frame(trace: TracebackType | None) -> str:
    """The innermost frame of the user's own code."""
    found = ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not _is_ours(file) and not is_library_file(file):
            found = place(file, trace.tb_lineno, trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return found


def watch_exit() -> None:
    """Learn the code of `sys.exit(code)`, which nothing else tells at exit; a second call does nothing.

    An uncaught exception is told by the interpreter itself, in `sys.last_value`, whatever `sys.excepthook` does.
    """
    global _watch
    if _watch is not None:
        return
    from autotrack.hooks import guard
    from autotrack.hooks.patching import Patcher

    _watch = Patcher("tracking", guard.health("tracking", breaker=False))
    _watch.function(sys, "exit", _on_exit)


def watch_child() -> None:
    """In a child of `multiprocessing`: learn what ends its function, for which its exit handlers come too late.

    From Python 3.13 on they run when it has told of its exception already, and let go of it.
    """
    if _watch is not None:
        _watch.function(traceback, "print_exc", _on_print)


def unwatch_exit() -> None:
    """Take the patch on `sys.exit` off, and forget what it told."""
    global _watch
    program_goes_on()
    if _watch is not None:
        _watch.revert()
        _watch = None


def _on_exit(call: Call) -> Any:
    global _exit_code, _of_child
    _exit_code = call.args[0] if call.args else None
    caller = call.caller()
    if caller is not None and caller.f_globals.get("__name__") in _RUNNERS:
        error = sys.exc_info()[1]
        _of_child = (status_of(error), info_of(error)) if error is not None else None
    yield


def _on_print(call: Call) -> Any:
    global _of_child
    caller = call.caller()
    if caller is not None and caller.f_globals.get("__name__") == "multiprocessing.process":
        error = sys.exc_info()[1]
        _of_child = status_of(error), info_of(error)
    yield


def program_goes_on() -> None:
    """Something was recorded: if `sys.exit` was called before, somebody caught it."""
    global _exit_code, _of_child
    _exit_code = _of_child = None


def of_process() -> tuple[EndStatus, ErrorInfo | None]:
    """The status of runs that are still open when the process ends, and why."""
    error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
    if error is None:
        error = sys.exc_info()[1]  # a child of `multiprocessing` runs its exit handlers while the exception flies
    error = _raised_by_program(error)
    if error is not None:
        return status_of(error), info_of(error)
    if _of_child is not None:
        return _of_child
    code = _exit_code if _exit_code is not None else _code_of_child()
    if code not in (None, 0, False):
        return "FAILED", ErrorInfo("SystemExit", storable(f"exit code {code}"))
    return "FINISHED", None


def _code_of_child() -> Any:
    """Exit code of a child of `multiprocessing` whose function is over: nothing else tells of `raise SystemExit`."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module == "multiprocessing.process":  # it is not over
            return None
        if module in ("multiprocessing.popen_fork", "multiprocessing.forkserver") and "code" in frame.f_locals:
            return frame.f_locals["code"]
        frame = frame.f_back
    return None


def _raised_by_program(error: BaseException | None) -> BaseException | None:
    """The program's own exception, where what runs its function in a process makes an exit code of it."""
    trace = error.__traceback__ if isinstance(error, SystemExit) and error.__context__ is not None else None
    while trace is not None and trace.tb_next is not None and not _is_ours(trace.tb_next.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    is_runner = trace is not None and trace.tb_frame.f_globals.get("__name__") in _RUNNERS
    return error.__context__ if is_runner and error is not None else error


__all__ = ["describe", "info_of", "of_process", "status_of", "unwatch_exit", "watch_exit"]
