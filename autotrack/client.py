"""Client: the explicit API, by run id.

What a run logs goes through the journal, like everything else; managing (experiments, deleting, restoring) and reading
talk to the store, and move what is pending in the journals into it first, so that a program reads its own writes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import cast

from autotrack import records
from autotrack.errors import InvalidArgumentError
from autotrack.events import EndStatus
from autotrack.tracking.detail_calls import DetailCalls
from autotrack.tracking.experiment_calls import ExperimentCalls, checked_view
from autotrack.tracking.experiment_calls import ViewType as ViewType
from autotrack.tracking.file_calls import FileCalls
from autotrack.tracking.log_calls import LogCalls
from autotrack.tracking.names import made_up_name
from autotrack.tracking.registry_calls import RegistryCalls
from autotrack.tracking.values import (
    checked_experiment_id,
    checked_filter,
    checked_id,
    checked_int,
    checked_list,
    checked_name,
    checked_tags,
    checked_text,
    checked_texts,
)

ENDED = ("FINISHED", "FAILED", "KILLED")

PARENT_TAG = "mlflow.parentRunId"
"""The tag that makes a run another one's child, in MLflow."""

NAME_TAG = "mlflow.runName"
"""The tag that names a run, in MLflow."""


class Client(ExperimentCalls, LogCalls, FileCalls, DetailCalls, RegistryCalls):
    """Reads and writes one store.

    Args:
        tracking_uri: Store URL or folder; by default the one that was set, then the setting `tracking_uri`, then the
            folder `.autotrack`.
        registry_uri: Store that models are registered in; by default the one that was set, then the setting
            `registry_uri`, then that of the runs.

    Raises:
        InvalidArgumentError: The URI is of no known kind.
    """

    def __init__(
        self, tracking_uri: str | os.PathLike[str] | None = None, registry_uri: str | os.PathLike[str] | None = None
    ) -> None:
        super().__init__(tracking_uri)
        self.use_registry(registry_uri)

    def create_run(
        self,
        experiment_id: str | None = None,
        start_time: int | None = None,
        tags: Mapping[str, object] | None = None,
        run_name: str | None = None,
    ) -> records.Run:
        """Make a run that is not the active one of any context.

        Args:
            experiment_id: Its experiment; "Default" by default.
            start_time: When it began, ms since the epoch; now by default.
            tags: Its first tags; `mlflow.parentRunId` makes it the child of that run, `mlflow.runName` names it.
            run_name: Its name; a made-up one by default.

        Raises:
            NotFoundError: There is no such experiment.
            InvalidArgumentError: An argument is not usable.
        """
        began = None if start_time is None else checked_int(start_time, "start_time")
        labels = checked_tags(tags)
        name = run_name or labels.get(NAME_TAG)
        name = checked_name(name, "run_name") if name else made_up_name()
        if experiment_id is not None:
            experiment_id = self.open_experiment(experiment_id)
        run = self._recorder.start_run(
            name,
            experiment_id=experiment_id,
            parent_run_id=labels.get(PARENT_TAG) or None,
            source="client",
            start_time=began,
        )
        run.set_tags(labels)
        return self.get_run(run.run_id)

    def open_experiment(self, experiment_id: object) -> str:
        """The id of an experiment that new runs can go to.

        Raises:
            NotFoundError: There is no such experiment.
            InvalidArgumentError: It is deleted, or that is no id.
        """
        found = self.reader.experiment(checked_experiment_id(experiment_id))
        if found.lifecycle_stage != "active":
            raise InvalidArgumentError("experiment_id", experiment_id, "one that is not deleted; restore it first")
        return found.experiment_id

    def get_run(self, run_id: str) -> records.Run:
        """A run with its last metric values, parameters, tags, inputs and outputs.

        Raises:
            NotFoundError: There is no such run.
        """
        return self.reader.run(checked_id(run_id, "run_id"))

    def get_parent_run(self, run_id: str) -> records.Run | None:
        """The run whose child a run is; None where it is none's.

        Raises:
            NotFoundError: There is no such run.
        """
        parent = self.get_run(run_id).info.parent_run_id
        return None if parent is None else self.get_run(parent)

    def search_runs(
        self,
        experiment_ids: Sequence[str] | None = None,
        filter_string: str = "",
        run_view_type: ViewType = "ACTIVE_ONLY",
        max_results: int = 1000,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> records.Page[records.Run]:
        """Runs that a filter matches, newest first unless `order_by` says otherwise.

        Args:
            experiment_ids: Only runs of these experiments; all by default.
            filter_string: For example `metrics.accuracy > 0.9 and params.solver = 'lbfgs'`.
            run_view_type: Which stages of life to look at.
            max_results: Runs in a page.
            order_by: For example `["metrics.accuracy DESC", "start_time"]`; what lacks the key comes last.
            page_token: The `token` of the page before.

        Raises:
            FilterSyntaxError: The filter or the order does not parse; the message points at the place.
            InvalidArgumentError: An argument is not usable.
        """
        ids = None
        if experiment_ids is not None:
            given = checked_list(experiment_ids, "experiment_ids", "ids")
            ids = [checked_experiment_id(one, "experiment_ids") for one in given]
        text = checked_filter(filter_string)
        view, order = checked_view(run_view_type, "run_view_type"), checked_texts(order_by, "order_by")
        return self.reader.search_runs(ids, text, view, max_results, order, page_token)

    def resolve_run_id(self, text: str) -> str:
        """The id that a person means: an id or its beginning, `@` for the latest run, `best:metric`.

        `best:loss` and `best:max:loss` mean the run that reached the highest value at any step, `best:-loss` and
        `best:min:loss` the lowest.

        Raises:
            NotFoundError: No run is meant, or several are.
        """
        text, reader = checked_text(text, "run"), self.reader
        if text == "@":
            return reader.latest_run_id()
        if not text.startswith("best:"):
            return reader.run_id_by_prefix(text)
        metric = text.removeprefix("best:")
        for sign, maximise in (("max:", True), ("min:", False), ("-", False)):
            if metric.startswith(sign):
                return reader.best_run_id(metric.removeprefix(sign), maximise)
        return reader.best_run_id(metric)

    def set_terminated(self, run_id: str, status: str | None = None, end_time: int | None = None) -> None:
        """End a run.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: The status is none that a run ends with.
        """
        ending = status or "FINISHED"
        if ending not in ENDED:
            raise InvalidArgumentError("status", status, " or ".join(ENDED))
        when = None if end_time is None else checked_int(end_time, "end_time")
        run = self.attached_writer(run_id)
        run.status = "RUNNING"
        run.end(cast(EndStatus, ending), time=when)

    def update_run(self, run_id: str, status: str | None = None, name: str | None = None) -> None:
        """Set a run's name or status anew.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: The status is none of a run's.
        """
        if status is not None and status not in ("RUNNING", *ENDED):
            raise InvalidArgumentError("status", status, " or ".join(("RUNNING", *ENDED)))
        new_name = None if name is None else checked_name(name, "run name")
        run = self.attached_writer(run_id)
        if new_name is not None:
            run.update(name=new_name)
        if status == "RUNNING":
            self._recorder.resume_run(run)
        elif status is not None:
            self.set_terminated(run_id, status)

    def delete_run(self, run_id: str) -> None:
        """Mark a run as deleted; `restore_run` brings it back.

        Raises:
            NotFoundError: There is no such run.
        """
        from autotrack.store import managing

        managing.delete_run(self.reader.store, checked_id(run_id, "run_id"))

    def restore_run(self, run_id: str) -> None:
        """Bring a deleted run back.

        Raises:
            NotFoundError: There is no such run.
        """
        from autotrack.store import managing

        managing.restore_run(self.reader.store, checked_id(run_id, "run_id"))

    def get_metric_history(self, run_id: str, key: str) -> list[records.Metric]:
        """All points of a metric, in the order in which they were logged; empty where there are none.

        Raises:
            NotFoundError: There is no such run.
        """
        return self.reader.metric_history(checked_id(run_id, "run_id"), checked_name(key))


MlflowClient = Client
"""The name that MLflow's scripts know."""
