"""One open run of this process: from values to events."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from math import isfinite
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from autotrack import clock, console, events
from autotrack.errors import RunEndedError
from autotrack.events import EndStatus, ErrorInfo, MetricLogged, Param, RunStatus
from autotrack.hooks import guard
from autotrack.store.location import artifact_uri
from autotrack.store.places import ROOT_TAG, kept_uri
from autotrack.tracking import counting
from autotrack.tracking.accelerator_values import Point, WaitingPoints, values_of
from autotrack.tracking.companions import Companion, Companions
from autotrack.tracking.cost import SKIPPED_TAG, Cost
from autotrack.tracking.redaction import REDACTED, redact, redact_shapes
from autotrack.tracking.trial_rows import TrialNumbers, without_secrets
from autotrack.tracking.values import safe_number, safe_params, safe_tag, storable

if TYPE_CHECKING:
    from autotrack.artifacts import Artifacts, Stored
    from autotrack.records import MetricSummary, RunInfo
    from autotrack.tracking.job import Job
    from autotrack.tracking.recorder import Recorder

MAX_STEP = 2**63 - 1
"""Highest step that a store keeps."""


class Root(NamedTuple):
    """The place that files and models of runs are below."""

    uri: str
    derived: bool
    """Whether every reader comes to the same from what the store holds already."""


class RunWriter:
    """Writes one run's events. Safe to use from several threads, and from signal handlers.

    Attributes:
        recorder: Where its events go.
        run_id: 32 hexadecimal digits.
        status: What this process knows of the run's status.
        log_system_metrics: Whether the load of the machine is recorded; None where the settings decide.
        job: The distributed job whose run this is, if it is one's.
        gone_ranks: Ranks of it that were seen to end while the run was open.
        cost: What recording it has taken so far.
    """

    def __init__(
        self,
        recorder: Recorder,
        run_id: str,
        name: str,
        experiment: str,
        experiment_id: str | None = None,
        parent_run_id: str | None = None,
        source: str = "fluent",
    ) -> None:
        self.recorder = recorder
        self.run_id = run_id
        self.name = name
        self.experiment = experiment
        self.experiment_id = experiment_id
        self.parent_run_id = parent_run_id
        self.source = source
        self.status: RunStatus = "RUNNING"
        self.start_time, self._born = clock.now(), monotonic()
        self.end_time: int | None = None
        self.fits = 0
        self.log_system_metrics: bool | None = None
        self.job: Job | None = None
        self.gone_ranks: list[int] = []
        self.cost = Cost()
        self._artifact_root: Root | None = None
        self._inherited = self._shared = False
        self._lock = threading.RLock()
        self._next_step: dict[str, int] = {}
        self._params: dict[str, str] = {}
        self._brought_later: set[str] = set()
        """Keys of parameters that a later fit was the first to tell of: fits in threads come in any order."""
        self._waiting = WaitingPoints()
        self._companions = Companions()
        self._trial_numbers = TrialNumbers()

    def add_companion(self, companion: Companion) -> None:
        """Something that records into the run for as long as it is open."""
        self._companions.add(companion)

    def remove_companion(self, companion: Companion) -> None:
        """It has nothing more to record."""
        self._companions.remove(companion)

    def require_open(self) -> None:
        """Refuse what an explicit call may not do to an ended run.

        Raises:
            RunEndedError: The run has ended.
        """
        if self.status != "RUNNING":
            raise RunEndedError(self.run_id, self.status)

    @property
    def artifact_root(self) -> Root:
        """The place that the run's files and models are below."""
        if self._artifact_root is None:
            self._artifact_root = self.recorder.roots.of(self.experiment, self.experiment_id)
        return self._artifact_root

    @property
    def artifact_uri(self) -> str:
        """Where the run's files are."""
        return artifact_uri(self.artifact_root.uri, self.run_id)

    def artifacts(self, show_progress: bool = False) -> Artifacts:
        """The run's files.

        Args:
            show_progress: On a terminal, show how far big files have come.

        Raises:
            ArtifactError: The place that they are to go to is of no known kind.
        """
        from autotrack.artifacts import Artifacts

        self._keep_root()
        return Artifacts(self.artifact_uri, show_progress)

    def models(self) -> Artifacts:
        """Where the directories of the run's models are, beside those of other runs.

        Raises:
            ArtifactError: The place that they are to go to is of no known kind.
        """
        from autotrack.artifacts import Artifacts

        self._keep_root()
        return Artifacts(artifact_uri(self.artifact_root.uri, "models"))

    def _keep_root(self) -> None:
        """Have the store know the root, where its readers would come to another."""
        root = self.artifact_root
        if not root.derived:
            self._artifact_root = root._replace(derived=True)
            self.set_tags({ROOT_TAG: kept_uri(self.recorder.location, root.uri)})

    def reset_after_fork(self) -> None:
        """In a forked child: the run is the parent's to end, and so are values that wait on an accelerator."""
        self._lock = threading.RLock()
        self._inherited = True
        self._waiting = WaitingPoints()
        self._companions = Companions()

    @property
    def is_inherited(self) -> bool:
        """Whether the run is another process's to end: this one was forked by it, or works for it."""
        return self._inherited

    def join(self) -> None:
        """The run was opened by a process that this one works for, and is that one's to end."""
        self._inherited = self._shared = True

    def share(self) -> None:
        """Other processes are about to record into the run: training calls are counted together from here on."""
        with self._lock:
            if not self._shared:
                counting.begin(self.recorder.location, self.run_id, self.fits)
                self._shared = True

    def leave(self, status: EndStatus, error: ErrorInfo | None = None) -> None:
        """This process is done with a run that is another's: write what waits, and end what it began in it."""
        self._companions.close(status, error)
        self.read_ring()
        self._companions = Companions()

    def continue_from(self, info: RunInfo, series: Mapping[str, MetricSummary], fits: int) -> None:
        """The run is in the store already: steps and fits are counted on from there."""
        self.status, self.start_time, self.end_time = info.status, info.start_time, info.end_time
        self._artifact_root = Root(info.artifact_uri.rpartition("/")[0], True)
        self._next_step = {key: min(summary.last_step + 1, MAX_STEP) for key, summary in series.items()}
        self.fits = fits

    def next_fit(self) -> int:
        """Number of the training call that begins now: 1, 2, ..."""
        with self._lock:
            counted = counting.count(self.recorder.location, self.run_id) if self._shared else None
            self.fits = self.fits + 1 if counted is None else counted
            return self.fits

    def log_metric(self, key: str, value: float, step: int | None = None, time: int | None = None) -> None:
        """One point of a metric; without a step, one behind the key's last."""
        with self._lock:
            if step is None:
                step = self._next_step.get(key, 0)
            self._next_step[key] = step + 1 if step < MAX_STEP else step
        number = value if isfinite(value) else events.number_of(value)
        self.recorder.write(MetricLogged(self.run_id, key, number, clock.now() if time is None else time, step))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None, time: int | None = None) -> None:
        """Points of several metrics at one step; without a step, one behind the last of any of them."""
        if not metrics:
            return
        with self._lock:
            if step is None:
                step = max(self._next_step.get(key, 0) for key in metrics)
            self._next_step.update(dict.fromkeys(metrics, min(step + 1, MAX_STEP)))
        numbers = {key: events.number_of(value) for key, value in metrics.items()}
        self.recorder.write(events.MetricsLogged(self.run_id, numbers, clock.now() if time is None else time, step))

    def log_load(self, values: Mapping[str, float]) -> None:
        """The load of the machine, by name."""
        self.log_metrics(values)

    def log_batch(
        self, points: Iterable[tuple[str, float, int, int]], params: list[Param], tags: Mapping[str, str]
    ) -> None:
        """Points (key, value, step, time), parameters and tags, in one write."""
        by_key: dict[str, list[tuple[str, float, int, int]]] = {}
        for point in points:
            by_key.setdefault(point[0], []).append(point)
        batch: list[events.Event] = [events.CurveLogged.of(self.run_id, key, some) for key, some in by_key.items()]
        with self._lock:
            self._next_step.update({key: min(some[-1][2] + 1, MAX_STEP) for key, some in by_key.items()})
        if params:
            self._params.update((param.key, param.text) for param in params)
            batch.append(events.ParamsLogged(self.run_id, params))
        if tags:
            batch.append(events.TagsSet(self.run_id, {key: safe_tag(key, text) for key, text in tags.items()}))
        self.recorder.write_all(batch)

    def log_safe_metrics(self, metrics: Mapping[str, object], step: int = 0) -> None:
        """Automatically recorded metrics: what is no number is left out."""
        numbers = {key: number for key, value in metrics.items() if (number := safe_number(value)) is not None}
        if numbers:
            self.recorder.write(events.MetricsLogged(self.run_id, numbers, clock.now(), step))

    def log_tensor(self, key: str, value: Any, step: int | None = None, time: int | None = None) -> None:
        """A value that lives on an accelerator: not waited for now, read with others in one batch."""
        # A copy, made behind the program's back by the accelerator: the program may add to its tensor in place.
        copy = value.detach().clone().reshape(())
        with self._lock:
            if step is None:
                step = self._next_step.get(key, 0)
            self._next_step[key] = min(step + 1, MAX_STEP)
            full = self._waiting.add((key, step, clock.now() if time is None else time, copy))
        # To read is to wait for the accelerator: that is not the training thread's to do.
        if full and not self.recorder.worker.submit(self._read_batches, cost=self.cost):
            self._read_batches()

    def _read_batches(self) -> None:
        self._waiting.read_batches(self._read_points)

    def write_waiting(self) -> None:
        """Write what waits in companions: the training thread may stand still, and be killed there."""
        self._companions.flush()

    def read_ring(self) -> None:
        """Write what waits: of companions, and tensors, in one transfer for each device."""
        self.write_waiting()
        self._waiting.read_all(self._read_points)

    def _read_points(self, points: list[Point]) -> None:
        """An accelerator that fails harms nobody."""
        if guard.call(guard.health("tracking", breaker=False), "read tensors", self._write_points, points) is None:
            self.degrade("values on an accelerator could not be read")

    def _write_points(self, points: list[Point]) -> bool:
        for (key, step, time, _), value in zip(points, values_of(points), strict=True):
            self.recorder.write(MetricLogged(self.run_id, key, events.number_of(value), time, step))
        return True

    def log_files(self, stored: Iterable[Stored]) -> None:
        """Files that were stored among the run's."""
        now = clock.now()
        self.recorder.write_all(
            events.ArtifactLogged(self.run_id, one.path, one.size, one.digest, now) for one in stored
        )

    def log_params(self, params: list[Param]) -> None:
        """Parameters; a key that is there already gets the new value."""
        if params:
            self._params.update((param.key, param.text) for param in params)
            self.recorder.write(events.ParamsLogged(self.run_id, params))

    def log_fit_params(self, values: Mapping[str, object], estimator: str, number: int) -> list[str]:
        """Parameters of the run's fit of that number; those that conflict go under `<estimator>_<number>.`.

        Returns:
            The names of those that hold a secret, which is not recorded.
        """
        params = safe_params(values)
        secret = [param.key for param in params if REDACTED in param.text]
        with self._lock:  # of two fits at once one is to see what the other has told
            taken = [self._is_taken(param, number) for param in params]
            params = [
                Param(f"{estimator}_{number}.{param.key}", param.text, param.json) if is_taken else param
                for param, is_taken in zip(params, taken, strict=True)
            ]
            if number > 1:
                self._brought_later.update(param.key for param in params if param.key not in self._params)
            self._params.update((param.key, param.text) for param in params)
        self.log_params(params)
        return secret

    def _is_taken(self, param: Param, number: int) -> bool:
        """Whether a parameter's key has another fit's value."""
        if number == 1 and param.key not in self._brought_later:
            return False
        # What other processes have logged is not known.
        return self._params.get(param.key, None if self._shared and number > 1 else param.text) != param.text

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tags; a key that is there already gets the new value."""
        if tags:
            self.recorder.write(events.TagsSet(self.run_id, {key: safe_tag(key, str(tags[key])) for key in tags}))

    def delete_tag(self, key: str) -> None:
        """Remove a tag."""
        self.recorder.write(events.TagDeleted(self.run_id, key))

    def log_dataset(
        self,
        dataset: events.DatasetInfo,
        context: str = "",
        tags: Mapping[str, str] | None = None,
        fit_id: str | None = None,
    ) -> None:
        """A dataset that the run used."""
        dataset = msgspec.structs.replace(
            dataset, name=redact(dataset.name), source=redact(dataset.source), schema=redact_shapes(dataset.schema)
        )
        labels = {key: safe_tag(key, str(text)) for key, text in (tags or {}).items()}
        self.recorder.write(events.DatasetLogged(self.run_id, dataset, redact(context), labels, fit_id))

    def log_trials(self, trials: Iterable[events.TrialInfo], fit_id: str | None = None, series: object = None) -> None:
        """Trials of a search or a cross-validation, some hundred an event.

        Args:
            trials: The trials.
            fit_id: The training call that they are of.
            series: Within what their numbers are unique, `fit_id` by default. Those of another series that the run has
                already are not written over: the new ones get numbers behind them.
        """
        rows = [without_secrets(trial) for trial in trials]
        with self._lock:
            rows = [self._trial_numbers.numbered(trial, series or fit_id) for trial in rows]
        for start in range(0, len(rows), 500):
            self.recorder.write(events.TrialsLogged(self.run_id, rows[start : start + 500], fit_id))

    def update(self, name: str | None = None, description: str | None = None) -> None:
        """Set the name or the description anew."""
        name, description = name and redact(name), description and redact(description)
        self.name = name or self.name
        self.recorder.write(events.RunUpdated(self.run_id, name, description))

    def degrade(self, reason: str) -> None:
        """Say of the run that something of it could not be recorded."""
        text = storable(redact(reason))
        self.recorder.write(events.RunDegraded(self.run_id, text))
        self.tell(text)

    def tell(self, text: str) -> None:
        """Say something of the run to who wants to know everything (the setting `debug`)."""
        console.tell(f"run {self.run_id[:8]}: {text}")

    def _now(self) -> int:
        """The time, but not one before the run began: clocks are set back, and those of two machines differ."""
        now = clock.now()
        return now if now >= self.start_time else self.start_time + int((monotonic() - self._born) * 1000)

    def skip(self, what: str, reason: str) -> None:
        """Say of the run that something was left out, as it should be; what is left out by a failure degrades it.

        Args:
            what: What one misses: `model`, `training_metrics`, `confusion_matrix`, `dataset`, ...
            reason: Why, and what to do in order to have it.
        """
        self.set_tags({SKIPPED_TAG + what: reason})
        self.tell(f"{what} is left out: {reason}")

    def end(self, status: EndStatus = "FINISHED", error: ErrorInfo | None = None, time: int | None = None) -> None:
        """End the run; a second end is none, and neither is one by a forked child of the process that opened it."""
        if self.status != "RUNNING":
            return
        self.leave(status, error)
        self.status = status
        self.end_time = self._now() if time is None else time
        self.recorder.forget(self)
        if not self._inherited:
            self._write_end(status, self.end_time, error)
            self.tell(status)
            if self._shared:
                counting.end(self.recorder.location, self.run_id)

    def leave_ranks(self, status: EndStatus, error: ErrorInfo | None) -> None:
        """This process, a rank of a job in a run that it did not open, is at its end."""
        if self.job is not None and self.job.pid == os.getpid() and self._inherited:
            self.recorder.write(self.job.rank_end(self.run_id, status, self._now(), error))

    def _write_end(self, status: EndStatus, end_time: int, error: ErrorInfo | None) -> None:
        told: list[events.Event] = [events.RunEnded(self.run_id, status, end_time, error)]
        if self.job is not None:
            told.append(self.job.rank_end(self.run_id, status, end_time, error))
            told += [events.RankGone(self.run_id, rank) for rank in self.gone_ranks if status == "FINISHED"]
        self.recorder.write_all(told)
