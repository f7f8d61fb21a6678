"""The interpreter that has MLflow: an environment of its own, made once, in `.mlflow` beside the checkout's others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

VERSION = "3.17.2"
PACKAGES = (f"mlflow=={VERSION}", "scikit-learn>=1.4")
FOLDER = Path(__file__).resolve().parents[1] / ".mlflow" / f"benchmarks-{VERSION}-{sys.implementation.cache_tag}"


def mlflow_python() -> str | None:
    """The interpreter; None, with a word on stderr, where MLflow cannot be installed."""
    python, done = FOLDER / "bin" / "python", FOLDER / "installed.txt"
    if not done.exists():
        sys.stderr.write(f"making an environment with MLflow {VERSION}, once\n")
        for command in (
            [sys.executable, "-m", "venv", str(FOLDER)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES],
        ):
            made = subprocess.run(command, capture_output=True, text=True)
            if made.returncode:
                sys.stderr.write(f"no figures of MLflow: {made.stderr.strip()[-500:]}\n")
                return None
        done.write_text("\n".join(PACKAGES))
    return str(python)
