"""`autotrack.pyfunc`: any model behind one `predict`, and models of the user's own Python code."""

from __future__ import annotations

import os
from typing import Any

from autotrack.models import Model
from autotrack.models.flavors import python_function
from autotrack.models.pyfunc import PyFuncModel, load_model, register_resolver
from autotrack.models.python_model import PythonModel, PythonModelContext
from autotrack.records import LoggedModel
from autotrack.tracking import outputs

__all__ = [
    "PyFuncModel",
    "PythonModel",
    "PythonModelContext",
    "load_model",
    "log_model",
    "register_resolver",
    "save_model",
]


def save_model(path: str | os.PathLike[str], python_model: Any, **options: Any) -> Model:
    """Save a model of Python code as a model directory.

    Args:
        path: The directory to make.
        python_model: A `PythonModel`, any object with `predict`, or a function from input to predictions.
        **options: `artifacts`, `code_paths`, `model_config`, `signature`, `input_example`, `metadata`,
            `pip_requirements`, `extra_pip_requirements`.

    Raises:
        AlreadyExistsError: There is something at `path`.
        ArtifactError: It cannot be written.
        InvalidArgumentError: It is no such model, cannot be pickled, or an argument is not usable.
    """
    return python_function.save_model(python_model, path, **options)


def log_model(artifact_path: str | None = None, python_model: Any = None, **options: Any) -> LoggedModel:
    """Store a model of Python code as an output of the active run.

    Args:
        artifact_path: MLflow's older name for `name`.
        python_model: A `PythonModel`, any object with `predict`, or a function from input to predictions.
        **options: As of `autotrack.log_model` and `autotrack.pyfunc.save_model`.

    Raises:
        InvalidArgumentError: It is no such model, cannot be pickled, or an argument is not usable.
        ArtifactError: It cannot be stored.
    """
    return outputs.log_model(python_model, artifact_path, flavor="python_function", **options)
