"""Data on its way into a torch module and out of it."""

from __future__ import annotations

from typing import Any

from autotrack.errors import InvalidArgumentError
from autotrack.models.inference import library_of


def version_of_torch() -> tuple[int, int]:
    """Major and minor version of the installed torch."""
    import torch

    major, minor = str(torch.__version__).split(".")[:2]
    return int(major), int(minor)


def arguments_of(data: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What `forward` is called with.

    Args:
        data: A tensor, array, list of numbers or DataFrame: one argument; a tuple: several; a dict: by name.

    Returns:
        Tensors by position and by name. A DataFrame becomes float32, as in MLflow.

    Raises:
        InvalidArgumentError: It is nothing that a tensor can be made of.
    """
    if isinstance(data, tuple):
        return tuple(_tensor(part) for part in data), {}
    if isinstance(data, dict):
        return (), {str(name): _tensor(part) for name, part in data.items()}
    return (_tensor(data),), {}


def _tensor(data: Any) -> Any:
    import torch

    library, name = library_of(data)
    try:
        if library == "torch":
            return data
        if library == "pandas":
            return torch.from_numpy(data.to_numpy(dtype="float32", copy=True))
        if library == "polars":
            return torch.from_numpy(data.to_numpy().astype("float32"))
        # Tensors can be written to, and torch warns of an array that cannot (a frame's own, say).
        frozen = library == "numpy" and not data.flags.writeable
        return torch.as_tensor(data.copy() if frozen else data)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidArgumentError("data", name, f"a tensor, array or table of numbers ({error})") from None


def batch_of(example: Any) -> bool:
    """Whether data is one argument, or arguments by name: what a signature can describe."""
    return not isinstance(example, tuple)


def plain_output(output: Any, like: Any = None) -> Any:
    """A module's output as arrays: a DataFrame for a DataFrame, a tensor for a tensor, as in MLflow."""
    import torch

    if isinstance(output, (tuple, list)):
        return type(output)(plain_output(part, like) for part in output) if type(output) in (tuple, list) else output
    if isinstance(output, dict):
        return {name: plain_output(part, like) for name, part in output.items()}
    if not isinstance(output, torch.Tensor) or isinstance(like, torch.Tensor):
        return output
    output = output.detach().cpu()
    # numpy has no such type.
    array = (output.float() if output.dtype is torch.bfloat16 else output).numpy()
    if library_of(like) == ("pandas", "DataFrame") and array.ndim in (1, 2):
        import pandas as pd

        return pd.DataFrame(array, index=like.index)
    return array
