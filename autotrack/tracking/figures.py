"""Pictures that the program made: among the artifacts of a run, each content once, with a bound on number and size."""

from __future__ import annotations

import hashlib
import os
import threading
from weakref import WeakKeyDictionary, ref

from autotrack.tracking import outputs, recorder, scope
from autotrack.tracking.run import RunWriter

MAX_FIGURES = 100
"""Figures of one run that are stored."""

MAX_BYTES = 10 * 1024 * 1024
"""A larger figure is not stored."""

FOLDER = "figures"
LIMIT_TAG = "autotrack.figures"
"""Says of a run that figures of it were left out."""

_albums: WeakKeyDictionary[RunWriter, Album] = WeakKeyDictionary()

if hasattr(os, "register_at_fork"):
    # A thread that is not in the child may have held the lock of one.
    os.register_at_fork(after_in_child=_albums.clear)


class Album:
    """The figures of one run."""

    def __init__(self, run: RunWriter) -> None:
        self.taken = 0
        """Figures that were handed in, stored or not yet."""
        self._reference = ref(run)  # the album is kept for as long as the run is
        self._digests: set[str] = set()
        self._names: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def _run(self) -> RunWriter | None:
        return self._reference()

    def is_full(self) -> bool:
        """Whether the run has all the figures that it may have; the first time, that is said of it."""
        if self.taken < MAX_FIGURES:
            return False
        if self.taken == MAX_FIGURES and self._run is not None:
            self.taken += 1
            self._run.set_tags({LIMIT_TAG: f"only the first {MAX_FIGURES} figures are stored"})
        return True

    def put(self, data: bytes, name: str) -> None:
        """Store a figure behind the caller, under this file name or one like it; equal content is stored once."""
        run = self._run
        if run is None or self.is_full():
            return
        if len(data) > MAX_BYTES:
            run.skip("figure", f"{name} is larger than {MAX_BYTES} bytes")
            return
        self.taken += 1
        if not run.recorder.worker.submit(lambda: self._store(run, data, name), len(data), run.cost):
            run.degrade(f"the figure {name} was not stored: too much waits to be recorded")

    def _store(self, run: RunWriter, data: bytes, name: str) -> None:
        digest = hashlib.sha256(data).hexdigest()
        with self._lock:
            if digest in self._digests:
                self.taken -= 1
                return
            self._digests.add(digest)
            number = self._names[name] = self._names.get(name, 0) + 1
        stem, suffix = os.path.splitext(name)
        outputs.store_bytes(run, data, f"{FOLDER}/{stem}{f'-{number}' if number > 1 else ''}{suffix}")


def album() -> Album | None:
    """Where a figure goes that the program makes here and now; None where it is not recorded.

    The run that is open in this context, be it the program's or that of a training call; else the one that this thread
    opened last, by a training call for instance, whether it has ended or not.
    """
    if scope.is_off():
        return None
    frames = scope.stack()
    run = frames[-1].run if frames else recorder.last_opened()
    if run is None:
        return None
    found = _albums.get(run)
    return found if found is not None else _albums.setdefault(run, Album(run))
