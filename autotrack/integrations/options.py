"""The configuration of one integration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from autotrack.settings import Settings


class IntegrationConfig(msgspec.Struct, frozen=True):
    """Configuration of one integration; the settings of the same names are its defaults."""

    disable: bool = False
    exclusive: bool = False
    disable_for_unsupported_versions: bool = False
    silent: bool = False
    log_models: bool | Literal["best"] = True
    registered_model_name: str | None = None
    log_datasets: bool = True
    log_input_examples: bool = False
    log_model_signatures: bool = True
    log_transformers: bool = False
    log_training_metrics: Literal["library", "all", "none"] = "library"
    log_post_training_metrics: bool = True
    extra_tags: dict[str, str] = {}


def merged(
    settings: Settings, for_all: Mapping[str, Any], specific: Mapping[str, Any], disable: bool
) -> IntegrationConfig:
    """What counts for an integration: set for it, else set for all, else the settings. Tags add up."""
    shared = {name: getattr(settings, name) for name in IntegrationConfig.__struct_fields__ if hasattr(settings, name)}
    tags = {**settings.extra_tags, **for_all.get("extra_tags", {}), **specific.get("extra_tags", {})}
    tags = {str(key): str(value) for key, value in tags.items()}
    return IntegrationConfig(**{**shared, **for_all, **specific, "extra_tags": tags, "disable": disable})
