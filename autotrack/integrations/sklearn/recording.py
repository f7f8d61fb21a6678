"""What is recorded of a fit: read on the training thread, the rest done behind it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import msgspec

from autotrack import clock, config, events
from autotrack.errors import ModelFormatError
from autotrack.hooks import guard
from autotrack.integrations.options import IntegrationConfig
from autotrack.integrations.sklearn import estimators, metrics, trials
from autotrack.models.clusters import local_form
from autotrack.models.snapshot import NoSnapshot, Snapshot, take_snapshot
from autotrack.models.trees import restore_to_predict
from autotrack.origin import attribute_of, is_library_type
from autotrack.tracking import behind, outputs
from autotrack.tracking import fit_data as data
from autotrack.tracking.run import RunWriter
from autotrack.tracking.training import Training
from autotrack.tracking.values import safe_number

NAME = "sklearn"


class Before(msgspec.Struct, frozen=True):
    """What was read off a fit before it began."""

    data: data.FitData | None
    secret: list[str] = []
    """Names of parameters that hold a secret."""

    @property
    def name(self) -> str:
        """The caller's name for the data."""
        return self.data.name if self.data is not None else "unknown_dataset"


def before_fit(
    estimator: Any,
    training: Training,
    arguments: Any,
    frame: FrameType | None,
    options: IntegrationConfig,
    position: int = 0,
) -> Before:
    """Record what is to be known of a fit before it begins; whatever fails in it, the fit goes on and is recorded.

    Args:
        estimator: What is fitted.
        training: Its training call.
        arguments: Data, target and sample weights.
        frame: The caller's.
        options: The integration's configuration.
        position: Position of the data among the call's arguments.
    """
    health = guard.health(NAME)
    return guard.call(
        health, "before the fit", _read_before, estimator, training, arguments, frame, options, position
    ) or (Before(None))


def _read_before(
    estimator: Any,
    training: Training,
    arguments: Any,
    frame: FrameType | None,
    options: IntegrationConfig,
    position: int,
) -> Before:
    """Record the parameters, and keep what the fit may overwrite."""
    run = training.run
    health = guard.health(NAME)
    secret: list[str] = []
    if run is not None:
        params, why = guard.call(health, "parameters", estimators.params_of, estimator) or ({}, "")
        if why:
            run.degrade(f"get_params of {estimators.class_name_of(estimator)} fails: {why}")
        if params:
            secret = run.log_fit_params(params, estimators.class_name_of(estimator), training.number)
    wanted = options.log_datasets or options.log_models or options.log_training_metrics != "none"
    if run is None or not wanted:
        return Before(None, secret)
    limit = config.settings().max_sample_size
    return Before(guard.call(health, "data", data.fit_data_of, arguments, frame, limit, position), secret)


def after_fit(estimator: Any, training: Training, before: Before, options: IntegrationConfig) -> None:
    """Record what a fit that went well left behind."""
    run = training.run
    if run is None:
        return
    no_model = _no_model(run, before) if options.log_models else behind.off("log_models")
    if options.log_models and no_model:
        run.degrade(no_model)
        options = msgspec.structs.replace(options, log_models=False)
    snapshot: Snapshot | NoSnapshot | None = None
    # Of a class of the user's no metrics are computed unasked: only for them it need not be pickled.
    metrics_of = "library" if is_library_type(type(estimator)) else "all"
    if options.log_models or options.log_training_metrics in ("all", metrics_of):
        snapshot = _snapshot_of(estimator)
    results = attribute_of(estimator, "cv_results_")
    work = Behind(
        run=run,
        fit_id=training.fit_id,
        step=training.number - 1,
        options=options,
        no_model=no_model,
        data=before.data,
        snapshot=snapshot if isinstance(snapshot, Snapshot) else None,
        results=dict(results) if type(results) is dict else None,
        refit=attribute_of(estimator, "refit", True),
        score=_score_of(estimator),
    )
    run.log_fit_params(trials.best_params_of(estimator), estimators.class_name_of(estimator), training.number)
    numbers = {**trials.search_metrics_of(estimator), **estimators.fitted_numbers_of(estimator)}
    run.log_safe_metrics(numbers, work.step)
    if isinstance(snapshot, NoSnapshot):
        if options.log_models:
            run.degrade(f"the model is not recorded: {snapshot.reason}")
        work.skip("training_metrics", f"no copy of the model to compute them with: {snapshot.reason}")
    size = (before.data.nbytes if before.data is not None else 0) + (work.snapshot.size if work.snapshot else 0)
    behind.submit(run, partial(do_behind, work), size, "model, training metrics and dataset")


def _no_model(run: RunWriter, before: Before) -> str:
    """Why the model of a fit is left out; empty where nothing speaks against it.

    Of thousands of fits that take less time than their recording the metrics are what one wants, and a model takes
    longest: where the worker is far behind it is left out, before all of a fit has to be.
    """
    if before.secret:
        return f"the model is not recorded: it holds a secret, its parameter {before.secret[0]}"
    return behind.MODEL_IS_LATE if run.recorder.worker.is_far_behind() else ""


def _snapshot_of(estimator: Any) -> Snapshot | NoSnapshot:
    """The model as it is now. Classes of the user's may have their own way of being pickled, which may fail in any."""
    taken = guard.attempt(take_snapshot, local_form(estimator), config.settings().max_model_size)
    if isinstance(taken, Exception):
        return NoSnapshot(f"cannot be pickled: {guard.told(taken)[:300]}")
    return taken


def _score_of(estimator: Any) -> float | None:
    score = safe_number(attribute_of(estimator, "best_score_"))
    return None if score is None else float(score)


class Behind(msgspec.Struct):
    """What is done of one fit behind the training thread. Holds copies only, none of the user's objects."""

    run: RunWriter
    fit_id: str
    step: int
    options: IntegrationConfig
    data: data.FitData | None
    snapshot: Snapshot | None
    results: dict[str, Any] | None
    refit: Any
    score: float | None = None
    """The best cross-validated score, of a search."""
    no_model: str = ""
    """Why the model is left out; empty where it is recorded."""

    def skip(self, what: str, reason: str) -> None:
        """Say that something of this fit is left out."""
        self.run.skip(what + behind.suffix_of(self.step + 1), reason)


def describe_behind(work: Behind) -> None:
    """The dataset and the trials."""
    steps: tuple[tuple[str, Callable[[Behind], None]], ...] = (("dataset", _dataset), ("trials", _trials))
    for where, step in steps:
        behind.guarded(work.run, NAME, where, partial(step, work))


def do_behind(work: Behind) -> None:
    """The dataset, the trials, the training metrics, the figures' data and the model of one fit."""
    describe_behind(work)
    if not work.options.log_models:
        work.skip("model", work.no_model)
    if work.options.log_training_metrics == "none":
        work.skip("training_metrics", behind.off("log_training_metrics"))
    snapshot = work.snapshot
    if snapshot is None:
        return
    evaluation = None
    if work.options.log_training_metrics != "none" or work.options.log_model_signatures:
        evaluation = behind.guarded(work.run, NAME, "training metrics", partial(_evaluate, work))
    if work.options.log_models:
        behind.guarded_model(work.run, NAME, partial(_model, work, evaluation))


def _dataset(work: Behind) -> None:
    if not work.options.log_datasets:
        work.skip("dataset", behind.off("log_datasets"))
    elif work.data is None:
        work.skip("dataset", "the data is of no kind whose rows can be counted without reading it")
    else:
        work.run.log_dataset(data.dataset_of(work.data), "train", fit_id=work.fit_id)


def _trials(work: Behind) -> None:
    if work.results is not None:
        work.run.log_trials(trials.trials_of_search(work.results, work.refit), work.fit_id)


class _NoMetrics(Exception):
    """Why there are no training metrics; never shown to a user as an exception."""


def _evaluate(work: Behind) -> metrics.Evaluation | None:
    """Training metrics; or the run says why there are none."""
    try:
        return _evaluation_of(work)
    except _NoMetrics as reason:
        if work.options.log_training_metrics != "none":
            work.skip("training_metrics", str(reason))
        return None


def _evaluation_of(work: Behind) -> metrics.Evaluation:
    """Training metrics; only where every predict involved is a library's own, unless asked for all."""
    assert work.snapshot is not None
    sample = work.data.sample if work.data is not None else None
    if sample is None:
        raise _NoMetrics("no rows to predict: the data is of a kind that rows cannot be picked from")
    if work.options.log_training_metrics != "all":
        users = work.snapshot.user_defined()
        if users:
            hint = 'log_training_metrics="all" computes them all the same'
            raise _NoMetrics(f"predict would run code of the program's own ({users[0][:100]}): {hint}")
    estimator = guard.attempt(restore_to_predict, work.snapshot)
    if isinstance(estimator, Exception):
        raise _NoMetrics(f"the model does not come back from its own pickle: {guard.told(estimator)[:200]}")
    _curves(work, estimator)
    if not hasattr(estimator, "predict"):
        raise _NoMetrics("the estimator has no predict")
    try:
        seconds = config.settings().training_metrics_seconds
        evaluation = behind.past_imports(partial(metrics.evaluate, estimator, sample, seconds))
    except metrics.CannotPredictError as error:
        raise _NoMetrics(f"the model does not predict: {error}") from None
    except Warning as warning:
        raise _NoMetrics(f"the program's filters made an error of a warning: {warning}"[:300]) from None
    except ModelFormatError:  # only its own library could predict, which must not be asked while the program goes on
        raise _NoMetrics("only its own library could predict, which the program may be using now") from None
    importances = estimators.feature_importances_of(estimator)
    if importances is not None:
        evaluation.figures["feature_importances"] = {"features": importances[0], "importances": importances[1]}
    if work.options.log_training_metrics != "none":
        _store_evaluation(work, evaluation, sample.total)
    return evaluation


def _store_evaluation(work: Behind, evaluation: metrics.Evaluation, total: int) -> None:
    work.run.log_safe_metrics(evaluation.metrics, work.step)
    if evaluation.metrics and evaluation.rows < total:
        work.run.set_tags({"autotrack.training_metrics": f"of {evaluation.rows} of {total} rows"})
    for what, reason in evaluation.skipped.items():
        work.skip(what, reason)
    suffix = behind.suffix_of(work.step + 1)
    files = {
        f"training_{name}{suffix}.json": json.dumps(figure, default=str).encode()
        for name, figure in evaluation.figures.items()
    }
    if files:
        outputs.store_files(work.run, "figures", files)


def _curves(work: Behind, estimator: Any) -> None:
    now = clock.now()
    for name, values in estimators.fitted_curves_of(estimator).items():
        numbers = [events.number_of(value) for value in values]
        work.run.recorder.write(
            events.CurveLogged(work.run.run_id, name, list(range(len(numbers))), [now] * len(numbers), numbers)
        )


def _flavor_of(snapshot: Snapshot) -> str:
    """LightGBM's estimators by themselves are stored as LightGBM's models, as MLflow does; pipelines are not."""
    return "lightgbm" if snapshot.type_module.partition(".")[0] == "lightgbm" else NAME


def _model(work: Behind, evaluation: metrics.Evaluation | None) -> None:
    assert work.snapshot is not None
    sample = work.data.sample if work.data is not None else None
    inputs = sample.data if sample is not None else None
    score = work.score if work.score is not None else (evaluation.metrics if evaluation else {}).get("training_score")
    # One model a training call: what `partial_fit` trains on replaces what it was before.
    place = behind.place_of_model(work.run, work.options.log_models, work.step + 1, work.fit_id, score)
    if place is None:
        work.skip("model", behind.WORSE)
        return
    name, model_id = place
    outputs.record_model(
        work.run,
        _flavor_of(work.snapshot),
        work.snapshot,
        name=name,
        model_id=model_id,
        inputs=inputs if work.options.log_model_signatures else None,
        predictions=evaluation.predictions if evaluation is not None else None,
        example=inputs if work.options.log_input_examples else None,
        step=work.step,
        registered_model_name=work.options.registered_model_name,
    )
