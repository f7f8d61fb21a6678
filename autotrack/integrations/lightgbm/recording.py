"""What is recorded of a training call: read on the training thread, the rest done behind it."""

from __future__ import annotations

import copyreg
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from autotrack import config
from autotrack.hooks.patching import Call
from autotrack.integrations.lightgbm.curves import NAME, Curves, key_of
from autotrack.integrations.lightgbm.data import Datasets
from autotrack.integrations.lightgbm.folds import Folds, end_of
from autotrack.integrations.lightgbm.params import arguments_of, params_of
from autotrack.integrations.options import IntegrationConfig
from autotrack.models.snapshot import NoSnapshot, Snapshot, take_snapshot
from autotrack.tracking import behind, outputs
from autotrack.tracking.behind import suffix_of
from autotrack.tracking.fit_data import FitData, dataset_of
from autotrack.tracking.run import RunWriter
from autotrack.tracking.training import Training

IMPORTANCES = ("split", "gain")


class Given(msgspec.Struct):
    """What a training call was given: the program's objects, for as long as the call lasts."""

    arguments: dict[str, Any]
    variable: str = "dataset"
    """The program's name for the training data."""
    secret: list[str] = []
    """Names of parameters that hold a secret: the text of a booster has them all."""
    text: tuple[Any, str | None] = (None, None)
    """A booster and the text that it was made of last: at the end of a training that of the model."""

    @property
    def train_set(self) -> Any:
        """The training data."""
        return self.arguments.get("train_set")

    def valid_sets(self) -> list[tuple[Any, str]]:
        """The datasets that metrics are computed on, with the names that LightGBM gives them; no training data."""
        sets, names = self.arguments.get("valid_sets"), self.arguments.get("valid_names")
        sets = sets if isinstance(sets, (list, tuple)) else [] if sets is None else [sets]
        names = [names] if isinstance(names, str) else names or ()
        named = [(one, names[index] if len(names) > index else f"valid_{index}") for index, one in enumerate(sets)]
        return [(one, str(name)) for one, name in named if _is_dataset(one) and one is not self.train_set]


def given_by(call: Call) -> Given | None:
    """The arguments of a call; None where they do not fit (the call itself will say so)."""
    arguments = arguments_of(getattr(call.owner, call.name), call.args, call.kwargs)
    return None if arguments is None or not _is_dataset(arguments.get("train_set")) else Given(arguments)


def _is_dataset(value: Any) -> bool:
    return isinstance(value, sys.modules["lightgbm"].Dataset)


def remember(given: Given, datasets: Datasets, train: bool) -> None:
    """Describe the datasets, with the training data or without, while their raw data is there."""
    for one in (given.train_set if train else None, *(one for one, _ in given.valid_sets())):
        if one is not None:
            datasets.remember(one)


def log_params(given: Given, training: Training) -> None:
    """The parameters, before the call: a training that fails has had them too."""
    if training.run is not None:
        given.secret = training.run.log_fit_params(params_of(given.arguments), "Booster", training.number)


def log_end(run: RunWriter, booster: Any, curves: Curves, number: int) -> None:
    """The best iteration and its scores, and whether training stopped early."""
    suffix, found = suffix_of(number), {}
    early = 0 < curves.rounds < curves.planned
    if booster.best_iteration > 0:
        found["best_iteration"] = booster.best_iteration
        found |= {f"best_{key}": value for key, value in best_scores_of(booster).items()}
    if early:
        found["stopped_iteration"] = curves.rounds
    run.log_safe_metrics({key + suffix: value for key, value in found.items()})
    if found:
        run.set_tags({"stopped_early" + suffix: str(early).lower()})


def best_scores_of(booster: Any) -> dict[str, Any]:
    """The scores that LightGBM calls the best: those of the best iteration, without early stopping of the last one."""
    return {
        key_of(str(name), str(metric)): value
        for name, scores in booster.best_score.items()
        for metric, value in scores.items()
    }


def importances_of(booster: Any) -> dict[str, dict[str, Any]]:
    """How often features split, and what that gained."""
    names = list(booster.feature_name())
    return {kind: {"features": names, "importances": booster.feature_importance(kind).tolist()} for kind in IMPORTANCES}


class _Rebuilt:
    """Pickled, it is the booster; its text is not made a second time, which takes as long as dozens of rounds."""

    def __init__(self, booster: Any, text: str) -> None:
        self._kind = type(booster)
        left_out = ("_handle", "handle", "train_set", "valid_sets")
        self._state = {key: value for key, value in vars(booster).items() if key not in left_out} | {"_handle": text}

    def __reduce__(self) -> tuple[Any, ...]:
        return copyreg._reconstructor, (self._kind, object, None), self._state  # type: ignore[attr-defined]


def snapshot_of(booster: Any, text: str | None) -> Snapshot | NoSnapshot:
    """The model as it is now.

    Args:
        booster: The model.
        text: What LightGBM made it of at the end of the training; None where it goes on with the training booster.
    """
    limit = config.settings().max_model_size
    if text is None:
        return take_snapshot(booster, limit)
    found = take_snapshot(_Rebuilt(booster, text), limit)
    if isinstance(found, NoSnapshot):
        return found
    return replace(found, type_module=type(booster).__module__, type_name=type(booster).__qualname__)


class Behind(msgspec.Struct):
    """What is done of one training call behind the training thread. Holds copies only, none of the user's objects."""

    run: RunWriter
    fit_id: str
    number: int
    options: IntegrationConfig
    train: FitData | None = None
    valid: list[FitData] = []
    snapshot: Snapshot | None = None
    importances: dict[str, dict[str, Any]] = {}
    outputs: int = 1
    """Numbers that the model predicts for a row."""
    score: float | None = None

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        data = [one.nbytes for one in (self.train, *self.valid) if one is not None]
        return sum(data) + (self.snapshot.size if self.snapshot is not None else 0)


def after_training(
    given: Given, booster: Any, training: Training, curves: Curves, datasets: Datasets, options: IntegrationConfig
) -> None:
    """Record what a training that went well left behind."""
    run = training.run
    if run is None:
        return
    log_end(run, booster, curves, training.number)
    work = Behind(run, training.fit_id, training.number, options, importances=importances_of(booster))
    work.outputs = int(booster.num_model_per_iteration())
    work.score = score_of(booster, curves.higher_is_better)
    describe(work, given, datasets)
    if not options.log_models:
        run.skip("model" + suffix_of(training.number), behind.off("log_models"))
    elif given.secret:
        run.degrade(f"the model is not recorded: it holds a secret, its parameter {given.secret[0]}")
    else:
        rebuilt, text = given.text
        snapshot = snapshot_of(booster, text if rebuilt is booster else None)
        if isinstance(snapshot, NoSnapshot):
            run.degrade(f"the model is not recorded: {snapshot.reason}")
        else:
            work.snapshot = snapshot
    submit(work)


def after_cv(
    given: Given,
    result: Mapping[str, Any],
    training: Training,
    curves: Curves,
    folds: Folds,
    datasets: Datasets,
    options: IntegrationConfig,
) -> None:
    """Record what a cross-validation that went well gave back."""
    run = training.run
    if run is None:
        return
    suffix = suffix_of(training.number)
    rounds, last = end_of(result)
    early = rounds < curves.rounds
    found: dict[str, Any] = {f"best_{key}": value for key, value in last.items()} if early else {}
    if early:
        found |= {"best_iteration": rounds, "stopped_iteration": curves.rounds}
    run.log_safe_metrics({key + suffix: value for key, value in found.items()})
    run.set_tags({"stopped_early" + suffix: str(early).lower()})
    run.log_trials(folds.trials(rounds), training.fit_id)
    work = Behind(run, training.fit_id, training.number, options)
    describe(work, given, datasets)
    submit(work)


def score_of(booster: Any, higher_is_better: Mapping[str, bool]) -> float | None:
    """The first metric on the first valid set, the better the higher; None without one."""
    for key, value in best_scores_of(booster).items():
        return float(value) if higher_is_better.get(key) else -float(value)
    return None


def describe(work: Behind, given: Given, datasets: Datasets, train: bool = True) -> None:
    """Add the datasets, with the training data or without."""
    if not (work.options.log_datasets or work.options.log_models):
        return
    if train:
        work.train = datasets.of(given.train_set, given.variable)
    if work.options.log_datasets:
        work.valid = [datasets.of(one, name) for one, name in given.valid_sets()]


def submit(work: Behind) -> None:
    """Have it done behind the training thread."""
    behind.submit(work.run, partial(do_behind, work), work.size, "model, importances and datasets")


def do_behind(work: Behind) -> None:
    """The datasets, the importances and the model of one training call."""
    steps: tuple[tuple[str, Callable[[Behind], None]], ...] = (
        ("datasets", _datasets),
        ("importances", _importances),
    )
    for where, step in steps:
        behind.guarded(work.run, NAME, where, partial(step, work))
    behind.guarded_model(work.run, NAME, partial(_model, work))


def _datasets(work: Behind) -> None:
    if not work.options.log_datasets:
        work.run.skip("dataset" + suffix_of(work.number), behind.off("log_datasets"))
        return
    if work.train is not None:
        work.run.log_dataset(dataset_of(work.train), "train", fit_id=work.fit_id)
    for one in work.valid:
        work.run.log_dataset(dataset_of(one), "eval", fit_id=work.fit_id)


def _importances(work: Behind) -> None:
    for kind, figure in work.importances.items():
        path = f"figures/feature_importance_{kind}{suffix_of(work.number)}.json"
        outputs.store_bytes(work.run, json.dumps(figure).encode(), path)


def _model(work: Behind) -> None:
    if work.snapshot is None:
        return
    place = behind.place_of_model(work.run, work.options.log_models, work.number, work.fit_id, work.score)
    if place is None:
        work.run.skip("model" + suffix_of(work.number), behind.WORSE)
        return
    name, model_id = place
    inputs = work.train.sample.data if work.train is not None and work.train.sample is not None else None
    outputs.record_model(
        work.run,
        "lightgbm",
        work.snapshot,
        name=name,
        model_id=model_id,
        inputs=inputs if work.options.log_model_signatures else None,
        predictions=_predictions(work.outputs),
        example=inputs if work.options.log_input_examples else None,
        step=work.number - 1,
        registered_model_name=work.options.registered_model_name,
    )


def _predictions(outputs: int) -> Any:
    """The form of what a booster predicts. To ask it would set the number of threads of a training that goes on."""
    import numpy

    return numpy.zeros((1, outputs) if outputs > 1 else 1)
