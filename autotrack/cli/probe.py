"""`autotrack doctor --probe`: imports one framework under autolog, in a process of its own, and tells how it went.

That process is this module: `python -m autotrack.cli.probe NAME FILE`. It writes its answer into a file, since
frameworks may write to stdout and stderr when they are imported.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from autotrack.automatic import autolog
from autotrack.hooks import guard
from autotrack.integrations import find, registry
from autotrack.tracking import helper_process

SECONDS = 180.0
"""How long the import of a framework may take."""

MAX_OUTPUT = 100_000


def probe(name: str) -> dict[str, Any]:
    """Import a framework in a process of its own.

    Args:
        name: The integration.

    Returns:
        `status`, `reason`, `version`, `errors`, `recent` as in `guard.Health.to_dict`, and `patches`.
    """
    with tempfile.TemporaryDirectory(prefix="autotrack-probe-") as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "autotrack.cli.probe", name, str(answer)]
        output = helper_process.run(command, MAX_OUTPUT, errors=True, seconds=SECONDS)
        if answer.exists():
            found: dict[str, Any] = msgspec.json.decode(answer.read_bytes())
            return found
    last = output.data.decode("utf-8", "replace").strip().rpartition("\n")[2]
    reason = f"the process that imports it failed: {output.problem or 'no answer'}" + (f": {last}" if last else "")
    return {"status": "failed", "reason": reason, "version": None, "errors": 1, "recent": [], "patches": []}


def answer_of(name: str) -> dict[str, Any]:
    """Import the framework in this process, and say what became of its integration."""
    autolog()
    # Trouble is what the answer is about; it is not to be kept as that of a training session.
    guard.on_first_error = None
    row, health = find(name), guard.health(name)
    for trigger in row.triggers if row is not None else ():
        guard.call(health, f"importing {trigger}", import_module, trigger)
    if health.errors and health.status not in ("failed", "broken"):
        health.status, health.reason = "failed", health.last_message()
    return {**health.to_dict(), "patches": [patch._asdict() for patch in registry.patches(name)]}


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(answer_of(sys.argv[1])))
