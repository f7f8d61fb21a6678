"""A model as it is now, in memory: all that the training thread pays for recording it."""

from __future__ import annotations

import io
import pickle
import struct
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Literal

from autotrack.errors import InvalidArgumentError
from autotrack.models.pickles import Scan, scan
from autotrack.origin import is_library_module

PROTOCOL = 5

PICKLING_ERRORS = (
    pickle.PickleError,
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    ImportError,
    ArithmeticError,
    MemoryError,
    OSError,
    RuntimeError,
    struct.error,
)
"""What pickling an object that cannot be pickled raises; RuntimeError has RecursionError and NotImplementedError."""

_BY_VALUE = {"_make_function", "_builtin_type", "_make_skeleton_class", "_make_skeleton_enum", "subimport"}


class TooLargeError(Exception):
    """The size cap of a `CappedBuffer` is reached; never shown to a user."""


class CappedBuffer(io.BytesIO):
    """Takes so many bytes at most, then raises `TooLargeError`."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._left = limit

    def write(self, data: Any) -> int:
        """Take some bytes."""
        size = memoryview(data).nbytes
        self._left -= size
        if self._left < 0:
            raise TooLargeError
        return super().write(data)


@dataclass(frozen=True)
class NoSnapshot:
    """Why there is no snapshot, in a form to show: "larger than 134217728 bytes", "cannot be pickled: ..."."""

    reason: str


@dataclass(frozen=True)
class Snapshot:
    """A pickled model. It was made in this process, so restoring it runs nothing that the process did not hold."""

    data: bytes
    pickled_by: Literal["pickle", "cloudpickle"]
    type_module: str
    type_name: str

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)

    @cached_property
    def _scan(self) -> Scan:
        return scan(self.data)

    def globals(self) -> frozenset[tuple[str, str]]:
        """Module and name of every class and function that the model is made of (up to `MAX_OPCODES`)."""
        return self._scan.globals

    def user_defined(self) -> list[str]:
        """Classes and functions that are the user's own code, not an installed library's: `__main__.Scaler`.

        An empty list means that the model's methods are library code. A model too large to be looked through wholly
        is taken to hold some.
        """
        found = sorted(f"{module}.{name}" for module, name in self.globals() if not _is_library(module, name))
        return found if self._scan.complete else [*found, "(too large to be looked through)"]

    def restore(self) -> Any:
        """A new object, equal to the model as it was.

        Raises:
            InvalidArgumentError: It does not come back from its own pickle.
        """
        with _Unpickling(self.type_name):
            return pickle.loads(self.data)


class _Unpickling:
    """Around what may run code of the program's own, which may raise anything: the model is to blame for it."""

    def __init__(self, type_name: str) -> None:
        self._type_name = type_name

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            expected = f"an object that comes back from its own pickle ({type(error).__name__}: {str(error)[:300]})"
            raise InvalidArgumentError("model", self._type_name, expected) from error


def _is_library(module: str, name: str) -> bool:
    if module.partition(".")[0] == "cloudpickle":
        # Code that cloudpickle stored by value: a lambda, a class of a notebook or of `__main__`.
        return name not in _BY_VALUE
    return is_library_module(module)


def take_snapshot(model: object, limit: int) -> Snapshot | NoSnapshot:
    """Pickle a model into memory; the model is not changed.

    Args:
        model: The object.
        limit: Bytes at which to give up.

    Returns:
        The snapshot, or why there is none.
    """
    kind = type(model)
    try:
        try:
            return Snapshot(_pickled(model, limit), "pickle", kind.__module__, kind.__qualname__)
        except PICKLING_ERRORS as error:
            reason = error
        try:
            import cloudpickle
        except ImportError:
            return NoSnapshot(f"cannot be pickled ({_shown(reason)}), and cloudpickle is not installed")
        try:
            buffer = CappedBuffer(limit)
            cloudpickle.Pickler(buffer, PROTOCOL).dump(model)
            return Snapshot(buffer.getvalue(), "cloudpickle", kind.__module__, kind.__qualname__)
        except PICKLING_ERRORS as error:
            return NoSnapshot(f"cannot be pickled: {_shown(error)}")
    except TooLargeError:
        return NoSnapshot(f"larger than {limit} bytes")


def _pickled(model: object, limit: int) -> bytes:
    buffer = CappedBuffer(limit)
    pickle.Pickler(buffer, PROTOCOL).dump(model)
    return buffer.getvalue()


def _shown(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}"
    return text if len(text) <= 300 else text[:297] + "..."
