"""A torch module as an exported program, or the reason why it has none."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Iterator
from typing import Any

from autotrack.models.programs import OddProgramError, rewritten
from autotrack.models.safety import UNREADABLE
from autotrack.models.torch_data import version_of_torch

_FIRST_WITH_AUTO = (2, 6)
"""Version of torch from which a dimension may be left to the exporter."""


class NotExportedError(Exception):
    """The module cannot be exported; says why. Internal to models."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither the program's random numbers nor its gradients change."""
    import torch

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        yield


def exported(module: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[bytes, Any]:
    """Export a copy of a module, in evaluation mode, on the CPU, with its batch dimension left open.

    Args:
        module: Stays as it is.
        arguments: Tensors, by position; the first dimension of each is taken to be the batch.
        named: Tensors, by name.

    Returns:
        The archive, and the module's output for the arguments.

    Raises:
        NotExportedError: torch cannot, the program computes something else than the module, or the archive could
            not be loaded without trust.
    """
    if version_of_torch() < _FIRST_WITH_AUTO:
        raise NotExportedError("torch 2.6 or later is needed to export it")
    try:
        with _quiet():
            return _exported(module, arguments, named)
    except NotExportedError:
        raise
    except OddProgramError as error:
        raise NotExportedError(f"the program could not be loaded without trust: it holds {error}") from None
    except (*UNREADABLE, NotImplementedError) as error:
        text = str(error).strip().partition("\n")[0][:300]
        raise NotExportedError(f"torch.export: {type(error).__name__}: {text}") from None


def _exported(module: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[bytes, Any]:
    import torch

    twin = copy.deepcopy(module).cpu().eval()
    arguments, named = _map(arguments, named, lambda value: value.detach().cpu())
    output = twin(*arguments, **named)
    # A batch of one would be taken for a constant.
    traced = _map(arguments, named, lambda value: torch.cat([value, value]) if value.shape[:1] == (1,) else value)
    shapes = _map(*traced, lambda value: {0: torch.export.Dim.AUTO} if value.ndim else None)
    # By name where there are names: torch wants the shapes nested as the arguments are.
    program = torch.export.export(twin, traced[0], traced[1], dynamic_shapes=(*shapes[0], *shapes[1].values()))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    # Without torch's notes on the source: whoever reads the model has no use for its author's paths.
    data = rewritten(buffer.getvalue())
    again = torch.export.load(io.BytesIO(data)).module()
    if not _equal(output, again(*arguments, **named)):
        raise NotExportedError("the exported program computes something else than the module")
    return data, output


def _map(arguments: tuple[Any, ...], named: dict[str, Any], change: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(change(value) for value in arguments), {name: change(value) for name, value in named.items()}


def _equal(one: Any, other: Any) -> bool:
    import torch
    from torch.utils import _pytree as pytree

    left, right = pytree.tree_leaves(one), pytree.tree_leaves(other)
    if len(left) != len(right):
        return False
    return all(
        torch.allclose(a.float(), b.float(), rtol=1e-4, atol=1e-5, equal_nan=True)
        if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and a.shape == b.shape
        else a is b
        for a, b in zip(left, right, strict=True)
    )
