"""Losses that a program computes while it does not train, averaged over a pass."""

from __future__ import annotations

from typing import Any

Total = list[Any]
"""Sum of the losses over the rows seen (a number, or a tensor of an accelerator), and those rows."""


class Validation:
    """The pass at hand: for each name, the mean over all rows."""

    def __init__(self) -> None:
        self.totals: dict[str, Total] = {}
        """By name; empty between the passes."""

    def add(self, name: str, value: Any, rows: int, is_sum: bool) -> None:
        """A loss of one batch.

        Args:
            name: Its name.
            value: The loss, a number or a tensor of one value.
            rows: Rows of the batch.
            is_sum: Whether it is the sum over them; else it is their mean.
        """
        total = self.totals.setdefault(name, [0.0, 0])
        total[0] = total[0] + (value if is_sum else value * rows)
        total[1] += rows

    def take(self) -> dict[str, Any]:
        """The means of the pass, which is over."""
        totals, self.totals = self.totals, {}
        return {name: total / rows for name, (total, rows) in totals.items() if rows}


def rows_of(target: Any) -> int:
    """Rows of a batch, by its target; 1 where that is not to be known."""
    shape = getattr(target, "shape", None)
    return int(shape[0]) if shape is not None and len(shape) else 1
