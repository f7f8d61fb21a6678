"""`autotrack gc` on real recordings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from autotrack import Client

Command = Any


def test_deleted_runs_are_listed_and_then_removed(recorded: Path, autotrack: Command, tmp_path: Path) -> None:
    """Without `--yes` nothing goes; with it the deleted run does, and nothing that is left changes."""
    folder = tmp_path / ".autotrack"
    shutil.copytree(recorded, folder)
    store = ("--store", folder)
    client = Client(folder)
    doomed = next(run for run in client.search_runs() if run.outputs.model_outputs)
    before = json.loads(autotrack("ls", "--json", *store).out)
    client.delete_run(doomed.info.run_id)
    shown = autotrack("gc", *store)
    assert (shown.status, shown.err) == (0, "")
    assert "would go; remove it with: autotrack gc --yes" in shown.out
    assert doomed.info.run_id in shown.out
    assert len([line for line in shown.out.splitlines() if line.startswith("run ")]) == 2
    assert len(client.search_runs(run_view_type="DELETED_ONLY")) == 2
    assert "0 things" in autotrack("gc", "--older-than", "30d", *store).out
    found = json.loads(autotrack("gc", "--json", "--run", doomed.info.run_id[:12], *store).out)
    assert [item["name"] for item in found["items"] if item["kind"] == "run"] == [doomed.info.run_id]
    assert "removed" in autotrack("gc", "--yes", *store).out
    assert client.search_runs(run_view_type="DELETED_ONLY") == []
    left = json.loads(autotrack("ls", "--json", *store).out)
    assert left == [run for run in before if run["info"]["run_id"] != doomed.info.run_id]
    assert autotrack("db", "check", *store).status == 0


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1y"])
def test_age_that_is_none_is_a_usage_error(autotrack: Command, age: str) -> None:
    """What is no number with a unit is status 2 and says how to write one."""
    shown = autotrack("gc", f"--older-than={age}")
    assert shown.status == 2
    assert "such as 30d" in shown.err
