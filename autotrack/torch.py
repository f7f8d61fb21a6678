"""`autotrack.torch`, also as `autotrack.pytorch`: switch for recording PyTorch's loops, and its models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from autotrack import automatic
from autotrack.models.flavors.torch import load_model, load_state_dict, save_model
from autotrack.records import LoggedModel
from autotrack.tracking import outputs

__all__ = ["autolog", "load_model", "load_state_dict", "log_model", "save_model"]


def autolog(
    *,
    disable: bool | None = None,
    exclusive: bool | None = None,
    disable_for_unsupported_versions: bool | None = None,
    silent: bool | None = None,
    log_models: bool | Literal["best"] | None = None,
    registered_model_name: str | None = None,
    log_datasets: bool | None = None,
    log_model_signatures: bool | None = None,
    extra_tags: Mapping[str, str] | None = None,
) -> None:
    """Record PyTorch's training loops from now on; options as for `autotrack.autolog`, which they beat.

    Raises:
        IntegrationNotAvailableError: PyTorch is not installed.
        InvalidArgumentError: An option has a value of the wrong type; nothing changes then.
    """
    automatic.configure({key: value for key, value in locals().items() if value is not None}, "torch")


def log_model(pytorch_model: Any, artifact_path: str | None = None, **options: Any) -> LoggedModel:
    """Store a torch module as an output of the active run.

    Args:
        pytorch_model: The module; it stays as it is. With `input_example=` it is exported, and loads without trust.
        artifact_path: MLflow's older name for `name`.
        **options: As of `autotrack.log_model` and `autotrack.torch.save_model`.

    Raises:
        InvalidArgumentError: It is no module, cannot be stored, or an argument is not usable.
        ArtifactError: It cannot be stored.
    """
    return outputs.log_model(pytorch_model, artifact_path, flavor="pytorch", **options)
