"""The environment of a session: code, packages, Python and machine, as far as it can be had cheaply and safely.

Nothing here imports a framework, initialises a device, or writes anything. What changes from one process to the next
(pid, time, command line) is not part of it, so that equal environments have equal digests and are stored once.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec

from autotrack import config
from autotrack.settings import Settings
from autotrack.tracking.helper_process import run
from autotrack.tracking.redaction import redact_mapping
from autotrack.tracking.repository import describe
from autotrack.tracking.values import storable

_OUTPUT = 64 * 1024
"""Bytes that are read of what a helper program says about the machine."""

_PROC = Path("/proc")


def capture(settings: Settings, folder: Path | None = None) -> tuple[str, dict[str, Any]]:
    """What the program runs in. Takes up to some seconds where the repository is large: call it beside the training.

    Args:
        settings: Names the environment variables to record.
        folder: Where the program's code is; by default the folder of its script (`program_folder`).

    Returns:
        The sha256 digest (hexadecimal) of the content's canonical JSON, and the content: `python`, `os`, `cpu`,
        `memory`, `gpus`, `packages` (version by normalised name), `variables`, and `git` where there is a repository.
    """
    content: dict[str, Any] = {
        "python": _python(),
        "os": _operating_system(),
        "cpu": _cpu(),
        "memory": {"bytes": _memory()},
        "gpus": _gpus(_PROC),
        "packages": dict(packages()),
        "variables": redact_mapping(config.environment_variables(settings.environment_variables)),
    }
    repository = describe(folder or program_folder())
    if repository is not None:
        content["git"] = repository
    content = _storable(content)
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest(), content


def program_folder() -> Path:
    """The folder of the script that Python was started with; the current one where it is no script of the user's.

    `python -m pytest` or a notebook's kernel run a file that is installed with Python; the user's code is then where
    the program was started.
    """
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if isinstance(file, str) and os.path.isfile(file):
        folder = Path(file).absolute().parent
        if not folder.is_relative_to(sys.prefix) and not folder.is_relative_to(sys.base_prefix):
            return folder
    return Path.cwd()


def _storable(value: Any) -> Any:
    """The same content with text that JSON and every database take (paths may hold any byte)."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(key): _storable(item) for key, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, list) else value


def _python() -> dict[str, str]:
    return {
        "version": sys.version,
        "implementation": sys.implementation.name,
        "executable": Path(sys.executable).name if sys.executable else "",
        "prefix": sys.prefix,
    }


def _operating_system() -> dict[str, str]:
    found = {
        "system": platform.system(),
        "release": platform.release(),
        "version": platform.version(),
        "machine": platform.machine(),
    }
    if sys.platform == "linux":
        try:
            found["distribution"] = platform.freedesktop_os_release()["PRETTY_NAME"]
        except OSError:  # no such file: a minimal container
            return found
    return found


def _cpu() -> dict[str, Any]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"model": _cpu_model(), "count": os.cpu_count(), "usable": usable}


def _cpu_model() -> str:
    if sys.platform == "darwin":
        output = run(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], _OUTPUT)
        return output.data.decode("utf-8", "replace").strip()
    if sys.platform == "win32":
        return platform.processor()
    try:
        with open(_PROC / "cpuinfo", encoding="utf-8", errors="replace") as lines:
            return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        return ""


def _memory() -> int | None:
    """Bytes of main memory; None where that cannot be known."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        import psutil

        total: int = psutil.virtual_memory().total
        return total


def _gpus(proc: Path) -> list[dict[str, str]]:
    """NVIDIA's devices as the driver lists them; asks `nvidia-smi` where only that knows (Windows, some containers)."""
    driver = proc / "driver" / "nvidia"
    found = sorted((driver / "gpus").glob("*/information"))
    if found:
        version = _search(r"Kernel Module(?:\s+for\s+\S+)?\s+(\S+)", _read(driver / "version"))
        return [{"model": _search(r"Model:\s*(.+)", _read(file)), "driver": version} for file in found]
    if sys.platform == "win32" or os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/dxg"):
        return _ask_nvidia_smi()
    return []


def _ask_nvidia_smi() -> list[dict[str, str]]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    output = run([program, "--query-gpu=name,driver_version", "--format=csv,noheader"], _OUTPUT)
    rows = [line.split(",") for line in output.data.decode("utf-8", "replace").splitlines()]
    return [{"model": row[0].strip(), "driver": row[1].strip()} for row in rows if len(row) == 2]


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""


def _search(expression: str, text: str) -> str:
    found = re.search(expression, text)
    return found[1].strip() if found else ""


@functools.cache
def packages() -> dict[str, str]:
    """Version of each installed distribution by its normalised name, sorted; read once per process.

    What `importlib.metadata.distributions()` tells, 200 times as fast: name and version are read off the names of the
    metadata folders (as the standard for recording installed projects has them), and files are opened only where the
    name does not hold the version.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        for name, version in _packages_in(folder or os.curdir):
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)  # the first on the path is imported
    return dict(sorted(found.items()))


def _packages_in(folder: str) -> list[tuple[str, str]]:
    """Name and version of each distribution in one entry of `sys.path`."""
    if os.path.isfile(folder):  # a zip file, or an egg
        from importlib import metadata  # not at the top: it loads much that is hardly ever needed

        return [(item.name, item.version) for item in metadata.distributions(path=[folder]) if item.metadata["Name"]]
    try:
        entries = os.listdir(folder)
    except OSError:
        return []
    found = [_package(os.path.join(folder, entry), entry) for entry in entries if not entry.startswith("~")]
    return [item for item in found if item]


def _package(path: str, entry: str) -> tuple[str, str] | None:
    stem, suffix = os.path.splitext(entry)
    if suffix not in (".dist-info", ".egg-info", ".egg"):
        return None
    name, _, version = re.sub(r"-py\d[\d.]*$", "", stem).partition("-")
    if suffix == ".dist-info" and version:
        return (name, version) if os.path.isfile(os.path.join(path, "METADATA")) else None
    if suffix == ".egg-info" and not version:
        version = _search(
            r"(?m)^Version:\s*(.+)$", _read(Path(path, "PKG-INFO") if os.path.isdir(path) else Path(path))
        )
    return (name, version) if version else None
