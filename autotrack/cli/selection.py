"""Which runs a command is about."""

from __future__ import annotations

import argparse

from autotrack.cli import terminal
from autotrack.client import Client
from autotrack.errors import InvalidArgumentError, NotFoundError

PAGE = 1000
"""Runs that are asked for at a time."""

NONE_FOUND = "no run in {} is what was asked for"


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Runs by name, by experiment, by a filter, or all."""
    text = "an id or its beginning; @ for the latest run; best:METRIC or best:-METRIC for the best one"
    parser.add_argument("runs", metavar="RUN", nargs="*", help=text)
    parser.add_argument("-e", "--experiment", metavar="NAME", help="all runs of this experiment (name or id)")
    parser.add_argument("-f", "--filter", metavar="EXPR", help="all runs that match, as in autotrack ls")
    parser.add_argument("--all", action="store_true", help="all runs of the store")


def chosen_runs(client: Client, options: argparse.Namespace) -> list[str]:
    """Ids of the runs that the command line asks for, each once; deleted ones only where they are named by id.

    Where there are none, a line on stderr says so.

    Raises:
        NotFoundError: There is no such run or experiment.
        InvalidArgumentError: The command line asks for nothing, or in two ways.
        FilterSyntaxError: The filter does not parse.
    """
    searched = options.all or options.experiment is not None or options.filter is not None
    if searched == bool(options.runs):
        expected = "ids of runs or @, or one of --experiment, --filter and --all"
        raise InvalidArgumentError("RUN", " ".join(options.runs), expected)
    if not searched:
        return list(dict.fromkeys(client.resolve_run_id(text) for text in options.runs))
    experiments = [experiment_id(client, options.experiment)] if options.experiment is not None else None
    found: list[str] = []
    token = None
    while True:
        page = client.search_runs(experiments, options.filter or "", max_results=PAGE, page_token=token)
        found += (run.info.run_id for run in page)
        token = page.token
        if not token:
            break
    if not found:
        terminal.remark(NONE_FOUND.format(client.tracking_uri))
    return found


def experiment_id(client: Client, text: str) -> str:
    """The id of the experiment that a person names, by its name or id.

    Raises:
        NotFoundError: There is none; the error names those that there are.
    """
    named = client.get_experiment_by_name(text)
    if named is not None:
        return named.experiment_id
    try:
        return client.get_experiment(text).experiment_id
    except NotFoundError:
        names = ", ".join(sorted(one.name for one in client.search_experiments()))
        raise NotFoundError("experiment", text, f"there are: {names}") from None
