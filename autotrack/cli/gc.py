"""`autotrack gc`: remove for good what is deleted, and files that nobody refers to any more."""

from __future__ import annotations

import argparse
import re

from autotrack.cli import terminal
from autotrack.cli.stores import add_store_option, open_client
from autotrack.maintenance.garbage import collect_garbage

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def add_options(parser: argparse.ArgumentParser) -> None:
    """What goes; without `--yes` it is only listed."""
    parser.add_argument("--yes", action="store_true", help="remove it; without this, only say what would go")
    text = "only what was deleted so long ago, such as 30d, 12h or 2w (default: 0s)"
    parser.add_argument("--older-than", type=_seconds, default=0.0, metavar="AGE", help=text)
    text = "only this deleted run (id or its beginning); may be given several times"
    parser.add_argument("--run", metavar="RUN", action="append", default=[], help=text)
    text = "only the deleted runs of this experiment (name or id), and it, if it is deleted; several times as well"
    parser.add_argument("-e", "--experiment", metavar="NAME", action="append", default=[], help=text)
    parser.add_argument("--json", action="store_true", help="print what goes as JSON")
    add_store_option(parser)


LONGEST = 1e14
"""Seconds: longer ago than a store's times reach back."""


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhdw])", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age; write a number and s, m, h, d or w, such as 30d")
    return min(float(match[1]) * UNITS[match[2]], LONGEST)


def run(options: argparse.Namespace) -> int:
    """List what would go, or remove it."""
    client = open_client(options.store)
    run_ids = [client.resolve_run_id(text) for text in options.run]
    found = collect_garbage(client.location.url, options.older_than, run_ids, options.experiment, not options.yes)
    if options.json:
        import msgspec

        terminal.write(msgspec.json.encode({**found.to_dict(), "size": found.size}).decode())
        return 0
    rows = [(item.kind, item.name, item.about, terminal.size(item.size) if item.size else "") for item in found.items]
    if rows:
        for line in terminal.table(("what", "which", "about", "size"), rows, (False, False, False, True)):
            terminal.write(line)
    for text in found.kept:
        terminal.remark(terminal.printable(f"kept: {text}"))
    total = f"{len(found.items)} thing{'s' * (len(found.items) != 1)}, {terminal.size(found.size)} of files"
    if found.removed:
        terminal.write(f"{client.tracking_uri}: removed {total}")
    else:
        hint = "; remove it with: autotrack gc --yes" if found.items else ""
        terminal.write(f"{client.tracking_uri}: {total} would go{hint}")
    return 0
