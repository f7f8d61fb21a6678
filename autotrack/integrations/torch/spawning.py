"""`torch.multiprocessing.spawn`: the processes that one call starts belong together, and the one that starts them sees
first which of them fails, and how.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from types import ModuleType
from typing import Any

from autotrack import origin
from autotrack.events import ErrorInfo
from autotrack.hooks import guard
from autotrack.hooks.patching import Call, Patcher
from autotrack.tracking import groups, rank_agent, recorders
from autotrack.tracking.redaction import redact

MODULE = "torch.multiprocessing.spawn"

_TRACEBACK = "Traceback (most recent call last)"

_health = guard.health("torch")


def instrument(patcher: Patcher, module: ModuleType) -> None:
    """See processes being started together, and one of them fail."""
    patcher.function(module, "start_processes", on_start, rebind_in=_is_alias)
    patcher.method(module.ProcessContext, "join", on_join)


def _is_alias(module: ModuleType) -> bool:
    return module.__name__ == "torch.multiprocessing" or not origin.is_library_module(module.__name__)


def on_start(call: Call) -> Generator[Any, Any, None]:
    """`start_processes(fn, args, nprocs)`, which `spawn` comes down to; it may wait for their end, too."""
    size = call.kwargs.get("nprocs", call.args[2] if len(call.args) > 2 else 1)
    with groups.starting(size if isinstance(size, int) else 1):
        yield


def on_join(call: Call) -> Generator[Any, Any, None]:
    """It raises where one of them has failed, after the others have been ended for it."""
    module: Any = sys.modules[MODULE]
    try:
        over = yield
    except module.ProcessException as error:
        raised = error_in(str(error)) if isinstance(error, module.ProcessRaisedException) else None
        failure = rank_agent.Failure(error.error_index, error.error_pid, getattr(error, "exit_code", 1), raised)
        guard.call(_health, "a rank's failure", _tell, call.instance, [failure])
        guard.call(_health, "ranks' journals", _pass_on)
        raise
    if over:
        guard.call(_health, "the end of ranks", _tell, call.instance, [])


def _tell(context: Any, failures: list[rank_agent.Failure]) -> None:
    well = [index for index, one in enumerate(context.processes) if one.exitcode == 0]
    left = [rank_agent.Failure(index, context.processes[index].pid, 0) for index in well]
    rank_agent.tell(recorders.location(), context.pids(), [*failures, *left])


def _pass_on() -> None:
    rank_agent.pass_on(recorders.location())


def error_in(text: str) -> ErrorInfo:
    """What a process raised, of which torch sends the traceback's text, below a heading."""
    trace = text[max(0, text.find(_TRACEBACK)) :].strip()
    lines = trace.splitlines()
    last = max((number for number, line in enumerate(lines) if line.startswith("  ")), default=-1) + 1
    kind, _, message = "\n".join(lines[last:]).partition(": ")
    return ErrorInfo(redact(kind), redact(message), redact(trace))
