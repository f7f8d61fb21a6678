"""Whose call is this? The stack of what is open in this context: explicit runs, training calls, switched-off stretches.

The stack is an immutable tuple in a ContextVar, so threads and tasks never see each other's. What a thread should
inherit is handed over when it is started (`inherit`), and what a worker process should know travels as a `token` of
plain strings, which loads where autotrack is not installed.

Rules (design, "Scope"):
- inside an explicit run everything joins that run;
- otherwise each outermost training call makes a run of its own, and calls nested inside it do not;
- `off` silences everything inside.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from autotrack.tracking.run import RunWriter

Kind = Literal["run", "training", "off"]


class Frame(NamedTuple):
    """One thing that is open."""

    kind: Kind
    run: RunWriter | None = None
    """The explicit run, or the run that a training call records into; None where nothing is recorded."""


Stack = tuple[Frame, ...]


class Arrived(Protocol):
    """What was open in another process, as it came here with work; looked into when somebody asks."""

    def unpack(self) -> Stack:
        """The same as frames of this process."""


WorkToken = tuple[Kind, str]
"""What travels with work to another process: the innermost frame's kind and run id."""

OFF = Frame("off")

_stack: ContextVar[Stack | Arrived | None] = ContextVar("autotrack_scope", default=None)
_inherited: WeakKeyDictionary[threading.Thread, Stack | Arrived] = WeakKeyDictionary()
lent: list[bool] = []
"""Not empty once any thread has inherited: a look into the dictionary costs more than all else of `stack`."""

used: list[bool] = []
"""Not empty once anything was opened in any context of the program's.

For those who cannot pay for a call of `stack`: until then nothing is open; and later not where `opened` gives None and
nothing was ever `lent`.
"""

opened = _stack.get


class _Traffic:
    """How many training calls are in flight in this process; background work waits for none."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.total = 0
        """Training calls so far: by it a reader sees that one was here while it looked away."""
        self.quiet = threading.Event()
        self.quiet.set()

    def enter(self) -> None:
        with self.lock:
            self.count += 1
            self.total += 1
            self.quiet.clear()

    def leave(self) -> None:
        with self.lock:
            self.count -= 1
            if self.count <= 0:
                self.quiet.set()


traffic = _Traffic()


def reset_after_fork() -> None:
    """In a forked child: no training call of the parent's is in flight here, and no lock of its threads is held."""
    global traffic
    traffic = _Traffic()


def stack() -> Stack:
    """What is open in this context, outermost first."""
    value = _stack.get()
    if type(value) is tuple:
        return value
    if value is None:
        value = () if not lent else _inherited.get(threading.current_thread(), ())
        if type(value) is tuple:
            return value
    frames: Stack = value.unpack()  # type: ignore[union-attr]  # any tuple was dealt with above
    _stack.set(frames)
    return frames


def unopened() -> Stack | Arrived:
    """The same, for another context to know; what has arrived stays packed until somebody asks there."""
    value = _stack.get()
    return stack() if value is None else value


def enter(frames: Stack | Arrived) -> None:
    """From here on, until something else is said, this is what is open in this context."""
    if _stack.get() is not frames:
        _open(frames)


def _open(frames: Stack | Arrived) -> Token[Stack | Arrived | None]:
    """Set what is open in a context of the program's."""
    used[:] = [True]
    return _stack.set(frames)


def aside() -> None:
    """This thread is one of autotrack's own, in which nothing is recorded."""
    _stack.set((OFF,))


def push(frame: Frame) -> None:
    """Open something; `pop` closes it."""
    if frame.kind == "training":
        traffic.enter()
    _open((*stack(), frame))


def pop(frame: Frame) -> None:
    """Close what `push` opened, and only that: the order may be any (a run is ended inside a training call), and a
    generator may be finished in another context than it began in.
    """
    if frame.kind == "training":
        traffic.leave()
    frames = stack()
    for index in range(len(frames) - 1, -1, -1):
        if frames[index] is frame:
            _stack.set(frames[:index] + frames[index + 1 :])
            return


def explicit_run() -> RunWriter | None:
    """The innermost run that the program opened itself."""
    for frame in reversed(stack()):
        if frame.kind == "run":
            return frame.run
    return None


def explicit_runs() -> list[RunWriter]:
    """All runs that the program opened and that are open in this context, outermost first."""
    return [frame.run for frame in stack() if frame.kind == "run" and frame.run is not None]


def frames_above(frame: Frame) -> list[Frame]:
    """What was opened inside a frame and is open still in this context, innermost first."""
    frames = stack()
    for index, one in enumerate(frames):
        if one is frame:
            return list(reversed(frames[index + 1 :]))
    return []


def is_off() -> bool:
    """Whether recording is switched off in this context."""
    return any(frame.kind == "off" for frame in stack())


def silenced() -> bool:
    """Whether a hooked call has nothing to record here: inside a training call, or switched off."""
    frames = stack()
    return bool(frames) and (frames[-1].kind != "run" or is_off())


@contextmanager
def off() -> Iterator[None]:
    """Record nothing inside; nests; this context only."""
    push(OFF)
    try:
        yield
    finally:
        pop(OFF)


def inherit(thread: threading.Thread) -> None:
    """A thread that is about to start shall begin with what is open here."""
    frames = stack()
    if frames:
        _lend(thread, frames)


def inherited_by(thread: threading.Thread) -> Stack | Arrived:
    """What was open where a thread was started."""
    return _inherited.get(thread, ())


@contextmanager
def within(frames: Stack | Arrived) -> Iterator[None]:
    """Run a piece of work that was handed over from another context, with what was open there."""
    token = _open(frames)
    thread = threading.current_thread()
    before = _inherited.get(thread)
    if frames:
        # The work may run in a context of its own (`asyncio.to_thread`), copied where nothing but the thread knew.
        _lend(thread, frames)
    try:
        yield
    finally:
        _stack.reset(token)
        if frames:
            _lend(thread, before)


def _lend(thread: threading.Thread, frames: Stack | Arrived | None) -> None:
    if frames is None:
        _inherited.pop(thread, None)
    else:
        lent[:] = used[:] = [True]
        _inherited[thread] = frames


def token() -> WorkToken | None:
    """What a worker process needs to know of this context; None where nothing is open."""
    frames = stack()
    if not frames:
        return None
    frame = frames[-1]
    return frame.kind, frame.run.run_id if frame.run is not None else ""
