"""One training call: which run it records into, and what is written when it begins and ends.

An integration's handler asks `begin`; None means that there is nothing to record here (nested, switched off, a
library's own affair). Else it enters the `Training` around its `yield`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import FrameType, TracebackType
from typing import Any, Literal

import msgspec

from autotrack import cells, clock, events, origin, process
from autotrack.hooks import calls
from autotrack.tracking import current_experiment, current_run, failure, ranks, recorders, scope
from autotrack.tracking import job as jobs
from autotrack.tracking.redaction import redact_mapping
from autotrack.tracking.run import RunWriter

Kind = Literal["fit", "search", "cross_validation", "preparation", "evaluation"]


class Call(msgspec.Struct, frozen=True):
    """A training call as the store describes it."""

    integration: str
    kind: Kind
    estimator: str
    """Name of the estimator's class, or of the function."""
    qualified: str
    """The same with its module."""
    method: str = "fit"
    exclusive: bool = False
    """Record nothing inside runs that the program opened."""


class Training:
    """A training call that is being recorded; enter it around the call.

    Attributes:
        run: The run that it records into; None for a preparation step.
        number: 1 for the run's first training call, 2 for the second, ...
        fit_id: Its id.
        duration: Seconds that the call took, once it has ended.
        keeps_open: A run that was opened for this call goes on after it.
        interrupted: The framework made something else of an interruption (Ctrl-C, SIGTERM) that ended the call.
        details: What else is kept with the training: of a notebook the code of the cell.
    """

    def __init__(self, call: Call, run: RunWriter | None, owns_run: bool, caller: FrameType | None) -> None:
        self.run = run
        self.number = run.next_fit() if run is not None else 1
        self.fit_id = clock.new_id()
        self.duration = 0.0
        self.keeps_open = False
        self.interrupted = False
        cell = _redacted(cells.source_of(caller))
        self.details: dict[str, Any] = {"cell": cell} if cell else {}
        self._call = call
        self._owns_run = owns_run
        self._caller = origin.describe(caller)
        if cell:  # it has the line's text in it
            self._caller = _redacted(self._caller)
        self._recorder = run.recorder if run is not None else recorders.current()
        self._started_at = clock.now()
        self._frame = scope.Frame("training", run)
        self._pid = os.getpid()
        self._start = 0.0
        if run is not None:
            calls.charge_to(run.cost)

    def __enter__(self) -> Training:
        self.open()
        scope.push(self._frame)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        scope.pop(self._frame)
        status = "KILLED" if self.interrupted else failure.status_of(error)
        info = failure.info_of(error, self._caller)
        if not self.close(status, info):
            return
        run = self.run
        if run is not None and isinstance(error, GeneratorExit):
            run.degrade("recording was switched off during the training call")
        if not self.keeps_open or error is not None:
            self.end_run(status, info)

    def open(self) -> None:
        """The training begins. Training that is no call, a loop say, is opened and closed in place of entered."""
        self._write("RUNNING", None)
        if self.run is not None:
            self.run.tell(f"{self._call.estimator}.{self._call.method}, at {self._caller}")
        self._start = time.perf_counter()

    def note(self, **details: Any) -> None:
        """Keep something with the training, at once: what is said again replaces what was said."""
        self.details.update(details)
        self._write("RUNNING", None)

    def close(self, status: events.EndStatus, error: events.ErrorInfo | None = None) -> bool:
        """The training is over; its run goes on. False where it is another process's to say so."""
        self.duration = time.perf_counter() - self._start
        if self.is_elsewhere():
            return False
        self._write(status, error)
        return True

    def cell_over(self, error: BaseException | None, finish: Callable[[events.EndStatus, Any], None]) -> bool:
        """A notebook's cell is over: what lasts beyond a call ends with it, unless the program opened the run itself.

        Args:
            error: What ended the cell, if it did not go well.
            finish: Ends the training and its run.

        Returns:
            Whether it goes on.
        """
        if self._owns_run and not self.is_elsewhere():
            finish(failure.status_of(error), failure.info_of(error, self._caller))
        return not self._owns_run

    def is_elsewhere(self) -> bool:
        """Whether this is a child that was forked inside the call: the call is its parent's to record."""
        return os.getpid() != self._pid

    def end_run(self, status: events.EndStatus, error: events.ErrorInfo | None = None) -> None:
        """End the run, if it was opened for this call and is open in this process still."""
        run = self.run
        if run is not None and self._owns_run and self._recorder.runs.get(run.run_id) is run:
            run.end(status, error)
            current_run.remember_last(run)

    def _write(self, status: events.RunStatus, error: events.ErrorInfo | None) -> None:
        job = self.run.job if self.run is not None else None
        rank = job.rank if job is not None else 0
        self._recorder.write(
            events.FitLogged(
                fit_id=self.fit_id,
                session_id=self._recorder.session_id,
                time=self._started_at,
                run_id=self.run.run_id if self.run is not None else None,
                number=self.number,
                kind=self._call.kind,
                estimator=self._call.qualified,
                method=self._call.method,
                status=status,
                duration=None if status == "RUNNING" else self.duration,
                error=error,
                caller=self._caller,
                details=redact_mapping(self.details if not rank else {**self.details, "rank": rank}),
            )
        )


@lru_cache(maxsize=64)
def _redacted(text: str) -> str:
    """Code without its secrets: a cell may fit in a loop."""
    from autotrack.tracking.redaction import redact

    return redact(text) if text else text


def is_nested() -> bool:
    """Whether a training call that begins here has nothing to record: the cheap part of `begin`."""
    return scope.silenced()


def begin(call: Call, caller: FrameType | None, tags: Mapping[str, str]) -> Training | None:
    """A training call begins.

    Args:
        call: What it is.
        caller: The frame that made it, see `origin.calling_frame`.
        tags: Tags of a run that is opened for it.

    Returns:
        What to enter around the call; None where nothing is to be recorded.
    """
    if scope.silenced():
        return None
    active = scope.explicit_run()
    if call.kind == "preparation":
        return Training(call, None, False, caller) if origin.is_users(caller) else None
    if active is not None:
        if call.exclusive or (active.is_inherited and not _is_first(active)):
            return None
        return Training(call, active, False, caller)
    if _is_other_rank() or not origin.is_users(caller):
        return None
    run = recorders.current().start_run(
        call.estimator, source=call.integration, **current_experiment.default_experiment()
    )
    run.set_tags(tags)
    return Training(call, run, True, caller)


def attend(call: Call, caller: FrameType | None, device: str = "") -> RunWriter | None:
    """All ranks of a distributed job train together, and this one is not rank 0, which records: say so in its run.

    Args:
        call: What `begin` was asked for.
        caller: The frame that made it.
        device: What this rank trains on.

    Returns:
        What to end when the training is over, if that is before the next one begins and the process ends.
    """
    if not _is_other_rank() or scope.silenced() or not origin.is_users(caller):
        return None
    active = scope.explicit_run()
    if active is None:
        return recorders.current().attend(call.integration, device)
    if active.is_inherited and active.job is not None:
        ranks.note_device(active, device)
    return None


def _is_other_rank() -> bool:
    return process.role == "rank" or jobs.is_other()


def _is_first(run: RunWriter) -> bool:
    """Whether this process records into a run of the one that started it: of the ranks of a job rank 0 does."""
    job = jobs.current()
    if job is not None and run.job is None:
        ranks.take_part(run, job)
    return job is None or job.rank == 0
