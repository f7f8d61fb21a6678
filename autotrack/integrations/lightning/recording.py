"""What is recorded of one call of a trainer: read on the training thread, the rest done behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from autotrack import config
from autotrack.hooks import guard
from autotrack.hooks.patching import Call
from autotrack.integrations.lightning import checkpoints, params
from autotrack.integrations.lightning.metrics import Curves
from autotrack.integrations.options import IntegrationConfig
from autotrack.models.snapshot import NoSnapshot, Snapshot, take_snapshot
from autotrack.tracking import behind, outputs
from autotrack.tracking.fit_data import FitData, dataset_of, loader_data_of
from autotrack.tracking.redaction import secret_attribute
from autotrack.tracking.run import RunWriter
from autotrack.tracking.training import Training

_COMPILED = ("forward", "training_step", "validation_step", "test_step", "predict_step")
"""What `torch.compile` puts on a module, which no pickle can hold."""


class Recording:
    """One call of a trainer that is being recorded.

    Attributes:
        paused: The trainer is trying something out; that is not recorded.
        is_fit: Whether it is a fit.
    """

    def __init__(
        self, name: str, trainer: Any, module: Any, run: RunWriter, number: int, options: IntegrationConfig
    ) -> None:
        self.name = name
        self.trainer = trainer
        self.module = module
        self.run = run
        self.number = number
        self.options = options
        self.is_fit = False
        self.health = guard.health(name)
        self.curves = Curves(run)

    @property
    def paused(self) -> bool:
        """Whether the trainer is trying something out."""
        return self.curves.paused

    @paused.setter
    def paused(self, value: bool) -> None:
        self.curves.paused = value

    @property
    def suffix(self) -> str:
        """What is put behind the names of what the second and later fits of a run leave."""
        return f"_{self.number}" if self.is_fit and self.number > 1 else ""

    def begin_fit(self, call: Call) -> None:
        """It is a fit, and what is tested after it belongs to its run."""
        self.is_fit = True
        self.curves = Curves(self.run, self.suffix)
        _of_trainers[self.trainer] = self.run
        if self.module is not None:
            _of_modules[self.module] = self.run
        self.log_params(call)

    def log_params(self, call: Call) -> None:
        """What is known before the call: a fit that fails has had it too."""
        found = params.hparams_of(self.module, self._datamodule(call))
        if hasattr(self.module, "parameters"):
            found |= params.model_params_of(self.module)
        found |= params.trainer_params_of(self.trainer)
        checkpoint = call.kwargs.get("ckpt_path")
        if checkpoint is not None:
            found["ckpt_path"] = str(checkpoint)
        self._log(found)
        if self.is_fit and self.trainer.fast_dev_run:
            self.run.set_tags({"fast_dev_run": str(int(self.trainer.fast_dev_run))})

    def _datamodule(self, call: Call) -> Any:
        given = call.kwargs.get("datamodule")
        return given if given is not None else next((one for one in call.args[1:] if hasattr(one, "setup")), None)

    def log_setup(self) -> None:
        """What is known when all is set up: optimizers, schedulers, what a checkpoint restored."""
        trainer = self.trainer
        if not trainer.training:
            return
        found = {**params.trainer_params_of(trainer), **params.model_params_of(self.module)}
        found |= params.optimizer_params_of(trainer.optimizers)
        found |= params.scheduler_params_of(trainer.lr_scheduler_configs)
        if trainer.global_step:
            found |= {"resumed_at_epoch": trainer.current_epoch, "resumed_at_step": trainer.global_step}
        self._log(found)

    def _log(self, values: Mapping[str, Any]) -> None:
        self.run.log_fit_params(values, type(self.module).__name__, self.number if self.is_fit else 1)

    def finish(self) -> None:
        """The call has ended, well or not; the run is still open."""
        self.run.read_ring()
        if not self.is_fit:
            return
        trainer = self.trainer
        self._log(params.loader_params_of(trainer.train_dataloader, "train_dataloader"))
        found = checkpoints.checkpoints_of(trainer)
        self.run.log_safe_metrics({key + self.suffix: value for key, value in found.best.items()})
        tags = {"best_checkpoint": found.best_path} if found.best_path else {}
        if trainer.should_stop or found.may_stop:
            tags["stopped_early"] = str(bool(trainer.should_stop)).lower()
        self.run.set_tags({key + self.suffix: value for key, value in tags.items()})
        if found.files:
            behind.submit(self.run, partial(checkpoints.describe, self, found), 0, "checkpoints")


live: WeakKeyDictionary[Any, Recording] = WeakKeyDictionary()
"""What is being recorded, by trainer."""

_of_modules: WeakKeyDictionary[Any, RunWriter] = WeakKeyDictionary()
_of_trainers: WeakKeyDictionary[Any, RunWriter] = WeakKeyDictionary()


def forget() -> None:
    """The patches are taken off."""
    _of_modules.clear()
    _of_trainers.clear()


def run_of(module: Any, trainer: Any) -> RunWriter | None:
    """The run of the fit of this module, or else of this trainer's; None where there was none."""
    found = None if module is None else _of_modules.get(module)
    return found if found is not None else _of_trainers.get(trainer)


def was_interrupted(trainer: Any, error: BaseException) -> bool:
    """Whether Lightning made this of Ctrl-C or SIGTERM: it ends the program by itself."""
    if not isinstance(error, SystemExit):
        return False
    return isinstance(error.__context__, KeyboardInterrupt) or bool(getattr(trainer, "received_sigterm", False))


class _Plain:
    """Pickled, it is the module without what `torch.compile` put on it."""

    def __init__(self, module: Any) -> None:
        self._kind = type(module)
        state = module.__getstate__()
        self._state = {key: one for key, one in state.items() if key not in _COMPILED} | {"_compiler_ctx": None}

    def __reduce__(self) -> tuple[Any, ...]:
        return object.__new__, (self._kind,), self._state


def snapshot_of(module: Any) -> Snapshot | NoSnapshot:
    """The module as it is now; Lightning itself leaves the trainer out of a pickled module."""
    limit = config.settings().max_model_size
    if getattr(module, "_compiler_ctx", None) is None:
        return take_snapshot(module, limit)
    found = take_snapshot(_Plain(module), limit)
    if isinstance(found, NoSnapshot):
        return found
    kind = type(module)
    return Snapshot(found.data, found.pickled_by, kind.__module__, kind.__qualname__)


def after_fit(found: Recording, session: Training) -> None:
    """Record what a fit that went well left behind."""
    run, options, trainer = found.run, found.options, found.trainer
    snapshot: Snapshot | None = None
    if not options.log_models or trainer.fast_dev_run:
        reason = "the trainer was only tried out (fast_dev_run)" if options.log_models else behind.off("log_models")
        run.skip("model" + found.suffix, reason)
    elif secret := secret_attribute(found.module.modules()):
        run.degrade(f"the model is not recorded: it holds a secret, its attribute {secret}")
    else:
        taken = snapshot_of(found.module)
        if isinstance(taken, NoSnapshot):
            run.degrade(f"the model is not recorded: {taken.reason}")
        else:
            snapshot = taken
    train = (
        loader_data_of(trainer.train_dataloader, "train", config.settings().max_sample_size)
        if options.log_datasets or snapshot
        else None
    )
    valid = (
        [loader_data_of(one, "val", config.settings().max_sample_size) for one in _several(trainer.val_dataloaders)]
        if options.log_datasets
        else []
    )
    score = checkpoints.checkpoints_of(trainer).score
    size = (snapshot.size if snapshot else 0) + sum(one.nbytes for one in (train, *valid) if one is not None)
    job = partial(_do_behind, found.name, run, session, options, snapshot, train, valid, score)
    if not options.log_datasets or train is None:
        why = "the training data is no TensorDataset, but code of its own"
        run.skip("dataset" + found.suffix, why if options.log_datasets else behind.off("log_datasets"))
    behind.submit(run, job, size, "model and datasets")


def _several(loaders: Any) -> Iterable[Any]:
    return loaders if isinstance(loaders, (list, tuple)) else [] if loaders is None else [loaders]


def _do_behind(
    name: str,
    run: RunWriter,
    session: Training,
    options: IntegrationConfig,
    snapshot: Snapshot | None,
    train: FitData | None,
    valid: list[FitData | None],
    score: float | None,
) -> None:
    """The datasets and the model."""
    if options.log_datasets:
        given = [(train, "train"), *((one, "eval") for one in valid)]
        behind.guarded(run, name, "datasets", partial(_datasets, run, session, given))
    if snapshot is not None:
        behind.guarded_model(run, name, partial(_model, run, session, options, snapshot, train, score))


def _datasets(run: RunWriter, session: Training, several: list[tuple[FitData | None, str]]) -> None:
    for one, context in several:
        if one is not None:
            run.log_dataset(dataset_of(one), context, fit_id=session.fit_id)


def _model(
    run: RunWriter,
    session: Training,
    options: IntegrationConfig,
    snapshot: Snapshot,
    train: FitData | None,
    score: float | None,
) -> None:
    name, model_id = f"model_{session.number}" if session.number > 1 else "model", session.fit_id
    if options.log_models == "best":
        place = outputs.place_of_best(run, score, session.fit_id)
        if place is None:
            run.skip("model" if session.number < 2 else f"model_{session.number}", behind.WORSE)
            return
        name, model_id = "model", place
    inputs = train.sample.data if train is not None and train.sample is not None else None
    outputs.record_model(
        run,
        "pytorch",
        snapshot,
        name=name,
        model_id=model_id,
        inputs=inputs if options.log_model_signatures else None,
        example=inputs if options.log_input_examples else None,
        step=session.number - 1,
        registered_model_name=options.registered_model_name,
    )
