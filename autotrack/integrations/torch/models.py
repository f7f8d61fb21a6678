"""The model of a loop, kept so that it can be stored after the program has let go of it.

A module is taken apart: its structure, pickled without the tensors, and the tensors, as views of the very memory that
the training goes on to change. So the model is there, as it was at the end, when the program's own is gone; until the
worker has stored it, its memory is not given back.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any

import msgspec

from autotrack.integrations.torch.describe import tensors_of
from autotrack.models.snapshot import (
    PICKLING_ERRORS,
    PROTOCOL,
    CappedBuffer,
    NoSnapshot,
    Snapshot,
    TooLargeError,
    take_snapshot,
)
from autotrack.tracking.redaction import secret_attribute

ACCELERATOR_LIMIT = 256 * 1024 * 1024
"""Bytes of an accelerator's memory that may be held for a moment longer than the program does."""


class Parts(msgspec.Struct):
    """A module, taken apart."""

    structure: bytes
    tensors: list[Any]
    """Views of its parameters and buffers."""
    kinds: list[tuple[bool, bool]]
    """For each, whether it is a parameter, and whether that is trained."""

    def are_of(self, module: Any) -> bool:
        """Whether the views are of the memory that a module has now."""
        try:
            known = {part.data_ptr() for part in self.tensors}
            weights, buffers = tensors_of(module)
            return all(one.data_ptr() in known for one in weights + buffers)
        except RuntimeError:  # tensors without memory
            return True

    def joined(self) -> Any:
        """A new module with copies of the tensors, on the CPU."""
        return _Reader(io.BytesIO(self.structure), self).load()


def taken_apart(module: Any, limit: int) -> Parts | NoSnapshot:
    """Take a module apart; it stays as it is.

    Args:
        module: The module.
        limit: Bytes of its tensors at which to give up.
    """
    if secret := secret_attribute(module.modules()):
        return NoSnapshot(f"it holds a secret, its attribute {secret}")
    weights, buffers = tensors_of(module)
    tensors = weights + buffers
    held = sum(one.numel() * one.element_size() for one in tensors)
    most = limit if all(one.is_cpu for one in tensors) else min(limit, ACCELERATOR_LIMIT)
    if held > most:
        return NoSnapshot(f"larger than {most} bytes")
    parts = Parts(b"", [], [])
    try:
        parts.structure = _written(module, parts, limit)
    except TooLargeError:
        return NoSnapshot(f"larger than {limit} bytes")
    except PICKLING_ERRORS as error:
        return NoSnapshot(f"cannot be pickled: {type(error).__name__}: {str(error)[:300]}")
    return parts


def snapshot_of(parts: Parts, limit: int) -> Snapshot | NoSnapshot:
    """The module as one snapshot, for its flavor to store. Copies the weights: call it behind the training thread."""
    return take_snapshot(parts.joined(), limit)


def _written(module: Any, parts: Parts, limit: int) -> bytes:
    buffer = CappedBuffer(limit)
    try:
        _Writer(buffer, parts).dump(module)
    except PICKLING_ERRORS:
        import cloudpickle
        import torch

        buffer = CappedBuffer(limit)
        parts.tensors, parts.kinds = [], []

        class ByValue(cloudpickle.Pickler):  # type: ignore[misc]
            """Classes of functions and lambdas are pickled by value."""

            _parts = parts
            _tensor: Any = torch.Tensor

            def reducer_override(self, obj: Any) -> Any:
                """Of tensors their places, of all else what cloudpickle makes of it."""
                found = _Writer.reducer_override(self, obj)
                return super().reducer_override(obj) if found is NotImplemented else found

        ByValue(buffer, PROTOCOL).dump(module)
    return buffer.getvalue()


class _Writer(pickle.Pickler):
    """Pickles a module without its tensors."""

    def __init__(self, buffer: io.BytesIO, parts: Parts) -> None:
        import torch

        super().__init__(buffer, PROTOCOL)
        self._parts = parts
        self._tensor: Any = torch.Tensor

    def reducer_override(self, obj: Any) -> Any:
        """Of a tensor its place among the parts; asked of every object that is none of Python's own kinds, once."""
        if type(obj) is OrderedDict:  # most of what a module holds are empty ones, of its hooks; see `copyreg`
            return NotImplemented if obj or vars(obj) else (OrderedDict, ())
        if not isinstance(obj, self._tensor):
            return NotImplemented
        import torch

        self._parts.tensors.append(obj.detach())
        self._parts.kinds.append((isinstance(obj, torch.nn.Parameter), obj.requires_grad))
        return tensor_at, (len(self._parts.tensors) - 1,)


def tensor_at(place: int) -> Any:
    """Stands in a structure for the tensor at a place among the parts; `_Reader` knows them."""
    raise pickle.UnpicklingError(f"no parts are at hand to take tensor {place} from")


class _Reader(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, parts: Parts) -> None:
        super().__init__(buffer)
        self._parts = parts

    def find_class(self, module: str, name: str) -> Any:
        """What a structure names."""
        return self._tensor_at if (module, name) == (__name__, "tensor_at") else super().find_class(module, name)

    def _tensor_at(self, place: int) -> Any:
        """A copy of the tensor at that place; asked for once, since pickles keep what they have made."""
        import torch

        parameter, trained = self._parts.kinds[place]
        copy = self._parts.tensors[place].to("cpu", copy=True)
        return torch.nn.Parameter(copy, requires_grad=trained) if parameter else copy


def input_like(value: Any) -> Any:
    """An empty tensor of the shape and type that a module was given, with one row; None for anything else."""
    import torch

    if not isinstance(value, torch.Tensor) or not value.dim():
        return None
    return torch.zeros((1, *value.shape[1:]), dtype=value.dtype)
