"""The table of flavors: what is known of each without importing it.

A flavor's module offers `save_model(model, path, ...)`, `load_native(directory, model, trusted)` (the framework's own
object) and `load_predictor(directory, model, trusted)` (an object with `predict(data, params)` and `raw`). A new
flavor is one module and one row here.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from autotrack.errors import InvalidArgumentError, ModelFormatError
from autotrack.models.mlmodel import PYFUNC, Model


class Predictor(Protocol):
    """What `PyFuncModel` calls."""

    raw: Any

    def predict(self, data: Any, params: dict[str, Any]) -> Any:
        """Predictions for checked data."""


class FlavorModule(Protocol):
    """What a flavor's module offers."""

    def save_model(self, model: Any, path: Any, **options: Any) -> Model:
        """Write a model directory."""

    def load_native(self, directory: Path, model: Model, trusted: bool) -> Any:
        """The framework's own object."""

    def load_predictor(self, directory: Path, model: Model, trusted: bool) -> Predictor:
        """The same behind `predict`."""


class Flavor(NamedTuple):
    """One row of the table."""

    name: str
    """As under `flavors` in MLmodel."""
    module: str
    loader_module: str
    """MLflow's name for the reader, as `python_function.loader_module`. It is never imported, only looked up here."""
    package: str
    """A class that has this package among its bases is saved in this flavor."""

    def load(self) -> FlavorModule:
        """The flavor's module, imported now."""
        return cast("FlavorModule", importlib.import_module(self.module))


FLAVORS = (
    Flavor("lightgbm", "autotrack.models.flavors.lightgbm", "mlflow.lightgbm", "lightgbm"),
    Flavor("pytorch", "autotrack.models.flavors.torch", "mlflow.pytorch", "torch"),
    Flavor("sklearn", "autotrack.models.flavors.sklearn", "mlflow.sklearn", "sklearn"),
    Flavor(PYFUNC, "autotrack.models.flavors.python_function", "mlflow.pyfunc.model", "autotrack"),
)


def native_flavor(model: Model) -> Flavor:
    """The flavor in which a stored model's own object is read.

    Raises:
        ModelFormatError: It has none that autotrack reads.
    """
    for flavor in FLAVORS:
        if flavor.name in model.flavors and flavor.name != PYFUNC:
            return flavor
    if PYFUNC in model.flavors:
        return predictor_flavor(model)
    has = ", ".join(sorted(model.flavors)) or "none"
    reads = ", ".join(flavor.name for flavor in FLAVORS)
    raise ModelFormatError(f"MLmodel: none of its flavors ({has}) is one that autotrack reads ({reads})")


def predictor_flavor(model: Model) -> Flavor:
    """The flavor that a stored model's `python_function` stands for.

    Raises:
        ModelFormatError: It has no `python_function`.
    """
    loader = model.get_flavor(PYFUNC).get("loader_module")
    for flavor in FLAVORS:
        if flavor.loader_module == loader:
            return flavor
    # Another loader is that module's affair, which asks for trust.
    return FLAVORS[-1]


def flavor_of(obj: object) -> Flavor:
    """The flavor in which an object is saved.

    Raises:
        InvalidArgumentError: There is none for its type.
    """
    # The nearest base decides: an LGBMClassifier is LightGBM's, though it is scikit-learn's too.
    for base in type(obj).__mro__:
        for flavor in FLAVORS:
            if flavor.package == base.__module__.partition(".")[0]:
                return flavor
    expected = "a model of " + ", ".join(flavor.package for flavor in FLAVORS[:-1]) + ", or a PythonModel"
    raise InvalidArgumentError("model", type(obj).__qualname__, expected)
