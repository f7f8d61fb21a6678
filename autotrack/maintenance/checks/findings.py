"""What a check says."""

from __future__ import annotations

from typing import Any

from autotrack.records import Record


class Finding(Record, frozen=True):
    """Something that is wrong."""

    kind: str
    """"engine", "rows", "schema", "orphans", "registry", "curve", "run", "journal", "artifact", "model" or "files"."""
    subject: str
    """What it is about: a table, a run's id, a file, ..."""
    problem: str
    remedy: str
    """What to do about it."""
    repaired: bool = False
    """It was mended."""


class Report(Record, frozen=True):
    """What was found in a store."""

    store: str
    """URL without credentials."""
    findings: list[Finding]
    checked: dict[str, int] = {}
    """How much was looked at: rows, curves, files, ..."""

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong, or nothing any more."""
        return all(finding.repaired for finding in self.findings)


RESCUE = "copy the database before anything else; restore a backup, or copy what can be read: autotrack db copy"
"""What to do about a database that is damaged."""

REPAIR = "autotrack db check --repair"


def whole(values: dict[str, Any]) -> str:
    """Values as one line of text."""
    return ", ".join(f"{name} {value}" for name, value in values.items())
