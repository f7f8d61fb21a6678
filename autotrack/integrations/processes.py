"""Processes: work that is handed to another process knows what was open where it was handed over.

Hooked: `Process.start` and the preparation data of `multiprocessing` (spawn, forkserver; a fork has it in memory), the
work items of `multiprocessing.Pool` (also its pool of threads), `ProcessPoolExecutor` and loky's own executor, and
`subprocess.Popen`. Recorded: nothing. So fits in worker processes join the explicit run that was open, and open none
inside a training call; the runs of a program that was started while a run was open are that run's children.

A worker of a pool learns it with each piece of work, since it outlives what is open: see `tracking.transport`.

Deliberately not: `os.exec*`, `os.spawn*` and `os.system`, whose programs belong to the session alone.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from autotrack import config, process
from autotrack.hooks.calls import Call, Replace
from autotrack.hooks.light import Watcher
from autotrack.integrations import registry
from autotrack.tracking import groups, scope, transport

if TYPE_CHECKING:
    from autotrack.integrations.options import IntegrationConfig

KEY = "autotrack"
"""Our entry among the data with which a process is prepared; `multiprocessing` ignores what it does not know."""

_WORKERS = (("multiprocessing.pool", "worker"), ("concurrent.futures.process", "_process_worker"))
"""What the workers of pools run."""


class _Starting(threading.local):
    """The process that this thread is starting."""

    departure: transport.Departure | None = None
    is_pools = False


_starting = _Starting()


def instrument(watcher: Watcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    del configuration
    process.settings_of_program = told
    modules: dict[str, Callable[[Watcher, ModuleType], None]] = {
        "multiprocessing.process": _watch_process,
        "multiprocessing.spawn": _watch_spawn,
        "multiprocessing.pool": _watch_pool,
        "concurrent.futures.process": _watch_executor,
        "loky.process_executor": _watch_executor,
        "subprocess": _watch_subprocess,
    }
    for name, watch in modules.items():
        watcher.when_imported(name, partial(watch, watcher))


def _watch_process(watcher: Watcher, module: ModuleType) -> None:
    watcher.method(module.BaseProcess, "start", on_start)


def _watch_spawn(watcher: Watcher, module: ModuleType) -> None:
    watcher.function(module, "get_preparation_data", on_preparation)


def _watch_pool(watcher: Watcher, module: ModuleType) -> None:
    watcher.method(module.Pool, "apply_async", on_apply)
    watcher.method(module.Pool, "_guarded_task_generation", on_tasks)
    watcher.method(module.ApplyResult, "get", on_result)


def _watch_executor(watcher: Watcher, module: ModuleType) -> None:
    watcher.method(module._WorkItem, "__init__", on_submit)
    watcher.method(module._SafeQueue, "_on_queue_feeder_error", on_unsent)


def _watch_subprocess(watcher: Watcher, module: ModuleType) -> None:
    watcher.method(module.Popen, "__init__", on_program)


def on_start(call: Call) -> Any:
    """A process is about to be started; a child that is forked meanwhile never comes back from the call."""
    target = getattr(call.instance, "_target", None)
    _starting.is_pools = any(target is getattr(sys.modules.get(name), one, call) for name, one in _WORKERS)
    _starting.departure = None if _starting.is_pools else transport.departure(groups.being_started())
    try:
        yield
    finally:
        _starting.is_pools, _starting.departure = False, None


def _after_fork() -> None:
    """What is open where a pool's workers are started is not what their work is to know."""
    if _starting.is_pools:
        scope.enter(())
    _starting.is_pools, _starting.departure = False, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def on_preparation(call: Call) -> Any:
    """The data are made that tell a new process what it needs to know."""
    data = yield
    if _starting.departure is not None:
        data[KEY] = _starting.departure


def on_submit(call: Call) -> Any:
    """Work was handed to a `ProcessPoolExecutor`."""
    yield
    leaving = transport.departure()
    if leaving is not None:
        call.instance.fn = transport.Function(leaving, call.instance.fn)


def on_unsent(call: Call) -> Any:
    """Work could not be pickled; what is told of it comes next."""
    if call.args:
        transport.forget_notes(call.args[0])
    yield


def on_result(call: Call) -> Any:
    """The result of a `Pool` is asked for, which may be that the work could not be pickled."""
    try:
        yield
    finally:
        error = sys.exc_info()[1]
        if error is not None:
            transport.forget_notes(error)


def on_apply(call: Call) -> Any:
    """Work is about to be handed to a `Pool`: a function and its arguments."""
    yield _with_function(call, 0)


def on_tasks(call: Call) -> Any:
    """Work is about to be handed to a `Pool`: a function for all pieces of it."""
    yield _with_function(call, 1)


def _with_function(call: Call, place: int) -> Replace | None:
    leaving = transport.departure() if len(call.args) > place else None
    if leaving is None or _is_known(call.instance, leaving):
        return None
    function = transport.Function(leaving, call.args[place])
    return Replace((*call.args[:place], function, *call.args[place + 1 :]), call.kwargs)


def _is_known(pool: Any, leaving: transport.Departure) -> bool:
    """Whether a pool is one of threads, which inherited the very same when they were started."""
    first = next(iter(getattr(pool, "_pool", None) or ()), None)
    return isinstance(first, threading.Thread) and scope.inherited_by(first) == leaving.frames


def on_program(call: Call) -> Any:
    """A program is about to be started."""
    frames = scope.stack()
    run = frames[-1].run if frames else None
    if run is None or len(call.args) > PLACE_OF_ENVIRONMENT:
        yield
        return
    environment = config.environment_below(run.run_id, run.recorder.location.key, call.kwargs.get("env"))
    yield None if environment is None else Replace(call.args, {**call.kwargs, "env": environment})


PLACE_OF_ENVIRONMENT = 10
"""Of `Popen`'s positional arguments; hardly anybody counts so far."""


def told() -> tuple[Any, ...]:
    """Store, name and id of the experiment, options; () where nothing was set."""
    off, for_all, specific = registry.configured()
    options = (off, _plain(for_all), {name: _plain(one) for name, one in specific.items() if one})
    recorders = sys.modules.get("autotrack.tracking.recorders")
    current = sys.modules.get("autotrack.tracking.current_experiment")
    uri = recorders.uri() if recorders is not None else None
    experiment = current.experiment_that_was_set() if current is not None else None
    if uri is None and experiment is None and _is_default(options):
        return ()
    return uri, None if experiment is None else (experiment.experiment_id, experiment.name), options


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as they may travel: tags are whatever the program gave, and may be nothing that can be pickled."""
    found = dict(options)
    if "extra_tags" in found:
        found["extra_tags"] = {str(key): str(found["extra_tags"][key]) for key in found["extra_tags"]}
    return found


def _is_default(options: tuple[Any, ...]) -> bool:
    off, for_all, specific = options
    return not off and not specific and not set(for_all) - {"disable"}


def adopt(sent: tuple[Any, ...]) -> None:
    """In a worker process: what was set in the program holds here too."""
    from autotrack.tracking import current_experiment, recorders

    uri, experiment, (off, for_all, specific) = sent
    if uri is not None and recorders.uri() != uri:
        current_experiment.set_tracking_uri(uri)
    if experiment is not None:
        current_experiment.adopt(*experiment)
    if not _is_default((off, for_all, specific)):
        registry.adopt((off, for_all, specific))
