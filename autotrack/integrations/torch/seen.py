"""What a thread has seen of a loop that is no step yet, and when a loss may be one of validation."""

from __future__ import annotations

import threading
from collections.abc import Sized
from typing import Any

from autotrack.integrations.torch.passes import Pass


class Validating:
    """True where a loss may be one of validation: without gradients, or while some module is in evaluation mode.

    Never inside of what torch compiles: nothing of ours goes into a compiled graph.
    """

    def __init__(self, torch: Any, evaluated: Sized) -> None:
        self._is_compiling = torch.compiler.is_compiling
        self._has_gradients = torch.is_grad_enabled
        self._evaluated = evaluated

    def __len__(self) -> int:
        return 0 if self._is_compiling() or (self._has_gradients() and not self._evaluated) else 1


class Seen:
    """What a thread has seen since its last step."""

    __slots__ = ("batch", "scaled", "source", "spent", "timed", "values")

    def __init__(self) -> None:
        self.values: list[tuple[str, Any]] = []
        self.source: Pass | None = None
        """The pass that the last batch is of."""
        self.batch: Pass | None = None
        """The same, until a step has been made with that batch."""
        self.timed = True
        """Whether the step that comes is one of those that are timed, and how long what belongs to it has taken."""
        self.spent = 0.0
        self.scaled: tuple[Any, Any] | None = None
        """Weak reference to a loss that `GradScaler` scaled, and the loss before."""


class Now(threading.local):
    """What this thread has seen."""

    def __init__(self) -> None:
        self.seen = Seen()
