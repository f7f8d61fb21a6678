"""`autotrack db check`: is the store whole?"""

from __future__ import annotations

import argparse

import msgspec

from autotrack.cli import terminal
from autotrack.cli.actions import add_action
from autotrack.cli.stores import add_store_option, open_client
from autotrack.maintenance.checks import Finding, check_store


def add_check(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The action and its options."""
    text = "check database, curves, processes, journals, artifacts and models (status 1 where something is wrong)"
    parser = add_action(actions, "check", text)
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    parser.add_argument("--repair", action="store_true", help="mend what can be mended without losing anything")
    text = "look only at existence and size of artifacts, do not read them"
    parser.add_argument("--no-hashes", action="store_true", help=text)
    add_store_option(parser)


def check(options: argparse.Namespace) -> int:
    """Check, and say what was found."""
    location = open_client(options.store).location
    report = check_store(location.url, options.repair, not options.no_hashes)
    if options.json:
        terminal.write(msgspec.json.encode({**report.to_dict(), "is_well": report.is_well}).decode())
        return 0 if report.is_well else 1
    for finding in report.findings:
        for line in _lines(finding):
            terminal.write(terminal.printable(line))
    looked = ", ".join(f"{count} {name}" for name, count in report.checked.items())
    left = sum(not finding.repaired for finding in report.findings)
    mended = len(report.findings) - left
    verdict = f"{left} problem{'s' * (left != 1)}" if left else "all is well"
    more = f", {mended} mended" if mended else ""
    terminal.write(f"{report.store}: {verdict}{more}" + (f" ({looked})" if looked else ""))
    return 0 if report.is_well else 1


def _lines(finding: Finding) -> list[str]:
    state = "mended" if finding.repaired else "wrong"
    first = f"{state}: {finding.kind} {finding.subject}: {finding.problem}"
    return [first] if finding.repaired else [first, f"  what to do: {finding.remedy}"]
