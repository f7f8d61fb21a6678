"""The parser of a command, or of an action of one."""

from __future__ import annotations

import argparse
from typing import Any


def add_action(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    """Add a command or an action; its options cannot be abbreviated.

    Args:
        actions: What `add_subparsers` returned.
        name: What it is called.
        text: What it does, without a capital and a full stop: a line of the list, and the description of its own.
    """
    about = text[0].upper() + text[1:] + "."
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=about, allow_abbrev=False)
    return parser
