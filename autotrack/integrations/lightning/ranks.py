"""The processes of one training: rank zero writes, whichever process that is.

A process that was forked goes on with what its parent had. One that was spawned is told where its parent records, by
an attribute on the function that Lightning sends it anyway.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

from autotrack.hooks.patching import Call, Replace
from autotrack.integrations.lightning.recording import Recording, live
from autotrack.integrations.options import IntegrationConfig
from autotrack.store.location import locate
from autotrack.tracking import recorders, scope
from autotrack.tracking.run import RunWriter

ATTRIBUTE = "_autotrack_run"


class Carrier(partial):  # type: ignore[type-arg]
    """A function with a note: where the process that sent it records.

    A class of its own, because `multiprocessing` leaves out the attributes of a plain `partial`. It has no code, so
    that no traceback shows it.
    """


def is_first(trainer: Any) -> bool:
    """Whether this is the rank that records. Before its job has begun a rank may not know its global number."""
    return not any(getattr(trainer, name, 0) for name in ("global_rank", "local_rank", "node_rank"))


def device_of(trainer: Any) -> str:
    """What this rank trains on, as far as that is known."""
    device = getattr(getattr(trainer, "strategy", None), "root_device", None)
    return "" if device is None else str(device)


def on_launch(call: Call) -> Generator[Any, Any, None]:
    """Processes are about to be started, and given a function."""
    trainer = call.kwargs.get("trainer")
    found = None if trainer is None else live.get(trainer)
    if found is None or not call.args:
        yield
        return
    yield Replace((_stamped(call.args[0], found), *call.args[1:]), call.kwargs)


def _stamped(function: Any, found: Recording) -> Any:
    carrier = Carrier(function)
    run = found.run
    setattr(
        carrier,
        ATTRIBUTE,
        (
            found.name,
            run.recorder.location.url,
            run.run_id,
            run.name,
            run.experiment,
            found.number,
            found.curves.prefix,
        ),
    )
    return carrier


def on_process(call: Call) -> Generator[Any, Any, None]:
    """A process begins with its part."""
    trainer, function = call.args[1:3]
    stamp = getattr(function, ATTRIBUTE, None)
    if stamp is None or trainer is None or live.get(trainer) is not None:  # forked: it has all that it needs
        yield
        return
    run = None
    if call.args[0] == 0:
        found = _joined(trainer, stamp)
        run, live[trainer] = found.run, found
    frame = scope.Frame("training", run)
    scope.push(frame)
    try:
        yield
    finally:
        scope.pop(frame)
        live.pop(trainer, None)
        if run is not None:
            run.read_ring()


def _joined(trainer: Any, stamp: tuple[Any, ...]) -> Recording:
    name, url, run_id, run_name, experiment, number, prefix = stamp
    where = recorders.recorder_for(locate(url))
    run = where.writer_of(run_id)
    if run is None:
        run = RunWriter(where, run_id, run_name, experiment, source=name)
        where.attach(run)
    found = Recording(name, trainer, trainer.lightning_module, run, number, IntegrationConfig())
    found.curves.prefix = prefix
    return found
