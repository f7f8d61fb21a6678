"""`autotrack explain RUN`: what was hooked, what was recorded, what was left out and why, and what that took."""

from __future__ import annotations

import argparse

import msgspec

from autotrack.cli import terminal
from autotrack.cli.stores import add_store_option, open_client
from autotrack.tracking.explaining import Explanation, RunCost, as_plain


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which run, and how it is explained."""
    text = "an id or its beginning; @ for the latest run; best:METRIC, as for `autotrack show`"
    parser.add_argument("run", metavar="RUN", help=text)
    parser.add_argument("--json", action="store_true", help="print the explanation as JSON")
    add_store_option(parser)


def run(options: argparse.Namespace) -> int:
    """Explain a run."""
    client = open_client(options.store)
    found = client.explain(client.resolve_run_id(options.run))
    if options.json:
        terminal.write(msgspec.json.format(msgspec.json.encode(as_plain(found))).decode())
        return 0
    for line in lines(found):
        terminal.write(line)
    return 0


def lines(found: Explanation) -> list[str]:
    """What a person reads, section by section."""
    head = (("run", found.run_id), ("name", found.run_name), ("status", found.status))
    skipped = sorted((name.replace("_", " "), reason) for name, reason in found.skipped.items())
    shown = [
        ("Hooked", terminal.pairs(sorted(found.cost.hooked.items())) if found.cost is not None else []),
        ("Recorded", terminal.pairs((name, count or None) for name, count in found.recorded.items())),
        ("Left out", terminal.pairs(skipped)),
        ("Could not be recorded", terminal.pairs([("", found.degraded)] if found.degraded else [])),
        ("What recording took", _cost(found.cost, found.duration_ms)),
    ]
    text = terminal.pairs(head, indent=0)
    for title, body in shown:
        if body:
            text += ["", title, *body]
    return text


def _cost(found: RunCost | None, duration_ms: int | None) -> list[str]:
    if found is None:
        return ["  not known: the process that recorded the run was killed, or measured nothing"]
    rows = (
        ("on the training thread", _milliseconds(found.training_ms, _share(found, duration_ms))),
        ("  around calls", _milliseconds(found.handlers_ms, _times(found.calls, "calls"))),
        ("  in steps of loops", _milliseconds(found.steps_ms, _times(found.steps, "steps"))),
        ("  in log_metric", _milliseconds(found.logging_ms, _times(found.logged, "points"))),
        ("  storing files and models", _milliseconds(found.storing_ms)),
        ("behind it, processor time", _milliseconds(found.background_ms)),
        ("into the store, processor time", _milliseconds(found.ingest_ms)),
    )
    return terminal.pairs(rows)


def _milliseconds(value: float, remark: str = "") -> str:
    if not value:
        return ""
    return f"{value:,.1f} ms{f' ({remark})' if remark else ''}"


def _times(count: int, what: str) -> str:
    return f"{count:,} {what}" if count else ""


def _share(found: RunCost, duration_ms: int | None) -> str:
    return f"{100 * found.training_ms / duration_ms:.1f} % of the run's {duration_ms:,} ms" if duration_ms else ""
