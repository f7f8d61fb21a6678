"""Text of any value: bounded, and without running code of the user's."""

from __future__ import annotations

import functools
import re
from typing import Any

from autotrack.origin import is_library_type

MAX_TEXT = 6_000
"""Characters of one automatically recorded parameter that are kept."""

MAX_ITEMS = 200
"""Items of one automatically recorded list, tuple or dict that are kept."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def clip(text: str) -> str:
    """Text with a mark where it is cut."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def safe_text(value: object, depth: int = 3) -> str:
    """Text of a value: bounded, no memory addresses, and no `__repr__` but Python's and installed libraries'."""
    kind = type(value)
    if value is None or kind in (bool, int, float, complex):
        return repr(value)
    if kind is str:
        return repr(clip(value)) if depth < 3 else clip(value)  # type: ignore[arg-type]
    if kind in (list, tuple, set, frozenset):
        return _text_of_items(value, depth)
    if kind is dict:
        return _text_of_dict(value, depth)  # type: ignore[arg-type]
    if isinstance(value, type):
        return f"{type.__getattribute__(value, '__module__')}.{type.__getattribute__(value, '__qualname__')}"
    if not is_library_type(kind):
        return f"{kind.__qualname__}()"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{getattr(value, '__module__', '')}.{value.__qualname__}"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{kind.__name__}(shape={shape}, dtype={getattr(value, 'dtype', '?')})"
    if hasattr(kind, "get_params"):
        # Nested estimators have their parameters listed by key, and printing one costs a millisecond.
        return f"{kind.__qualname__}()"
    return _text_of_holder(value, depth) or _ADDRESS.sub("", clip(repr(value)))


def _text_of_holder(value: Any, depth: int) -> str:
    """Text of Python's own objects that would print what they hold by its `__repr__`; "" for others."""
    kind = type(value)
    if isinstance(value, dict):
        return f"{kind.__name__}({_text_of_dict(value, depth)})"
    if isinstance(value, functools.partial):
        given = [safe_text(one, depth - 1) if depth else "..." for one in (value.func, *value.args)]
        named = [f"{name}={safe_text(one, depth - 1) if depth else '...'}" for name, one in value.keywords.items()]
        return f"partial({', '.join([*given, *named])})"
    if kind.__name__ in ("deque", "UserList"):
        return f"{kind.__name__}({_text_of_items(list(value), depth)})"
    if kind.__name__ in ("SimpleNamespace", "UserDict", "mappingproxy", "Namespace"):
        return f"{kind.__name__}({_text_of_dict(dict(value if hasattr(value, 'keys') else vars(value)), depth)})"
    return ""


def _text_of_items(value: Any, depth: int) -> str:
    kind = type(value)
    if depth == 0:
        return f"{kind.__name__} of {len(value)}"
    shown = [safe_text(item, depth - 1) for _, item in zip(range(MAX_ITEMS), value, strict=False)]
    if len(value) > MAX_ITEMS:
        shown.append(f"… {len(value)} in all")
    inside = ", ".join(shown)
    if kind is list:
        return f"[{inside}]"
    if kind is tuple:
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return f"{{{inside}}}" if kind is set else f"frozenset({{{inside}}})"


def _text_of_dict(value: dict[Any, Any], depth: int) -> str:
    if depth == 0:
        return f"dict of {len(value)}"
    head = zip(range(MAX_ITEMS), value.items(), strict=False)
    items = [f"{safe_text(k, 1)}: {safe_text(v, depth - 1)}" for _, (k, v) in head]
    if len(value) > MAX_ITEMS:
        items.append(f"… {len(value)} in all")
    return "{" + ", ".join(items) + "}"
