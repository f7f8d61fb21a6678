"""Folding a batch of events into what each table is to get, without asking the database.

Within a batch the later event wins; what remains is at most one row per key, so that each table is written by a few
statements however many events there were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import msgspec

from autotrack import events as ev
from autotrack.store import rank_tags, schema

DEGRADED_LENGTH = 2_000
"""Longest text of reasons why a run is incomplete."""

_MARK = "…"


def clip(key: str, length: int = schema.KEY_LENGTH) -> str:
    """A key that fits its column: cut, with a mark and a hash, so that two long keys stay two; no NUL in it."""
    if "\x00" in key:
        key = key.replace("\x00", "\ufffd")
    if len(key) <= length:
        return key
    digest = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:16]
    return key[: length - len(digest) - 1] + _MARK + digest


def as_json(value: Any) -> str:
    """JSON text of plain data."""
    return msgspec.json.encode(value).decode()


def number_of_json(text: str | None) -> float | None:
    """The number that a JSON text is; None for NaN, and for anything that is no number."""
    if not text or not (text[0].isdigit() or text[0] in "-I"):
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return max(-schema.LARGEST, min(schema.LARGEST, value))


class Status(msgspec.Struct):
    """A run's status, and all that is set with it."""

    status: ev.RunStatus
    time: int
    end_time: int | None = None
    error: ev.ErrorInfo | None = None
    opened: bool = False
    """The run is open in the process that writes this journal."""
    since: int = 0
    """When it was opened there."""

    def columns(self) -> dict[str, Any]:
        """The columns of `runs` that go with the status."""
        error = self.error or ev.ErrorInfo("")
        fields = {f"error_{name}": getattr(error, name) for name in ("type", "message", "traceback", "frame")}
        return {
            "status": self.status,
            "status_time": self.time,
            "end_time": self.end_time,
            **(fields if self.error else dict.fromkeys(fields)),
        }


class RunChange(msgspec.Struct):
    """What a batch says about one run."""

    started: ev.RunStarted | None = None
    status: Status | None = None
    name: str | None = None
    description: str | None = None
    degraded: list[str] = []
    joined: ev.RankJoined | None = None
    """A rank that took part, for a run that rank 0 has not begun."""
    rank_ends: list[ev.RankEnded] = []
    first_time: int = 0
    """Time of the first event, for a run whose start is not known yet."""


class Points(NamedTuple):
    """Points of one curve, in the order in which they were logged: columns of one length."""

    steps: list[int]
    times: list[int]
    values: list[ev.Number]

    def add(self, step: int, time: int, value: ev.Number) -> None:
        """One more point."""
        self.steps.append(step)
        self.times.append(time)
        self.values.append(value)


class Batch:
    """Events, folded."""

    def __init__(self, events: Iterable[ev.Event]) -> None:
        self.runs: dict[str, RunChange] = {}
        self.sessions: dict[str, ev.SessionStarted | None] = {}
        """None: mentioned, but not started in this batch."""
        self.environments: dict[str, ev.EnvironmentCaptured] = {}
        """By session id."""
        self.points: dict[tuple[str, str], Points] = {}
        self.params: dict[tuple[str, str], ev.Param] = {}
        self.weak_params: dict[tuple[str, str], ev.Param] = {}
        """Those that are set only where there is none."""
        self.tags: dict[tuple[str, str], str | None] = {}
        """None: to be deleted."""
        self.weak_tags: dict[tuple[str, str], str | None] = {}
        self.inputs: list[ev.DatasetLogged] = []
        self.fits: dict[str, ev.FitLogged] = {}
        self.trials: dict[tuple[str, int], tuple[ev.TrialInfo, str | None]] = {}
        self.models: dict[str, ev.ModelLogged] = {}
        self.model_changes: list[ev.ModelChanged] = []
        self.registered: dict[tuple[str, str], ev.ModelRegistered] = {}
        """By name and model id."""
        self.artifacts: dict[tuple[str, str], ev.ArtifactLogged] = {}
        for event in events:
            # Most events are points of a curve that is known already: no call for these, nor an object that the
            # garbage collector would look at.
            if event.__class__ is ev.MetricLogged:
                points = self.points.get((event.run_id, event.key))
                if points is not None:
                    steps, times, values = points
                    steps.append(event.step)
                    times.append(event.time)
                    values.append(event.value)
                    continue
            handler = self._HANDLERS.get(type(event))
            if handler is not None:
                handler(self, event)

    def _run(self, run_id: str, time: int = 0) -> RunChange:
        change = self.runs.get(run_id)
        if change is None:
            change = self.runs[run_id] = RunChange()
        if time and not change.first_time:
            change.first_time = time
        return change

    def _key(self, run_id: str, kind: str, key: str) -> str:
        if len(key) <= schema.KEY_LENGTH:
            return clip(key)
        reason = f"a {kind} key of {len(key)} characters was clipped ({key[:40]}{_MARK})"
        self._run(run_id).degraded.append(reason)
        return clip(key)

    def _on_metric(self, event: ev.MetricLogged) -> None:
        self._series(event.run_id, event.key, event.time).add(event.step, event.time, event.value)

    def _series(self, run_id: str, key: str, time: int) -> Points:
        self._run(run_id, time)
        return self.points.setdefault((run_id, self._key(run_id, "metric", key)), Points([], [], []))

    def _on_metrics(self, event: ev.MetricsLogged) -> None:
        for key, value in event.metrics.items():
            self._series(event.run_id, key, event.time).add(event.step, event.time, value)

    def _on_curve(self, event: ev.CurveLogged) -> None:
        points = self._series(event.run_id, event.key, event.times[0] if event.times else 0)
        count = min(len(event.steps), len(event.times), len(event.values))
        points.steps.extend(event.steps[:count])
        points.times.extend(event.times[:count])
        points.values.extend(event.values[:count])

    def _on_params(self, event: ev.ParamsLogged) -> None:
        self._run(event.run_id)
        for param in event.params:
            place = event.run_id, self._key(event.run_id, "parameter", param.key)
            if event.weak:
                self.weak_params.setdefault(place, param)
            else:
                self.params[place] = param

    def _on_tags(self, event: ev.TagsSet) -> None:
        self._run(event.run_id)
        for key, value in event.tags.items():
            place = event.run_id, self._key(event.run_id, "tag", key)
            if event.weak:
                self.weak_tags.setdefault(place, value)
            else:
                self.tags[place] = value

    def _on_untag(self, event: ev.TagDeleted) -> None:
        self._run(event.run_id)
        self.tags[event.run_id, clip(event.key)] = None

    def _on_session(self, event: ev.SessionStarted) -> None:
        self.sessions[event.session_id] = event

    def _on_environment(self, event: ev.EnvironmentCaptured) -> None:
        self.sessions.setdefault(event.session_id, None)
        self.environments[event.session_id] = event

    def _on_started(self, event: ev.RunStarted) -> None:
        self.sessions.setdefault(event.session_id, None)
        change = self._run(event.run_id, event.time)
        change.started = event
        change.status = Status("RUNNING", event.time, opened=True, since=event.time)

    def _on_resumed(self, event: ev.RunResumed) -> None:
        self.sessions.setdefault(event.session_id, None)
        change = self._run(event.run_id, event.time)
        change.status = Status("RUNNING", event.time, opened=True, since=event.time)

    def _on_updated(self, event: ev.RunUpdated) -> None:
        change = self._run(event.run_id)
        change.name = event.name if event.name is not None else change.name
        change.description = event.description if event.description is not None else change.description

    def _on_ended(self, event: ev.RunEnded) -> None:
        change = self._run(event.run_id, event.time)
        before = change.status or Status("RUNNING", 0)
        change.status = Status(event.status, event.time, event.time, event.error, before.opened, before.since)

    def _on_rank(self, event: ev.RankJoined) -> None:
        change = self._run(event.run_id, event.time)
        change.joined = change.joined or event
        self.tags[event.run_id, rank_tags.COUNT_TAG] = str(event.size)
        self.tags[event.run_id, rank_tags.facts_tag(event.rank)] = as_json(event.facts)
        self.tags[event.run_id, rank_tags.open_tag(event.rank)] = event.journal_id

    def _on_rank_ended(self, event: ev.RankEnded) -> None:
        self._run(event.run_id, event.time).rank_ends.append(event)
        self.tags[event.run_id, rank_tags.status_tag(event.rank)] = event.status
        self.tags[event.run_id, rank_tags.open_tag(event.rank)] = None
        self.tags[event.run_id, rank_tags.gone_tag(event.rank)] = None
        if event.error is not None:
            self.tags[event.run_id, rank_tags.error_tag(event.rank)] = rank_tags.summary_of(event.error)

    def _on_rank_gone(self, event: ev.RankGone) -> None:
        self._run(event.run_id, event.time or 0)
        self.tags[event.run_id, rank_tags.gone_tag(event.rank)] = None if event.time is None else str(event.time)

    def _on_degraded(self, event: ev.RunDegraded) -> None:
        self._run(event.run_id).degraded.append(event.reason)

    def _on_dataset(self, event: ev.DatasetLogged) -> None:
        self._run(event.run_id)
        self.inputs.append(event)

    def _on_fit(self, event: ev.FitLogged) -> None:
        self.sessions.setdefault(event.session_id, None)
        if event.run_id is not None:
            self._run(event.run_id, event.time)
        self.fits[event.fit_id] = event

    def _on_trials(self, event: ev.TrialsLogged) -> None:
        self._run(event.run_id)
        for trial in event.trials:
            self.trials[event.run_id, trial.number] = (trial, event.fit_id)

    def _on_model(self, event: ev.ModelLogged) -> None:
        self._run(event.run_id, event.time)
        self.models[event.model_id] = event

    def _on_model_changed(self, event: ev.ModelChanged) -> None:
        self.model_changes.append(event)

    def _on_registered(self, event: ev.ModelRegistered) -> None:
        # The run may be in another store.
        self.registered[event.name, event.model_id] = event

    def _on_artifact(self, event: ev.ArtifactLogged) -> None:
        self._run(event.run_id, event.time)
        self.artifacts[event.run_id, clip(event.path)] = event

    _HANDLERS: ClassVar[dict[type, Callable[[Batch, Any], None]]] = {
        ev.SessionStarted: _on_session,
        ev.EnvironmentCaptured: _on_environment,
        ev.RunStarted: _on_started,
        ev.RunResumed: _on_resumed,
        ev.RunUpdated: _on_updated,
        ev.RunEnded: _on_ended,
        ev.RankJoined: _on_rank,
        ev.RankEnded: _on_rank_ended,
        ev.RankGone: _on_rank_gone,
        ev.RunDegraded: _on_degraded,
        ev.ParamsLogged: _on_params,
        ev.MetricLogged: _on_metric,
        ev.MetricsLogged: _on_metrics,
        ev.CurveLogged: _on_curve,
        ev.TagsSet: _on_tags,
        ev.TagDeleted: _on_untag,
        ev.DatasetLogged: _on_dataset,
        ev.FitLogged: _on_fit,
        ev.TrialsLogged: _on_trials,
        ev.ModelLogged: _on_model,
        ev.ModelRegistered: _on_registered,
        ev.ModelChanged: _on_model_changed,
        ev.ArtifactLogged: _on_artifact,
    }
    """What folds which event; a journal's first and last line are no business of the tables."""
