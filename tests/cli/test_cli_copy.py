"""`autotrack db copy` on real recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autotrack import Client

Command = Any


def test_a_project_moves_to_a_server(recorded: Path, autotrack: Command, tmp_path: Path, postgres_url: str) -> None:
    """SQLite to PostgreSQL: `ls` shows the same runs there, their files are found; wrong calls say what is wrong."""
    shown = autotrack("db", "copy", recorded, postgres_url)
    assert shown.status == 0, shown.err
    assert "2 experiments" in shown.out
    assert "0 written" in autotrack("db", "copy", recorded, postgres_url).out

    def listed(store: object) -> list[dict[str, Any]]:
        found = json.loads(autotrack("ls", "--json", "-n", 100, "--store", store).out)
        for run in found:
            run["data"]["tags"].pop("autotrack.artifact_root", None)
        return list(found)

    assert listed(postgres_url) == listed(recorded)
    client = Client(postgres_url)
    (special,) = client.search_runs(filter_string="attributes.run_name = 'special'")
    assert Path(client.download_artifacts(special.info.run_id, "notes/hello.txt")).read_text() == "hello"
    assert autotrack("db", "copy", recorded, recorded).status == 1
    assert "no such store" in autotrack("db", "copy", tmp_path / "none", postgres_url).err
    assert autotrack("db", "copy", recorded).status == 2
    client.store.dispose()
