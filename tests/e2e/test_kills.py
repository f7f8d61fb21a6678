"""SIGKILL where it hurts: what had been recorded is there, once and whole (`make soak` does it at length)."""

from __future__ import annotations

import os
import random
from pathlib import Path

import killing
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL and fork are POSIX's")


@pytest.mark.parametrize("kind", killing.KINDS)
def test_a_killed_program_leaves_all_calls_that_had_returned_once_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Two kills each: calls of all kinds, parent and forked child, in mid-transaction, in mid-storing of a model."""
    if kind == "models":
        pytest.importorskip("sklearn")
    monkeypatch.setattr(killing, "LONGEST_LOCK", 0.2)
    for seed in range(2):
        where = tmp_path / str(seed)
        tally = killing.kill_one(kind, random.Random(f"{kind} {seed}"), str(where / "store"), where)
        assert tally.calls > 0
        assert kind != "models" or tally.models > 0


def test_a_program_that_is_killed_in_mid_transaction_leaves_a_server_with_all_of_it_once(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL takes back what was not committed; the journal has it, and the next reader moves it."""
    monkeypatch.chdir(tmp_path)
    killing.kill_one("ingest", random.Random(5), postgres_url, tmp_path)
