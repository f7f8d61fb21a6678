"""Lightning: `lightning.pytorch`, and the older distribution `pytorch_lightning`.

Hooked: `fit`, `validate`, `test` and `predict` of `Trainer`; the one place that hands logged metrics to Lightning's
loggers; the moment at which all is set up; how processes of its own are launched. No callback and no logger is added,
so that the program's lists of them stay as they are, and so do the checkpoints that Lightning writes.

Recorded: hyper-parameters, parameters of trainer, model, optimizers and schedulers; every metric that `self.log` got,
at the steps at which Lightning logs it, with the epoch, whether there is a logger or not; learning rates as they
change; checkpoints with score, size and hash; whether training stopped early; training data that is a `TensorDataset`;
the model at the end; failure. `validate` and `test` go to the run of the model's (or else the trainer's) fit, and have
a run of their own where there was none. The ranks of a job are one run, which rank zero writes.

Deliberately not: the sanity check, the trials of a `Tuner` or of the callbacks that look for a learning rate or a batch
size, `predict`, and what a program gives to a logger by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any
from weakref import WeakSet

from autotrack import origin
from autotrack.hooks import guard
from autotrack.hooks.calls import charge_to
from autotrack.hooks.patching import Call, Patcher
from autotrack.integrations.lightning import ranks, recording
from autotrack.integrations.lightning.recording import Recording, live
from autotrack.integrations.options import IntegrationConfig
from autotrack.tracking import scope, training

Handler = Generator[Any, Any, None]

PACKAGES = {"lightning": "lightning.pytorch", "pytorch_lightning": "pytorch_lightning"}
"""Where an integration's framework is."""

_CALLERS = ("lightning", "pytorch_lightning", "jsonargparse", "torch")
"""Packages that call a trainer on the program's behalf: Lightning's command line is one."""


def instrument(patcher: Patcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    hooks = Hooks(patcher.integration, configuration)
    root = PACKAGES[patcher.integration]
    patcher.on_revert(recording.forget)
    package: Any = sys.modules[root]
    for name in ("fit", "validate", "test", "predict"):
        patcher.method(package.Trainer, name, getattr(hooks, f"on_{name}"))
    connectors = f"{root}.trainer.connectors"
    logging: Any = sys.modules[f"{connectors}.logger_connector.logger_connector"]
    patcher.method(logging._LoggerConnector, "log_metrics", on_log)
    patcher.method(logging._LoggerConnector, "update_eval_epoch_metrics", on_evaluated)
    checkpoints: Any = sys.modules[f"{connectors}.checkpoint_connector"]
    patcher.method(checkpoints._CheckpointConnector, "resume_end", on_ready)
    launchers: Any = sys.modules[f"{root}.strategies.launchers.multiprocessing"]
    patcher.method(launchers._MultiProcessingLauncher, "launch", ranks.on_launch)
    patcher.method(launchers._MultiProcessingLauncher, "_wrapping_function", ranks.on_process)
    patcher.method(package.callbacks.LearningRateFinder, "lr_find", on_trial)
    patcher.method(package.callbacks.BatchSizeFinder, "scale_batch_size", on_trial)
    patcher.when_imported(f"{root}.tuner.tuning", lambda module: _instrument_tuner(patcher, module))


def _instrument_tuner(patcher: Patcher, module: Any) -> None:
    for name in ("lr_find", "scale_batch_size"):
        patcher.method(module.Tuner, name, on_tuner)


@contextmanager
def _silence() -> Iterator[None]:
    """Record nothing of what is trained inside, by whatever means."""
    frame = scope.Frame("training", None)
    scope.push(frame)
    try:
        yield
    finally:
        scope.pop(frame)


def _program_frame(frame: FrameType | None) -> FrameType | None:
    """The frame that a call belongs to."""
    frame = origin.calling_frame(frame)
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in _CALLERS:
        frame = origin.calling_frame(frame.f_back)
    return frame


def on_tuner(call: Call) -> Handler:
    """`Tuner.lr_find` and `scale_batch_size`: trainings that are thrown away."""
    del call
    with _silence():
        yield


def on_trial(call: Call) -> Handler:
    """A callback of a trainer tries learning rates or batch sizes before, or between, the training itself."""
    trainer = call.args[0] if call.args else call.kwargs.get("trainer")
    found = None if trainer is None else live.get(trainer)
    if found is None:
        yield
        return
    found.paused = True
    try:
        yield
    finally:
        found.paused = False


def on_ready(call: Call) -> Handler:
    """All is set up and restored; what remains is to train."""
    yield
    found = live.get(call.instance.trainer)
    if found is not None and not found.paused and ranks.is_first(found.trainer):
        found.log_setup()


def on_log(call: Call) -> Handler:
    """Metrics go to Lightning's loggers, of which there may be none."""
    found = live.get(call.instance.trainer)
    if found is not None and ranks.is_first(found.trainer):
        charge_to(found.run.cost)
        metrics = call.args[0] if call.args else call.kwargs.get("metrics")
        found.curves.on_log(
            call.instance, metrics or {}, call.args[1] if len(call.args) > 1 else call.kwargs.get("step")
        )
    yield


def on_evaluated(call: Call) -> Handler:
    """One data loader of a validation or test has been gone through, or all have been."""
    yield
    found = live.get(call.instance.trainer)
    if found is not None and ranks.is_first(found.trainer):
        charge_to(found.run.cost)
        found.curves.on_evaluated(call.instance)


class Hooks:
    """The handlers of what a program calls."""

    def __init__(self, name: str, configuration: Callable[[], IntegrationConfig]) -> None:
        self._name = name
        self._attended: WeakSet[Any] = WeakSet()
        """Modules that this process, which is not rank zero, trained along with the others."""
        self._configuration = configuration

    def on_fit(self, call: Call) -> Handler:
        """`Trainer.fit`: a run."""
        if training.is_nested():
            yield
            return
        options = self._configuration()
        session = self._begin(call, "fit", options)
        if session is None or session.run is None:
            with _silence():
                yield
            return
        found = Recording(self._name, call.instance, _module_of(call), session.run, session.number, options)
        guard.call(found.health, "parameters", found.begin_fit, call)
        with session:
            yield from self._watched(found, session)
        if not session.is_elsewhere():
            recording.after_fit(found, session)

    def on_validate(self, call: Call) -> Handler:
        """`Trainer.validate`."""
        yield from self._evaluated(call, "validate")

    def on_test(self, call: Call) -> Handler:
        """`Trainer.test`."""
        yield from self._evaluated(call, "test")

    def on_predict(self, call: Call) -> Handler:
        """`Trainer.predict`: nothing is recorded."""
        del call
        with _silence():
            yield

    def _evaluated(self, call: Call, method: str) -> Handler:
        if training.is_nested():
            yield
            return
        options = self._configuration()
        module = _module_of(call)
        past = recording.run_of(module, call.instance)
        session = self._begin(call, method, options, past)
        if session is None or session.run is None:
            with _silence():
                yield
            return
        found = Recording(self._name, call.instance, module, session.run, session.number, options)
        if session.run is past:
            found.curves.prefix = method
        else:
            guard.call(found.health, "parameters", found.log_params, call)
        with session:
            yield from self._watched(found, session)

    def _watched(self, found: Recording, session: training.Training) -> Handler:
        """The call itself."""
        live[found.trainer] = found
        try:
            yield
        except BaseException as error:
            session.interrupted = recording.was_interrupted(found.trainer, error)
            raise
        else:
            session.interrupted = bool(getattr(found.trainer, "interrupted", False))
        finally:
            live.pop(found.trainer, None)
            if not session.is_elsewhere():
                guard.call(found.health, "the end of a call", found.finish)

    def _begin(self, call: Call, method: str, options: IntegrationConfig, past: Any = None) -> training.Training | None:
        """The session of a call; an evaluation goes on with the run of the fit before it."""
        module = _module_of(call)
        kind = type(module)
        what = training.Call(
            integration=self._name,
            kind="fit" if method == "fit" else "evaluation",
            estimator=kind.__name__,
            qualified=f"{kind.__module__}.{kind.__qualname__}",
            method=method,
            exclusive=options.exclusive,
        )
        frame = _program_frame(call.caller())
        if not ranks.is_first(call.instance):
            if module is not None and (method == "fit" or module not in self._attended):
                training.attend(what, frame, ranks.device_of(call.instance))
                self._attended.add(module)
            return None
        if past is not None and scope.explicit_run() is None:
            return training.Training(what, past, False, frame)
        return training.begin(what, frame, {"autotrack.integration": self._name, **options.extra_tags})


def _module_of(call: Call) -> Any:
    """The module that a trainer is called with, or has been called with before."""
    given = call.args[0] if call.args else call.kwargs.get("model")
    given = getattr(given, "_orig_mod", given)  # compiled
    return given if given is not None else call.instance.lightning_module
