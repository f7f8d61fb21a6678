"""Reads skops files that name nothing beyond the policy, and others where somebody trusts them."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

from autotrack.errors import ModelFormatError
from autotrack.models.boosters import check_text
from autotrack.models.policy import untrusted
from autotrack.models.safety import UNREADABLE, allows_pickle, check_zip, refuse_types
from autotrack.models.structures import check


def read_skops(data: bytes, file: Path, trusted: bool) -> Any:
    """The object of a skops file.

    Args:
        data: What stands in the file.
        file: Named in errors.
        trusted: Load it also where it names classes beyond the policy.

    Raises:
        ModelFormatError: It is damaged, not a skops file, or of other versions.
        UntrustedModelError: It names classes beyond the policy, and nobody has said that it may.
    """
    check_zip(data, file)
    try:
        from skops.io import get_untrusted_types, loads
    except ImportError:
        raise ModelFormatError(f"{file}: a skops file; to read it: pip install 'autotrack[sklearn]'") from None
    try:
        # Without trusted types of ours, so that skops names all that it does not know itself.
        names = set(get_untrusted_types(data=data))
    except UNREADABLE as error:
        raise ModelFormatError(f"{file}: not a readable skops file: {error!r}") from None
    beyond = untrusted(names)
    if beyond and not allows_pickle(trusted):
        raise refuse_types(beyond, file)
    _check_boosters(data, file)
    try:
        estimator = loads(data, trusted=sorted(names))
    except UNREADABLE as error:
        raise ModelFormatError(f"{file}: cannot be loaded with the installed versions: {error!r}") from error
    check(estimator)
    return estimator


def _check_boosters(data: bytes, file: Path) -> None:
    """Check LightGBM's trees, which stand in the file as text and are read while it is loaded."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        waiting: list[Any] = [json.loads(archive.read("schema.json"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, str) and "Tree=" in node:
            # Texts are JSON within the JSON.
            text = json.loads(node) if node.startswith('"') else node
            if isinstance(text, str):
                check_text(text, file)
