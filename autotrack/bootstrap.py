"""Activation: from nothing to import hooks that call the integrations when their framework is imported.

Zero-code start and `autotrack.autolog()` both come through here. It runs at the start of every interpreter that the
zero-code hook reaches: it imports no framework, opens no file, starts no thread and reads no setting; all that waits
for the first import of a framework.
"""

from __future__ import annotations

import os
import sys

from autotrack import config, process
from autotrack.hooks import guard, imports
from autotrack.integrations import INTEGRATIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


OWNER = "activation"
"""Whose the import hooks are: not an integration's, which takes its own off when its patches are taken back."""


class State:
    """What activation did in this process, for `autotrack doctor`.

    Attributes:
        active: The import hooks are installed.
        role: As `process.role`.
        source: As `process.source`.
        pid: The process that activated; another one than this where this one was forked from it.
        hook_position: Where the hook's folder stood on `sys.path` (0: in front of all others); None without the hook.
        interrupted: It is suspended, and was active before or has been switched on since.
    """

    __slots__ = ("active", "hook_position", "interrupted", "pid", "role", "source")

    def __init__(self) -> None:
        self.active = False
        self.role = ""
        self.source = ""
        self.pid = 0
        self.hook_position: int | None = None
        self.interrupted = False


STATE = State()


def activate(role: str | None = None, source: str = "api", hook_position: int | None = None) -> str:
    """Install the import hooks of all integrations; in an active process nothing happens.

    A process that was active before keeps its role and its source. In a suspended one (`suspend`) nothing happens.

    Args:
        role: "main", "worker" or "rank", see `process.role`; by default what command line and environment say.
        source: "hook", "launcher" or "api".
        hook_position: Where the hook's folder stood on `sys.path`.

    Returns:
        What came of it, in words.
    """
    if process.suspended:
        STATE.interrupted = True
        return "inactive: suspended, as under pytest"
    if STATE.active:
        return f"already active (role {STATE.role}, by {STATE.source})"
    if not STATE.role:
        STATE.role, STATE.source, STATE.hook_position = role or _role(), source, hook_position
    STATE.active, STATE.pid = True, os.getpid()
    process.activated, process.role, process.source = True, STATE.role, STATE.source
    config.claim_rank()
    guard.on_first_error = _keep_health
    _begin_session()
    imports.install()
    for integration in INTEGRATIONS:
        for trigger in integration.triggers:
            imports.register(trigger, _handler_of(integration.name), OWNER)
        if integration.target and integration.target not in integration.triggers:
            imports.register(integration.target, _handler_of(integration.name, "on_target"), OWNER)
    return f"active (role {STATE.role}, by {STATE.source})"


def deactivate() -> None:
    """Take off the import hooks; `activate` may follow. Patches are for the registry to take off."""
    imports.unregister(OWNER)
    imports.uninstall()
    STATE.active = STATE.interrupted = process.activated = False


def suspend() -> None:
    """Keep autotrack off in this process, and in those that it starts, whoever switches it on, until `resume`.

    What the program records by calls of its own (`start_run`, `log_metric`) is recorded all the same.
    """
    if process.suspended:
        return
    was_active = STATE.active
    deactivate()
    config.launch_children(False)
    process.suspended, STATE.interrupted = True, was_active
    _refresh_registry()


def resume() -> None:
    """Take `suspend` back: what was active is active again, and what was switched on meanwhile is on."""
    if not process.suspended:
        return
    process.suspended = False
    config.launch_children(True)
    if STATE.interrupted:
        activate()
    _refresh_registry()


def _refresh_registry() -> None:
    registry = sys.modules.get("autotrack.integrations.registry")
    if registry is not None:
        registry.refresh()


def _begin_session() -> None:
    """Child processes belong to it, also where this one records nothing itself: a driver that starts others."""
    from autotrack import config

    if process.role == "main" and config.own_session_id() is None:
        clock = sys.modules.get("autotrack.clock")  # what it loads is not worth an id
        config.begin_session(os.urandom(16).hex() if clock is None else clock.new_id(), os.getpid())


def _keep_health() -> None:
    """Something went wrong: have a recorder, even if nothing is ever recorded; at exit it writes down what did."""
    from autotrack.tracking import recorders

    recorders.current()


def hook_verdict() -> str:
    """What the zero-code hook decided in this process, in words; empty where it did not run."""
    return str(getattr(sys.modules.get("_autotrack_hook"), "VERDICT", ""))


def _role() -> str:
    return config.role()


def _handler_of(name: str, event: str = "on_import") -> Callable[[ModuleType], None]:
    def on_import(module: ModuleType) -> None:
        from autotrack.integrations import registry

        getattr(registry, event)(name, module)

    return on_import
