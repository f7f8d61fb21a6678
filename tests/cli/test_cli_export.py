"""`autotrack export` and `autotrack import` on real recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autotrack import Client

Command = Any


def listed(autotrack: Command, store: Path) -> list[dict[str, Any]]:
    """The runs of a store, by name, without what differs between stores."""
    runs = json.loads(autotrack("ls", "--json", "-n", 100, "--store", store).out)
    for run in runs:
        for name in ("artifact_uri", "experiment_id"):
            run["info"].pop(name)
        run["outputs"] = [{**model, "uri": ""} for model in run["outputs"]["model_outputs"]]
        run["inputs"] = sorted(map(json.dumps, run["inputs"]["dataset_inputs"]))
    return sorted(runs, key=lambda run: str(run["info"]["run_id"]))


def test_all_runs_of_a_project_move_into_another_one(recorded: Path, autotrack: Command, tmp_path: Path) -> None:
    """What real training recorded is listed the same, its model loads, its files are there."""
    file = tmp_path / "runs.zip"
    shown = autotrack("export", "--filter", "", "-o", file, "--store", recorded)
    assert shown.status == 0, shown.err
    assert "8 runs" in shown.out
    shown = autotrack("import", file, "--store", tmp_path / "new")
    assert (shown.status, "8 runs imported" in shown.out) == (0, True), shown
    assert listed(autotrack, tmp_path / "new") == listed(autotrack, recorded)
    shown = autotrack("import", file, "--store", tmp_path / "new")
    assert "0 runs imported; 8 there already; 0 files" in shown.out
    client = Client(tmp_path / "new")
    (special,) = client.search_runs(filter_string="attributes.run_name = 'special'")
    assert Path(client.download_artifacts(special.info.run_id, "notes/hello.txt")).read_text() == "hello"
    models = [model for run in client.search_runs() for model in client.reader.models(run.info.run_id)]
    assert models
    assert all((Path(model.uri) / "MLmodel").is_file() for model in models)


def test_runs_are_chosen_as_elsewhere(recorded: Path, autotrack: Command, tmp_path: Path) -> None:
    """`@`, beginnings of ids, an experiment and a filter name runs; each is exported once."""
    store = ("--store", recorded)
    run_id = Client(recorded).resolve_run_id("@")
    shown = autotrack("export", "@", run_id[:12], "-o", tmp_path / "one.zip", *store)
    assert "1 run," in shown.out, shown
    shown = autotrack("export", "-e", "by hand", "-f", "params.kind = 'constant'", "-o", tmp_path / "two.zip", *store)
    assert "2 runs," in shown.out, shown
    shown = autotrack("export", "--all", "-o", tmp_path / "all.zip", *store)
    assert "8 runs," in shown.out, shown
    shown = autotrack("import", tmp_path / "two.zip", "-e", "theirs", "--store", tmp_path / "new")
    assert shown.status == 0
    assert {one.name for one in Client(tmp_path / "new").search_experiments()} == {"Default", "theirs"}


def test_wrong_calls_say_what_is_wrong(recorded: Path, autotrack: Command, tmp_path: Path) -> None:
    """No run named, none that matches, a file that is there, a file that is no archive: one line, status 1."""
    store = ("--store", recorded)
    file = tmp_path / "x.zip"
    assert "ids of runs" in autotrack("export", "-o", file, *store).err
    assert "is what was asked for" in autotrack("export", "-f", "params.kind = 'no'", "-o", file, *store).err
    assert "there are: " in autotrack("export", "-e", "no", "-o", file, *store).err
    assert "or one of --experiment" in autotrack("export", "@", "--all", "-o", file, *store).err
    assert not file.exists()
    file.write_text("mine")
    assert "already" in autotrack("export", "@", "-o", file, *store).err
    shown = autotrack("import", file, "--store", tmp_path / "new")
    assert (shown.status, "nothing was imported" in shown.err) == (1, True)
    assert autotrack("export", "@", "-o", file, "--force", *store).status == 0
    assert autotrack("import", file, "--store", tmp_path / "new").status == 0
