"""Optuna.

Hooked: `Study.optimize`, which gets one more callback; `Study.ask` and `Study.tell`; where it says that a trial failed.

Recorded: a call of `optimize` is one run. Its trials as they end: parameters, values, what was reported on the way,
state, start, duration, user attributes, why it failed; the values and the best one as metrics by trial; the study's
name, directions, sampler and pruner; the best parameters; the space that was searched. A study that is asked and told
is one run too, which lasts as long as the study. Trials that the study had before are in the runs of those calls.

Deliberately not: fits inside an objective are no runs; a study inside another's objective is none; other processes'
trials of the same study. Samplers are left alone: no seed is set, nothing is drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from functools import partial
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

from autotrack import origin
from autotrack.hooks import guard
from autotrack.hooks.patching import Call, Patcher, Replace
from autotrack.integrations.options import IntegrationConfig
from autotrack.integrations.optuna import trials
from autotrack.integrations.optuna.studies import NAME, AskAndTell, Callbacks, Recording
from autotrack.tracking import scope, training

Handler = Generator[Any, Any, None]

PARAMETERS = ("func", "n_trials", "timeout", "n_jobs", "catch", "callbacks", "gc_after_trial", "show_progress_bar")
"""Of `Study.optimize`, in their order."""

ON_BEHALF = ("optuna", "optuna_integration")
"""Packages that optimize on behalf of whoever called them."""

_health = guard.health(NAME)


def instrument(patcher: Patcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    optuna: Any = sys.modules["optuna"]
    hooks = Hooks(configuration)
    study = optuna.study.Study
    patcher.on_revert(hooks.forget)
    patcher.method(study, "optimize", hooks.on_optimize)
    patcher.method(study, "ask", hooks.on_ask)
    patcher.method(study, "tell", hooks.on_tell)
    loop = sys.modules.get("optuna.study._optimize")
    if loop is not None and hasattr(loop, "_log_failed_trial"):
        patcher.tap(loop, "_log_failed_trial", hooks.on_failed)


class Hooks:
    """The handlers, and the studies that are being recorded."""

    def __init__(self, configuration: Callable[[], IntegrationConfig]) -> None:
        self._configuration = configuration
        self._optimizing: dict[str, tuple[Any, Recording]] = {}
        """By id of the run, while `optimize` is in progress: the study too."""
        self._asked: WeakKeyDictionary[Any, AskAndTell] = WeakKeyDictionary()

    def forget(self) -> None:
        """The patches are taken off."""
        for told in list(self._asked.values()):
            guard.call(_health, "end", told.finish, "FINISHED", None)
        self._asked.clear()

    def on_optimize(self, call: Call) -> Handler:
        """`study.optimize(objective)`."""
        study = call.instance
        if training.is_nested():
            yield
            return
        recording = self._begin(study, "optimize", origin.caller_past(call.caller(), ON_BEHALF))
        if recording is None:
            yield
            return
        arguments = dict(zip(PARAMETERS, call.args, strict=False)) | call.kwargs
        guard.call(_health, "study", recording.begin, study, arguments)
        run_id = recording.run.run_id
        with recording.session:
            before = self._optimizing.get(run_id)
            self._optimizing[run_id] = study, recording
            try:
                yield _with_callback(call, partial(_told, recording))
            finally:
                if before is None:
                    del self._optimizing[run_id]
                else:
                    self._optimizing[run_id] = before
                recording.finish(study)

    def _begin(self, study: Any, method: str, frame: FrameType | None) -> Recording | None:
        options = self._configuration()
        call = training.Call(
            integration=NAME,
            kind="search",
            estimator=trials.name_of(study),
            qualified=f"{type(study).__module__}.{type(study).__qualname__}",
            method=method,
            exclusive=options.exclusive,
        )
        tags = {"autotrack.integration": NAME, "study_name": str(study.study_name), **options.extra_tags}
        session = training.begin(call, frame, tags)
        return None if session is None or session.run is None else Recording(study, session, session.run)

    def _current(self, study: Any = None) -> Recording | None:
        """The recording of the `optimize` that this context is in."""
        frames = scope.stack()
        run = frames[-1].run if frames and frames[-1].kind == "training" else None
        found = self._optimizing.get(run.run_id) if run is not None else None
        return found[1] if found is not None and (study is None or found[0] is study) else None

    def on_ask(self, call: Call) -> Handler:
        """`study.ask()`: the program's own, or that of `optimize`."""
        trial = yield
        study = call.instance
        if scope.silenced():
            recording = self._current(study)
            if recording is not None:
                recording.ask(trial)
        else:
            self._told_by_program(study, call)

    def on_tell(self, call: Call) -> Handler:
        """`study.tell(trial, values)`."""
        trial = yield
        study = call.instance
        if scope.silenced():
            return
        told = self._told_by_program(study, call)
        if told is not None:
            told.recording.add(trial)

    def _told_by_program(self, study: Any, call: Call) -> AskAndTell | None:
        """The recording of a study that is asked and told; it may begin now."""
        told = self._asked.get(study)
        if told is not None and not told.ended and not told.recording.session.is_elsewhere():
            return told
        frame = origin.calling_frame(call.caller())
        if frame is not None and _is_optunas(frame):  # an `optimize` that is not recorded
            return None
        recording = self._begin(study, "ask", frame)
        if recording is None:
            return None
        recording.begin(study, {})
        told = self._asked[study] = AskAndTell(study, recording)
        return told

    def on_failed(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Optuna says that a trial failed, and why."""
        recording = self._current()
        if recording is None or not args:
            return
        number = getattr(args[0], "number", args[0])
        message = kwargs.get("message", next((one for one in args[1:] if isinstance(one, (str, Warning))), ""))
        if isinstance(number, int):
            recording.errors[number] = str(message)


def _is_optunas(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in ON_BEHALF


def _told(recording: Recording, study: Any, trial: Any) -> None:
    """Our callback; what goes wrong in it is none of the study's business."""
    guard.call(_health, "trial", recording.add, trial)


def _with_callback(call: Call, ours: Callable[[Any, Any], None]) -> Replace:
    """The call's arguments, with one more callback."""
    place = PARAMETERS.index("callbacks")
    if len(call.args) > place:
        theirs = call.args[place]
        return Replace((*call.args[:place], Callbacks(ours, theirs), *call.args[place + 1 :]), call.kwargs)
    return Replace(call.args, {**call.kwargs, "callbacks": Callbacks(ours, call.kwargs.get("callbacks"))})
