"""Dask's clusters: what a client hands to the workers takes along what was open where it was handed over.

Hooked: `distributed.Client._send_to_scheduler`, which all of `submit`, `map`, `compute`, `persist` and `get` come to,
and in workers, be they processes or threads of the program, `Worker.execute` and `Worker.actor_execute`. Recorded:
nothing. Dask's own schedulers of threads and processes hand their work to pools, of which `threads` and `processes`
know.

It travels as an annotation of the tasks: bytes, to which the scheduler pays no heed, and which a worker without
autotrack never looks at. Tasks and their keys stay what they are, also where the scheduler drops a task that it has
already. The methods of an actor belong where the actor was made.

Deliberately not: `Client.run`, whose functions are no tasks; worker processes that were started before autotrack was
switched on.
"""

from __future__ import annotations

import pickle
import socket
import sys
from collections.abc import Callable
from functools import partial
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from autotrack.hooks.calls import Call, Replace
from autotrack.hooks.light import Watcher
from autotrack.store.location import locate, sqlite_file
from autotrack.tracking import scope, transport

if TYPE_CHECKING:
    from autotrack.integrations.options import IntegrationConfig

ANNOTATION = "autotrack"


def instrument(watcher: Watcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    del configuration
    watcher.when_imported("distributed.worker", partial(_watch, watcher))


def _watch(watcher: Watcher, module: ModuleType) -> None:
    """All of it, or where this version has something of it no more, nothing."""
    client, worker = sys.modules["distributed.client"].Client, module.Worker
    targets = (
        (client, "_send_to_scheduler", on_send),
        (worker, "execute", on_execute),
        (worker, "actor_execute", on_actor),
    )
    missing = [target for target in targets if not isinstance(vars(target[0]).get(target[1]), FunctionType)]
    for owner, name, handler in missing or targets:
        watcher.method(owner, name, handler)


class Token(bytes):
    """A parcel as it travels; to a worker in this process Dask hands the object itself.

    Attributes:
        frames: What was open where it was made.
    """

    frames: scope.Stack

    @classmethod
    def of(cls, sent: transport.Parcel) -> Token:
        """A parcel, and what is open now."""
        made = cls(pickle.dumps((socket.gethostname(), tuple(sent))))
        made.frames = scope.stack()
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (bytes(self),)


def on_send(call: Call) -> Any:
    """A client is about to tell the scheduler something: of tasks, say."""
    message = call.args[0] if call.args else None
    told = _told(message) if type(message) is dict and message.get("op") == "update-graph" else None
    yield None if told is None else Replace((told,), {})


def _told(message: dict[str, Any]) -> dict[str, Any] | None:
    """What a client says of tasks, with our annotation of all of them; None where there is nothing to add."""
    annotations: Any = message.get("annotations")
    given: Any = getattr(annotations, "data", None)  # what Dask marks as to be pickled
    sent = transport.parcel() if type(given) is dict else None
    if sent is None or not (sent.kind or sent.program):  # a worker that is told nothing knows that nothing is open
        return None
    return {**message, "annotations": type(annotations)({ANNOTATION: Token.of(sent), **given})}


def on_execute(call: Call) -> Any:
    """A worker is about to do a task, in an asyncio task of its own: what that knows, the thread or process that does
    the work inherits.
    """
    _enter(call.instance, call.args[0] if call.args else call.kwargs.get("key"))
    yield


def on_actor(call: Call) -> Any:
    """A worker is about to call a method of an actor, on behalf of a connection."""
    _enter(call.instance, call.args[0] if call.args else call.kwargs.get("actor"))
    yield


def _enter(worker: Any, key: Any) -> None:
    scope.enter(())  # whatever else is open where the worker was started is not this task's
    task = worker.state.tasks.get(key)
    token = (getattr(task, "annotations", None) or {}).get(ANNOTATION)
    if type(token) is Token:
        scope.enter(token.frames)
    elif type(token) is bytes:
        _arrive(*pickle.loads(token))


def _arrive(host: str, parcel: tuple[Any, ...]) -> None:
    sent = transport.Parcel(*parcel)
    if not is_within_reach(host, sent):
        # What is open there and has no store here: a training call has none, and a run is out of reach.
        scope.enter(() if sent.kind in ("", "run") else transport.Arrived(sent))
        return
    if sent.kind:  # also where it never left this process, in which case `deliver` has nothing to say
        scope.enter(transport.Arrived(sent))
    transport.deliver(parcel)


def is_within_reach(host: str, sent: transport.Parcel) -> bool:
    """Whether the store that the sender records into is this process's too; on another machine it may be a file."""
    if host == socket.gethostname():
        return True
    url = sent.run[0] if sent.run else sent.program[0] if sent.program else None
    file = None if url is None else sqlite_file(locate(url).url)
    return file is None or file.exists()
