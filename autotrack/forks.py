"""What a module has to have anew in a forked child."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def renew_in_children(namespace: dict[str, Any], name: str, make: Callable[[], object]) -> None:
    """Have a module's lock be another one in a forked child: a thread that is not there may have held it.

    Args:
        namespace: The module's `globals()`.
        name: What the lock is called there.
        make: Makes one.
    """

    def renew() -> None:
        namespace[name] = make()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew)
