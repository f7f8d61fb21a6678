"""`autotrack.sklearn`: switch for recording scikit-learn, and its models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from autotrack import automatic
from autotrack.models.flavors.sklearn import load_model, save_model
from autotrack.records import LoggedModel
from autotrack.tracking import outputs

__all__ = ["autolog", "load_model", "log_model", "save_model"]


def autolog(
    *,
    disable: bool | None = None,
    exclusive: bool | None = None,
    disable_for_unsupported_versions: bool | None = None,
    silent: bool | None = None,
    log_models: bool | Literal["best"] | None = None,
    registered_model_name: str | None = None,
    log_datasets: bool | None = None,
    log_input_examples: bool | None = None,
    log_model_signatures: bool | None = None,
    log_transformers: bool | None = None,
    log_training_metrics: Literal["library", "all", "none"] | None = None,
    log_post_training_metrics: bool | None = None,
    extra_tags: Mapping[str, str] | None = None,
) -> None:
    """Record scikit-learn's training from now on; options as for `autotrack.autolog`, which they beat.

    Raises:
        IntegrationNotAvailableError: scikit-learn is not installed.
        InvalidArgumentError: An option has a value of the wrong type; nothing changes then.
    """
    automatic.configure({key: value for key, value in locals().items() if value is not None}, "sklearn")


def log_model(sk_model: Any, artifact_path: str | None = None, **options: Any) -> LoggedModel:
    """Store a fitted estimator as an output of the active run.

    Args:
        sk_model: The estimator.
        artifact_path: MLflow's older name for `name`.
        **options: As of `autotrack.log_model` and `autotrack.sklearn.save_model`.

    Raises:
        InvalidArgumentError: It cannot be stored, or an argument is not usable.
        ArtifactError: It cannot be stored.
    """
    return outputs.log_model(sk_model, artifact_path, flavor="sklearn", **options)
