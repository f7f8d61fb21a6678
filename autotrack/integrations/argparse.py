"""argparse.

Hooked: `ArgumentParser.parse_known_args` and `parse_known_intermixed_args`, which all ways of parsing come to, and
`_get_values`, which is called for each argument that is given. Recorded: the values that the program's own parser gave
it, those of subparsers too, as parameters `args.<name>` of every run from then on, and which of them were given.

Deliberately not: parsers of libraries and tools (pytest's, pip's), and what a program does to the values afterwards.
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

_PARSERS = frozenset({"configargparse", "datargs", "jsonargparse", "simple_parsing", "tap", "transformers"})
"""Packages whose parsers are argparse's, and which parse on behalf of the program."""

_SUPPRESSED = "==SUPPRESS=="


class _Parsing:
    """A command line that is being parsed, by a parser and its subparsers."""

    def __init__(self) -> None:
        self.given: dict[str, None] = {}
        self.options: dict[str, list[str]] = {}
        """The options of each argument, by its name in the result."""

    def add(self, parser: Any) -> None:
        """Another parser takes part."""
        for action in list(getattr(parser, "_actions", ())):
            self.options.setdefault(action.dest, []).extend(action.option_strings)


_parsing: ContextVar[_Parsing | None] = ContextVar("autotrack_parsing", default=None)


def instrument(watcher: Watcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    parser = getattr(sys.modules["argparse"], "ArgumentParser", None)
    if not isinstance(parser, type):  # a module of the program's that bears the name
        return
    watcher.on_revert(program_facts.listen("argparse", configuration))
    watcher.method(parser, "parse_known_args", on_parse)
    watcher.method(parser, "parse_known_intermixed_args", on_parse)
    watcher.method(parser, "_get_values", on_values)


def on_parse(call: Call) -> Handler:
    """A parser parses, or a subparser does inside it."""
    outer = _parsing.get()
    if outer is not None:
        outer.add(call.instance)
        yield
        return
    caller = origin.caller_past(call.caller(), _PARSERS)
    place = "" if caller is None else f"{caller.f_code.co_filename}:{caller.f_lineno}"
    is_users = origin.is_users(caller)
    del caller
    parsing = _Parsing()
    parsing.add(call.instance)
    token = _parsing.set(parsing)
    try:
        namespace, _ = yield
    finally:
        _parsing.reset(token)
    if is_users:
        values = values_of(namespace)
        program_facts.note_arguments("argparse", place, values, parsing.given, parsing.options)


def on_values(call: Call) -> Handler:
    """An argument gets its value: an option that stands on the command line, or a positional one."""
    action, texts = call.args if len(call.args) == 2 else (None, ())
    parsing = _parsing.get()
    if parsing is not None and action is not None and (action.option_strings or texts):
        parsing.given[action.dest] = None
    yield


def values_of(namespace: Any) -> dict[str, Any]:
    """The values that a parser came to, by name."""
    values = getattr(namespace, "__dict__", {})
    return {
        str(name): value
        for name, value in dict(values).items()
        if not str(name).startswith("_") and name != _SUPPRESSED
    }
