"""The part of `Client` that is about what autotrack alone records: trials, fits, sessions, environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autotrack import clock, events, records
from autotrack.errors import NotFoundError
from autotrack.tracking import recorders
from autotrack.tracking.access import Access
from autotrack.tracking.explaining import Explanation, explained
from autotrack.tracking.values import checked_filter, checked_id, checked_int, checked_texts, explicit_param

TRIAL_TAG = "autotrack.trial"
"""Tag of a run that a trial was promoted to: the trial's number."""


class DetailCalls(Access):
    """Calls about trials, fits, sessions and environments."""

    def get_trials(self, run_id: str) -> list[records.Trial]:
        """Trials of a search or a cross-validation, by number.

        Raises:
            NotFoundError: There is no such run.
        """
        return self.reader.trials(checked_id(run_id, "run_id"))

    def promote_trial(self, run_id: str, number: int) -> records.Run:
        """Make a run of a trial: a child of the search's run, with the trial's parameters and scores.

        Each score is a metric with one point a fold; what the trial reported on its way is `intermediate_value`;
        `mean`, `std`, `rank`, `fit_time` and `score_time` are metrics too. A trial that was promoted before is not
        promoted again.

        Args:
            run_id: The search's run.
            number: The trial's.

        Returns:
            The run that the trial is now.

        Raises:
            NotFoundError: There is no such run, or it has no such trial.
            InvalidArgumentError: The number is none.
        """
        from autotrack.store import finding

        place = checked_int(number, "number")
        reader = self.reader
        parent = reader.run(checked_id(run_id, "run_id")).info
        trials = {trial.number: trial for trial in reader.trials(run_id)}
        if place not in trials:
            known = f"0 to {max(trials)}" if trials else "none"
            raise NotFoundError("trial", str(place), f"run {run_id} has {len(trials)} trials ({known})")
        promoted = finding.promoted_trial(reader.store, run_id, TRIAL_TAG, place)
        if promoted is None:
            promoted = self._promote(parent, trials[place])
        return self.reader.run(promoted)

    def _promote(self, parent: records.RunInfo, trial: records.Trial) -> str:
        run = self._recorder.start_run(
            f"{parent.run_name}-trial-{trial.number}",
            experiment_id=parent.experiment_id,
            parent_run_id=parent.run_id,
            source="trial",
            start_time=trial.start_time or parent.start_time,
        )
        times = parent.end_time or clock.now()
        if trial.start_time is not None and trial.fit_time is not None:
            times = trial.start_time + round(trial.fit_time * 1000)
        points = [
            (key, score, fold, times) for key, scores in trial.scores.items() for fold, score in enumerate(scores)
        ]
        points += [("intermediate_value", value, step, times) for step, value in trial.intermediate.items()]
        points += [(key, value, 0, times) for key, value in _summary(trial).items() if key not in trial.scores]
        params = [explicit_param(key, value) for key, value in trial.params.items()]
        run.log_batch(points, params, {TRIAL_TAG: str(trial.number)})
        error = events.ErrorInfo("", trial.error) if trial.error else None
        run.end("FAILED" if trial.state in ("FAIL", "FAILED") or trial.error else "FINISHED", error, times)
        return run.run_id

    def get_fits(self, run_id: str) -> list[records.Fit]:
        """Training calls of a run, and the session's preparation steps before them.

        Raises:
            NotFoundError: There is no such run.
        """
        reader = self.reader
        fits = reader.fits(checked_id(run_id, "run_id"))
        info = reader.run(run_id).info
        before = [fit for fit in reader.preparations(info.session_id) if fit.start_time <= (info.end_time or 2**63)]
        return before + fits

    def explain(self, run_id: str) -> Explanation:
        """What of a run was recorded, what was left out and why, and what recording it has taken.

        Raises:
            NotFoundError: There is no such run.
        """
        own = recorders.existing(self.location)
        if own is not None:
            self.reader  # noqa: B018 - what waits is done, and moved into the store: its cost is known then
            own.tell_costs()
        return explained(self.reader, checked_id(run_id, "run_id"))

    def get_session(self, session_id: str) -> records.Session:
        """A session.

        Raises:
            NotFoundError: There is no such session.
        """
        return self.reader.session(checked_id(session_id, "session_id"))

    def search_sessions(
        self,
        filter_string: str | None = None,
        max_results: int = 1000,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> records.Page[records.Session]:
        """Sessions that a filter matches, newest first unless `order_by` says otherwise.

        Args:
            filter_string: For example `program LIKE '%train.py' and user = 'ada'`; it names `session_id`, `start_time`,
                `host`, `pid`, `user`, `program` and `cwd`.
            max_results: Sessions in a page.
            order_by: For example `["host", "start_time DESC"]`.
            page_token: The `token` of the page before.

        Raises:
            FilterSyntaxError: The filter or the order does not parse.
            InvalidArgumentError: An argument is not usable.
        """
        from autotrack.store import finding

        text = checked_filter(filter_string)
        return finding.sessions(self.reader.store, text, max_results, checked_texts(order_by, "order_by"), page_token)

    def get_environment(self, run_id: str) -> records.Environment | None:
        """What a run ran in; None where it was not captured.

        Raises:
            NotFoundError: There is no such run.
        """
        return self.reader.environment_of_run(checked_id(run_id, "run_id"))


def _summary(trial: records.Trial) -> Mapping[str, float]:
    names = ("mean", "std", "rank", "fit_time", "score_time", "resource")
    return {name: float(value) for name in names if (value := getattr(trial, name)) is not None}
