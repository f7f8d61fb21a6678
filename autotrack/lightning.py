"""`autotrack.lightning`, also as `autotrack.pytorch_lightning`: switch for recording Lightning.

Its modules are torch modules: `autotrack.torch` saves and loads them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, Literal

from autotrack import automatic

__all__ = ["autolog"]


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
    extra_tags: Mapping[str, str] | None = None,
) -> None:
    """Record the trainers of Lightning from now on, of `lightning` and of `pytorch_lightning`, whichever is installed.

    The options are those of `autotrack.autolog`, which they beat.

    Raises:
        IntegrationNotAvailableError: Neither is installed.
        InvalidArgumentError: An option has a value of the wrong type; nothing changes then.
    """
    options: dict[str, Any] = {key: value for key, value in locals().items() if value is not None}
    installed = [name for name in ("lightning", "pytorch_lightning") if importlib.util.find_spec(name) is not None]
    for name in installed or ["lightning"]:
        automatic.configure(options, name)
