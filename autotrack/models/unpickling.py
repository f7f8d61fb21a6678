"""Pickles: written plainly, and read only after somebody has said that they may be."""

from __future__ import annotations

import importlib.util
import io
import pickle
import platform
import re
import sys
from pathlib import Path
from typing import Any, Literal

from autotrack.errors import InvalidArgumentError, ModelFormatError
from autotrack.models.mlmodel import Model
from autotrack.models.requirements import PYTHON_ENV
from autotrack.models.safety import UNREADABLE, allows_pickle, refuse_pickle, verify_folder
from autotrack.models.snapshot import PICKLING_ERRORS

STAND_INS = {
    ("mlflow.models.signature", "_TypeHints"): ("types", "SimpleNamespace"),
    ("mlflow.pyfunc.model", "PythonModel"): ("autotrack.models.python_model", "PythonModel"),
    ("mlflow.pyfunc.model", "PythonModelContext"): ("autotrack.models.python_model", "PythonModelContext"),
    ("mlflow.pyfunc.model", "_FunctionPythonModel"): ("autotrack.models.python_model", "FunctionModel"),
}
"""Classes of MLflow's that its models name, and ours that do the same, so that they load without MLflow."""


def pickled(model: object, wanted: Literal["pickle", "cloudpickle"]) -> bytes:
    """A model as a pickle.

    Raises:
        InvalidArgumentError: It cannot be pickled.
    """
    pickler: Any = pickle
    if wanted == "cloudpickle":
        import cloudpickle

        pickler = cloudpickle
    try:
        # Not the highest protocol: an older Python may be the one that loads it.
        return bytes(pickler.dumps(model, protocol=pickle.DEFAULT_PROTOCOL))
    except PICKLING_ERRORS as error:
        expected = f"a format that can hold this model ({error})"
        raise InvalidArgumentError("serialization_format", wanted, expected) from None


def python_of(directory: Path, model: Model) -> str:
    """The version of Python that a model was saved under; empty where nothing tells it."""
    told = (model.flavors.get("python_function") or {}).get("python_version")
    if not told:
        try:
            text = (directory / PYTHON_ENV).read_text("utf-8", "replace")
        except OSError:
            return ""
        line = re.search(r"^python:(.*)$", text, re.MULTILINE)
        told = line[1].strip(" '\"\r") if line is not None else ""
    return str(told)


class _OtherPythonsCodeError(Exception):
    """A pickle holds code that this Python cannot run."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, python: str) -> None:
        super().__init__(io.BytesIO(data))
        self._is_others = bool(python) and python.split(".")[:2] != platform.python_version().split(".")[:2]

    def find_class(self, module: str, name: str) -> Any:
        place = (module, name)
        if place in STAND_INS and importlib.util.find_spec("mlflow") is None:
            place = STAND_INS[place]
        found = super().find_class(*place)
        return _without_code(found) if self._is_others and name == "_builtin_type" else found


def _without_code(builtin_type: Any) -> Any:
    """What cloudpickle finds types of Python's own by, as it does the one of code."""

    def found(name: str) -> Any:
        if name == "CodeType":
            raise _OtherPythonsCodeError
        return builtin_type(name)

    return found


def load_pickle(data: bytes, file: Path, trusted: bool, python: str = "") -> Any:
    """The object of a pickle.

    Args:
        data: What stands in the file.
        file: Named in errors.
        trusted: Somebody has said that it may be loaded.
        python: Version of Python that it was written under, where that is known.

    Raises:
        UntrustedModelError: Nobody has; the error lists what the pickle names.
        ModelFormatError: It is damaged, needs what is not installed here, or holds functions or classes themselves
            and was written under another Python, whose code would end this one with a segmentation fault.
    """
    if not allows_pickle(trusted):
        raise refuse_pickle(data, file)
    try:
        # What cloudpickle writes, pickle reads, as long as cloudpickle can be imported.
        return _Unpickler(data, python).load()
    except _OtherPythonsCodeError:
        raise ModelFormatError(
            f"{file}: it holds code of Python {python}, which {platform.python_version()} cannot run; load it with "
            "the Python that saved it, and save it again with its classes and functions in modules (code_paths=...)"
        ) from None
    except ModuleNotFoundError as error:
        raise ModelFormatError(f"{file}: it needs the module {error.name!r}, which is not installed here") from error
    except (*UNREADABLE, pickle.UnpicklingError) as error:
        raise ModelFormatError(f"{file}: cannot be loaded with the installed versions: {error!r}") from error


def add_code(directory: Path, model: Model, code: object, key: str) -> None:
    """Put the user's own modules, which the directory holds, on `sys.path`. Call only where the model is trusted.

    Raises:
        ModelFormatError: The folder is not inside the directory, or holds a file that is not the saved one.
    """
    if code:
        folder = str(verify_folder(directory, model, code, key))
        if folder not in sys.path:
            sys.path.insert(0, folder)
