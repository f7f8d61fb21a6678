"""Trials as they are recorded: without secrets, and each under a number that is its own in the run."""

from __future__ import annotations

import msgspec

from autotrack.events import TrialInfo
from autotrack.tracking.redaction import redact, redact_mapping


def without_secrets(trial: TrialInfo) -> TrialInfo:
    """A trial whose parameters are without secrets already, the rest of it too."""
    if not trial.error and not trial.attributes:
        return trial
    return msgspec.structs.replace(trial, error=redact(trial.error), attributes=redact_mapping(trial.attributes))


class TrialNumbers:
    """The numbers of one run's trials. A series (a search, a study) that comes second may use some that are taken."""

    def __init__(self) -> None:
        self._taken: dict[int, tuple[object, int]] = {}
        """By which series, and which of its trials."""
        self._moved: dict[tuple[object, int], int] = {}
        """Trials whose number was taken, and the one that they have instead."""
        self._highest = -1

    def numbered(self, trial: TrialInfo, series: object) -> TrialInfo:
        """A trial under its own number or, where another series has that, one behind all; the same each time."""
        wanted = (series, trial.number)
        self._highest = max(self._highest, trial.number)
        if self._taken.setdefault(trial.number, wanted) == wanted:
            return trial
        found = self._moved.get(wanted)
        if found is None:
            found = self._highest = self._moved[wanted] = self._highest + 1
            self._taken[found] = wanted
        return msgspec.structs.replace(trial, number=found, attributes={**trial.attributes, "number": trial.number})
