"""The figures that are kept, `results.json`, and README.md's table of them. No host and no path is in it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from environments import PEERS

FILE = Path(__file__).resolve().parent / "results.json"
PACKAGES = ("scikit-learn", "lightgbm", "torch", "sqlalchemy", "numpy")


def machine() -> dict[str, Any]:
    """What was measured on."""
    return {"cores": os.cpu_count(), "cpu": _processor(), "system": platform.system(), "machine": platform.machine()}


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(names, platform.processor())


def versions(pythons: Mapping[str, str]) -> dict[str, str]:
    """What was measured; others than autotrack by their interpreters."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    for side, python in pythons.items():
        asked = [python, "-c", f"import importlib.metadata as m; print(m.version({PEERS[side].package!r}))"]
        told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        found[PEERS[side].title] = told
    return found


def load() -> dict[str, Any]:
    """What is kept; empty where nothing is."""
    try:
        kept: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    except OSError:
        return {}
    return kept


def keep(lines: Iterable[Mapping[str, object]], pythons: Mapping[str, str]) -> None:
    """Keep figures, in place of older ones of the same name; those of another machine are dropped."""
    before, here = load(), machine()
    known = {line["what"]: line for line in before.get("lines", ())} if before.get("machine") == here else {}
    known.update({str(line["what"]): dict(line) for line in lines})
    found = {**before.get("versions", {}), **versions(pythons)}
    busy = round(os.getloadavg()[2], 1)
    kept = {"machine": here, "load": busy, "versions": found, "lines": [_rounded(line) for line in known.values()]}
    FILE.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


def _rounded(line: Mapping[str, object]) -> dict[str, object]:
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in line.items()}


def shown(value: object, unit: str = "") -> str:
    """A figure as a person reads it."""
    if value is None:
        return ""
    assert isinstance(value, (int, float))
    digits = 0 if abs(value) >= 1000 or value == int(value) else 2 if abs(value) < 10 else 1
    if digits == 2 and unit == "x plain" and value < 1.1:
        digits = 3  # of a percent or two the parts count
    return f"{value:,.{digits}f} {unit}".rstrip()


def table() -> str:
    """The kept figures as Markdown, each with its budget and whether that was kept."""
    kept = load()
    if not kept:
        return "Nothing has been measured yet: `make bench`.\n"
    about, found = kept["machine"], ", ".join(f"{name} {number}" for name, number in kept["versions"].items())
    text = f"Medians, on {about['cores']} cores of {about['cpu']} ({about['system']}), with {found}. "
    text += f"The machine's load was {kept['load']:g} at the end: what goes by the clock is slower on a busy one.\n\n"
    text += "| what | budget | autotrack | | MLflow | MLflow / autotrack |\n| --- | --- | --- | --- | --- | --- |\n"
    for line in kept["lines"]:
        unit, ratio = str(line["unit"]), line["mlflow_over_autotrack"]
        verdict = {"ok": "kept", "OVER": "**missed**"}.get(str(line["verdict"]), "")
        cells = (
            line["what"], shown(line["budget"], unit), shown(line["autotrack"], unit), verdict,
            shown(line["mlflow"], unit), f"{shown(ratio)} x" if ratio is not None else "",
        )  # fmt: skip
        text += f"| {' | '.join(cells)} |\n"
    return text + _others(kept["lines"])


def _others(lines: Iterable[Mapping[str, Any]]) -> str:
    """A second table, of what the others do too: they log what they are told."""
    told = [line for line in lines if any(line.get(side) is not None for side in PEERS if side != "mlflow")]
    if not told:
        return ""
    text = "\nBeside trackers that log what they are told, and no training by themselves:\n\n"
    text += f"| what | autotrack | {' | '.join(peer.title for peer in PEERS.values())} |\n"
    text += f"| --- | --- |{' --- |' * len(PEERS)}\n"
    for line in told:
        figures = [shown(line.get(side), str(line["unit"])) for side in ("autotrack", *PEERS)]
        text += f"| {line['what']} | {' | '.join(figures)} |\n"
    return text
