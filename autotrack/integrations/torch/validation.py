"""Losses that a program computes while it does not train, averaged over a pass."""

from __future__ import annotations

from typing import Any

Total = list[Any]
"""Sum of the losses over the rows seen (a number, or a tensor of an accelerator), and those rows."""


class Validation:
    """The pass at hand: for each name, the mean over all rows."""

    def __init__(self) -> None:
        self._totals: dict[str, Total] = {}

    def add(self, name: str, value: Any, rows: int, is_sum: bool) -> None:
        """A loss of one batch.

        Args:
            name: Its name.
            value: The loss, a number or a tensor of one value.
            rows: Rows of the batch.
            is_sum: Whether it is the sum over them; else it is their mean.
        """
        total = self._totals.setdefault(name, [0.0, 0])
        total[0] = total[0] + (value if is_sum else value * rows)
        total[1] += rows

    def means(self) -> dict[str, Any]:
        """By name, over the rows so far."""
        return {name: total / rows for name, (total, rows) in self._totals.items() if rows}


def rows_of(target: Any) -> int:
    """Rows of a batch, by its target; 1 where that is not to be known."""
    shape = getattr(target, "shape", None)
    return int(shape[0]) if shape is not None and len(shape) else 1
