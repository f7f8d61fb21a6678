"""Models as directories: the `MLmodel` format that MLflow shares, safe to load, without patching anything."""

from __future__ import annotations

import os
from typing import Any

from autotrack.models.flavors import flavor_of, native_flavor
from autotrack.models.mlmodel import Model
from autotrack.models.signature import Signature, infer_signature
from autotrack.models.snapshot import NoSnapshot, Snapshot, take_snapshot
from autotrack.models.uris import local_path, register_resolver

__all__ = [
    "Model",
    "NoSnapshot",
    "Signature",
    "Snapshot",
    "infer_signature",
    "load_model",
    "register_resolver",
    "save_model",
    "take_snapshot",
]


def save_model(model: Any, path: str | os.PathLike[str], **options: Any) -> Model:
    """Save a model in the flavor of its framework.

    Args:
        model: A framework's object.
        path: The directory to make.
        **options: As of the flavor's own `save_model` (`autotrack.sklearn.save_model`).

    Raises:
        InvalidArgumentError: No flavor is for an object of this type.
    """
    return flavor_of(model).load().save_model(model, path, **options)


def load_model(model_uri: str | os.PathLike[str], trusted: bool = False) -> Any:
    """Load a model as its framework's own object (an estimator), whichever flavor it has.

    Args:
        model_uri: A path, `file:` URL, `runs:/ID/name` or `models:/...`.
        trusted: Load it though that runs code of the file's (a pickle, a class beyond the policy).

    Raises:
        ModelFormatError: The directory is damaged, incomplete, not a model's, or of a kind that autotrack cannot read.
        UntrustedModelError: Loading it would run code, and nobody has said that it may.
    """
    directory = local_path(model_uri)
    model = Model.load(directory)
    return native_flavor(model).load().load_native(directory, model, trusted)
