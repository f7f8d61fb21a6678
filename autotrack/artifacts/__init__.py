"""Bytes: where runs keep their files. A folder, or any URL that fsspec knows.

Paths inside are relative, with `/`; a path that would leave the root is refused. Files appear whole or not at all.
`download_artifacts`, `list_artifacts`, `load_text`, `load_dict` and `load_image` have MLflow's names and arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autotrack.artifacts.files import Artifacts, Stored
from autotrack.artifacts.paths import checked_path, checked_root

if TYPE_CHECKING:
    from autotrack.tracking.downloads import download_artifacts, list_artifacts, load_dict, load_image, load_text

__all__ = [
    "Artifacts",
    "Stored",
    "checked_path",
    "checked_root",
    "download_artifacts",
    "list_artifacts",
    "load_dict",
    "load_image",
    "load_text",
]

_HOME = "autotrack.tracking.downloads"
"""Where the functions are that know of runs and models: a layer above this package."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'autotrack.artifacts' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME), name)
