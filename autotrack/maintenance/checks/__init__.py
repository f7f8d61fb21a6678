"""Is a store whole? What is wrong is told with what to do; what can be mended safely is mended on request."""

from __future__ import annotations

import os
from collections.abc import Iterator

from autotrack.errors import AutotrackError, StoreError
from autotrack.maintenance.checks import curves, files, processes, tables
from autotrack.maintenance.checks.findings import RESCUE, Finding, Report
from autotrack.store.engine import Store
from autotrack.store.location import sqlite_file
from autotrack.tracking.access import Access

CONTRADICTIONS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What comes of rows that say what no program wrote: an index finds a run that its table does not have."""

__all__ = ["Finding", "Report", "check_store"]


def check_store(
    tracking_uri: str | os.PathLike[str] | None = None, repair: bool = False, hashes: bool = True
) -> Report:
    """Check a store: the database, what its tables say of each other, processes, journals, artifacts, models.

    Without `repair` nothing is changed, and no journal is moved into the tables.

    Args:
        tracking_uri: The store; None for the one that this process records into.
        repair: Mend what can be mended without losing anything that still has a meaning: rows whose owner is gone,
            summaries of curves, runs whose process is gone, journals that nobody has moved.
        hashes: Read every file whose hash is known; without it only existence and size count.

    Raises:
        StoreError: There is no such store.
        InvalidArgumentError: The URI is of no known kind.
    """
    location = Access(tracking_uri).location
    file = sqlite_file(location.url)
    if file is not None and not file.exists():
        raise StoreError(location.safe_url, "there is no such store", "record with: autotrack run train.py")
    store = Store(location)  # not `Store.open`, which would make or upgrade it
    findings: list[Finding] = []
    checked: dict[str, int] = {}
    try:
        findings += processes.check_schema(store)
        if not findings:
            for finding in _all(store, repair, hashes, checked):
                findings.append(finding)
    except AutotrackError as error:
        findings.append(Finding("engine", store.safe_url, str(error), RESCUE))
    except CONTRADICTIONS as error:
        problem = f"its tables contradict each other: {type(error).__name__}: {error}"
        findings.append(Finding("engine", store.safe_url, problem, RESCUE))
    finally:
        store.dispose()
    return Report(store.safe_url, findings, checked)


def _all(store: Store, repair: bool, hashes: bool, checked: dict[str, int]) -> Iterator[Finding]:
    yield from tables.check_engine(store)
    yield from tables.check_rows(store, checked)
    yield from tables.check_references(store, repair)
    yield from tables.check_aliases(store, repair)
    yield from processes.check_journals(store, repair, checked)
    yield from processes.check_runs(store, repair)
    yield from curves.check_curves(store, repair, checked)
    yield from files.check_artifacts(store, hashes, checked)
    yield from files.check_models(store, checked)
    yield from files.check_strays(store)
