"""`autotrack db check` on real recordings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import update

from autotrack.store import schema
from autotrack.store.engine import Store

Command = Any


def test_what_real_training_recorded_is_sound(recorded: Path, autotrack: Command) -> None:
    """Runs, curves, models and files of a real project: status 0, and says how much was looked at."""
    shown = autotrack("db", "check", "--store", recorded)
    assert shown.status == 0, shown.out
    assert "all is well" in shown.out
    assert "models" in shown.out
    assert json.loads(autotrack("db", "check", "--json", "--store", recorded).out)["is_well"] is True


def test_problems_are_told_and_mended(recorded: Path, autotrack: Command, tmp_path: Path) -> None:
    """A wrong summary and a lost file: status 1 with what to do; `--repair` leaves what nobody can mend."""
    folder = tmp_path / ".autotrack"
    shutil.copytree(recorded, folder)
    store = Store.open(folder)
    with store.transaction() as connection:
        connection.execute(update(schema.metric_series).where(schema.metric_series.c.id == 1).values(last=-99.0))
    next((folder / "artifacts").rglob("hello.txt")).unlink()
    shown = autotrack("db", "check", "--store", folder)
    assert shown.status == 1
    assert "what to do: autotrack db check --repair" in shown.out
    assert "2 problems" in shown.out
    found = json.loads(autotrack("db", "check", "--json", "--store", folder).out)
    assert [finding["kind"] for finding in found["findings"]] == ["curve", "artifact"]
    shown = autotrack("db", "check", "--repair", "--store", folder)
    assert (shown.status, "1 problem, 1 mended" in shown.out) == (1, True)
    assert autotrack("db", "check", "--no-hashes", "--store", tmp_path / "none").status == 1
