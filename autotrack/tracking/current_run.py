"""The runs that are open in each context (thread, task): started, resumed, ended, and found for a call that logs."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal

from autotrack import events, records
from autotrack.client import NAME_TAG, PARENT_TAG, Client
from autotrack.errors import ActiveRunError, InvalidArgumentError
from autotrack.hooks import guard
from autotrack.tracking import failure, notebook, ranks, recorders, scope, session
from autotrack.tracking.current_experiment import default_experiment, experiment_by_id
from autotrack.tracking.names import made_up_name
from autotrack.tracking.run import RunWriter
from autotrack.tracking.values import checked_experiment_id, checked_name, checked_tags, checked_text

HEALTH = guard.health("tracking", breaker=False)
MAX_ID = 64

NOTE_TAG = "mlflow.note.content"
"""The tag that describes a run, in MLflow."""

_last: RunWriter | None = None
_active: dict[RunWriter, ActiveRun] = {}


class ActiveRun:
    """A run that is open in this context; `with` ends it.

    Attributes:
        info: The run itself, as this process knows it: `run_id`, `run_name`, `experiment_id`, `status`, ...
    """

    def __init__(self, writer: RunWriter, frame: scope.Frame | None = None) -> None:
        self._writer = writer
        self._frame = frame or scope.Frame("run", writer)
        if frame is None:
            scope.push(self._frame)
            guard.call(HEALTH, "a notebook's run", notebook.carry_over)
        _active[writer] = self

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._writer.run_id

    @property
    def info(self) -> records.RunInfo:
        """The run itself, as this process knows it."""
        run = self._writer
        return records.RunInfo(
            run_id=run.run_id,
            run_name=run.name,
            experiment_id=run.experiment_id or "",
            status=run.status,
            start_time=run.start_time,
            end_time=run.end_time,
            user_id=session.user_name(),
            artifact_uri=run.artifact_uri,
            session_id=run.recorder.session_id,
            parent_run_id=run.parent_run_id,
            source=run.source,
        )

    @property
    def data(self) -> records.RunData:
        """What the run has logged so far, read from the store."""
        return client_of(self._writer).get_run(self.run_id).data

    @property
    def inputs(self) -> records.RunInputs:
        """What has gone into the run so far, read from the store."""
        return client_of(self._writer).get_run(self.run_id).inputs

    @property
    def outputs(self) -> records.RunOutputs:
        """What has come out of the run so far, read from the store."""
        return client_of(self._writer).get_run(self.run_id).outputs

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Nothing of ours may take the place of the program's own exception.
        guard.call(HEALTH, "end of a run", self._close, failure.status_of(error), error)

    def __repr__(self) -> str:
        return f"<ActiveRun {self._writer.name!r} {self.run_id} {self._writer.status}>"

    def _close(self, status: events.EndStatus, error: BaseException | None = None) -> None:
        global _last
        for inner in scope.frames_above(self._frame):
            # Opened inside, and left open.
            if inner.kind == "run" and inner.run is not None and (left := _active.get(inner.run)) is not None:
                left._close(status, error)
        scope.pop(self._frame)
        guard.call(HEALTH, "a notebook's run", notebook.carry_over)
        _active.pop(self._writer, None)
        if self._writer.status == "RUNNING":
            info = guard.call(HEALTH, "description of an error", failure.info_of, error)
            self._writer.end(status, info)
            _last = self._writer


def start_run(
    run_id: str | None = None,
    experiment_id: str | None = None,
    run_name: str | None = None,
    nested: bool = False,
    parent_run_id: str | None = None,
    tags: Mapping[str, Any] | None = None,
    description: str | None = None,
    log_system_metrics: bool | None = None,
) -> ActiveRun:
    """Open a run in this context, or an existing one again.

    Args:
        run_id: An existing run to go on with.
        experiment_id: The new run's experiment; the one that was set by default.
        run_name: Its name; a made-up one by default.
        nested: Allow it inside an active run, whose child it then is; in an objective, or another function that a
            training call comes back to, of the run of that call.
        parent_run_id: Whose child it is; with `nested`, the active run by default.
        tags: Its first tags; `mlflow.runName`, `mlflow.parentRunId` and `mlflow.note.content` count where the arguments
            that mean the same are not given.
        description: What it is about.
        log_system_metrics: Record the load of the machine (`system/...`): True from the start, False never; by default
            the setting of that name counts, and a run has to last some seconds.

    Returns:
        The run; use it in a `with` statement, or call `end_run()`.

    Raises:
        ActiveRunError: A run is active in this context and `nested` is false, or the run of that id is. In a worker
            process or a forked child the run that is open in its parent is in nobody's way: the new one is its child.
        NotFoundError: There is no run of that id.
        InvalidArgumentError: An argument is not usable.
        StoreError: `run_id` is given and the store is away, or no journal can be written anywhere.
    """
    _refuse_second(nested, run_id)
    nested = nested or _is_joined()
    labels = checked_tags(tags)
    run_name, description = run_name or labels.get(NAME_TAG), description or labels.get(NOTE_TAG)
    parent_run_id = labels.get(PARENT_TAG) if parent_run_id is None else parent_run_id
    if parent_run_id is not None and (not isinstance(parent_run_id, str) or len(parent_run_id) > MAX_ID):
        raise InvalidArgumentError("parent_run_id", parent_run_id, "a run's id")
    if description is not None:
        description = checked_text(description, "description")
    if run_id is not None:
        writer = _resumed(run_id, run_name, description)
    else:
        parent = parent_run_id or (_active_id() if nested else None)
        writer = _new_run(experiment_id, run_name, parent, description)
    writer.tell("begins" if run_id is None else "goes on")
    writer.set_tags(labels)
    if log_system_metrics is not None:
        writer.log_system_metrics = bool(log_system_metrics)
    return ActiveRun(writer)


def _refuse_second(nested: bool, run_id: str | None) -> None:
    # One that has ended elsewhere (in the thread that this one was started by) is in nobody's way.
    active = [run for run in scope.explicit_runs() if run.status == "RUNNING"]
    if active and not nested and not _is_joined():
        raise ActiveRunError(
            f"run {active[-1].run_id} is active already; end it with autotrack.end_run(), "
            "or open the new one inside it with start_run(nested=True)"
        )
    if run_id is not None and any(run.run_id == run_id for run in active):
        raise ActiveRunError(f"run {run_id} is active already in this context")


def _is_joined() -> bool:
    """Whether the active run is another process's, which this one works for."""
    run = scope.explicit_run()
    return run is not None and run.is_inherited


def _active_id() -> str | None:
    """The innermost run here: one that the program opened, or that of a training call (a study's objective)."""
    run = next((frame.run for frame in reversed(scope.stack()) if frame.run is not None), None)
    return run.run_id if run is not None else None


def _new_run(experiment_id: str | None, name: str | None, parent: str | None, description: str | None) -> RunWriter:
    chosen = checked_name(name, "run_name") if name else ""
    where = default_experiment() if experiment_id is None else experiment_by_id(checked_experiment_id(experiment_id))
    return recorders.current().start_run(
        chosen or made_up_name(),
        parent_run_id=parent,
        description=description,
        source="fluent",
        made_up=not chosen,
        **where,
    )


def _resumed(run_id: str, name: str | None, description: str | None) -> RunWriter:
    chosen = checked_name(name, "run_name") if name else None
    client = Client()
    info = client.get_run(run_id).info
    if info.lifecycle_stage != "active":
        raise InvalidArgumentError("run_id", run_id, "a run that is not deleted; restore it first")
    current = recorders.current()
    run = current.runs.get(run_id) or ranks.writer_of(current, client.attached_writer(run_id))
    current.resume_run(run, by_the_program=True)
    if chosen or description:
        run.update(chosen, description)
    return run


def end_run(status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
    """End the active run of this context; without one, nothing happens.

    Raises:
        InvalidArgumentError: The status is none that a run ends with.
    """
    if status not in ("FINISHED", "FAILED", "KILLED"):
        raise InvalidArgumentError("status", status, "FINISHED, FAILED or KILLED")
    run = active_run()
    if run is not None:
        run._close(status)


def active_run() -> ActiveRun | None:
    """The run that is open in this context; None where there is none."""
    for frame in reversed(scope.stack()):
        if frame.kind == "run" and frame.run is not None:
            known = _active.get(frame.run)
            return known or (ActiveRun(frame.run, frame) if frame.run.is_inherited else None)
    return None


def last_active_run() -> records.Run | None:
    """The run that is open, or that this process ended last, read from the store; None where there was none."""
    writer = scope.explicit_run() or _last
    return client_of(writer).get_run(writer.run_id) if writer is not None else None


def remember_last(writer: RunWriter) -> None:
    """An automatic run has ended; `last_active_run` may be asked for it."""
    global _last
    _last = writer


def writer_for(run_id: str | None = None) -> RunWriter:
    """Where an explicit call logs to: the run of that id, the active one, or a new one."""
    if run_id is not None:
        return recorders.current().runs.get(run_id) or Client().writer_of_open_run(run_id)
    writer = scope.explicit_run()
    if writer is None:
        writer = start_run()._writer
    if writer.status != "RUNNING":
        writer.require_open()
    return writer


def client_of(writer: RunWriter) -> Client:
    """A client of the store that a run is in: another one may have been set since it was opened."""
    return Client(writer.recorder.location.url)


def reset() -> None:
    """Forget all runs, as a fresh process would (between tests)."""
    global _last
    _last = None
    for writer in reversed(scope.explicit_runs()):
        active = _active.get(writer)
        if active is not None:
            active._close("FINISHED")
