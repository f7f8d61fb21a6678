"""The command line. One module a command, loaded when that command is asked for.

Exit status: 0 all is well, 1 a problem or nothing found, 2 the command line is wrong. Results go to stdout, everything
said about them to stderr.
"""

from __future__ import annotations

import argparse
import gc
import keyword
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from autotrack import __version__
from autotrack.cli.actions import add_action
from autotrack.errors import AutotrackError

COMMANDS = {
    "run": "run a Python program and record what it trains",
    "ls": "list runs",
    "show": "show all about one run",
    "explain": "say what of a run was recorded, what was left out and why, and what recording it took",
    "files": "list the files of a run, or bring them here",
    "models": "list registered models, predict with a model, or serve it",
    "doctor": "check the set-up: settings, integrations, zero-code start, store, journals, past trouble",
    "push": "bring runs into an MLflow server or database",
    "pull": "bring runs from an MLflow server, database or folder here",
    "db": "look at the schema of the store's database, upgrade it, check or copy the whole store",
    "gc": "remove for good what is deleted, and files that nobody refers to any more",
    "export": "write runs whole, with artifacts and models, into one file",
    "import": "bring the runs of such a file into a store",
}
"""Each command, a module of this package, and what it does. A module has `add_options(parser)` and `run(options)`."""

DESCRIPTION = "Shows what autotrack has recorded, and whether it can record."


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script `autotrack`.

    Args:
        arguments: What follows `autotrack` on the command line; this process's by default.

    Returns:
        The exit status.

    Raises:
        SystemExit: The command line is wrong (status 2), or asked for help or the version (status 0).
    """
    if arguments is None:
        gc.disable()  # a short life, hardly any garbage: collecting is a sixth of the start of `autotrack ls`
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["run"] and words[1:2] not in (["-h"], ["--help"]):
        # Not for argparse: all that follows is the program's command line.
        from autotrack.__main__ import launch

        return launch(words[1:])
    parser = make_parser(words[0] if words else "")
    options = parser.parse_args(_with_signed_values(words))
    if not words:
        parser.print_help()
        return 0
    return _quietly(_module_of(options.command), options)


def make_parser(*commands: str) -> argparse.ArgumentParser:
    """The parser, with the options of these commands alone: the modules of the others are not loaded."""
    parser = argparse.ArgumentParser("autotrack", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"autotrack {__version__}", help="show the version")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, text in COMMANDS.items():
        command = add_action(subparsers, name, text)
        if name in commands:
            _module_of(name).add_options(command)
    return parser


def _module_of(command: str) -> Any:
    """The module of a command; one that Python keeps the name of for itself has a `_` at its end."""
    return import_module(f"autotrack.cli.{command}{'_' * keyword.iskeyword(command)}")


def _with_signed_values(words: list[str]) -> list[str]:
    """`--sort -loss` as `--sort=-loss`: argparse takes what begins with a dash for an option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "--sort" and word.startswith("-"):
            joined[-1] = f"--sort={word}"
        else:
            joined.append(word)
    return joined


def _quietly(command: Any, options: argparse.Namespace) -> int:
    """Run a command; what goes wrong is one line on stderr."""
    try:
        status: int = command.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough (`autotrack ls | head`); else the interpreter would complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except (AutotrackError, OSError) as error:
        sys.stderr.write(f"autotrack: {error}\n")
        return 1
    return status
