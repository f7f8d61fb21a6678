"""LightGBM.

Hooked: `lightgbm.train` and `lightgbm.cv`, where the program imported them too; the `train` that LightGBM's estimators
call; how a `Dataset` is made and binned; the text that a training makes its model of; `Booster.predict`; what the Dask
estimators call. A callback in front of a copy of the program's list reads the metrics.

Recorded: parameters under LightGBM's main names; the curve of every metric on every valid set while training runs; the
best iteration and its scores, and whether training stopped early; datasets as they were given; importances by split
and gain; the model in LightGBM's own form; failure; which run a booster's predictions belong to, for scikit-learn's
metrics of them. `cv` is one run: curves of mean and standard deviation, and a trial a fold. The fit of an
`LGBMClassifier` and its like is scikit-learn's affair, alone or as the end of a pipeline: the engine's call inside it
adds curves, importances and valid sets to that run. A search has those of its last fit, the one on all data. That of a
Dask estimator is the same, with the curves that came back from the workers, and what is known of its data without
computing it.

Deliberately not: training inside a search's candidates, a cross-validation's folds and other ensembles; what Dask's
workers do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextvars import ContextVar
from types import FrameType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from autotrack import origin
from autotrack.hooks import guard
from autotrack.hooks.patching import Call, Patcher, Replace
from autotrack.integrations.lightgbm import dask, data, folds, recording
from autotrack.integrations.lightgbm.curves import NAME, Curves
from autotrack.integrations.lightgbm.params import with_callback
from autotrack.integrations.options import IntegrationConfig
from autotrack.tracking import posthoc, scope, training
from autotrack.tracking.behind import suffix_of
from autotrack.tracking.run import RunWriter

Handler = Generator[Any, Any, None]

_CARRIERS = ("sklearn.base", "sklearn.compose._target", "sklearn.model_selection._search", "sklearn.pipeline")
"""Modules that fit an estimator as the one that a pipeline or a search comes down to."""

_OURS = frozenset({"autotrack", "lightgbm", "wrapt"})


def instrument(patcher: Patcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    hooks = Hooks(configuration)
    patcher.on_revert(hooks.forget)
    package: Any = sys.modules["lightgbm"]
    patcher.method(package.Dataset, "__init__", hooks.on_dataset)
    patcher.method(package.Dataset, "construct", hooks.on_construct)
    patcher.function(package, "train", hooks.on_train, rebind_in=_is_users)
    patcher.function(package, "cv", hooks.on_cv, unless=scope.silenced, rebind_in=_is_users)
    patcher.method(package.Booster, "model_from_string", hooks.on_model_text)
    patcher.method(package.Booster, "predict", hooks.on_predict, unless=scope.silenced)
    patcher.function(package.engine, "_agg_cv_result", hooks.on_round)
    patcher.when_imported("lightgbm.sklearn", lambda module: hooks.instrument_estimators(patcher, module))
    patcher.when_imported("lightgbm.dask", lambda module: hooks.instrument_dask(patcher, module))


def _is_users(module: ModuleType) -> bool:
    return not origin.is_library_module(module.__name__)


def _is_direct(frame: FrameType | None) -> bool:
    """Whether a call inside a training call is what that comes down to: no candidate's, fold's or ensemble's member."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        root = name.partition(".")[0]
        if root not in _OURS and name not in _CARRIERS and root not in sys.stdlib_module_names:
            return origin.is_users(frame)
        frame = frame.f_back
    return True


def _call_of(kind: training.Kind, method: str, options: IntegrationConfig) -> training.Call:
    return training.Call(
        integration=NAME,
        kind=kind,
        estimator=f"lightgbm.{method}",
        qualified=f"lightgbm.engine.{method}",
        method=method,
        exclusive=options.exclusive,
    )


def _tags_of(options: IntegrationConfig) -> dict[str, str]:
    return {"autotrack.integration": NAME, **options.extra_tags}


def _run_inside() -> RunWriter | None:
    """The run of the recorded training call that this is inside of."""
    frames = scope.stack()
    return frames[-1].run if frames and frames[-1].kind == "training" and not scope.is_off() else None


def _asks_else(call: Call) -> bool:
    """Whether a call of `predict` is for leaves or contributions of features."""
    return bool(any(call.args[4:6]) or call.kwargs.get("pred_leaf") or call.kwargs.get("pred_contrib"))


def on_dask_part(call: Call) -> Handler:
    """A worker of a Dask cluster, be it a process or a thread of this one, trains on its part: nothing of it counts."""
    del call
    with scope.off():
        yield


class Hooks:
    """The handlers, and what they share: what is known of datasets, and the cross-validation in progress."""

    def __init__(self, configuration: Callable[[], IntegrationConfig]) -> None:
        self._configuration = configuration
        self._datasets = data.Datasets()
        self._folds: ContextVar[folds.Folds | None] = ContextVar("autotrack_lightgbm_folds", default=None)
        self._training: ContextVar[recording.Given | None] = ContextVar("autotrack_lightgbm_training", default=None)
        self._inner: WeakKeyDictionary[RunWriter, int] = WeakKeyDictionary()

    def forget(self) -> None:
        """The patches are taken off."""
        self._datasets.clear()
        self._inner.clear()
        posthoc.links.forget(NAME)

    def instrument_estimators(self, patcher: Patcher, module: ModuleType) -> None:
        """Patch the name under which LightGBM's estimators know `train`."""
        patcher.function(module, "train", self.on_train)

    def instrument_dask(self, patcher: Patcher, module: ModuleType) -> None:
        """Patch what the Dask estimators call: here to train, and on each worker to train its part."""
        patcher.function(module, "_train", self.on_dask_train)
        patcher.function(module, "_train_part", on_dask_part)

    def on_dask_train(self, call: Call) -> Handler:
        """The fit of a Dask estimator, which has a run of scikit-learn's: curves and importances join it."""
        run = _run_inside()
        model = yield
        if run is not None:
            dask.record(run, model, self._configuration())

    def on_dataset(self, call: Call) -> Handler:
        """A `Dataset` is made."""
        yield
        if not scope.silenced():
            given = call.args[0] if call.args else call.kwargs.get("data")
            self._datasets.name(call.instance, given, data.program_frame(call.caller()))

    def on_construct(self, call: Call) -> Handler:
        """A `Dataset` may be binned, and its raw data let go."""
        if not scope.silenced() and call.instance._handle is None:
            self._datasets.remember(call.instance)
        yield

    def on_train(self, call: Call) -> Handler:
        """`lightgbm.train`, called by the program or by one of LightGBM's estimators."""
        if training.is_nested():
            yield from self._train_inside(call)
            return
        options = self._configuration()
        frame = data.program_frame(call.caller())
        session = training.begin(_call_of("fit", "train", options), frame, _tags_of(options))
        if session is None or session.run is None:
            yield
            return
        given = self._given(call, frame, session, options)
        del frame
        curves = Curves(session.run, suffix_of(session.number))
        self._training.set(given)
        with session:
            try:
                booster = yield from self._watched(call, curves, given)
            finally:
                self._training.set(None)
        if session.is_elsewhere():
            return
        posthoc.links.link(booster, session.run, NAME)
        if given is not None:
            recording.after_training(given, booster, session, curves, self._datasets, options)

    def _given(
        self, call: Call, frame: FrameType | None, session: training.Training | None, options: IntegrationConfig
    ) -> recording.Given | None:
        """What a call was given; its parameters are recorded, and its datasets described while their data is there."""
        health = guard.health(NAME)
        given = guard.call(health, "arguments", recording.given_by, call)
        if given is None:
            return None
        if session is not None:
            guard.call(health, "parameters", recording.log_params, given, session)
        if options.log_datasets or options.log_models:
            guard.call(health, "data", recording.remember, given, self._datasets, session is not None)
        given.variable = self._datasets.name_of(given.train_set) or data.variable_of(frame, given.train_set)
        return given

    def _watched(self, call: Call, curves: Curves, given: recording.Given | None) -> Generator[Any, Any, Any]:
        """The call itself, with the callback; as it was where its arguments do not fit."""
        arguments = None
        if given is not None:
            arguments = Replace(*with_callback(getattr(call.owner, call.name), call.args, call.kwargs, curves))
        try:
            return (yield arguments)
        finally:
            curves.finish()

    def _train_inside(self, call: Call) -> Handler:
        """A call inside a recorded training call, such as an estimator's `fit`: its curves go to that run."""
        options = self._configuration()
        run = _run_inside()
        if run is None or self._inner.get(run) == run.fits or not _is_direct(call.caller()):
            yield
            return
        given = self._given(call, None, None, options)
        self._inner[run] = run.fits
        curves = Curves(run, suffix_of(run.fits))
        booster = yield from self._watched(call, curves, given)
        posthoc.links.link(booster, run, NAME)
        if given is None:
            return
        recording.log_end(run, booster, curves, run.fits)
        work = recording.Behind(run, "", run.fits, options, importances=recording.importances_of(booster))
        recording.describe(work, given, self._datasets, train=False)
        recording.submit(work)

    def on_predict(self, call: Call) -> Handler:
        """Predictions of a booster that was trained here: remember whose they are."""
        fitted = posthoc.links.fitted(call.instance)
        if fitted is None:
            yield
            return
        result = yield
        if getattr(result, "size", 0) < 2 or not self._configuration().log_post_training_metrics:
            return  # no metric is computed of a single number, and such calls may come in a loop
        frame = call.caller()
        if not _asks_else(call) and (frame is None or frame.f_globals.get("__name__") != "lightgbm.sklearn"):
            rows = call.args[0] if call.args else call.kwargs.get("data")
            posthoc.links.remember(result, fitted, data.variable_of_rows(frame, rows), frame)

    def on_model_text(self, call: Call) -> Handler:
        """A booster becomes what a text says: so does that of a training at its end."""
        given = self._training.get()
        if given is not None:
            given.text = call.instance, call.args[0] if call.args else call.kwargs.get("model_str")
        yield

    def on_round(self, call: Call) -> Handler:
        """A round of `cv`: the scores of all folds."""
        found = self._folds.get()
        if found is not None:
            found.add(call.args[0] if call.args else next(iter(call.kwargs.values())))
        yield

    def on_cv(self, call: Call) -> Handler:
        """`lightgbm.cv`: one run, a trial a fold."""
        options = self._configuration()
        frame = data.program_frame(call.caller())
        tags = _tags_of(options) | {"cross_validation": "lightgbm.cv"}
        session = training.begin(_call_of("cross_validation", "cv", options), frame, tags)
        if session is None or session.run is None:
            yield
            return
        given = self._given(call, frame, session, options)
        del frame
        curves, found = Curves(session.run, suffix_of(session.number)), folds.Folds()
        self._folds.set(found)
        with session:
            try:
                result = yield from self._watched(call, curves, given)
            finally:
                self._folds.set(None)
        if given is not None and not session.is_elsewhere():
            recording.after_cv(given, result, session, curves, found, self._datasets, options)
