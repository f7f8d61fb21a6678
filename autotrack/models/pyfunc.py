"""Any model behind one `predict`: `autotrack.pyfunc`."""

from __future__ import annotations

import os
from typing import Any

from autotrack.models.flavors import Predictor, predictor_flavor
from autotrack.models.mlmodel import Model
from autotrack.models.uris import local_path, register_resolver

__all__ = ["PyFuncModel", "load_model", "register_resolver"]


class PyFuncModel:
    """A loaded model. Its input is checked against its signature."""

    def __init__(self, metadata: Model, predictor: Predictor) -> None:
        self.metadata = metadata
        self._predictor = predictor

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """Predictions.

        Args:
            data: DataFrame (pandas, polars), array, sparse matrix, tensor, list or dict.
            params: Parameters of the prediction, as the signature lists them.

        Raises:
            SignatureMismatchError: `data` or `params` do not match the signature.
        """
        signature = self.metadata.signature
        if signature is None:
            return self._predictor.predict(data, dict(params or {}))
        return self._predictor.predict(signature.enforce(data), signature.enforce_params(params))

    def unwrap(self) -> Any:
        """The framework's own object."""
        return self._predictor.raw

    def __repr__(self) -> str:
        flavors = ", ".join(sorted(self.metadata.flavors))
        name = self.metadata.artifact_path or self.metadata.model_uuid
        return f"PyFuncModel({name!r}, {type(self.unwrap()).__qualname__}, flavors: {flavors})"


def load_model(model_uri: str | os.PathLike[str], trusted: bool = False) -> PyFuncModel:
    """Load a model that autotrack or MLflow saved.

    The `loader_module` that the model names is looked up in autotrack's own table, never imported.

    Args:
        model_uri: A path, `file:` URL, `runs:/ID/name` or `models:/...`.
        trusted: Load it though that runs code of the file's (a pickle, a class beyond the policy).

    Raises:
        ModelFormatError: The directory is damaged, incomplete, not a model's, or of a kind that autotrack cannot read.
        UntrustedModelError: Loading it would run code, and nobody has said that it may.
    """
    directory = local_path(model_uri)
    metadata = Model.load(directory)
    return PyFuncModel(metadata, predictor_flavor(metadata).load().load_predictor(directory, metadata, trusted))
