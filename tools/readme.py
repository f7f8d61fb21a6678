"""Tables of README.md and CONTRIBUTING.md that come from the code: `--write` writes them, else it checks them."""

from __future__ import annotations

import importlib
import re
import sys
import typing
from collections.abc import Callable
from pathlib import Path

import msgspec

from autotrack import events
from autotrack.cli import COMMANDS
from autotrack.settings import MEBIBYTE, PREFIX, Settings

FILES = [Path(__file__).resolve().parents[1] / name for name in ("README.md", "CONTRIBUTING.md")]

BLOCK = re.compile(r"(<!-- (\w+): written by `make readme` -->\n).*?(<!-- end -->)", re.DOTALL)


def table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [titles, tuple("---" for _ in titles), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def settings() -> str:
    """Every setting with its default and its help text."""
    hints = typing.get_type_hints(Settings, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(Settings):
        default = getattr(Settings(), field.name)
        meta = next(one for one in hints[field.name].__metadata__ if isinstance(one, msgspec.Meta))
        rows.append((f"`{PREFIX}{field.name.upper()}`", shown(default), str(meta.description)))
    return table(("variable", "default", "what it does"), rows)


def shown(default: object) -> str:
    """A default as one would write it into the environment."""
    if default is None or default == {}:
        return ""
    if isinstance(default, bool):
        return str(int(default))
    if isinstance(default, tuple):
        return ", ".join(default)
    if isinstance(default, int) and default % MEBIBYTE == 0:
        return f"{default} ({default // MEBIBYTE} MiB)"
    return f"{default:g}" if isinstance(default, float) else str(default)


def commands() -> str:
    """Every command with its help text."""
    return table(("command", "what it does"), [(f"`autotrack {name}`", text) for name, text in COMMANDS.items()])


def journal() -> str:
    """Every event that a journal may hold, with its fields; those in parentheses have a default."""
    rows = []
    for event in typing.get_args(events.Event):
        fields = [
            f"`{field.name}`" if field.required else f"(`{field.name}`)" for field in msgspec.structs.fields(event)
        ]
        meaning = str(event.__doc__).partition("\n")[0]
        rows.append((f"`{event.__struct_config__.tag}`", meaning, " ".join(fields)))
    return table(("`t`", "event", "fields"), rows)


def benchmarks() -> str:
    """What recording costs, as `make bench` has measured it last."""
    sys.path.insert(0, str(FILES[0].parent / "benchmarks"))
    table_of_results: Callable[[], str] = importlib.import_module("results").table
    return table_of_results()


SECTIONS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "commands": commands,
    "events": journal,
    "benchmarks": benchmarks,
}


def written(text: str) -> str:
    """A file's text with its tables as they should be."""
    return BLOCK.sub(lambda block: block[1] + SECTIONS[block[2]]() + block[3], text)


def main(arguments: list[str]) -> int:
    """Check the tables, or write them; the exit status."""
    status = 0
    for path in FILES:
        text = path.read_text("utf-8")
        new = written(text)
        if new == text:
            continue
        if arguments == ["--write"]:
            path.write_text(new, "utf-8")
        else:
            sys.stderr.write(f"the tables of {path.name} are not those of the code: make readme\n")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
