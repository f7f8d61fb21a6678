"""Coverage-guided fuzzing of all that reads what others wrote: `make fuzz`, or `python tests/fuzz/fuzz.py TARGET`.

Wants atheris (Linux, macOS), which is installed for this alone. What follows the target goes to libFuzzer:
`-max_total_time=120` for two minutes, a file to run what once failed again.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys

import atheris

with atheris.instrument_imports(include=["autotrack", "yaml"]):
    import hostile_targets as targets

    for lazily in ("yaml", "autotrack.models.enforcement", "autotrack.store.writing", "autotrack.store.filters"):
        importlib.import_module(lazily)

DATA = [
    {"a": 1, "b": "x"}, {"a": [1, 2], "b": [1]}, {"a": [[1], [2.5, None]]}, [{"a": 1}, {"a": "x"}], [[1, 2], [3]],
    [], {}, None, 5, "x", b"\xff", float("nan"), 2**70, [2**70, -1], [None], [{"a": {"b": [1]}}], {"": []},
]  # fmt: skip


def _text(data: bytes) -> str:
    """Text of any bytes; those that are no UTF-8 become lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def search(data: bytes) -> None:
    """The first line is a filter, the rest an order."""
    head, _, tail = data.partition(b"\n")
    targets.search(_text(head), _text(tail) or _text(head))


def journal(data: bytes) -> None:
    """The first byte says whether there is a good first line."""
    targets.journal(data[1:], data[:1] < b"\xd0")


def mlmodel(data: bytes) -> None:
    """The file's text."""
    targets.mlmodel(_text(data))


def enforce(data: bytes) -> None:
    """The first byte picks the data; lines are inputs and params of the signature."""
    inputs, _, params = _text(data[1:]).partition("\n")
    picked = DATA[data[0] % len(DATA)] if data else None
    if data[:1] > b"\x80":
        with contextlib.suppress(ValueError, RecursionError):
            picked = json.loads(params)
    targets.enforce({"inputs": inputs, "params": params}, picked, picked if isinstance(picked, dict) else {"t": picked})


def command_line(data: bytes) -> None:
    """Lines are arguments."""
    first, *words = [line.decode("utf-8", "surrogateescape") for line in data.split(b"\n")]
    command = targets.READING[len(first) % len(targets.READING)]
    targets.command_line([command, *(word.replace("\0", "").lstrip("/~") for word in words if word not in _KEPT_OUT)])


_KEPT_OUT = ("serve", "--yes")


if __name__ == "__main__":
    name, *options = sys.argv[1:]
    atheris.Setup(
        [sys.argv[0], *options], {f.__name__: f for f in (search, journal, mlmodel, enforce, command_line)}[name]
    )
    atheris.Fuzz()
