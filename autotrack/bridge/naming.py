"""Keys and values as MLflow takes them.

One rule for keys: each character but letters, digits, `_ - . /`, colon and blank becomes `_`, and so do two dots at the
beginning; slashes at the ends and double ones, and the parts `.` and `..` of a path, go; what is longer than 250
characters is cut. Where two keys of a run become the same, or one is cut, `_` and eight digits of a hash of the whole
key follow. So `acc@5` is `acc_5`, `f1(macro)` is `f1_macro_`.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable

KEY_LENGTH = 250
RENAMED = "autotrack.renamed_keys"
"""Tag: JSON of the keys that were renamed, the first name by the one that MLflow has."""
CLIPPED = "autotrack.clipped"
"""Tag: what was longer than the target takes."""

_REFUSED = re.compile(r"[^/\w.\- :]")
_MARK = "..."


def is_allowed(key: str, length: int = KEY_LENGTH) -> bool:
    """Whether MLflow takes a key as it is."""
    if not key or len(key) > length or _REFUSED.search(key):
        return False
    return posixpath.normpath(key) == key and key != "." and not key.startswith(("/", ".."))


def renamed(keys: Iterable[str], length: int = KEY_LENGTH, fold_case: bool = False) -> dict[str, str]:
    """The key for MLflow by each of a run's keys; those that it takes as they are come first."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for key in sorted(keys, key=lambda key: (not is_allowed(key, length), key)):
        name = key if is_allowed(key, length) else _made(key)
        if len(name) > length or _folded(name, fold_case) in taken:
            digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:8]
            name = f"{name[: length - 9]}_{digest}"
        taken.add(_folded(name, fold_case))
        names[key] = name
    return names


def _folded(name: str, fold_case: bool) -> str:
    return name.casefold() if fold_case else name


def _made(key: str) -> str:
    parts = _REFUSED.sub("_", key).split("/")
    name = "/".join(part for part in parts if part not in ("", ".", "..")) or "_"
    return f"__{name[2:]}" if name.startswith("..") else name


def clipped(text: str, length: int) -> str:
    """A value that fits, with a mark where something was cut off."""
    return text if len(text) <= length else text[: length - len(_MARK)] + _MARK
