"""Interpreters of their own for what autotrack is measured beside: environments that are made once, in `.mlflow`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parents[1] / ".mlflow"


class Peer(NamedTuple):
    """Another tracker."""

    title: str
    package: str
    version: str
    more: tuple[str, ...] = ()
    """What else is installed beside it."""


PEERS = {
    "mlflow": Peer("MLflow", "mlflow", "3.17.2", ("scikit-learn>=1.4", "psycopg[binary]", "pymysql")),
    "wandb": Peer("W&B offline", "wandb", "0.31.0"),
    "trackio": Peer("trackio", "trackio", "0.43.0"),
}


def python_of(side: str) -> str | None:
    """A peer's interpreter; None, with a word on stderr, where it cannot be installed."""
    peer = PEERS[side]
    folder = FOLDER / f"benchmarks-{side}-{peer.version}-{sys.implementation.cache_tag}"
    python, done = folder / "bin" / "python", folder / "installed.txt"
    packages = (f"{peer.package}=={peer.version}", *peer.more)
    if not done.exists() or done.read_text() != "\n".join(packages):
        sys.stderr.write(f"making an environment with {peer.title} {peer.version}, once\n")
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages],
        ):
            made = subprocess.run(command, capture_output=True, text=True)
            if made.returncode:
                sys.stderr.write(f"no figures of {peer.title}: {made.stderr.strip()[-500:]}\n")
                return None
        done.write_text("\n".join(packages))
    return str(python)
