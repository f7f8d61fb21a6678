"""Datadog's, New Relic's and OpenTelemetry's agents, as their users start them, in an interpreter of their own.

They stay out of the environment that the suite runs in: they bring plugins for pytest and patch what they find. The
suite's packages stand behind theirs, so that scikit-learn need not be installed twice.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest
from made_environments import MadeEnvironment
from zero_code_interpreters import ROOT, Interpreter

REQUIREMENTS = ["ddtrace==4.16.0", "newrelic==14.1.0", "opentelemetry-distro==0.66b2"]

QUIET = {
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_TRACE_STARTUP_LOGS": "false",
    "NEW_RELIC_APP_NAME": "test",
    "NEW_RELIC_DEVELOPER_MODE": "true",
    "NEW_RELIC_LICENSE_KEY": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_TRACES_EXPORTER": "none",
}
"""They speak to nobody, and are switched on all the same."""

COMMANDS = {
    "ddtrace": ["ddtrace-run"],
    "newrelic": ["newrelic-admin", "run-program"],
    "opentelemetry": ["opentelemetry-instrument"],
}
"""How each is put in front of a command line."""


class Agents(NamedTuple):
    """An interpreter that has the agents, autotrack, and the suite's packages."""

    executable: str

    def around(self, agent: str) -> list[str]:
        """An agent outside: `ddtrace-run python -m autotrack ...`, without the last words."""
        return [*self._command(agent), self.executable, "-m", "autotrack"]

    def within(self, agent: str) -> list[str]:
        """An agent inside: `python -m autotrack ddtrace-run python ...`, without the last words."""
        return [self.executable, "-m", "autotrack", *self._command(agent), self.executable]

    def _command(self, agent: str) -> list[str]:
        script, *words = COMMANDS[agent]
        return [str(Path(self.executable).with_name(script)), *words]

    def run(self, command: list[str], *arguments: str | Path, **environment: str) -> str:
        """Run a command line; gives back what it printed. The agents say a word or two on stderr."""
        words = [*command[1:], *map(str, arguments)]
        path = os.pathsep.join([os.path.dirname(self.executable), os.environ.get("PATH", "")])
        done = Interpreter(command[0]).run(*words, **{**QUIET, "PATH": path, **environment})
        assert done.status == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="session")
def agents() -> Agents:
    """The agents, each ready to be put around or into `python -m autotrack`."""
    folder = ROOT / ".agents" / sys.implementation.cache_tag
    behind = (str(ROOT), sysconfig.get_path("purelib"))
    return Agents(
        MadeEnvironment("AGENTS", "ddtrace, newrelic and opentelemetry", folder, REQUIREMENTS, behind).python()
    )
