"""`autotrack pull --from URL`: runs out of an MLflow server, database or folder."""

from __future__ import annotations

import argparse

from autotrack.bridge.pulling import open_source, pull
from autotrack.cli import bridging, terminal
from autotrack.cli.stores import add_store_option
from autotrack.client import Client


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where from, and which runs."""
    parser.epilog = (
        "Runs keep their ids, and come with their whole histories, parameters, tags, datasets, files and models, and "
        "the registered models with their versions and aliases. To pull again brings what was logged since. MLflow "
        "need not be installed, but for a server, whose client is: pip install 'autotrack[mlflow]'"
    )
    text = "http(s)://server, a database (sqlite:///mlflow.db, postgresql://..., mysql://...), or a folder mlruns"
    parser.add_argument("--from", required=True, metavar="URL", dest="source", help=text)
    text = "only runs of this experiment (may be given several times)"
    parser.add_argument("-e", "--experiment", action="append", default=[], metavar="NAME", help=text)
    text = "only this run, by its id or the beginning of it (may be given several times)"
    parser.add_argument("--run", action="append", default=[], metavar="ID", dest="runs", help=text)
    parser.add_argument("--no-files", action="store_true", help="without files, models and the registry")
    text = "where a database's server keeps its files, its --artifacts-destination (default: mlartifacts beside a file)"
    parser.add_argument("--artifacts", metavar="PLACE", help=text)
    add_store_option(parser)


def run(options: argparse.Namespace) -> int:
    """Pull runs."""
    client = Client(options.store)
    source = open_source(options.source, options.artifacts)
    run_ids = source.run_ids(options.experiment, options.runs)
    result = pull(client, source, run_ids, not options.no_files)
    for remark in source.remarks:
        terminal.remark(remark)
    terminal.write(bridging.summary("pulled", result, f"from {source.url}"))
    return 0
