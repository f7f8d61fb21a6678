"""What a program says to other tools, also said to the run: TensorBoard's writers, files, torchmetrics."""

from __future__ import annotations

import os
from types import FrameType
from typing import Any

from autotrack.hooks.taps import Args, Kwargs
from autotrack.tracking.run import MAX_STEP, RunWriter
from autotrack.tracking.values import safe_number

_WRITERS = ("torch.utils.tensorboard", "tensorboardX")


def argument(args: Args, kwargs: Kwargs, position: int, name: str) -> Any:
    """An argument, by position or by name; None where it is not given."""
    return args[position] if len(args) > position else kwargs.get(name)


def is_nested(frame: FrameType | None) -> bool:
    """Whether a writer calls itself."""
    name = str(frame.f_globals.get("__name__", "")) if frame is not None else ""
    return name.startswith(_WRITERS)


def log_scalar(run: RunWriter, args: Args, kwargs: Kwargs, torch: Any) -> None:
    """`add_scalar(tag, scalar_value, global_step)`."""
    _log(
        run,
        argument(args, kwargs, 0, "tag"),
        argument(args, kwargs, 1, "scalar_value"),
        argument(args, kwargs, 2, "global_step"),
        torch,
    )


def log_scalars(run: RunWriter, args: Args, kwargs: Kwargs, torch: Any) -> None:
    """`add_scalars(main_tag, tag_scalar_dict, global_step)`."""
    values = argument(args, kwargs, 1, "tag_scalar_dict")
    for name, value in values.items() if isinstance(values, dict) else ():
        _log(
            run,
            f"{argument(args, kwargs, 0, 'main_tag')}/{name}",
            value,
            argument(args, kwargs, 2, "global_step"),
            torch,
        )


def log_hparams(run: RunWriter, args: Args, kwargs: Kwargs, torch: Any) -> None:
    """`add_hparams(hparam_dict, metric_dict)`."""
    params, metrics = argument(args, kwargs, 0, "hparam_dict"), argument(args, kwargs, 1, "metric_dict")
    if isinstance(params, dict):
        run.log_fit_params(params, "hparams", 1)
    for name, value in metrics.items() if isinstance(metrics, dict) else ():
        _log(run, name, value, None, torch)


def _log(run: RunWriter, key: Any, value: Any, step: Any, torch: Any) -> None:
    at = min(int(step), MAX_STEP) if isinstance(step, int) else None
    if isinstance(value, torch.Tensor) and not value.is_cpu:
        if value.numel() == 1:
            run.log_tensor(str(key), value, at)
        return
    number = safe_number(value)
    if number is not None and isinstance(key, str) and key:
        run.log_metric(key, float(number), at)


def path_of(args: Args, kwargs: Kwargs) -> str | None:
    """The file that `torch.save` wrote; None where it went elsewhere."""
    target = argument(args, kwargs, 1, "f")
    return os.path.abspath(target) if isinstance(target, (str, os.PathLike)) else None


def frame_of_compute(frame: FrameType | None) -> FrameType | None:
    """The caller of a metric's `compute`, from inside of it; None where torchmetrics itself is that."""
    inside = 0
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith("torchmetrics"):
        frame = frame.f_back
        inside += 1
    return frame if inside == 1 else None
