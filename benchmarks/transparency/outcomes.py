"""A plugin of pytest: writes what came of every test into the file that `--outcomes` names, one JSON object a line."""

from __future__ import annotations

import json
import time
import warnings
from typing import IO

import pytest

FILE = pytest.StashKey[IO[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--outcomes`."""
    parser.addoption("--outcomes", help="file for the outcome of every test")


def pytest_configure(config: pytest.Config) -> None:
    """Open the file; what is in it counts even where the process dies."""
    config.stash[FILE] = open(config.option.outcomes, "w", buffering=1, encoding="utf-8")  # noqa: SIM115
    config.pluginmanager.register(Outcomes(config.stash[FILE]), "outcomes-of-tests")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close it."""
    config.stash[FILE].close()


class Outcomes:
    """Collects the phases of each test into one line."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._begin = 0.0
        self._outcome = ""
        self._why = ""
        self._warned: dict[str, dict[str, int]] = {}

    def _write(self, **what: object) -> None:
        self._file.write(json.dumps(what) + "\n")

    def pytest_runtest_logstart(self) -> None:
        """A test begins."""
        self._begin = time.time()
        self._outcome = self._why = ""

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage, nodeid: str) -> None:
        """A warning that nobody caught."""
        counts = self._warned.setdefault(nodeid, {})
        category = warning_message.category.__name__
        counts[category] = counts.get(category, 0) + 1

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One of setup, call and teardown is over; the worst of the three is the outcome."""
        outcome: str = report.outcome
        if report.failed and report.when != "call":
            outcome = "error"
        elif hasattr(report, "wasxfail"):
            outcome = "xfailed" if report.skipped else "xpassed"
        if not self._outcome or outcome != "passed":
            self._outcome = outcome
            self._why = report.longreprtext[-2000:] if report.failed else ""

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test is over."""
        self._write(
            test=nodeid, outcome=self._outcome, why=self._why, begin=self._begin, end=time.time(),
            warnings=self._warned.pop(nodeid, {}),
        )  # fmt: skip

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A module that cannot be collected counts as one test."""
        if not report.passed:
            outcome = "error" if report.failed else report.outcome
            self._write(
                test=report.nodeid, outcome=outcome, why=report.longreprtext[-2000:], begin=0, end=0, warnings={}
            )
