"""Hydra.

Hooked: `HydraConfig.set_config`, by which Hydra tells a job its configuration before it calls the task. Recorded: the
configuration that a function under `hydra.main` gets, flattened by dots, as parameters `args.<key>` of every run from
then on, and which of them were given by an override.

Deliberately not: Hydra's own settings; interpolations that call a resolver, which may be the user's and draw random
numbers: they stay as they are written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator

from autotrack.tracking import program_facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from autotrack.hooks.calls import Call
    from autotrack.hooks.light import Watcher
    from autotrack.integrations.options import IntegrationConfig

    Handler = Generator[Any, Any, None]

MAX_DEPTH = 20


def instrument(watcher: Watcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    module: Any = sys.modules["hydra.core.hydra_config"]
    watcher.on_revert(program_facts.listen("hydra", configuration))
    watcher.method(module.HydraConfig, "set_config", on_config)


def on_config(call: Call) -> Handler:
    """A job is told its configuration."""
    yield
    config: Any = call.args[0] if call.args else call.kwargs.get("cfg")
    from omegaconf import OmegaConf

    content = OmegaConf.to_container(config, resolve=False)
    if not isinstance(content, dict):
        return
    own = content.pop("hydra", {})
    values = resolved(flattened(content))
    changed = given_by(own.get("overrides", {}).get("task") or [])
    given = [key for key in values if any(key == one or key.startswith(f"{one}.") for one in changed)]
    program_facts.note_arguments("hydra", "", values, given)


def flattened(content: dict[Any, Any], prefix: str = "", depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Nested dicts as one, with keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and depth:
            flat.update(flattened(value, f"{name}.", depth - 1))
        else:
            flat[name] = value
    return flat


def resolved(flat: dict[str, Any]) -> dict[str, Any]:
    """The same with values in place of references to other keys (`${model.width}`)."""
    return {key: _followed(flat, value) for key, value in flat.items()}


def _followed(flat: dict[str, Any], value: Any) -> Any:
    for _ in range(MAX_DEPTH):
        if not (isinstance(value, str) and value.startswith("${") and value.endswith("}") and value[2:-1] in flat):
            break
        value = flat[value[2:-1]]
    return value


def given_by(overrides: list[Any]) -> list[str]:
    """The keys that overrides set: `lr=0.1`, `+new=1`, `++model.width=3`, `~key`, `db@place=mysql`."""
    keys = [str(one).partition("=")[0].lstrip("+~") for one in overrides]
    return [key.partition("@")[2] or key.replace("/", ".") for key in keys]
