"""What a training is of: optimizers, and the module that they train."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

_PLAIN = (bool, int, float, str, tuple, type(None))
MAX_LINES = 1_000
"""Lines of a summary."""


def optimizer_params(optimizer: Any) -> dict[str, Any]:
    """Class and hyper-parameters of an optimizer; those in which its groups differ once for each group."""
    found: dict[str, Any] = {"optimizer": type(optimizer).__name__}
    groups = [{key: _plain(value) for key, value in group.items() if key != "params"} for group in _groups(optimizer)]
    if not groups:
        return found
    for key, value in groups[0].items():
        values = [group.get(key) for group in groups]
        if any(other != value for other in values):
            found.update({f"{key}_group_{index}": one for index, one in enumerate(values)})
        else:
            found[key] = value
    return found


def _groups(optimizer: Any) -> list[dict[str, Any]]:
    return list(optimizer.param_groups)


def _plain(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value
    # A learning rate may be a tensor; one of an accelerator would have to be waited for.
    return value.item() if getattr(value, "is_cpu", False) and value.numel() == 1 else type(value).__name__


def model_params(modules: Iterable[Any], parameters: Iterable[Any]) -> dict[str, Any]:
    """Class, sizes, device and dtype of what is trained.

    Args:
        modules: The modules.
        parameters: The trained parameters, for loops without a module.
    """
    found = list(modules)
    weights = [weight for module in found for weight in tensors_of(module)[0]] or list(parameters)
    if not weights:
        return {}
    total, trained = _sizes_of(weights)
    described = {
        "parameters": total,
        "trainable_parameters": trained,
        "device": " ".join(sorted({str(weight.device) for weight in weights})),
        "dtype": " ".join(sorted({str(weight.dtype).removeprefix("torch.") for weight in weights})),
    }
    return (
        {"model": " ".join(type(unwrapped(module)).__name__ for module in found), **described} if found else described
    )


def _sizes_of(weights: Iterable[Any]) -> tuple[int, int]:
    """Of how many numbers parameters are, and of how many those that are trained."""
    sizes = [(weight.numel(), weight.requires_grad) for weight in weights]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)


def unwrapped(module: Any) -> Any:
    """The program's own module inside what compiles or distributes it."""
    kind = type(module).__name__
    if kind == "OptimizedModule":
        return unwrapped(module._orig_mod)
    if kind in ("DataParallel", "DistributedDataParallel"):
        return unwrapped(module.module)
    return module


def tensors_of(module: Any) -> tuple[list[Any], list[Any]]:
    """A module's parameters and its buffers, each once.

    The same as `parameters()` and `buffers()`, which walk through the parts for each of them, and are the program's to
    override and to have hooked.
    """
    weights: dict[int, Any] = {}
    buffers: dict[int, Any] = {}
    for part in module.modules():
        weights.update((id(one), one) for one in part._parameters.values() if one is not None)
        buffers.update((id(one), one) for one in part._buffers.values() if one is not None)
    return list(weights.values()), list(buffers.values())


Part = tuple[str, str, int, int]
"""A part of a module: its name, its class, its own parameters, and how many of them are trained."""


def parts_of(module: Any) -> list[Part]:
    """A module's parts, `MAX_LINES` of them and one more at most."""
    rows = []
    for name, part in islice(module.named_modules(), MAX_LINES + 1):
        rows.append(
            (name, type(part).__name__, *_sizes_of(one for one in part._parameters.values() if one is not None))
        )
    return rows


def summary_of(parts: list[Part]) -> str:
    """A table of a module's parts, their classes and how many parameters each has itself."""
    lines = [f"{'part':40} {'class':30} {'parameters':>14} {'trainable':>14}"]
    lines += [
        f"{name or '(whole)':40} {kind:30} {total:14,} {free:14,}" for name, kind, total, free in parts[:MAX_LINES]
    ]
    return "\n".join([*lines, "..."] if len(parts) > MAX_LINES else lines) + "\n"
