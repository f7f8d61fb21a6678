"""What work takes along when it leaves for another process: what is open here, and what the program has set.

It travels as a `Parcel`, a tuple of plain values, pickled beside the work in such a way that nothing but the standard
library is named: unpickled where autotrack is installed it is handed to `autotrack.arrival`, elsewhere nothing
happens. The work itself arrives as it was: no wrapper around a function, no frame in a traceback. That works since
pools unpickle a piece of work in the thread that goes on to do it.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from autotrack import process
from autotrack.hooks import guard
from autotrack.tracking import groups, scope

HEALTH = guard.health("tracking", breaker=False)

SOURCE = """try:
    from autotrack.arrival import arrive
except ImportError:
    pass
else:
    arrive(parcel)
"""
"""What is executed where a parcel is unpickled."""


class Parcel(NamedTuple):
    """What another process is to know, in plain values.

    Attributes:
        sender: The process that sent it.
        source: What switched autotrack on there: by "api" the receiver may have to be switched on, too.
        session: The sender's session.
        kind: Kind of the innermost frame, "" where nothing is open.
        run: Of an explicit run: the store's URL, then what `RunWriter` takes.
        program: What the program has set by calls: see `process.settings_of_program`.
        group: Of a process that is started with others: what `groups.Group` takes.
    """

    sender: int
    source: str
    session: str
    kind: str
    run: tuple[str, ...]
    program: tuple[Any, ...]
    group: tuple[Any, ...] = ()


def deliver(sent: tuple[Any, ...]) -> None:
    """The same for a parcel that has been unpacked, and came with work that this context is about to do."""
    exec(SOURCE, {"parcel": sent})


_sent = False
"""Whether anything was open when work left: workers that outlive it have to learn that it is no more."""


def parcel(group: groups.Group | None = None) -> Parcel | None:
    """What work that leaves now takes along; None where there is nothing to know."""
    global _sent
    frames = scope.stack()
    program = process.settings_of_program()
    if not (frames or program or _sent or group or process.source == "api"):
        return None
    _sent = _sent or bool(frames)
    kind = frames[-1].kind if frames else ""
    run = _run_of(frames) if kind == "run" else ()
    return Parcel(os.getpid(), process.source, _session_id(), kind, run, program, tuple(group or ()))


def _session_id() -> str:
    from autotrack.tracking import session

    return session.session_id()


def _run_of(frames: scope.Stack) -> tuple[str, ...]:
    run = frames[-1].run
    if run is None:
        return ()
    run.share()
    url = run.recorder.location.url
    return url, run.run_id, run.name, run.experiment, run.experiment_id or "", run.parent_run_id or "", run.source


class Arrived:
    """What a parcel says is open, as frames of this process once somebody asks; see `scope.Arrived`."""

    def __init__(self, sent: Parcel) -> None:
        self._sent = sent

    def unpack(self) -> scope.Stack:
        """The innermost frame alone: what is outside of it changes nothing."""
        kind: Any = self._sent.kind
        run = guard.call(HEALTH, "joining a run", joined, *self._sent.run) if kind == "run" and self._sent.run else None
        # A run that cannot be joined is none to record into, and no reason to open others.
        return (scope.Frame("off" if kind == "run" and run is None else kind, run),)


def joined(
    url: str, run_id: str, name: str, experiment: str, experiment_id: str, parent_run_id: str, source: str
) -> Any:
    """The writer of a run that is open in the process that this one works for."""
    from autotrack.store.location import locate
    from autotrack.tracking import recorders
    from autotrack.tracking.run import RunWriter

    where = recorders.recorder_for(locate(url))
    run = where.writer_of(run_id)
    if run is None:
        run = RunWriter(where, run_id, name, experiment, experiment_id or None, parent_run_id or None, source)
        run.join()
        where.attach(run)
    return run


class Departure:
    """A parcel that arrives where it is unpickled; one for all pieces of a work, so that it is pickled once a message.

    Attributes:
        frames: What was open in this process, for work that turns out to stay in it.
    """

    def __init__(self, sent: Parcel) -> None:
        self.frames = scope.stack()
        self._names = {"parcel": tuple(sent)}

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (SOURCE, self._names)

    def stay(self) -> None:
        """The work is done in this process, by the thread that calls."""
        if scope.stack() != self.frames:
            scope.enter(self.frames)


class Function:
    """A function that is sent to another process; called in this one, it does the same as the function."""

    def __init__(self, departure: Departure, function: Any) -> None:
        self._departure = departure
        self._function = function

    def __reduce__(self) -> tuple[Any, ...]:
        return operator.getitem, ((self._departure, self._function), 1)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The work has stayed in this process."""
        with scope.within(self._departure.frames):
            return self._function(*args, **kwargs)


_NOTE = f"when serializing {Function.__module__}.{Function.__qualname__} reconstructor arguments"


def forget_notes(error: BaseException) -> None:
    """Python 3.14 notes on an error what it was pickling: that a function was sent in one of ours is not to be seen."""
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list) and _NOTE in notes:
        at = notes.index(_NOTE)
        del notes[max(0, at - 2) : at + 2]  # item 1 of item 0 of the arguments, and the function of ours itself


class Arguments(tuple[Any, ...]):
    """Positional arguments of work that another process or another thread of this one will do.

    They are looked at right before the call, by the thread that makes it.
    """

    departure: Departure

    @classmethod
    def of(cls, departure: Departure, given: tuple[Any, ...]) -> Arguments:
        """The same arguments, with a parcel."""
        made = cls(given)
        made.departure = departure
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return operator.getitem, ((self.departure, tuple.__getitem__(self, slice(None))), 1)

    def __iter__(self) -> Iterator[Any]:
        guard.call(HEALTH, "work in a thread", self.departure.stay)
        return tuple.__iter__(self)


def departure(group: groups.Group | None = None) -> Departure | None:
    """For work that leaves now, `parcel`."""
    sent = parcel(group)
    return None if sent is None else Departure(sent)
