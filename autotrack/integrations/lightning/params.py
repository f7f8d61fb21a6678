"""The parameters of a trainer's call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_OF_TRAINER = (
    "accumulate_grad_batches", "check_val_every_n_epoch", "fast_dev_run", "gradient_clip_algorithm",
    "gradient_clip_val", "limit_train_batches", "limit_val_batches", "log_every_n_steps", "max_epochs", "max_steps",
    "min_epochs", "min_steps", "num_devices", "num_nodes", "num_sanity_val_steps", "overfit_batches", "precision",
    "reload_dataloaders_every_n_epochs", "val_check_interval", "world_size",
)  # fmt: skip

_OF_CALLBACKS = ("every_n_epochs", "max_epochs", "min_delta", "mode", "monitor", "patience", "save_last", "save_top_k")
"""What is told of callbacks that watch a metric."""

_PLAIN = (bool, int, float, str, list, tuple, type(None))

MAX_DEPTH = 5
"""Levels of nested hyper-parameters that have keys of their own."""


def hparams_of(*owners: Any) -> dict[str, Any]:
    """What was saved by `save_hyperparameters`, nested values under dotted keys.

    The property `hparams` would make a dictionary where there is none, on the program's own object.
    """
    found: dict[str, Any] = {}
    for owner in owners:
        saved = getattr(owner, "__dict__", {}).get("_hparams")
        if isinstance(saved, Mapping):
            for key, value in _flat(saved, MAX_DEPTH):
                found.setdefault(key, value)
    return found


def _flat(values: Mapping[Any, Any], depth: int) -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value and depth:
            yield from ((f"{key}.{inner}", one) for inner, one in _flat(value, depth - 1))
        else:
            yield str(key), _shown(value)


def _shown(value: Any) -> Any:
    """A module is named: to print it would run code of the program's."""
    return name_of(value) if hasattr(value, "named_parameters") else value


def name_of(value: Any) -> str:
    """Name of an object's class, with its module."""
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def trainer_params_of(trainer: Any) -> dict[str, Any]:
    """How a trainer was set up."""
    found = {f"trainer.{name}": getattr(trainer, name, None) for name in _OF_TRAINER}
    found["trainer.accelerator"] = type(trainer.accelerator).__name__
    found["trainer.strategy"] = type(trainer.strategy).__name__
    found["trainer.callbacks"] = [type(one).__name__ for one in trainer.callbacks]
    found["trainer.loggers"] = [type(one).__name__ for one in trainer.loggers]
    for callback in trainer.callbacks:
        if getattr(callback, "monitor", None) is not None:
            told = {name: vars(callback).get(name, vars(callback).get(f"_{name}")) for name in _OF_CALLBACKS}
            name = type(callback).__name__
            found |= {f"{name}.{key}": value for key, value in told.items() if value is not None}
    return {key: value for key, value in found.items() if value is not None}


def model_params_of(module: Any) -> dict[str, Any]:
    """The model's class, and the number of its parameters as far as they are there."""
    found: dict[str, Any] = {"model": name_of(module)}
    sizes = [(_size_of(one), one.requires_grad) for one in module.parameters()]
    found["model.parameters"] = sum(size for size, _ in sizes)
    found["model.trainable_parameters"] = sum(size for size, trained in sizes if trained)
    return found


def _size_of(parameter: Any) -> int:
    """Elements of a parameter; none of one whose shape is to be found in the first batch."""
    from torch.nn.parameter import is_lazy

    return 0 if is_lazy(parameter) else int(parameter.numel())


def optimizer_params_of(optimizers: Iterable[Any]) -> dict[str, Any]:
    """Class and settings of each optimizer, of further groups of parameters where they differ from the first."""
    found: dict[str, Any] = {}
    for number, optimizer in enumerate(optimizers, 1):
        name = "optimizer" if number == 1 else f"optimizer_{number}"
        found[name] = name_of(optimizer)
        first: dict[str, Any] = {}
        for place, group in enumerate(optimizer.param_groups):
            told = {key: _number(value) for key, value in group.items() if key != "params"}
            if place == 0:
                first = told
                found |= {f"{name}.{key}": value for key, value in told.items()}
            else:
                told = {key: value for key, value in told.items() if first.get(key) != value}
                found |= {f"{name}.group_{place + 1}.{key}": value for key, value in told.items()}
    return found


def _number(value: Any) -> Any:
    """A setting that is kept as a tensor, as a number; once a fit, before it begins."""
    return value.item() if hasattr(value, "numel") and value.numel() == 1 else value


def scheduler_params_of(configs: Iterable[Any]) -> dict[str, Any]:
    """Class and settings of each scheduler of learning rates."""
    found: dict[str, Any] = {}
    for number, config in enumerate(configs, 1):
        name = "scheduler" if number == 1 else f"scheduler_{number}"
        found[name] = name_of(config.scheduler)
        for key in ("interval", "frequency", "monitor"):
            if getattr(config, key, None) is not None:
                found[f"{name}.{key}"] = getattr(config, key)
        hidden = ("base_lrs", "last_epoch", "optimizer", "verbose", "best", "num_bad_epochs", "cooldown_counter")
        for key, value in vars(config.scheduler).items():
            if not key.startswith("_") and key not in hidden and isinstance(value, _PLAIN):
                found[f"{name}.{key}"] = value
    return found


def loader_params_of(loader: Any, name: str) -> dict[str, Any]:
    """How a `DataLoader` was set up; nothing of the program's own code is called."""
    if not hasattr(loader, "dataset"):
        return {}
    found = {key: getattr(loader, key, None) for key in ("batch_size", "num_workers", "drop_last")}
    found |= {"dataset": name_of(loader.dataset), "sampler": type(getattr(loader, "sampler", None)).__name__}
    return {f"{name}.{key}": value for key, value in found.items() if value is not None}
