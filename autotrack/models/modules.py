"""Reading and writing torch's own files: `.pth` (a pickled module) and `.pt2` (an exported program)."""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

from autotrack.errors import InvalidArgumentError, ModelFormatError
from autotrack.models.pickles import scan
from autotrack.models.programs import checked
from autotrack.models.safety import UNREADABLE, allows_pickle, check_zip, refuse_pickle
from autotrack.models.snapshot import PICKLING_ERRORS
from autotrack.models.torch_data import version_of_torch

MODULE_FILE = "model.pth"

PICKLE_MODULE_FILE = "pickle_module_info.txt"
"""MLflow reads from it which module unpickles `model.pth`; what cloudpickle wrote, pickle reads."""

_ACTIVATIONS = ("elu", "gelu", "leaky_relu", "relu", "selu", "sigmoid", "silu", "softmax", "tanh")
"""Functions that torch's own modules keep as attributes."""

_SAFE_SINCE = (2, 10)
"""Earlier versions of torch's restricted reader could be got round, or made to read beyond their memory."""


def module_bytes(module: Any) -> dict[str, bytes]:
    """A module as `torch.save` pickles it, by file name; with cloudpickle where its class cannot be imported.

    Raises:
        InvalidArgumentError: It can be pickled by no means.
    """
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        buffer = io.BytesIO()
        torch.jit.save(module, buffer)
        return {MODULE_FILE: buffer.getvalue(), PICKLE_MODULE_FILE: b"pickle"}
    try:
        return {MODULE_FILE: _saved(module, pickle), PICKLE_MODULE_FILE: b"pickle"}
    except PICKLING_ERRORS as error:
        reason = error
    try:
        import cloudpickle

        return {MODULE_FILE: _saved(module, cloudpickle), PICKLE_MODULE_FILE: b"pickle"}
    except PICKLING_ERRORS:
        expected = f"a module that can be pickled ({type(reason).__name__}: {reason})"
        raise InvalidArgumentError("pytorch_model", type(module).__qualname__, expected) from None


def _saved(module: Any, pickler: Any) -> bytes:
    import torch

    if pickler is pickle and type(module).__module__ == "__main__":
        # Another program's `__main__` has no such class.
        raise pickle.PicklingError("its class is defined in __main__")
    buffer = io.BytesIO()
    torch.save(module, buffer, pickle_module=pickler)
    return buffer.getvalue()


def load_module(data: bytes, file: Path, trusted: bool) -> Any:
    """The module of a `.pth` file, in evaluation mode, on the CPU.

    Raises:
        UntrustedModelError: It names other classes than torch's own modules, and nobody has said that it may.
        ModelFormatError: It is damaged, or needs what is not installed here.
    """
    import torch

    allowed = [] if allows_pickle(trusted) else _own_modules(data, file)
    try:
        if allows_pickle(trusted):
            module = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
        else:
            with torch.serialization.safe_globals(allowed):
                module = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except ModuleNotFoundError as error:
        raise ModelFormatError(f"{file}: it needs the module {error.name!r}, which is not installed here") from error
    except (*UNREADABLE, pickle.UnpicklingError) as error:
        raise ModelFormatError(f"{file}: cannot be loaded with the installed versions: {str(error)[:500]}") from error
    if not isinstance(module, torch.nn.Module):
        raise ModelFormatError(f"{file}: holds a {type(module).__qualname__}, not a module")
    return module.eval()


def _own_modules(data: bytes, file: Path) -> list[Any]:
    """The classes and functions of torch's own that a file names.

    Raises:
        UntrustedModelError: It names others besides, or is in a form that cannot be read safely.
    """
    import torch

    content = _pickle_in(data, file)
    try:
        if content is data or version_of_torch() < _SAFE_SINCE:
            raise refuse_pickle(content, file)
        found = set(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)))
    except (*UNREADABLE, pickle.UnpicklingError):
        raise refuse_pickle(content, file) from None
    own = {name: _own(name) for name in found if name != "builtins.set"}
    if not scan(content).complete or any(kind is None for kind in own.values()):
        raise refuse_pickle(content, file)
    return [*own.values(), set]


def _pickle_in(data: bytes, file: Path) -> bytes:
    """The pickle in a zip that `torch.save` wrote; the data itself where it is none."""
    if not data.startswith(b"PK"):
        return data
    check_zip(data, file)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            return archive.read(found[0]) if len(found) == 1 else data
    except UNREADABLE as error:
        raise ModelFormatError(f"{file}: not a whole zip file ({error}): damaged or cut short") from None


def _own(name: str) -> Any:
    """One of torch's own module classes or activations, by its dotted name; None for anything else."""
    import torch

    module, _, attribute = name.rpartition(".")
    if module in ("torch.nn.functional", "torch._C._nn") and attribute in _ACTIVATIONS:
        return getattr(torch.nn.functional, attribute, None)
    if not module.startswith("torch.nn.modules."):
        return None
    # torch has imported all of them by itself.
    found = getattr(sys.modules.get(module), attribute, None)
    own = isinstance(found, type) and issubclass(found, torch.nn.Module) and found.__module__ == module
    return found if own else None


def load_program(data: bytes, file: Path, trusted: bool) -> Any:
    """The module that runs an exported program.

    Raises:
        UntrustedModelError: The archive holds something that could run code, and nobody has said that it may.
        ModelFormatError: It is damaged, or of a version of torch that the installed one does not read.
    """
    import torch

    content = data if allows_pickle(trusted) else checked(data, file)
    try:
        return torch.export.load(io.BytesIO(content)).module()
    except (*UNREADABLE, pickle.UnpicklingError) as error:
        raise ModelFormatError(f"{file}: cannot be loaded with the installed torch: {str(error)[:500]}") from error
