"""Passes over a `DataLoader`: which one the batch at hand is of, how many rows came, how long that took."""

from __future__ import annotations

from time import perf_counter
from typing import Any
from weakref import ref


class Pass:
    """One pass over a loader."""

    __slots__ = ("batches", "ended", "first", "iterator", "loader", "waited")

    def __init__(self, loader: Any, iterator: Any) -> None:
        self.loader = ref(loader)
        self.iterator = ref(iterator)
        self.batches = 0
        self.ended = False
        """The same iterator began another pass: persistent workers keep theirs."""
        self.waited = 0.0
        """Seconds that the program has waited for batches."""
        self.first = perf_counter()
        """When it began."""

    def rows(self) -> int | None:
        """About how many rows came; None where the loader does not say."""
        size = getattr(self.loader(), "batch_size", None)
        if not isinstance(size, int):
            return None
        total = length_of(getattr(self.loader(), "dataset", None))
        return self.batches * size if total is None else min(self.batches * size, total)

    def pace(self, seconds: float) -> dict[str, float]:
        """Rows a second, and the share of the time that went by waiting for them."""
        rows = self.rows()
        found = {"data_wait_fraction": min(1.0, self.waited / seconds)} if seconds > 0 else {}
        return {**found, "samples_per_second": rows / seconds} if rows and seconds > 0 else found


def length_of(dataset: Any) -> int | None:
    """Rows of one of torch's own datasets; None for the program's own, whose `__len__` may do anything."""
    if dataset is None or not type(dataset).__module__.startswith("torch.utils.data"):
        return None
    try:
        return len(dataset)
    except (TypeError, NotImplementedError):
        return None


def description_of(loader: Any) -> dict[str, Any]:
    """Parameters of a loader."""
    found = {"batch_size": loader.batch_size, "num_workers": loader.num_workers}
    rows = length_of(loader.dataset)
    return {**found, "training_rows": rows} if rows is not None else found
