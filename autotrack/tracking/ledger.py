"""Which runs of a process have ended, and are still to be told what recording them took: once, and not too early."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from autotrack import clock, events
from autotrack.tracking.cost import COST_TAG, Cost
from autotrack.tracking.run import RunWriter

NOT_OF_THE_PROGRAM = ("client", "trial")
"""Sources of runs that need not tell of this process: what they say is what they are given."""


class Ledger:
    """The costs of one recorder's runs that have ended, by run id: the runs themselves are let go."""

    def __init__(self) -> None:
        self._ended: dict[str, Cost] = {}

    def add(self, run: RunWriter, passes: int) -> None:
        """A run has ended.

        Args:
            run: The run.
            passes: How often the ingest has looked at the journal so far; the pass under way may be past the run's end.
        """
        if _is_told_of(run):
            run.cost.passes = passes + 1
            self._ended[run.run_id] = run.cost

    def cost_of(self, run_id: str) -> Cost | None:
        """The cost of a run that is still to be told."""
        return self._ended.get(run_id)

    def clear(self) -> None:
        """In a forked child: they are the parent's."""
        self._ended = {}

    def ended(self) -> dict[str, Cost]:
        """All that are still to be told."""
        return dict(self._ended)

    def settled(self, passes: int) -> dict[str, Cost]:
        """Those that are in the store, and that nothing more is being done for."""
        return {key: cost for key, cost in self.ended().items() if cost.pending <= 0 and passes > cost.passes}

    def tell(self, costs: Mapping[str, Cost]) -> list[events.Event]:
        """What is to be written in order to tell of some runs; those are done with then."""
        for run_id in costs:
            self._ended.pop(run_id, None)
        return _tags(costs.items())


def _tags(costs: Iterable[tuple[str, Cost]]) -> list[events.Event]:
    if clock.is_fixed():
        return []
    return [events.TagsSet(run_id, {COST_TAG: text}, late=True) for run_id, cost in costs if (text := cost.to_json())]


def told_so_far(runs: Iterable[RunWriter]) -> list[events.Event]:
    """What is to be written in order to tell of runs that are open."""
    return _tags((run.run_id, run.cost) for run in runs if _is_told_of(run))


def _is_told_of(run: RunWriter) -> bool:
    """Whether this process tells what a run took: it opened it, for the program, and is no rank but the first."""
    return run.source not in NOT_OF_THE_PROGRAM and not run.is_inherited and (run.job is None or run.job.rank == 0)
