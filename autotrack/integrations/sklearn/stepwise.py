"""Models that are trained step by step, by `partial_fit`: one run for all calls on one model.

The run begins with the first call and lasts as long as the model, or the process. The model is snapshot after calls 1,
2, 4, 8, ..., where the program first predicts with it after a call, and at exit, so that the cost of a step stays
that of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import ref

from autotrack.events import EndStatus, ErrorInfo
from autotrack.hooks import guard
from autotrack.integrations.options import IntegrationConfig
from autotrack.integrations.sklearn import recording
from autotrack.tracking import failure, notebook, posthoc, recorders, scope
from autotrack.tracking.training import Training


class Steps:
    """The calls on one model."""

    def __init__(self, session: Training, options: IntegrationConfig, before: recording.Before) -> None:
        self.session = session
        self.options = options
        self.before = before
        self.calls = 0
        self.rows = 0
        self.recorded = 0
        self.record: Callable[[], None] | None = None
        """Records the model as it is, if it is there still."""

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around a call that is not the first."""
        frame = scope.Frame("training", self.session.run)
        scope.push(frame)
        try:
            yield
        except BaseException as error:
            self.session.end_run(failure.status_of(error), failure.info_of(error))
            raise
        finally:
            scope.pop(frame)

    def cell_over(self, error: BaseException | None) -> bool:
        """A notebook's cell has ended: see `notebook`."""
        run = self.session.run
        return run is not None and run.status == "RUNNING" and self.session.cell_over(error, self._finish)

    def _finish(self, status: EndStatus, error: ErrorInfo | None) -> None:
        if self.recorded < self.calls and self.record is not None:
            self.record()
        self.session.end_run(status, error)

    def gone(self) -> None:
        """The model is gone, and nobody can train it any further."""
        self.session.end_run("FINISHED")


class Stepwise:
    """All models that are trained by `partial_fit`."""

    def __init__(self, links: posthoc.PostHoc) -> None:
        self._links = links
        self._models: posthoc.IdentityMap[Steps] = posthoc.IdentityMap()
        recorders.before_close(self.record_all)

    def of(self, model: Any) -> Steps | None:
        """The calls on a model so far, while its run is open; a preparation step is always."""
        steps = self._models.get(model)
        if steps is None or (steps.session.run is not None and steps.session.run.status != "RUNNING"):
            return None
        return steps

    def start(self, model: Any, session: Training, options: IntegrationConfig, before: recording.Before) -> Steps:
        """The first call on a model begins."""
        steps = Steps(session, options, before)
        earlier = self._models.get(model)
        if session.run is not None and earlier is not None and earlier.session.run not in (None, session.run):
            session.run.set_tags({notebook.CONTINUES_TAG: earlier.session.run.run_id})
        # A model that cannot be referred to weakly is not found again: each of its calls is a run.
        session.keeps_open = self._models.put(model, steps, steps.gone)
        if session.keeps_open:
            steps.record = partial(self._record_if_there, ref(model), steps)
            notebook.until_end_of_cell(steps)
        return steps

    def _record_if_there(self, model: ref[Any], steps: Steps) -> None:
        found = model()
        if found is not None:
            self._record(found, steps)

    def done(self, model: Any, steps: Steps, rows: int) -> None:
        """A call went well."""
        run = steps.session.run
        if run is None or steps.session.is_elsewhere():
            return
        steps.calls += 1
        steps.rows += rows
        progress = {"partial_fit_calls": float(steps.calls), "partial_fit_rows": float(steps.rows)}
        run.log_metrics(progress, steps.calls)
        if steps.calls & (steps.calls - 1) == 0:
            self._record(model, steps)

    def evaluated(self, model: Any) -> None:
        """The program predicts with a model: if it was trained since it was recorded last, record it."""
        steps = self._models.get(model)
        if steps is not None and steps.recorded < steps.calls:
            self._record(model, steps)

    def record_all(self) -> None:
        """At exit: record what was trained since it was recorded last."""
        for model, steps in self._models.items():
            if steps.recorded < steps.calls:
                guard.call(guard.health(recording.NAME), "partial_fit", self._record, model, steps)

    def clear(self) -> None:
        """The patches are taken off: record what there is, and end the runs."""
        self.record_all()
        for _model, steps in self._models.items():  # noqa: PERF102 - no dict
            steps.gone()
        self._models.clear()
        recorders.forget_before_close(self.record_all)

    def _record(self, model: Any, steps: Steps) -> None:
        run = steps.session.run
        if run is None:
            return
        steps.recorded = steps.calls
        self._links.link(model, run, recording.NAME)
        recording.after_fit(model, steps.session, steps.before, steps.options)
