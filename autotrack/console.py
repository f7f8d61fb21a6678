"""What autotrack says to a person: on stderr, once, and never on stdout."""

from __future__ import annotations

import sys

_said: set[str] = set()

silent = False
"""Say nothing at all (the setting `silent`)."""

verbose = False
"""Tell what is done and what is left out, too (the setting `debug`)."""


def say(text: str) -> None:
    """Write one line to stderr, if there is one that takes it."""
    if silent or sys.stderr is None:
        return
    try:
        sys.stderr.write(f"autotrack: {text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def reset() -> None:
    """Speak again, also of what was said before (between tests)."""
    global silent, verbose
    silent = verbose = False
    _said.clear()


def say_once(topic: str, text: str) -> None:
    """Write one line to stderr, the first time that this topic comes up in this process."""
    if topic not in _said:
        _said.add(topic)
        say(text)


def tell(text: str) -> None:
    """Say what is only for those who want to know everything (the setting `debug`)."""
    if verbose:
        say(text)
