"""`autotrack show RUN`: all that the store has about one run."""

from __future__ import annotations

import argparse
from typing import NamedTuple

import msgspec

from autotrack import clock, records
from autotrack.cli import sections, terminal
from autotrack.cli.stores import add_store_option, open_client
from autotrack.client import Client


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which run, and how it is shown."""
    text = (
        "an id or its beginning; @ for the latest run; best:METRIC for the run that reached the highest value, "
        "best:-METRIC or best:min:METRIC for the lowest"
    )
    parser.add_argument("run", metavar="RUN", help=text)
    parser.add_argument("--json", action="store_true", help="print the whole record as JSON")
    add_store_option(parser)


class Everything(NamedTuple):
    """A run and all that belongs to it."""

    run: records.Run
    experiment: records.Experiment
    fits: list[records.Fit]
    """Preparation steps of the session first."""
    trials: list[records.Trial]
    artifacts: list[records.FileInfo]
    session: records.Session
    environment: records.Environment | None


def run(options: argparse.Namespace) -> int:
    """Show a run."""
    client = open_client(options.store)
    found = gather(client, client.resolve_run_id(options.run))
    if options.json:
        terminal.write(as_json(found))
        return 0
    for line in lines(found, terminal.width(), clock.now()):
        terminal.write(line)
    return 0


def gather(client: Client, run_id: str) -> Everything:
    """Read all about a run.

    Raises:
        NotFoundError: There is no such run.
    """
    reader = client.reader
    record = reader.run(run_id)
    return Everything(
        run=record,
        experiment=reader.experiment(record.info.experiment_id),
        fits=client.get_fits(run_id),
        trials=reader.trials(run_id),
        artifacts=reader.artifacts(run_id),
        session=reader.session(record.info.session_id),
        environment=reader.environment_of_run(run_id),
    )


def as_json(found: Everything) -> str:
    """One JSON object, a key a field of `Everything`; NaN and infinities as in `Record.to_json`."""
    parts = []
    for name, value in found._asdict().items():
        if isinstance(value, list):
            text = "[" + ",".join(item.to_json() for item in value) + "]"
        else:
            text = "null" if value is None else value.to_json()
        parts.append(f'"{name}":{text}')
    return msgspec.json.format(("{" + ",".join(parts) + "}").encode()).decode()


def lines(found: Everything, width: int, now: int) -> list[str]:
    """What a person reads, section by section."""
    run = found.run
    shown: list[tuple[str, list[str]]] = [
        ("", sections.head(run, found.experiment, now)),
        ("Error", sections.error(run.info.error)),
        ("Parameters", sections.params(run.data, width)),
        ("Metrics", sections.metrics(run.data)),
        ("Tags", sections.tags(run.data)),
        ("Datasets", sections.datasets(run.inputs)),
        ("Preparation steps", sections.fits([fit for fit in found.fits if fit.run_id is None])),
        ("Fits", sections.fits([fit for fit in found.fits if fit.run_id is not None])),
        (sections.trials_title(found.trials), sections.trials(found.trials)),
        ("Models", sections.models(run)),
        ("Artifacts", sections.artifacts(found.artifacts)),
        ("Session", sections.session(found.session)),
        ("Environment", sections.environment(found.environment)),
    ]
    text: list[str] = []
    for title, body in shown:
        if body:
            text += [*([""] if text else []), *([title] if title else []), *body]
    return text
