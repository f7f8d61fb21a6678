"""Threads: work that is handed to another thread keeps the scope of the context that handed it over.

Hooked: `threading.Thread.start` and the work items of `ThreadPoolExecutor` and of Dask's workers; for those of
`multiprocessing`'s `ThreadPool` see `processes`. Recorded: nothing. So fits in threads that were started under an
explicit run join that run, and threads that a training call starts open none.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from autotrack.hooks.calls import Call
from autotrack.hooks.light import Watcher
from autotrack.tracking import scope

if TYPE_CHECKING:
    from autotrack.integrations.options import IntegrationConfig

POOLS = ("concurrent.futures.thread", "distributed._concurrent_futures_thread")
"""Where the work items of pools of threads are defined; Dask's workers have a copy of their own."""

_submitted: WeakKeyDictionary[Any, scope.Stack | scope.Arrived] = WeakKeyDictionary()


def instrument(watcher: Watcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    import threading

    del configuration
    watcher.method(threading.Thread, "start", on_start)
    for name in POOLS:
        watcher.when_imported(name, lambda module: _instrument_pool(watcher, module))


def _instrument_pool(watcher: Watcher, module: ModuleType) -> None:
    watcher.method(module._WorkItem, "__init__", on_submit)
    watcher.method(module._WorkItem, "run", on_work)


def on_start(call: Call) -> Any:
    """A thread is about to start."""
    scope.inherit(call.instance)
    yield


def on_submit(call: Call) -> Any:
    """Work was handed to a pool of threads."""
    yield
    frames = scope.unopened()
    if frames:
        _submitted[call.instance] = frames


def on_work(call: Call) -> Any:
    """A thread of a pool begins a piece of work."""
    frames = _submitted.pop(call.instance, ())
    # A pool's thread was started by whoever needed it first: what it inherited is not this work's.
    with scope.within(frames):
        yield
