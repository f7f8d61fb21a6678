"""What is recorded of a study: trial by trial as they end, and what it came to."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any
from weakref import ref

from autotrack.events import EndStatus, ErrorInfo, TrialInfo
from autotrack.hooks import guard
from autotrack.integrations.optuna import trials
from autotrack.tracking import notebook
from autotrack.tracking.run import RunWriter
from autotrack.tracking.training import Training

NAME = "optuna"

MAX_RANKED = 10_000
"""Trials of one recording that are ranked when it ends."""

_health = guard.health(NAME)


class Recording:
    """The trials of one study that one call of `optimize`, or the program by `tell`, comes to."""

    def __init__(self, study: Any, session: Training, run: RunWriter) -> None:
        self.session = session
        self.run = run
        self.goal = trials.goal_of(study)
        self.errors: dict[int, str] = {}
        """Why trials failed, by number."""
        self._series = ("optuna", str(study.study_name))
        """In a run with several studies the trials of each have numbers of their own."""
        self._lock = threading.Lock()
        self._asked: list[Any] = []
        self._seen: set[int] = set()
        self._kept: list[TrialInfo] = []
        self._best: float | None = None
        self._best_step = -1
        self._space: dict[str, str] = {}

    def begin(self, study: Any, arguments: Mapping[str, Any]) -> None:
        """Record the study's set-up; what it found before counts for what is best."""
        number = self.session.number
        self.run.log_fit_params(trials.study_params_of(study, self.goal, arguments), "Study", number)
        if len(self.goal.directions) == 1:
            best = _best_of(study)
            self._best = None if best is None else best.value

    def ask(self, trial: Any) -> None:
        """A trial begins."""
        with self._lock:
            self._asked.append(trial)

    def add(self, trial: Any) -> None:
        """A trial has ended, as frozen by Optuna."""
        with self._lock:
            if trial.number in self._seen:
                return
            self._seen.add(trial.number)
            info = trials.info_of(trial, self.goal, self.errors.pop(trial.number, ""))
            if len(self._kept) < MAX_RANKED:
                self._kept.append(info)
            self._space.update((key, str(one)) for key, one in trial.distributions.items() if key not in self._space)
        self.run.log_trials([info], self.session.fit_id, self._series)
        if info.state == "COMPLETE":
            self._note_values(trial)

    def _note_values(self, trial: Any) -> None:
        values = trials.values_of(trial)
        self.run.log_safe_metrics(dict(zip(self.goal.names, values, strict=False)), trial.number)
        if len(values) != 1 or not trials.is_feasible(trial):
            return
        with self._lock:  # of two jobs the better one is to be written last
            if self.goal.is_better(values[0], self._best):
                self._note_best(trial.number, values[0], trial.params)

    def _note_best(self, number: int, value: float, params: Mapping[str, Any]) -> None:
        found = {**trials.best_params_of(params), "best_trial": number}
        self.run.log_fit_params(found, "Study", self.session.number)
        if value != self._best:
            # With several jobs an earlier trial may end later: steps go forward all the same, the last one counts.
            self._best, self._best_step = value, max(number, self._best_step + 1)
            self.run.log_safe_metrics({"best_value": value}, self._best_step)

    def finish(self, study: Any) -> None:
        """The call is over, however it ended."""
        guard.call(_health, "trials that did not end", self._add_left, study)
        guard.call(_health, "what was found", self._conclude, study)

    def _add_left(self, study: Any) -> None:
        """What raised out of `optimize` ended a trial that no callback was told of."""
        left = {number for trial in self._asked if (number := trial.number) not in self._seen}
        self._asked = []
        for trial in study.get_trials(deepcopy=False) if left else ():
            if trial.number in left:
                self.add(trial)

    def _conclude(self, study: Any) -> None:
        """Ranks, the best trial of the study as it is now, and the space that was searched."""
        front: frozenset[int] = frozenset()
        if study is not None and len(self.goal.directions) > 1 and self._kept:
            front = frozenset(trial.number for trial in study.best_trials)
            self.run.set_tags({"best_trials": ",".join(map(str, sorted(front)))})
        elif study is not None:
            best = _best_of(study)
            if best is not None:  # found here, before, or by another process
                self._best = self._best if self._best_step >= 0 else None
                self._note_best(best.number, best.value, best.params)
        self.run.log_trials(trials.ranked(self._kept, self.goal, front), self.session.fit_id, self._series)
        self.session.details.update(search_space=self._space, trials=len(self._seen))


def _best_of(study: Any) -> Any:
    """The best trial of a study with one objective; None where none is complete, or none keeps the constraints."""
    try:
        return study.best_trial
    except ValueError:
        return None


class AskAndTell:
    """A study that the program asks for trials, and tells of them: a companion of the run that it is recorded into.

    It lasts as long as the study, the run, the notebook's cell or the process.
    """

    def __init__(self, study: Any, recording: Recording) -> None:
        self.recording = recording
        self.ended = False
        self._study = ref(study, self._gone)
        recording.session.open()
        recording.run.add_companion(self)
        notebook.until_end_of_cell(self)

    def cell_over(self, error: BaseException | None) -> bool:
        """A notebook's cell has ended: see `notebook`."""
        return not self.ended and self.recording.session.cell_over(error, self.finish)

    def _gone(self, reference: Any) -> None:
        # Called wherever the program drops its last reference: nothing is done here.
        if not self.ended:
            self.recording.run.recorder.worker.submit(partial(self.finish, "FINISHED", None))

    def flush(self) -> None:
        """Nothing waits."""

    def close(self, status: EndStatus, error: ErrorInfo | None) -> None:
        """The run ends, or the study does."""
        recording = self.recording
        if self.ended or recording.session.is_elsewhere():
            return
        self.ended = True
        recording.finish(self._study())
        recording.session.close(status, error)
        recording.run.remove_companion(self)

    def finish(self, status: EndStatus, error: ErrorInfo | None) -> None:
        """The study is over, and so is a run that was opened for it."""
        self.close(status, error)
        self.recording.session.end_run(status, error)


class Callbacks:
    """The program's callbacks, and ours before them; as often as Optuna goes through the program's own."""

    def __init__(self, ours: Any, theirs: Any) -> None:
        self._ours = ours
        self._theirs = theirs

    def __iter__(self) -> Iterator[Any]:
        return chain((self._ours,), self._theirs or ())
