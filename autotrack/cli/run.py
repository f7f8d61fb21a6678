"""`autotrack run`: the launcher, by another name."""

from __future__ import annotations

import argparse

from autotrack.__main__ import launch


def add_options(parser: argparse.ArgumentParser) -> None:
    """All that follows is the program's."""
    parser.usage = "autotrack run [-m module | -c command | script.py | - | folder | zip] [arguments ...]"
    parser.epilog = (
        "The program runs as under plain `python` and needs no change. Options of the interpreter go first: "
        "autotrack run -u train.py. The same as: python -m autotrack ..."
    )
    text = "options of the interpreter, then what it is to run and the arguments of that"
    parser.add_argument("program", nargs=argparse.REMAINDER, metavar="program ...", help=text)


def run(options: argparse.Namespace) -> int:
    """Run the program; on POSIX this process becomes it."""
    return launch(options.program)
