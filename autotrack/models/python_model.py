"""`PythonModel`: a model that is the user's own Python code.

What stands here is stored with each such model, by value: a tool without autotrack loads it all the same. So nothing
here may refer to anything else in autotrack.
"""

from __future__ import annotations

import types
from typing import Any


class PythonModelContext:
    """What a `PythonModel` is given besides its input."""

    def __init__(self, artifacts: dict[str, str], model_config: dict[str, Any] | None = None) -> None:
        self._artifacts = artifacts
        self._model_config = model_config

    @property
    def artifacts(self) -> dict[str, str]:
        """Paths of the model's files, by the name that they were saved under."""
        return self._artifacts

    @property
    def model_config(self) -> dict[str, Any] | None:
        """Settings that were saved with the model."""
        return self._model_config


class PythonModel:
    """Base for models of the user's own code; the names are MLflow's."""

    predict_type_hints = types.SimpleNamespace(input=None, output=None)
    """MLflow looks at it: nothing is converted on the way in."""

    def load_context(self, context: Any) -> None:
        """Called once when the model is loaded, to open the files that `context.artifacts` names."""

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Predictions for `model_input`. `context` and `params` may be left out of one's own method."""
        raise NotImplementedError("a PythonModel needs a method predict(self, context, model_input, params=None)")


class FunctionModel(PythonModel):
    """A function as a model."""

    def __init__(self, func: Any, signature: Any = None) -> None:
        self.func = func

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Call the function."""
        return self.func(model_input)


class ObjectModel(PythonModel):
    """Any object with the methods of a `PythonModel`."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def load_context(self, context: Any) -> None:
        """The object's own."""
        self.model.load_context(context)

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """The object's own."""
        return self.model.predict(context, model_input, params)
