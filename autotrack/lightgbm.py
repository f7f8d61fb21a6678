"""`autotrack.lightgbm`: switch for recording LightGBM, and its models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from autotrack import automatic
from autotrack.models.flavors.lightgbm import load_model, save_model
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
    log_post_training_metrics: bool | None = None,
    extra_tags: Mapping[str, str] | None = None,
) -> None:
    """Record LightGBM's training from now on; options as for `autotrack.autolog`, which they beat.

    The fits of its estimators (`LGBMClassifier` and its like) are runs of scikit-learn's integration, with its options.

    Raises:
        IntegrationNotAvailableError: LightGBM is not installed.
        InvalidArgumentError: An option has a value of the wrong type; nothing changes then.
    """
    automatic.configure({key: value for key, value in locals().items() if value is not None}, "lightgbm")


def log_model(lgb_model: Any, artifact_path: str | None = None, **options: Any) -> LoggedModel:
    """Store a `Booster` or a fitted model of the scikit-learn API as an output of the active run.

    Args:
        lgb_model: The model.
        artifact_path: MLflow's older name for `name`.
        **options: As of `autotrack.log_model` and `autotrack.lightgbm.save_model`.

    Raises:
        InvalidArgumentError: It is no fitted model of LightGBM's, or an argument is not usable.
        ArtifactError: It cannot be stored.
    """
    return outputs.log_model(lgb_model, artifact_path, flavor="lightgbm", **options)
