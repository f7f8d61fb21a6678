"""torchrun, as far as it runs in this process: it sees first which of the ranks that it started fails, and how."""

from __future__ import annotations

from collections.abc import Generator
from types import ModuleType
from typing import Any
from weakref import WeakSet

from autotrack.hooks.patching import Call, Patcher
from autotrack.tracking import liveness, rank_agent, recorders

MODULE = "torch.distributed.elastic.multiprocessing.api"

_told: WeakSet[Any] = WeakSet()
"""Groups of processes whose failure is written down: they are closed more than once."""


def instrument(patcher: Patcher, module: ModuleType) -> None:
    """See ranks being ended."""
    patcher.method(module.PContext, "close", on_close)


def on_close(call: Call) -> Generator[Any, Any, None]:
    """All ranks are to end; where some have ended by themselves, this is the last moment to tell them apart."""
    context: Any = call.instance
    ended = [] if context in _told else [*failures_of(context), *left_by(context)]
    if ended:
        _told.add(context)
        rank_agent.tell(recorders.location(), context.pids().values(), ended)
    yield
    if any(one.exit_code for one in ended):
        rank_agent.pass_on(recorders.location())


def failures_of(context: Any) -> list[rank_agent.Failure]:
    """The ranks of a group of processes that have failed so far."""
    found = []
    for local_rank, failure in dict(getattr(context, "_failures", None) or {}).items():
        environ = context.envs.get(local_rank, {})
        rank = environ.get("RANK", "")
        if rank.isdecimal():
            host = "" if environ.get("LOCAL_WORLD_SIZE") == environ.get("WORLD_SIZE") else liveness.identity().host
            found.append(rank_agent.Failure(int(rank), failure.pid, failure.exitcode, host=host))
    return found


def left_by(context: Any) -> list[rank_agent.Failure]:
    """The ranks of a group of processes that have left with exit code 0 so far."""
    handlers = dict(getattr(context, "subprocess_handlers", None) or {})
    codes = {rank: (one.proc.pid, one.proc.returncode) for rank, one in handlers.items()}
    children = getattr(getattr(context, "_pc", None), "processes", None) or ()
    codes |= {rank: (one.pid, one.exitcode) for rank, one in enumerate(children)}
    return [rank_agent.Failure(rank, pid, code) for rank, (pid, code) in codes.items() if code == 0]
