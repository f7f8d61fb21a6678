"""What must be installed to load a model, from the modules that it names; no child process, nothing imported."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import metadata

from autotrack.models.mlmodel import yaml_text

REQUIREMENTS = "requirements.txt"
PYTHON_ENV = "python_env.yaml"
CONDA = "conda.yaml"

_KNOWN = {"sklearn": "scikit-learn", "PIL": "pillow", "cv2": "opencv-python", "yaml": "pyyaml"}
"""Packages whose distribution has another name; looking through all installed ones takes a third of a second."""


@lru_cache(maxsize=1)
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


@lru_cache(maxsize=1024)
def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, without a local label (`+cpu`); None where it is not installed."""
    try:
        return metadata.version(distribution).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


@lru_cache(maxsize=1024)
def distribution_of(package: str) -> str | None:
    """The distribution that a top-level package belongs to; None for Python's own and the user's."""
    if package in sys.stdlib_module_names or package in sys.builtin_module_names or package.startswith("__"):
        return None
    name = _KNOWN.get(package, package)
    if installed_version(name) is not None:
        return name
    found = _distributions().get(package)
    return found[0] if found else None


def requirements_of(modules: Iterable[str], always: Iterable[str] = ()) -> list[str]:
    """Pinned requirements, `name==version`, sorted.

    Args:
        modules: Dotted module names that a model is made of.
        always: Distributions that are needed besides; without a version where they are not installed.
    """
    packages = {module.partition(".")[0] for module in modules}
    names = {name for package in packages if (name := distribution_of(package))} | set(always)
    pinned = [(name, installed_version(name)) for name in names]
    return sorted(name if version is None else f"{name}=={version}" for name, version in pinned)


def files_of(requirements: list[str]) -> dict[str, bytes]:
    """Content of `requirements.txt`, `python_env.yaml` and `conda.yaml`, as MLflow's `--env-manager` reads them."""
    return dict(_files_of(tuple(requirements)))


@lru_cache(maxsize=64)
def _files_of(requirements: tuple[str, ...]) -> dict[str, bytes]:
    python = platform.python_version()
    pip = installed_version("pip")
    builders = [(name, installed_version(name)) for name in ("pip", "setuptools", "wheel")]
    python_env = {
        "python": python,
        "build_dependencies": [name if version is None else f"{name}=={version}" for name, version in builders],
        "dependencies": [f"-r {REQUIREMENTS}"],
    }
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        # Not pinned exactly: conda-forge has a new pip later than the package index.
        "dependencies": [f"python={python}", f"pip<={pip}" if pip else "pip", {"pip": list(requirements)}],
    }
    texts = {
        REQUIREMENTS: "".join(f"{line}\n" for line in requirements),
        PYTHON_ENV: yaml_text(python_env),
        CONDA: yaml_text(conda),
    }
    return {name: text.encode() for name, text in texts.items()}
