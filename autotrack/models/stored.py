"""An object in the one file that a flavor's settings name: in skops' format, or a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autotrack.errors import ModelFormatError
from autotrack.models.mlmodel import Model
from autotrack.models.safety import allows_pickle, file_inside, read_verified
from autotrack.models.skops_reader import read_skops
from autotrack.models.unpickling import add_code, load_pickle, python_of


def load_object(
    directory: Path, model: Model, flavor: str, config: dict[str, Any], name_key: str, trusted: bool
) -> Any:
    """The object, which is loaded only where the policy or somebody trusts it.

    Args:
        directory: The model's.
        model: Its MLmodel, with the hashes.
        flavor: The flavor's name, for messages.
        config: The flavor's settings.
        name_key: The setting that names the file.
        trusted: Somebody has said that it may be loaded, whatever it is.

    Raises:
        ModelFormatError: The file is damaged, missing, or of an unknown format.
        UntrustedModelError: Loading it would run code, and nobody has said that it may.
    """
    key = f"flavors.{flavor}.{name_key}"
    file = file_inside(directory, config.get(name_key), key)
    data = read_verified(directory, model, config.get(name_key), key)
    wanted = config.get("serialization_format", "pickle")
    if wanted == "skops":
        return read_skops(data, file, trusted)
    if wanted not in ("pickle", "cloudpickle"):
        raise ModelFormatError(f"{directory}: MLmodel: serialization_format {wanted!r} is not known")
    if allows_pickle(trusted):
        # MLflow keeps the user's own modules there; whoever trusts the model trusts them.
        add_code(directory, model, config.get("code"), f"flavors.{flavor}.code")
    return load_pickle(data, file, trusted, python_of(directory, model))
