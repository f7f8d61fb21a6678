"""`autotrack export RUN... -o FILE`: runs whole, with artifacts and models, in one file."""

from __future__ import annotations

import argparse

from autotrack.cli import terminal
from autotrack.cli.selection import add_run_options, chosen_runs
from autotrack.cli.stores import add_store_option, open_client
from autotrack.maintenance.archives import export_runs


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which runs, and where to."""
    add_run_options(parser)
    text = "the archive to write; autotrack import reads it"
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help=text)
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    add_store_option(parser)


def run(options: argparse.Namespace) -> int:
    """Write an archive."""
    client = open_client(options.store)
    run_ids = chosen_runs(client, options)
    if not run_ids:
        return 1
    done = export_runs(run_ids, options.output, client.location.url, options.force)
    for text in done.missing:
        terminal.remark(terminal.printable(f"left out: {text}"))
    what = f"{len(done.runs)} run{'s' * (len(done.runs) != 1)}, {done.files} file{'s' * (done.files != 1)}"
    terminal.write(f"{done.path}: {what}, {terminal.size(done.size)}")
    return 1 if done.missing else 0
