"""What `push` and `pull` share: the words for what became of the runs."""

from __future__ import annotations

from collections import Counter

from autotrack.bridge.contents import Outcome
from autotrack.bridge.pushing import Result

WORDS: dict[Outcome, str] = {
    "new": "new",
    "completed": "completed",
    "unchanged": "there already",
    "deleted": "left out (deleted)",
}


def summary(verb: str, result: Result, place: str) -> str:
    """One line: `pushed 3 runs to URL: 2 new, 1 there already; 1 registered model: 1 new`."""
    text = f"{verb} {_counted(result.runs, 'run', place)}"
    return f"{text}; {_counted(result.models, 'registered model')}" if result.models else text


def _counted(outcomes: Counter[Outcome], noun: str, place: str = "") -> str:
    count = sum(outcomes.values())
    parts = ", ".join(f"{outcomes[outcome]} {word}" for outcome, word in WORDS.items() if outcomes[outcome])
    words = f"{count} {noun}{'' if count == 1 else 's'} {place}".rstrip()
    return words + (f": {parts}" if parts else "")
