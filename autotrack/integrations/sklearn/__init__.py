"""scikit-learn.

Hooked: `fit`, `fit_transform`, `fit_predict`, `partial_fit`, `predict*`, `decision_function` and `score` of every
`BaseEstimator`, where each method is defined, for classes that exist and for those to come; the cross-validation
functions of `sklearn.model_selection`; the metric functions of `sklearn.metrics`; the way in which scikit-learn hands
work to joblib; how cloudpickle brings back a class.

Recorded: parameters, dataset, fit time, failure; trials of searches and cross-validations; training metrics and the
data of their figures, computed behind the training; the model; metrics computed after the fit, by model. What
`train_test_split` and transformers make of data came from where that came from.

Deliberately not: nested fits (pipeline steps, candidates, folds), fits that a library makes on its own behalf,
transformers fitted on their own (they are listed as preparation steps), anything inside worker processes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from types import ModuleType
from typing import Any

from autotrack import origin
from autotrack.hooks import guard
from autotrack.hooks.patching import Call, Patcher
from autotrack.integrations.options import IntegrationConfig
from autotrack.integrations.sklearn import crossval, estimators, parallel, recording, stepwise
from autotrack.origin import attribute_of
from autotrack.tracking import fit_data as data
from autotrack.tracking import lineage, posthoc, scope, training
from autotrack.tracking.run import RunWriter

Handler = Generator[Any, Any, None]

FIT_METHODS = ("fit", "fit_transform", "fit_predict")
PREDICT_METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")

FOLD_FUNCTIONS = ("cross_validate", "cross_val_score", "cross_val_predict")
CURVE_FUNCTIONS = ("learning_curve", "validation_curve", "permutation_test_score")

CLOUDPICKLES = (
    "cloudpickle.cloudpickle", "joblib.externals.cloudpickle.cloudpickle", "ray.cloudpickle.cloudpickle",
)  # fmt: skip
"""cloudpickle, and the copies of it that others bring along."""

_TARGET_NAMES = ("y_true", "labels_true")
"""First parameter of the metric functions that compare a target with predictions."""


def instrument(patcher: Patcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    hooks = Hooks(patcher, configuration)
    patcher.on_revert(hooks.forget)
    # Not by an import: another thread may hold the import lock of `sklearn` and wait for the registry's.
    base: Any = sys.modules["sklearn.base"]
    patcher.method(base.BaseEstimator, "__init_subclass__", hooks.on_new_class)
    for existing in _subclasses(base.BaseEstimator):
        hooks.instrument_class(existing)
    patcher.when_imported("sklearn.metrics", hooks.instrument_metrics)
    patcher.when_imported("sklearn.model_selection", hooks.instrument_cross_validation)
    patcher.when_imported("sklearn.utils._set_output", hooks.instrument_transforming)
    patcher.when_imported("sklearn.utils.parallel", lambda module: parallel.instrument(patcher, module))
    for name in CLOUDPICKLES:
        patcher.when_imported(name, hooks.instrument_unpickling)


def _subclasses(root: type) -> list[type]:
    # By id: a metaclass of the user's may forbid to compare or to hash its classes.
    found: dict[int, type] = {}
    waiting = [root]
    while waiting:
        below: list[type] = type.__subclasses__(waiting.pop())
        new = {id(cls): cls for cls in below if id(cls) not in found}
        found.update(new)
        waiting.extend(new.values())
    return list(found.values())


def _is_users(module: ModuleType) -> bool:
    return not origin.is_library_module(module.__name__)


class Hooks:
    """The handlers, and what they share: links from models to runs, models that are trained step by step.

    None is asked inside of a training call, or where recording is switched off: `unless=scope.silenced`.
    """

    def __init__(self, patcher: Patcher, configuration: Callable[[], IntegrationConfig]) -> None:
        self._patcher = patcher
        self._configuration = configuration
        self._links = posthoc.links
        self._stepwise = stepwise.Stepwise(self._links)

    def forget(self) -> None:
        """The patches are taken off."""
        self._stepwise.clear()
        self._links.forget(recording.NAME)

    def instrument_class(self, cls: type) -> None:
        """Patch the methods of an estimator class, each where it is defined."""
        for name in FIT_METHODS:
            self._method(cls, name, self.on_fit)
        self._method(cls, "partial_fit", self.on_partial_fit)
        for name in PREDICT_METHODS:
            self._method(cls, name, self.on_predict)
        self._method(cls, "score", self.on_score)

    def _method(self, cls: type, name: str, handler: Callable[[Call], Handler]) -> None:
        """Patch what is called on an estimator: no classmethod, and no property, whose reading is no call of it."""
        raw = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
        if raw is not None and not isinstance(raw, (property, classmethod, staticmethod)):
            self._patcher.method(cls, name, handler, unless=scope.silenced)

    def instrument_metrics(self, module: ModuleType) -> None:
        """Patch the metric functions, at their public names and where the program imported them already."""
        for name in module.__all__:
            function = getattr(module, name, None)
            if _first_parameter(function) in _TARGET_NAMES:
                self._patcher.function(module, name, self.on_metric, unless=scope.silenced, rebind_in=_is_users)

    def instrument_cross_validation(self, module: ModuleType) -> None:
        """Patch the cross-validation functions, in the same way."""
        for name in (*FOLD_FUNCTIONS, *CURVE_FUNCTIONS):
            self._patcher.function(module, name, self.on_cross_validation, unless=scope.silenced, rebind_in=_is_users)
        self._patcher.tap(module, "train_test_split", on_split, watch=lineage.marks, rebind_in=_is_users)

    def instrument_transforming(self, module: ModuleType) -> None:
        """Patch what every `transform` comes through."""
        self._patcher.tap(module, "_wrap_data_with_container", on_transformed, watch=lineage.marks)

    def instrument_unpickling(self, module: ModuleType) -> None:
        """Patch what fills a class in that came by value: as it is defined it has no methods yet, and where the class
        is here already, they are replaced.
        """
        self._patcher.tap(module, "_class_setstate", self.on_class_filled_in)

    def on_class_filled_in(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A class of the main program or of a notebook has been unpickled, here or in a worker process."""
        del result, kwargs
        if args and isinstance(args[0], type) and issubclass(args[0], sys.modules["sklearn.base"].BaseEstimator):
            self.instrument_class(args[0])

    def on_new_class(self, call: Call) -> Handler:
        """A class derived from `BaseEstimator` has been defined."""
        yield
        cls = call.instance
        if isinstance(cls, type) and issubclass(cls, sys.modules["sklearn.base"].BaseEstimator):
            self.instrument_class(cls)

    def on_fit(self, call: Call) -> Handler:
        """`fit`, `fit_transform` and `fit_predict` of any estimator."""
        options = self._configuration()
        estimator = call.instance
        frame = origin.calling_frame(call.caller())
        session = training.begin(_call_of(estimator, call.name, options), frame, _tags_of(estimator, options))
        if session is None:
            del frame
            yield
            return
        before = recording.before_fit(estimator, session, data.arguments_of(call.args, call.kwargs), frame, options)
        del frame
        with session:
            result = yield
        if session.run is not None and not session.is_elsewhere():
            self._link(estimator, session.run)
            recording.after_fit(estimator, session, before, options)
            if call.name == "fit_predict":
                self._remember(estimator, result, before.name)

    def _link(self, estimator: Any, run: RunWriter) -> None:
        """The run is that of an estimator, and of the best candidate inside a search."""
        self._links.link(estimator, run, recording.NAME)
        best = attribute_of(estimator, "best_estimator_")
        if best is not None:
            self._links.link(best, run, recording.NAME)

    def on_partial_fit(self, call: Call) -> Handler:
        """`partial_fit`: all calls on one model are one run."""
        model = call.instance
        arguments = data.arguments_of(call.args, call.kwargs)
        rows = data.rows_of(arguments[0]) or 0
        steps = self._stepwise.of(model)
        if steps is not None:
            del arguments
            with steps.step():
                yield
        else:
            options = self._configuration()
            frame = origin.calling_frame(call.caller())
            session = training.begin(_call_of(model, call.name, options), frame, _tags_of(model, options))
            if session is None:
                yield
                return
            before = recording.before_fit(model, session, arguments, frame, options)
            del frame, arguments
            steps = self._stepwise.start(model, session, options, before)
            with session:
                yield
        self._stepwise.done(model, steps, rows)

    def on_predict(self, call: Call) -> Handler:
        """Predictions of a model that was fitted here: remember whose they are."""
        fitted = self._links.fitted(call.instance)
        if fitted is None:
            yield
            return
        name = data.name_of(call.caller(), call.args[0] if call.args else None, "unknown_dataset")
        result = yield
        self._links.remember(result, fitted, name, call.caller())
        self._stepwise.evaluated(call.instance)

    def _remember(self, estimator: Any, result: Any, name: str) -> None:
        fitted = self._links.fitted(estimator)
        if fitted is not None:
            self._links.remember(result, fitted, name)

    def on_score(self, call: Call) -> Handler:
        """`model.score(X, y)`: a metric of that model; what it computes inside is none."""
        fitted = self._links.fitted(call.instance)
        if fitted is None:
            yield
            return
        name = data.name_of(call.caller(), call.args[0] if call.args else None, "unknown_dataset")
        with scope.off():
            result = yield
        if self._configuration().log_post_training_metrics:
            self._links.log(fitted.run, f"{fitted.name}_score_{name}", result)
        self._stepwise.evaluated(call.instance)

    def on_metric(self, call: Call) -> Handler:
        """A metric function of `sklearn.metrics` that the program called."""
        result = yield
        values = *call.args[:2], *call.kwargs.values()
        source = self._links.source_of(values, _predictions_among(call.args, call.kwargs), call.caller())
        if source is not None and self._configuration().log_post_training_metrics:
            self._links.log(source.fitted.run, f"{call.name}_{source.data}", result)

    def on_cross_validation(self, call: Call) -> Handler:
        """`cross_validate` and its like: one run with a trials table."""
        options = self._configuration()
        frame = origin.calling_frame(call.caller())
        request = crossval.request_of(call)
        if request is None:
            yield
            return
        tags = _tags_of(request.estimator, options) | {"cross_validation": call.name}
        session = training.begin(
            training.Call(
                integration=recording.NAME,
                kind="cross_validation",
                estimator=f"{call.name} {estimators.class_name_of(request.estimator)}",
                qualified=estimators.qualified_name_of(request.estimator),
                method=call.name,
                exclusive=options.exclusive,
            ),
            frame,
            tags,
        )
        if session is None:
            yield
            return
        arguments = (request.data, request.target, None)
        before = recording.before_fit(request.estimator, session, arguments, frame, options, position=1)
        del frame
        with session:
            result = yield
        if session.is_elsewhere():
            return
        guard.call(guard.health(recording.NAME), call.name, crossval.record, request, result, session, before, options)
        if call.name == "cross_val_predict" and session.run is not None:
            fitted = posthoc.Fitted(session.run, estimators.class_name_of(request.estimator), recording.NAME)
            self._links.remember(result, fitted, before.name)


def on_split(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`train_test_split`: two parts of each of its arguments."""
    for place, made in enumerate(result):
        if lineage.of(made) is None:
            lineage.follow(made, args[place // 2 : place // 2 + 1])


def on_transformed(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A transformer made something of its input, the third argument."""
    if lineage.of(result) is None:
        lineage.follow(result, args[2:3])


def _predictions_among(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a metric function was given as predictions."""
    return (
        args[1] if len(args) > 1 else next((kwargs[name] for name in posthoc.PREDICTION_NAMES if name in kwargs), None)
    )


def _first_parameter(function: Any) -> str:
    code = getattr(getattr(function, "__wrapped__", function), "__code__", None)
    return code.co_varnames[0] if code is not None and code.co_argcount else ""


def _call_of(estimator: Any, method: str, options: IntegrationConfig) -> training.Call:
    kind: training.Kind = "fit"
    if estimators.is_search(estimator):
        kind = "search"
    elif not options.log_transformers and estimators.is_preparation(estimator):
        kind = "preparation"
    return training.Call(
        integration=recording.NAME,
        kind=kind,
        estimator=estimators.class_name_of(estimator),
        qualified=estimators.qualified_name_of(estimator),
        method=method,
        exclusive=options.exclusive,
    )


def _tags_of(estimator: Any, options: IntegrationConfig) -> dict[str, str]:
    return {"autotrack.integration": recording.NAME, **estimators.tags_of(estimator), **options.extra_tags}
