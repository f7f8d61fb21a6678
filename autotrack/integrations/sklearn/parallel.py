"""The scope travels with scikit-learn's own parallel work: `sklearn.utils.parallel`.

A token is stamped, in the thread that makes the call, on the wrapper objects that scikit-learn sends to its workers
anyway, and installed there for the length of each task. It is a tuple of strings, so it loads where autotrack is not
installed. Stamping later, where tasks are dispatched, would be too late: joblib dispatches from callback threads.

Most tasks have learned what is open by way of joblib already; Dask's know it by the token alone. A worker that knows
nothing and does a library's task does it on that library's behalf, and opens no run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from autotrack import origin, process
from autotrack.hooks.calls import Replace
from autotrack.hooks.patching import Call, Patcher
from autotrack.tracking import recorders, scope

ATTRIBUTE = "_autotrack_scope"
SILENT: scope.Kind = "training"


def instrument(patcher: Patcher, module: ModuleType) -> None:
    """Put the patches on."""
    patcher.method(module.Parallel, "__call__", on_parallel)
    patcher.method(module._FuncWrapper, "__call__", on_task, unless=_is_known)


def on_parallel(call: Call) -> Any:
    """Work is about to be handed out."""
    token = scope.token()
    if token is None or not call.args:
        yield
        return
    yield Replace((_stamped(call.args[0], token), *call.args[1:]), call.kwargs)


def _stamped(tasks: Iterable[Any], token: scope.WorkToken) -> Iterator[Any]:
    for task in tasks:
        wrapper = task[0] if isinstance(task, tuple) and task else None
        if type(wrapper).__name__ == "_FuncWrapper":
            setattr(wrapper, ATTRIBUTE, token)
        yield task


def on_task(call: Call) -> Any:
    """One task begins, in another thread or process than the call that it is a part of."""
    token = getattr(call.instance, ATTRIBUTE, None)
    if token is None and not _is_librarys(call.instance):
        yield
        return
    kind, run_id = token or (SILENT, "")
    run = recorders.current().runs.get(run_id) if kind == "run" else None
    with scope.within((scope.Frame(kind, run),)):
        yield


def _is_known() -> bool:
    """Whether the thread at hand knows what is open; a task that runs where the call was made does."""
    return bool(scope.stack())


def _is_librarys(wrapper: Any) -> bool:
    """Whether a task of a worker process is a function of an installed library."""
    if process.role != "worker":
        return False
    module = getattr(getattr(wrapper, "function", None), "__module__", None)
    return isinstance(module, str) and origin.is_library_module(module)
