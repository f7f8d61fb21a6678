"""joblib's own `Parallel`, on its backends loky, threading, multiprocessing and Dask's.

Hooked: `joblib.Parallel.__call__`, and how Dask's backend hands out a batch. Recorded: nothing. The tasks take along
what was open where they were handed over: see `tracking.transport`. It is captured in the thread that makes the call:
joblib goes on dispatching from threads of its own.

Dask's backend looks into the tasks and submits them in a thread of its own, which is told what is open in the call;
what becomes of it then is `dask`'s affair.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from autotrack.hooks.calls import Call, Replace
from autotrack.hooks.light import Watcher
from autotrack.tracking import scope, transport

if TYPE_CHECKING:
    from autotrack.integrations.options import IntegrationConfig


_open_in: WeakKeyDictionary[Any, scope.Stack] = WeakKeyDictionary()
"""What was open where the latest call of a `Parallel` on Dask's backend was made."""


def instrument(watcher: Watcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    del configuration
    watcher.method(sys.modules["joblib.parallel"].Parallel, "__call__", on_parallel)
    watcher.when_imported("joblib._dask", lambda module: _watch_dask(watcher, module))


def _watch_dask(watcher: Watcher, module: ModuleType) -> None:
    backend = module.DaskDistributedBackend
    watcher.method(backend, "submit" if "submit" in vars(backend) else "apply_async", on_submit)


def on_parallel(call: Call) -> Any:
    """Tasks are about to be handed out."""
    if _is_dasks(call.instance):
        _open_in[call.instance] = scope.stack()
        yield
        return
    leaving = transport.departure() if len(call.args) == 1 and not _stays_here(call.instance) else None
    if leaving is None:
        yield
        return
    tasks = call.args[0]
    made = _Sized(leaving, tasks) if hasattr(tasks, "__len__") else _stamped(leaving, tasks)
    yield Replace((made,), call.kwargs)


def on_submit(call: Call) -> Any:
    """Dask's backend is about to have its client's event loop submit a batch; the loop copies this context."""
    parallel = getattr(call.instance, "parallel", None)
    with scope.within(_open_in.get(parallel, ()) if parallel is not None else ()):
        yield


def _stays_here(parallel: Any) -> bool:
    """Whether joblib makes the calls one after the other in this very thread, which knows what is open."""
    own = type(getattr(parallel, "_backend", None)).__module__.startswith("joblib.")
    return own and getattr(parallel, "n_jobs", None) == 1


def _is_dasks(parallel: Any) -> bool:
    return "dask" in type(getattr(parallel, "_backend", None)).__module__


def _stamped(leaving: transport.Departure, tasks: Iterable[Any]) -> Iterator[Any]:
    for task in tasks:
        yield _with_parcel(leaving, task)


def _with_parcel(leaving: transport.Departure, task: Any) -> Any:
    if type(task) is tuple and len(task) == 3 and type(task[1]) is tuple:
        return task[0], transport.Arguments.of(leaving, task[1]), task[2]
    return task


class _Sized:
    """Tasks whose number is known, which joblib tells when it is verbose."""

    def __init__(self, leaving: transport.Departure, tasks: Any) -> None:
        self._leaving = leaving
        self._tasks = tasks

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Any]:
        return _stamped(self._leaving, self._tasks)
