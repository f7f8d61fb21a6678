"""What a store says after a recorded run of tests or of a program, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from autotrack import Client
from autotrack.records import Run
from autotrack.store.location import locate
from autotrack.tracking import health_reports

PAGE = 5_000


class Recorded(NamedTuple):
    """All that a store holds, counted."""

    runs: list[Run]
    fits: int
    """Runs that hold a model."""
    troubles: list[str]
    """What `autotrack doctor` would tell."""

    def statuses(self) -> dict[str, int]:
        """How many runs ended how."""
        return dict(Counter(run.info.status for run in self.runs))

    def names(self) -> dict[str, int]:
        """How many runs have which name."""
        return dict(Counter(run.info.run_name for run in self.runs))

    def degraded(self) -> dict[str, int]:
        """Why runs lack something."""
        return dict(Counter(run.info.degraded for run in self.runs if run.info.degraded))


def read(store: Path) -> Recorded:
    """Everything in a store; where nothing was recorded there is none."""
    if not store.exists():
        return Recorded([], 0, [])
    client = Client(str(store))
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs(max_results=PAGE, page_token=token)
        runs.extend(page)
        token = page.token
        if not token:
            break
    models = sum(1 for run in runs if run.outputs.model_outputs)
    return Recorded(runs[::-1], models, troubles_of(store))


def troubles_of(store: Path) -> list[str]:
    """Internal errors, and other trouble, of the processes that recorded into a store."""
    found = []
    for report in health_reports.read(locate(str(store)), 50):
        for part in report.parts:
            found += [f"{part.name}: {one.where}: {one.message}\n{one.traceback}" for one in part.recent]
            if not part.recent:
                found.append(f"{part.name}: {part.status}, {part.errors} errors, {part.reason}")
    return found


def test_of(run: Run, tests: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The test that was running when a run began."""
    moment = run.info.start_time / 1000
    return next((one for one in tests if one["begin"] - 0.001 <= moment <= one["end"] + 0.001), None)
