"""`autotrack ls`: the runs as a table that fits the terminal, as JSON or as CSV."""

from __future__ import annotations

import argparse
import csv
import io
import re

from autotrack import clock
from autotrack.cli import columns, terminal
from autotrack.cli.columns import Column, Listing
from autotrack.cli.selection import NONE_FOUND, experiment_id
from autotrack.cli.stores import NOTHING_YET, add_store_option, exists, open_client
from autotrack.client import Client, ViewType
from autotrack.records import Page, Run
from autotrack.store.filters import run_vocabulary
from autotrack.store.grammar import ENTITIES
from autotrack.store.ordering import MAX_RESULTS

DEFAULT_NUMBER = 30
_QUOTED = re.compile("""["'`]""")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What is listed, and how."""
    parser.epilog = (
        "Without --columns the table shows the metrics, and those parameters that differ among the shown runs, as far "
        "as the terminal is wide. A status that ends in `!` marks a run that was not recorded wholly: see "
        "`autotrack show`."
    )
    text = "only runs that match, such as \"metrics.accuracy > 0.9 and params.solver = 'lbfgs'\""
    parser.add_argument("-f", "--filter", default="", help=text)
    text = "order by a metric, parameter, tag or attribute, the highest first where a dash stands before it"
    parser.add_argument("--sort", metavar="[-]KEY", help=f"{text}: --sort -metrics.accuracy (default: newest first)")
    text = "show so many runs at most (default: %(default)s)"
    parser.add_argument("-n", "--number", type=_count, default=DEFAULT_NUMBER, metavar="N", help=text)
    parser.add_argument("-e", "--experiment", metavar="NAME", help="only runs of this experiment (name or id)")
    text = "show these columns: names or patterns, separated by commas, such as name,metrics.val_*,params.C"
    parser.add_argument("--columns", metavar="NAMES", help=text)
    parser.add_argument("--all-columns", action="store_true", help="show all there is, however wide the table gets")
    parser.add_argument("--deleted", action="store_true", help="list deleted runs instead")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the whole records as a JSON array")
    form.add_argument("--csv", action="store_true", help="print CSV with all columns and unrounded values")
    add_store_option(parser)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_RESULTS:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {MAX_RESULTS}, got {text!r}")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """List runs."""
    client = Client(options.store)
    if options.store is None and not exists(client.location):
        terminal.remark(NOTHING_YET.format(client.location.safe_url))
        found: Page[Run] = Page()
    else:
        client = open_client(options.store)
        found = search(client, options)
        if not found:
            terminal.remark(_why_empty(client, options))
    if options.json:
        terminal.write("[" + ",\n".join(record.to_json() for record in found) + "]")
    elif options.csv:
        terminal.write(as_csv(_listing(client, found), _patterns(options)))
    elif found:
        _print_table(_listing(client, found), options)
    if found.token:
        terminal.remark(f"there are more than these {len(found)} runs: -n shows more, -f fewer")
    return 0


def search(client: Client, options: argparse.Namespace) -> Page[Run]:
    """The runs that the options ask for.

    Raises:
        FilterSyntaxError: Filter or order do not parse.
        NotFoundError: There is no such experiment.
    """
    experiment = [experiment_id(client, options.experiment)] if options.experiment else None
    view: ViewType = "DELETED_ONLY" if options.deleted else "ACTIVE_ONLY"
    order = [order_clause(options.sort)] if options.sort else None
    return client.search_runs(experiment, options.filter, view, options.number, order)


def order_clause(key: str) -> str:
    """`-metrics.val loss` as the store's language has it; a bare name that is no attribute is a metric's."""
    direction = "DESC" if key.startswith("-") else "ASC"
    name = key.removeprefix("-")
    entity, dot, rest = name.partition(".")
    vocabulary = run_vocabulary("")
    if not dot or entity.lower() not in {alias for aliases in ENTITIES.values() for alias in aliases}:
        known = {"started": "start_time", "ended": "end_time", "experiment": "experiment_name", **vocabulary.aliases}
        attribute = known.get(name.lower(), name.lower())
        if attribute in vocabulary.fields:
            return f"{attribute} {direction}"
        entity, rest = "metrics", name
    quoted = rest if _QUOTED.match(rest) else "`" + rest.replace("`", "``") + "`"
    return f"{entity}.{quoted} {direction}"


def _why_empty(client: Client, options: argparse.Namespace) -> str:
    if options.filter or options.experiment or options.deleted:
        return NONE_FOUND.format(client.tracking_uri)
    return NOTHING_YET.format(client.tracking_uri)


def _listing(client: Client, found: Page[Run]) -> Listing:
    experiments = client.search_experiments("ALL", max_results=MAX_RESULTS) if found else []
    return Listing(found, {one.experiment_id: one.name for one in experiments}, clock.now())


def _patterns(options: argparse.Namespace) -> list[str]:
    return [part.strip() for part in (options.columns or "").split(",") if part.strip()]


def as_csv(listing: Listing, patterns: list[str]) -> str:
    """The runs as CSV (RFC 4180, lines end in a line feed), without the last line end."""
    shown = columns.chosen(listing, patterns) if patterns and listing.runs else columns.every(listing)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(column.name for column in shown)
    writer.writerows([column.full(run, listing) for column in shown] for run in listing.runs)
    return out.getvalue().removesuffix("\n")


def _print_table(listing: Listing, options: argparse.Namespace) -> None:
    width = terminal.width()
    shown, hidden = choose(listing, options, width)
    rows = [[column.cell(run, listing) for column in shown] for run in listing.runs]
    titles = [columns.title(column) for column in shown]
    for line in terminal.table(titles, rows, [column.right for column in shown]):
        terminal.write(line if options.columns or options.all_columns else terminal.clip(line, width))
    if hidden:
        terminal.remark(f"the terminal is too narrow for {hidden} more: --columns NAMES or --all-columns shows them")


def choose(listing: Listing, options: argparse.Namespace, width: int) -> tuple[list[Column], int]:
    """The columns of the table, and how many of those that tell the runs apart did not fit."""
    first = columns.base(listing)
    if options.all_columns:
        return columns.every(listing), 0
    if options.columns:
        named = columns.chosen(listing, _patterns(options))
        return list(dict.fromkeys([first[0], *named])), 0
    more = columns.telling(listing, f"{options.filter} {options.sort or ''}")
    shown = columns.fitting(listing, columns.narrowed(listing, first, width), more, width)
    return shown, len(first) + len(more) - len(shown)
