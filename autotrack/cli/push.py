"""`autotrack push RUN... --to URL`: runs into an MLflow server or database."""

from __future__ import annotations

import argparse

from autotrack.bridge.pushing import open_target, push
from autotrack.cli import bridging, terminal
from autotrack.cli.selection import add_run_options, chosen_runs
from autotrack.cli.stores import add_store_option, open_client


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which runs, and where to."""
    parser.epilog = (
        "Runs go with their whole histories, parameters, tags, datasets, trials (as a table), files and models, and "
        "registered models with all their versions where one of these runs put a version out. What is there already "
        "is compared, never doubled: to push again completes what was broken off or logged since. A database that is "
        "empty gets the tables of MLflow; look at it with: mlflow ui --backend-store-uri URL"
    )
    add_run_options(parser)
    text = "http(s)://server, or a database: sqlite:///file.db, postgresql://..., mysql://..."
    parser.add_argument("--to", required=True, metavar="URL", help=text)
    text = (
        "folder or URL to bring files to (default: mlartifacts beside a SQLite file, where files on the same disk take "
        "no room; otherwise files stay where they are, and MLflow reads them there)"
    )
    parser.add_argument("--artifacts", metavar="PLACE", help=text)
    add_store_option(parser)


def run(options: argparse.Namespace) -> int:
    """Push runs."""
    client = open_client(options.store)
    run_ids = chosen_runs(client, options)
    if not run_ids:
        return 1
    target = open_target(options.to, options.artifacts)
    result = push(client, run_ids, target)
    for remark in target.remarks:
        terminal.remark(remark)
    terminal.write(bridging.summary("pushed", result, f"to {target.url}"))
    return 0
