"""What `autotrack doctor` looks at. It changes nothing: no store is made, nothing is moved into one.

Each check returns plain values for `--json`, and adds to `problems` what is wrong.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from autotrack import __version__, bootstrap, clock, config
from autotrack.__main__ import hook_for_doctor
from autotrack.cli import db, probe
from autotrack.errors import AutotrackError, ConfigurationError, JournalFormatError
from autotrack.integrations import INTEGRATIONS, Integration, registry
from autotrack.records import JournalInfo
from autotrack.settings import Settings
from autotrack.store.inspection import StoreState, inspect
from autotrack.store.location import Location, locate
from autotrack.tracking import health_reports, ingest, journal_reading, liveness
from autotrack.tracking.redaction import redact, redact_mapping

Values = dict[str, Any]

MAX_REPORTS = 10
"""Past sessions that had trouble: so many are listed."""

AGENTS = {"ddtrace": "Datadog", "opentelemetry": "OpenTelemetry", "newrelic": "New Relic"}
"""Other programs that start by a `sitecustomize` of their own, by a folder on its path."""


def examine(uri: str | None, with_probe: bool) -> Values:
    """Make all checks.

    Args:
        uri: The store; None for the one that the settings name.
        with_probe: Import each framework, in a process of its own, to see it patched.

    Returns:
        What was found, by check, and `problems`: what is wrong, in words; empty where all is well.
    """
    problems: list[str] = []
    found: Values = {
        "autotrack": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "settings": settings(problems),
        "integrations": integrations(problems, with_probe),
        "hook": hook(problems),
    }
    location = _location(uri, problems)
    if location is not None:
        state = inspect(location)
        found["store"] = store(state, problems)
        found["journals"] = journals(location, state.journals, problems)
        found["past_trouble"] = past_trouble(location, problems)
    found["problems"] = list(dict.fromkeys(problems))
    return found


def _location(uri: str | None, problems: list[str]) -> Location | None:
    try:
        return locate(uri)
    except AutotrackError as error:
        problems.append(redact(str(error)))
        return None


def _settings_or_none() -> Settings | None:
    try:
        return config.settings()
    except ConfigurationError:
        return None


def settings(problems: list[str]) -> Values:
    """Each setting with its value and where that came from, and what is odd about the configuration."""
    try:
        origins, warnings = config.origins(), config.warnings()
    except ConfigurationError as error:
        problems.append(redact(str(error)))
        return {"values": {}, "warnings": []}
    problems += warnings
    values = {name: {"value": _plain(name, origin.value), "source": origin.source} for name, origin in origins.items()}
    return {"values": values, "warnings": warnings}


def _plain(name: str, value: Any) -> Any:
    return redact_mapping({name: msgspec.to_builtins(value)})[name]


def integrations(problems: list[str], with_probe: bool) -> list[Values]:
    """Each framework: the installed version, and whether it would be recorded; frameworks are not imported here."""
    found = [_integration(row) for row in INTEGRATIONS if row.target]
    for one in found if with_probe else ():
        if one["installed"] is not None:
            one["probe"] = probe.probe(one["name"])
            one["state"], one["reason"] = one["probe"]["status"], one["probe"]["reason"]
            if one["state"] in ("failed", "broken") or one["probe"]["errors"]:
                problems.append(f"integration {one['name']}: {one['reason'] or 'internal errors'}")
    problems += [f"integration {one['name']}: {one['reason']}" for one in found if one["state"] == "unsupported"]
    return found


def _integration(row: Integration) -> Values:
    try:
        installed = version(row.distribution)
    except PackageNotFoundError:
        installed = None
    state, reason = _verdict(row, installed)
    return {
        "name": row.name,
        "distribution": row.distribution,
        "installed": installed,
        "oldest_supported": row.minimum,
        "newest_tested": row.tested,
        "state": state,
        "reason": reason,
    }


def _verdict(row: Integration, installed: str | None) -> tuple[str, str]:
    options = _settings_or_none()
    if installed is None:
        return "not installed", f"pip install {row.distribution}"
    if options is None:
        return "failed", "the settings cannot be read"
    if options.disable or registry.is_off():
        return "off", "the setting disable"
    if options.integrations is not None and row.name not in options.integrations:
        return "off", "the setting integrations does not name it"
    if reason := registry.version_reason(row, installed, options.disable_for_unsupported_versions):
        return "unsupported", reason
    untested = registry.version_reason(row, installed, True)
    return "ready", f"{untested}; it is recorded all the same" if untested else ""


def hook(problems: list[str]) -> Values:
    """The zero-code start: where its hook is, who stands in front of it, and what it did in this very process."""
    folder, obstacle = hook_for_doctor()
    path = config.environment_variables(("PYTHONPATH",)).get("PYTHONPATH", "").split(os.pathsep)
    position = next((index for index, entry in enumerate(path) if _same(entry, folder)), None)
    others = [entry for entry in path if entry and not _same(entry, folder) and _has_hook(entry)]
    in_front = [entry for entry in others if position is not None and path.index(entry) < position]
    verdict = bootstrap.hook_verdict()
    launched = config.environment_variables(("AUTOTRACK_ACTIVE",)).get("AUTOTRACK_ACTIVE") == "1"
    if not folder:
        problems.append(f"zero-code start: {obstacle}")
    if launched and position is not None and not verdict:
        front = f"{_agent(in_front[0])} stands in front of it and did not load it" if in_front else "Python skipped it"
        problems.append(f"zero-code start: the hook did not run: {front}; put `autotrack run` innermost")
    state = bootstrap.STATE
    return {
        "folder": folder,
        "obstacle": obstacle,
        "position_on_pythonpath": position,
        "in_front": in_front,
        "others": others,
        "verdict": verdict,
        "process": {name: getattr(state, name) for name in ("active", "role", "source", "hook_position")},
    }


def _same(entry: str, folder: str) -> bool:
    return bool(entry and folder) and os.path.realpath(entry) == os.path.realpath(folder)


def _has_hook(entry: str) -> bool:
    return os.path.isfile(os.path.join(entry, "sitecustomize.py"))


def _agent(entry: str) -> str:
    parts = Path(entry).parts
    return next((f"{name} ({entry})" for folder, name in AGENTS.items() if folder in parts), entry)


def store(state: StoreState, problems: list[str]) -> Values:
    """The database: reachable, of the right schema, undamaged."""
    advice = db.verdict(state.revision) if state.exists and not state.problem and state.revision else ""
    if state.problem:
        problems.append(state.problem)
    if advice:
        problems.append(f"store {state.url}: its schema is at revision {state.revision}, {advice}")
    if state.damage:
        hint = "copy the file, then try `sqlite3 FILE .recover`"
        problems.append(f"store {state.url}: the database is damaged: {state.damage}; {hint}")
    values = state.to_dict()
    del values["journals"]
    return values


def journals(location: Location, known: list[JournalInfo], problems: list[str]) -> Values:
    """What waits to be moved into the store, journal by journal."""
    offsets = {info.journal_id: info for info in known}
    files = [_journal(path, offsets.get(path.stem), problems) for path in ingest.files(location)]
    own = location.journal_folder
    if own.is_dir() and not os.access(own, os.W_OK):
        problems.append(f"journals: {own} cannot be written; events go to {location.fallback_journal_folder}")
    return {
        "folder": str(own),
        "fallback_folder": str(location.fallback_journal_folder),
        "fallback_used": any(Path(one["file"]).parent == location.fallback_journal_folder for one in files),
        "pending": sum(one["pending"] for one in files),
        "files": files,
    }


def _journal(path: Path, info: JournalInfo | None, problems: list[str]) -> Values:
    values: Values = {"file": str(path), "bytes": 0, "pending": 0, "process": "unknown", "pid": None, "damaged": 0}
    try:
        values["bytes"] = path.stat().st_size
        values["pending"] = values["bytes"] - (info.offset if info else 0)
        opened = journal_reading.header(path)
        if opened is None:
            return values | {"problem": "its first line is not whole"}
        values["pid"] = opened.pid
        values["process"] = _process(liveness.Identity(*(getattr(opened, name) for name in _IDENTITY)), info, path)
        chunk = journal_reading.read(path, info.offset if info else 0, sealed=opened.sealed)
        values["damaged"] = chunk.damaged
    except (JournalFormatError, OSError) as error:
        problems.append(f"journal: {error}")
        return values | {"problem": str(error)}
    if chunk.damaged:
        problems.append(f"journal: {path}: {chunk.damaged} lines that wait are damaged and will be skipped")
    return values | {"problem": ""}


_IDENTITY = ("host", "boot_id", "pid", "process_started")


def _process(who: liveness.Identity, info: JournalInfo | None, path: Path) -> str:
    if info is not None and info.closed is not None:
        return "ended"
    heard = info.heartbeat if info is not None else int(path.stat().st_mtime * 1000)
    return "alive" if liveness.is_alive(who, heard, clock.now()) else "gone"


def past_trouble(location: Location, problems: list[str]) -> list[Values]:
    """Sessions that ended with something to tell, the newest first."""
    reports = health_reports.read(location, MAX_REPORTS)
    failed = [report for report in reports if any(part.failed for part in report.parts)]
    if failed:
        first = next(part for part in failed[0].parts if part.failed)
        last = first.recent[-1].message if first.recent else first.reason
        problems.append(
            f"internal errors in past sessions ({len(failed)} reports), the latest in {first.name}: {last} "
            "(`autotrack doctor --forget` forgets them)"
        )
    return [report.to_dict() for report in reports]
