"""Python Fire.

Hooked: the functions inside `fire.Fire` that begin a command line and find the arguments of one call of it. Recorded:
the arguments of every call that `fire.Fire` makes for the program (a class and then its method, for instance), as
parameters `args.<name>` of every run from then on, and which of them were given.

Deliberately not: what is handed on as `*args`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextvars import ContextVar

from autotrack import origin
from autotrack.tracking import program_facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from autotrack.hooks.calls import Call
    from autotrack.hooks.light import Watcher
    from autotrack.integrations.options import IntegrationConfig

    Handler = Generator[Any, Any, None]

Arguments = tuple[dict[str, object], dict[str, None]]
"""Values, and names of those that were given."""

_line: ContextVar[Arguments | None] = ContextVar("autotrack_fire", default=None)


def instrument(watcher: Watcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    core = sys.modules["fire.core"]
    watcher.on_revert(program_facts.listen("fire", configuration))
    watcher.function(core, "_Fire", on_fire)
    watcher.function(core, "_ParseArgs", on_parse)


def on_fire(call: Call) -> Handler:
    """`fire.Fire` begins to work on a command line."""
    is_users = origin.is_users(origin.caller_past(call.caller(), ("fire",)))
    token = _line.set(({}, {}) if is_users else None)
    try:
        yield
    finally:
        _line.reset(token)


def on_parse(call: Call) -> Handler:
    """The arguments of one call are found."""
    line = _line.get()
    named = dict(call.args[3]) if len(call.args) > 4 else {}
    waiting = len(call.args[4]) if len(call.args) > 4 else 0
    result = yield
    if line is None or len(call.args) <= 4:
        return
    values, given = arguments_of(list(call.args[0]), named, result, waiting)
    line[0].update(values)
    line[1].update(given)
    program_facts.note_arguments("fire", "", *line)


def arguments_of(names: list[str], named: dict[str, Any], result: Any, waiting: int) -> Arguments:
    """The arguments of one call.

    Args:
        names: What the function takes by position or name.
        named: What the command line gave by name.
        result: What Fire made of it: values by position, values by name alone, texts that are left, and more.
        waiting: How many texts without a name there were before.
    """
    positional, by_name, left = result[0], result[1], result[2]
    values: dict[str, object] = {**dict(zip(names, positional, strict=False)), **by_name}
    used = waiting - len(left)
    given: dict[str, None] = {}
    for name in names:
        if named.get(name) is not None:
            given[name] = None
        elif used > 0:
            given[name] = None
            used -= 1
    return values, {**given, **dict.fromkeys(by_name)}
