"""Pickles: written plainly, and read only after somebody has said that they may be."""

from __future__ import annotations

import importlib.util
import io
import pickle
import sys
from pathlib import Path
from typing import Any, Literal

from autotrack.errors import InvalidArgumentError, ModelFormatError
from autotrack.models.mlmodel import Model
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


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        place = (module, name)
        if place in STAND_INS and importlib.util.find_spec("mlflow") is None:
            place = STAND_INS[place]
        return super().find_class(*place)


def load_pickle(data: bytes, file: Path, trusted: bool) -> Any:
    """The object of a pickle.

    Args:
        data: What stands in the file.
        file: Named in errors.
        trusted: Somebody has said that it may be loaded.

    Raises:
        UntrustedModelError: Nobody has; the error lists what the pickle names.
        ModelFormatError: It is damaged, or needs what is not installed here.
    """
    if not allows_pickle(trusted):
        raise refuse_pickle(data, file)
    try:
        # What cloudpickle writes, pickle reads, as long as cloudpickle can be imported.
        return _Unpickler(io.BytesIO(data)).load()
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
