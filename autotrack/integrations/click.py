"""click and typer (which comes with a click of its own, or uses the installed one).

Hooked: `Command.invoke`. Recorded: the parameters of a command of the program's and of the groups that it is in, as
parameters `args.<name>` of every run from then on, and which of them were given (on the command line, by an environment
variable or at a prompt). What is typed without being shown is never recorded.

Deliberately not: commands of libraries and tools (flask's, dask's), and parameters that are not handed to the command.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator

from autotrack import origin
from autotrack.tracking import program_facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from autotrack.hooks.calls import Call
    from autotrack.hooks.light import Watcher
    from autotrack.integrations.options import IntegrationConfig

    Handler = Generator[Any, Any, None]

MODULES = ("click.core", "typer._click.core")

_DEFAULTS = ("DEFAULT", "DEFAULT_MAP")
"""Sources of a parameter that nobody gave."""


def instrument(watcher: Watcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    watcher.on_revert(program_facts.listen("click", configuration))
    for name in MODULES:
        command = getattr(sys.modules.get(name), "Command", None)
        if isinstance(command, type):
            watcher.method(command, "invoke", on_invoke)


def on_invoke(call: Call) -> Handler:
    """A command is about to be called, or a group in front of the command."""
    context: Any = call.args[0] if call.args else call.kwargs.get("ctx")
    if context is not None and is_users(call.instance):
        values, given, options = parameters_of(context)
        program_facts.note_arguments("click", "", values, given, options)
    yield


def is_users(command: Any) -> bool:
    """Whether what a command calls is the program's."""
    function: Any = getattr(command, "callback", None)
    while hasattr(function, "__wrapped__"):  # typer calls through a function of its own
        function = function.__wrapped__
    return function is not None and origin.is_users_module(str(getattr(function, "__module__", "")))


def parameters_of(context: Any) -> tuple[dict[str, Any], dict[str, None], dict[str, list[str]]]:
    """Values, names of those that were given, and options of the parameters of a command and its groups."""
    values: dict[str, Any] = {}
    given: dict[str, None] = {}
    options: dict[str, list[str]] = {}
    chain = [context]
    while chain[-1].parent is not None:
        chain.append(chain[-1].parent)
    for one in reversed(chain):
        hidden = {parameter.name for parameter in one.command.params if getattr(parameter, "hide_input", False)}
        values.update((name, value) for name, value in one.params.items() if name not in hidden)
        options.update((parameter.name, list(parameter.opts)) for parameter in one.command.params)
        for name in one.params:
            source = one.get_parameter_source(name)
            given.pop(name, None)
            if source is not None and source.name not in _DEFAULTS and name not in hidden:
                given[name] = None
    return values, given, options
