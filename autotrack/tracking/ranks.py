"""Runs that the ranks of a distributed job share.

Rank 0 begins and ends a run as if it were alone. Another rank that the program has open a run (`start_run`, or a call
that logs without one) takes part in rank 0's run of the same number instead, through a `RankWriter`: points of curves
go under `rank_<n>/`, files below `rank_<n>/`; of parameters and tags those of rank 0 count, and of the other ranks
what rank 0 does not say. In a training that rank 0 records by itself the others take part by no more than what they are
and how they end.

A run's id is used once: who comes second with the same one (the same command twice in one step of a scheduler's job) is
on its own.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from autotrack import events
from autotrack.artifacts import Artifacts
from autotrack.store.location import Location
from autotrack.store.rank_tags import facts_tag
from autotrack.tracking import job as jobs
from autotrack.tracking import liveness, session
from autotrack.tracking.job import Job
from autotrack.tracking.run import RunWriter
from autotrack.tracking.values import safe_tag

if TYPE_CHECKING:
    from autotrack.tracking.recorder import Recorder

CLAIMS = "ranks"
"""Folder beside the journals: an empty file for each rank of each run, which nobody takes part in twice."""

KEPT_SECONDS = 30 * 86_400.0

_counts: dict[str, int] = {}


class Place(NamedTuple):
    """The run that a rank begins, or takes part in."""

    job: Job
    run_id: str


def forget() -> None:
    """As a fresh process would (between tests)."""
    _counts.clear()
    jobs.forget()


def next_place(location: Location, source: str) -> Place | None:
    """The job's next run that is opened by the program, or by an integration; None where this process is on its own.

    Args:
        location: The store.
        source: Who opens it: "fluent", or an integration's name.
    """
    job = jobs.current()
    if job is None or not job.key:
        return None
    _counts[source] = number = _counts.get(source, 0) + 1
    run_id = job.run_id(source, number)
    return Place(job, run_id) if _claim(location, run_id, job.rank) else None


def _claim(location: Location, run_id: str, rank: int) -> bool:
    folder = location.journal_folder / CLAIMS
    try:
        if rank == 0:
            _drop_old(folder)
        folder.mkdir(parents=True, exist_ok=True)
        os.close(os.open(folder / f"{run_id}.{rank}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError:  # there already; or no place to keep it, so that a second use would not be seen
        return False
    return True


def _drop_old(folder: Path) -> None:
    oldest = time.time() - KEPT_SECONDS
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.stat().st_mtime < oldest:
                os.unlink(entry.path)


def facts_of(job: Job, device: str = "") -> dict[str, Any]:
    """What is known of this rank's process."""
    facts: dict[str, Any] = {
        "host": liveness.identity().host,
        "pid": os.getpid(),
        "local_rank": job.local_rank,
        "session_id": session.session_id(),
    }
    if job.restart:
        facts["restart"] = job.restart
    device = device or _device()
    return facts | {"device": device} if device else facts


def _device() -> str:
    """The accelerator that the program has chosen, if it has; asking wakes none."""
    torch: Any = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is None or not cuda.is_available() or not cuda.is_initialized():
        return ""
    return f"cuda:{cuda.current_device()}"


def take_part(run: RunWriter, job: Job, name: str = "", device: str = "") -> None:
    """Write that this rank takes part in a run."""
    run.job = job
    recorder = run.recorder
    recorder.write(
        events.RankJoined(
            run_id=run.run_id,
            session_id=recorder.session_id,
            journal_id=recorder.journal.journal_id,
            time=run.start_time,
            rank=job.rank,
            size=job.size,
            facts=facts_of(job, device),
            name=name,
            experiment=run.experiment,
            experiment_id=run.experiment_id,
            source=run.source,
            user=session.user_name(),
        )
    )


def note_device(run: RunWriter, device: str) -> None:
    """The device that this rank trains on has become known."""
    if run.job is not None:
        tags = {facts_tag(run.job.rank): msgspec.json.encode(facts_of(run.job, device)).decode()}
        run.recorder.write(events.TagsSet(run.run_id, tags))


class RankFiles(Artifacts):
    """A run's files as another rank than 0 sees them: it writes into a folder of its own, and reads there first."""

    def __init__(self, root: str, show_progress: bool, folder: str) -> None:
        super().__init__(root, show_progress)
        self._folder = folder

    def _placed(self, path: str) -> str:
        return f"{self._folder}/{path}"

    def exists(self, path: str) -> bool:
        """Whether there is such a file of this rank's."""
        return super().exists(self._placed(path))

    def read_bytes(self, path: str) -> bytes:
        """The content of a file of this rank's, or else of the run's; errors as for `Artifacts`."""
        return super().read_bytes(self._placed(path) if self.exists(path) else path)


class RankWriter(RunWriter):
    """Writes into the run of a distributed job, as another rank than 0."""

    def __init__(
        self,
        recorder: Recorder,
        place: Place,
        name: str,
        experiment: str,
        experiment_id: str | None = None,
        parent_run_id: str | None = None,
        source: str = "fluent",
    ) -> None:
        super().__init__(recorder, place.run_id, name, experiment, experiment_id, parent_run_id, source)
        self.job = place.job
        self.rank = place.job.rank
        self.folder = f"rank_{self.rank}"
        self._prefix = self.folder + "/"

    def go_on_from(self, run: RunWriter) -> None:
        """The run is in the store already."""
        self.start_time, self.fits, self._artifact_root = run.start_time, run.fits, run.artifact_root

    def _named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {self._prefix + key: value for key, value in values.items()}

    def log_metric(self, key: str, value: float, step: int | None = None, time: int | None = None) -> None:
        """As of `RunWriter`, under this rank."""
        super().log_metric(self._prefix + key, value, step, time)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None, time: int | None = None) -> None:
        """As of `RunWriter`, under this rank."""
        super().log_metrics(self._named(metrics), step, time)

    def log_load(self, values: Mapping[str, float]) -> None:
        """As of `RunWriter`: the names say the rank already."""
        super().log_metrics(values)

    def log_safe_metrics(self, metrics: Mapping[str, object], step: int = 0) -> None:
        """As of `RunWriter`, under this rank."""
        super().log_safe_metrics(self._named(metrics), step)

    def log_tensor(self, key: str, value: Any, step: int | None = None, time: int | None = None) -> None:
        """As of `RunWriter`, under this rank."""
        super().log_tensor(self._prefix + key, value, step, time)

    def log_batch(
        self, points: Iterable[tuple[str, float, int, int]], params: list[events.Param], tags: Mapping[str, str]
    ) -> None:
        """As of `RunWriter`: points under this rank, parameters and tags where rank 0 has none."""
        super().log_batch([(self._prefix + key, *rest) for key, *rest in points], [], {})  # type: ignore[misc]
        self.log_params(params)
        self.set_tags(tags)

    def log_params(self, params: list[events.Param]) -> None:
        """Parameters; those that the run has already keep their value."""
        if params:
            self._params.update((param.key, param.text) for param in params)
            self.recorder.write(events.ParamsLogged(self.run_id, params, weak=True))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tags; those that the run has already keep their value."""
        if tags:
            labels = {key: safe_tag(key, str(tags[key])) for key in tags}
            self.recorder.write(events.TagsSet(self.run_id, labels, weak=True))

    def delete_tag(self, key: str) -> None:
        """Nothing: rank 0, which makes the same call, removes it."""

    def log_trials(self, trials: Iterable[events.TrialInfo], fit_id: str | None = None, series: object = None) -> None:
        """Nothing: they are numbered, and rank 0 has the same."""

    def update(self, name: str | None = None, description: str | None = None) -> None:
        """Nothing: that is rank 0's to say."""

    def degrade(self, reason: str) -> None:
        """As of `RunWriter`, naming this rank."""
        super().degrade(f"{self.folder}: {reason}")

    def artifacts(self, show_progress: bool = False) -> Artifacts:
        """The run's files, where this rank writes into a folder of its own; errors as for `RunWriter`."""
        return RankFiles(super().artifacts().root, show_progress, self.folder)

    def _write_end(self, status: events.EndStatus, end_time: int, error: events.ErrorInfo | None) -> None:
        if self.job is not None:
            self.recorder.write(self.job.rank_end(self.run_id, status, end_time, error))


def writer_of(recorder: Recorder, run: RunWriter) -> RunWriter:
    """What this process goes on with in a run that is in the store: a `RankWriter` in another rank than 0."""
    job = jobs.current()
    if job is None or not job.rank or isinstance(run, RankWriter):
        return run
    place = Place(job, run.run_id)
    writer = RankWriter(recorder, place, run.name, run.experiment, run.experiment_id, run.parent_run_id, run.source)
    writer.go_on_from(run)
    return writer
