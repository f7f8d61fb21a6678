"""`autotrack import FILE`: the runs of an archive, into a store."""

from __future__ import annotations

import argparse

from autotrack.cli import terminal
from autotrack.cli.stores import add_store_option
from autotrack.client import Client
from autotrack.maintenance.archives import import_runs


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which archive, and where to."""
    parser.add_argument("file", metavar="FILE", help="an archive that autotrack export wrote")
    text = "the experiment that all runs go to (default: of the name that each was in)"
    parser.add_argument("-e", "--experiment", metavar="NAME", help=text)
    text = "take an archive though its content is very much larger than it is itself"
    parser.add_argument("--any-size", action="store_true", help=text)
    add_store_option(parser)


def run(options: argparse.Namespace) -> int:
    """Read an archive; the store is made where there is none."""
    client = Client(options.store)
    done = import_runs(options.file, client.location.url, options.experiment, options.any_size)
    there = f"; {len(done.skipped)} there already" if done.skipped else ""
    what = f"{len(done.runs)} run{'s' * (len(done.runs) != 1)} imported{there}"
    terminal.write(f"{client.tracking_uri}: {what}; {done.files} files, {terminal.size(done.size)}")
    return 0
