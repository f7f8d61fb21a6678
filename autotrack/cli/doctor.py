"""`autotrack doctor`: is everything there for recording, and what went wrong before?"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from autotrack import clock
from autotrack.cli import checks, terminal
from autotrack.cli.stores import add_store_option
from autotrack.store.location import locate
from autotrack.tracking import health_reports

NEWLINE = "\n"
TAB = "\t"
MAX_JOURNALS = 20
"""Journals that are listed without `--verbose`."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """How closely it looks, and how it tells."""
    parser.epilog = (
        "Status 0: all is well; 1: something is wrong, the last lines say what. It changes nothing (but for --forget)."
    )
    parser.add_argument("--json", action="store_true", help="print all that was found as JSON")
    text = "list each patch (with --probe), each journal, and whole tracebacks"
    parser.add_argument("-v", "--verbose", action="store_true", help=text)
    text = "import each installed framework, in a process of its own, and see whether it can be patched (slow)"
    parser.add_argument("--probe", action="store_true", help=text)
    text = "forget the internal errors of past sessions, after showing them"
    parser.add_argument("--forget", action="store_true", help=text)
    add_store_option(parser)


def run(options: argparse.Namespace) -> int:
    """Examine, show, and say by the status whether all is well."""
    found = checks.examine(options.store, options.probe)
    if options.json:
        terminal.write(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        for line in lines(found, options.verbose):
            terminal.write(line)
    if options.forget:
        count = health_reports.forget(locate(options.store))
        terminal.remark(f"the reports of {count} past sessions are forgotten")
    return 1 if found["problems"] else 0


def lines(found: checks.Values, verbose: bool) -> list[str]:
    """What a person reads, section by section; the problems come last."""
    shown = [
        ("", [f"autotrack {found['autotrack']}, Python {found['python']} ({found['executable']})"]),
        ("Settings", list(_settings(found["settings"]))),
        ("Integrations", list(_integrations(found["integrations"], verbose))),
        ("Zero-code start", _hook(found["hook"])),
        ("Store", _store(found["store"]) if "store" in found else []),
        ("Journals", list(_journals(found["journals"], verbose)) if "journals" in found else []),
        ("Past trouble", list(_trouble(found.get("past_trouble", ()), verbose))),
        ("Problems", [f"  - {terminal.printable(problem, keep=NEWLINE)}" for problem in found["problems"]]),
    ]
    text: list[str] = []
    for title, body in shown:
        if body:
            text += [*([""] if text else []), *([title] if title else []), *body]
    return text if found["problems"] else [*text, "", "No problems found."]


def _settings(found: checks.Values) -> Iterator[str]:
    rows = [(name, one["source"], _value(one["value"])) for name, one in found["values"].items()]
    yield from _indented(terminal.table(("name", "from", "value"), rows) if rows else [])
    yield from (f"  {warning}" for warning in found["warnings"])


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in value.items())
    return "" if value is None else str(value)


def _indented(text: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in text)


def _integrations(found: list[checks.Values], verbose: bool) -> Iterator[str]:
    rows = []
    for one in found:
        patches = f"{len(one['probe']['patches'])} patches" if "probe" in one else ""
        note = ", ".join(filter(None, (patches, one["reason"])))
        rows.append((one["name"], one["installed"] or "", one["state"], note))
    yield from _indented(terminal.table(("name", "version", "state", ""), rows))
    for one in found:
        for trouble in one.get("probe", {}).get("recent", ()):
            yield from _traceback(f"  {one['name']}, {trouble['where']}: {trouble['message']}", trouble, True)
        for patch in one.get("probe", {}).get("patches", ()) if verbose else ():
            others = f", also wrapped by {', '.join(patch['foreign'])}" if patch["foreign"] else ""
            yield f"    {patch['target']}: {patch['state']}{patch['reason'] and ': ' + patch['reason']}{others}"


def _hook(found: checks.Values) -> list[str]:
    position = found["position_on_pythonpath"]
    process = found["process"]
    state = f"active (role {process['role']}, by {process['source']})" if process["active"] else "not active"
    return terminal.pairs(
        (
            ("hook", found["folder"] or "missing"),
            ("not used, since", found["obstacle"]),
            ("on PYTHONPATH", "no (the launcher puts it there)" if position is None else f"at position {position}"),
            ("in front of it", ", ".join(found["in_front"])),
            ("other sitecustomize", ", ".join(one for one in found["others"] if one not in found["in_front"])),
            ("this process", found["verdict"] or state),
        )
    )


def _store(found: checks.Values) -> list[str]:
    runs = found["runs"]
    counts = ""
    if runs is not None:
        kinds = (f"{runs[kind]} {kind}" for kind in ("running", "degraded", "deleted") if runs[kind])
        counts = ", ".join((str(runs["all"]), *kinds))
    schema = f"revision {found['revision']}, this autotrack's is {found['known_revision']}" if found["revision"] else ""
    state = "cannot be read" if found["problem"] else "readable" if found["exists"] else "nothing is recorded yet"
    return terminal.pairs(
        (
            ("url", found["url"]),
            ("state", state),
            ("schema", schema),
            ("size", terminal.size(found["size"]) if found["size"] is not None else ""),
            ("integrity", ("damaged" if found["damage"] else "ok") if runs is not None else ""),
            ("runs", counts),
        )
    )


def _journals(found: checks.Values, verbose: bool) -> Iterator[str]:
    waiting = f"{terminal.size(found['pending'])} wait to be moved into the store" if found["pending"] else "none"
    used = f"in use: {found['fallback_folder']}" if found["fallback_used"] else ""
    rows = (("folder", found["folder"]), ("fallback folder", used), ("backlog", waiting))
    yield from terminal.pairs(rows)
    listed = [one for one in found["files"] if verbose or one["pending"] or one["problem"]]
    rows_of_files = [
        (Path(one["file"]).name, terminal.size(one["pending"]), _writer(one), one["problem"] or _damage(one))
        for one in (listed if verbose else listed[:MAX_JOURNALS])
    ]
    if rows_of_files:
        yield from _indented(terminal.table(("journal", "waits", "process", ""), rows_of_files))
    if len(listed) > len(rows_of_files):
        yield f"  and {len(listed) - len(rows_of_files)} more: --verbose lists them"


def _writer(one: checks.Values) -> str:
    return one["process"] if one["pid"] is None else f"{one['pid']} ({one['process']})"


def _damage(one: checks.Values) -> str:
    return f"{one['damaged']} damaged lines" if one["damaged"] else ""


def _trouble(found: Sequence[checks.Values], verbose: bool) -> Iterator[str]:
    now = clock.now()
    for index, report in enumerate(found):
        yield f"  {report['program']}, {terminal.age(report['time'], now)}, session {report['session_id']}"
        for part in report["parts"]:
            errors = f"{part['errors']} internal errors" if part["errors"] else "no internal errors"
            reason = f": {terminal.printable(part['reason'])}" if part["reason"] else ""
            yield f"    {part['name']}: {part['status'] or 'unknown'}, {errors}{reason}"
            for trouble in part["recent"] if verbose else part["recent"][-1:]:
                first = f"      {trouble['where']}: {terminal.printable(trouble['message'])}"
                yield from _traceback(first, trouble, verbose or index == 0)


def _traceback(first: str, trouble: checks.Values, whole: bool) -> Iterator[str]:
    """One trouble; the traceback of the latest is shown, of the others on request."""
    yield first
    for line in trouble["traceback"].rstrip().split("\n") if whole and trouble["traceback"] else ():
        yield f"        {terminal.printable(line, keep=TAB)}"
