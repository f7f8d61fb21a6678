"""Which integrations are on, and with which configuration.

One lock an integration. A configuration is a frozen object, swapped whole; a call in flight keeps the one that it began
with. An integration that stays on keeps its patches, whatever else is configured, so they never stack.

What a call set for one integration beats what a call set for all, whichever came first; both beat the settings. Being
switched off (`disable()`, `autolog(disable=True)`, `AUTOTRACK_DISABLE=1`) beats everything.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock

from autotrack import config, console, process
from autotrack.errors import ConfigurationError, IntegrationNotAvailableError, InvalidArgumentError
from autotrack.hooks import guard
from autotrack.integrations import INTEGRATIONS, Integration, find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType
    from typing import Any

    from autotrack.hooks.light import Watcher
    from autotrack.hooks.patching import Patcher
    from autotrack.integrations.options import IntegrationConfig

    Configured = tuple[bool, dict[str, Any], dict[str, dict[str, Any]]]


OPTIONS: dict[str, Any] = {
    "disable": bool,
    "exclusive": bool,
    "disable_for_unsupported_versions": bool,
    "silent": bool,
    "log_models": (True, False, "best"),
    "registered_model_name": str,
    "log_datasets": bool,
    "log_input_examples": bool,
    "log_model_signatures": bool,
    "log_transformers": bool,
    "log_training_metrics": ("library", "all", "none"),
    "log_post_training_metrics": bool,
    "extra_tags": dict,
}
"""Options of `autolog`: their type, or their values. The fields of `options.IntegrationConfig`."""


class _State:
    """One integration in this process."""

    def __init__(self, row: Integration) -> None:
        self.row = row
        self.lock = RLock()
        self.specific: dict[str, Any] = {}
        self.configuration: IntegrationConfig | None = None
        self.patcher: Patcher | Watcher | None = None
        self.loads: dict[str, object] = {}
        """Which import of each trigger the patches were put on for: it may be imported or reloaded again."""


_states = {row.name: _State(row) for row in INTEGRATIONS}
_for_all: dict[str, Any] = {}
_off = False


def _after_fork() -> None:
    """A thread that is not in the child may have been in the middle of an import."""
    for state in _states.values():
        state.lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def configuration(name: str) -> IntegrationConfig:
    """The configuration of an integration as it is now.

    Raises:
        ConfigurationError: A setting has a value that cannot be used.
    """
    state = _states[name]
    return state.configuration or _effective(state)


def patches(name: str) -> list[Any]:
    """What an integration has patched, for `autotrack doctor`."""
    patcher = _states[name].patcher
    return [] if patcher is None else list(patcher.patches())


def is_off() -> bool:
    """Whether everything is switched off, by a call or by the setting `disable`."""
    return _off or bool(_for_all.get("disable")) or config.is_disabled()


def switch(off: bool) -> None:
    """Switch everything off, or back on (also where `autolog(disable=True)` switched it off)."""
    global _off
    disabled = _for_all.pop("disable", False)
    if off != _off or disabled:
        _off = off
        refresh()


def configure(options: Mapping[str, Any], name: str | None = None) -> None:
    """Set options of one integration, or of all; None among the values leaves an option as it is.

    Raises:
        InvalidArgumentError: There is no integration of that name, or a value is of the wrong type; nothing changes.
    """
    given = {key: value for key, value in options.items() if value is not None}
    _checked(given)
    if name is None:
        _for_all.update(given)
        refresh()
        return
    state = _states.get(name)
    if state is None:
        raise InvalidArgumentError("integration", name, " or ".join(_states))
    with state.lock:
        state.specific.update(given)
    _refresh(state)


def _checked(options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        expected = OPTIONS.get(name)
        if expected is None:
            raise InvalidArgumentError("autolog", name, "one of " + ", ".join(OPTIONS))
        if isinstance(expected, tuple):
            if not any(type(value) is type(one) and value == one for one in expected):
                raise InvalidArgumentError(name, value, " or ".join(repr(one) for one in expected))
        elif not isinstance(value, expected) and not (expected is dict and hasattr(value, "keys")):
            raise InvalidArgumentError(name, value, f"a {expected.__name__}")
    if options.get("registered_model_name"):
        from autotrack.tracking.registry_names import checked_model_name

        checked_model_name(options["registered_model_name"], "registered_model_name")


def refresh() -> None:
    """Bring all integrations in line with what is configured."""
    for state in _states.values():
        _refresh(state)


def configured() -> Configured:
    """What calls have configured so far, for `reset`."""
    return _off, dict(_for_all), {name: dict(state.specific) for name, state in _states.items()}


def reset(to: Configured | None = None) -> None:
    """Take all patches off, and forget what calls have configured, as a fresh process would (between tests).

    Args:
        to: What is configured instead; it counts from the next activation or `refresh` on.
    """
    global _off, _for_all
    _off, _for_all, specific = to if to is not None else (False, {}, {})
    for name, state in _states.items():
        with state.lock:
            state.specific = specific.get(name, {})
            state.configuration = None
            _take_off(state)
            guard.health(name).reset()


def adopt(to: Configured) -> None:
    """In a worker process: what calls have configured in the program holds here too."""
    global _off, _for_all
    off, for_all, specific = to
    known = {name: one for name, one in configured()[2].items() if one}
    if (off, for_all, specific) != (_off, _for_all, known):
        _off, _for_all = off, dict(for_all)
        for name, state in _states.items():
            state.specific = dict(specific.get(name, {}))
        refresh()


def _refresh(state: _State) -> None:
    with state.lock:
        state.configuration = None
        # Until its framework is imported nothing is decided, and nothing heavy is loaded in order to decide it.
        if not any(_loaded(trigger) for trigger in state.row.triggers):
            _take_off(state)
        else:
            _decide(state)


def _effective(state: _State) -> IntegrationConfig:
    from autotrack.integrations.options import merged

    settings = config.settings()
    wanted = settings.integrations is None or state.row.name in settings.integrations or not state.row.target
    off = is_off() or settings.disable or bool(state.specific.get("disable")) or not wanted
    options: IntegrationConfig = merged(settings, _for_all, state.specific, off)
    return options


def on_import(name: str, module: ModuleType) -> None:
    """A trigger of an integration has been imported, for the first time or again: put its patches on."""
    state = _states[name]
    load = _load_of(module)
    with state.lock:
        # What rides with others has its own way of waiting for those that come later.
        rides = not (state.row.target or state.row.light)
        if not rides and not any(load is known for known in state.loads.values()):
            _take_off(state)
        before = state.patcher
        _decide(state)
        if state.patcher is None or state.patcher is not before:
            _tell(state.row)
        state.loads.update((one, load) for one in state.row.triggers if sys.modules.get(one) is module)


def on_target(name: str, module: ModuleType) -> None:
    """The framework itself has been imported: say so where it is a module of the program's that bears its name."""
    state = _states[name]
    if not hasattr(module, "__path__"):  # no package: the trigger can never be imported
        health = guard.health(name)
        health.status, health.reason = "skipped", _not_the_framework(state.row)
        _tell(state.row)


def _tell(row: Integration) -> None:
    health = guard.health(row.name)
    words = [row.name, *([health.version] if health.version else []), "is", health.status]
    console.tell(" ".join(words) + (f": {health.reason}" if health.reason else ""))


def _decide(state: _State) -> None:
    """Bring one integration in line with what is configured; one that stays on keeps its patches."""
    health = guard.health(state.row.name)
    if health.broken or health.status == "failed":  # switched on anew: it gets another chance
        _take_off(state)
        health.reset()
    if process.suspended:
        _take_off(state)
        health.reason = "suspended, as under pytest"
        return
    if state.row.light:  # its settings are read when there is a run that they matter to
        _decide_lightly(state, health)
        return
    try:
        options = state.configuration = _effective(state)
    except ConfigurationError as error:
        _take_off(state)
        health.status, health.reason = "failed", str(error)
        console.say_once("configuration", f"{error}; nothing is recorded")
        return
    reason = _reason_against(state.row, options)
    if reason:
        _take_off(state)
        health.status, health.reason = ("off" if options.disable else "skipped"), reason
    elif state.patcher is None:
        _put_on(state, health)


def _decide_lightly(state: _State, health: guard.Health) -> None:
    if is_off() or state.specific.get("disable"):
        _take_off(state)
        health.status, health.reason = "off", "switched off"
    elif state.patcher is None:
        _put_on(state, health)


def _put_on(state: _State, health: guard.Health) -> None:
    from importlib import import_module

    name = state.row.name
    patcher = _new_patcher(state.row, health)
    with patcher.applying():
        integration: Any = import_module(f"autotrack.integrations.{name}")
        integration.instrument(patcher, lambda: configuration(name))
    loaded = {trigger: _loaded(trigger) for trigger in state.row.triggers}
    state.patcher = patcher
    state.loads = {trigger: _load_of(module) for trigger, module in loaded.items() if module is not None}


def _new_patcher(row: Integration, health: guard.Health) -> Patcher | Watcher:
    if row.light:
        from autotrack.hooks.light import Watcher

        return Watcher(row.name, health)
    from autotrack.hooks.patching import Patcher

    return Patcher(row.name, health)


def _load_of(module: ModuleType | None) -> object:
    return getattr(module, "__spec__", None) or module


def _take_off(state: _State) -> None:
    patcher, state.patcher = state.patcher, None
    if patcher is not None:
        patcher.revert()
        guard.health(state.row.name).status = "off"


def _reason_against(row: Integration, options: IntegrationConfig) -> str:
    """Why an integration is not put on; empty where it is."""
    if options.disable:
        return "switched off"
    if not row.target:
        return ""
    # The target itself may be half imported while its trigger is there.
    target, trigger = sys.modules.get(row.target), sys.modules.get(row.triggers[0])
    if target is None or not all(hasattr(trigger, probe) for probe in row.probes):
        return _not_the_framework(row)
    version = str(getattr(target, "__version__", "0"))
    guard.health(row.name).version = version
    return version_reason(row, version, options.disable_for_unsupported_versions)


def _not_the_framework(row: Integration) -> str:
    return f"the module {row.target!r} that was imported is not {row.distribution}"


def version_reason(row: Integration, version: str, strict: bool) -> str:
    """Why a framework of this version is left alone; empty where it is not.

    Args:
        row: The integration.
        version: The framework's version.
        strict: Leave versions alone that are newer than the tested ones (`disable_for_unsupported_versions`).
    """
    if _numbers(version) < _numbers(row.minimum):
        return f"{row.distribution} {version} is older than the oldest supported, {row.minimum}"
    if strict and _numbers(version)[:2] > _numbers(row.tested)[:2]:
        return f"{row.distribution} {version} is newer than the newest tested, {row.tested}"
    return ""


def _loaded(name: str) -> ModuleType | None:
    """A module that has been imported, wholly."""
    module = sys.modules.get(name)
    return None if module is None or getattr(_load_of(module), "_initializing", False) else module


def _numbers(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def require(name: str) -> None:
    """An integration was asked for by name: say so where its framework is not installed.

    Raises:
        IntegrationNotAvailableError: The framework is not installed.
    """
    import importlib.util

    row = find(name)
    if row is not None and row.target and importlib.util.find_spec(row.target) is None:
        raise IntegrationNotAvailableError(
            name, f"{row.distribution} is not installed", f"pip install {row.distribution}"
        )
