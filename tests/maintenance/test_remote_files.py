"""Maintenance of runs whose files are in remote storage."""

from __future__ import annotations

import uuid
from pathlib import Path

import fsspec
from whole_runs import files_below

from autotrack import Client
from autotrack.maintenance import check_store, collect_garbage, export_runs, import_runs
from autotrack.tracking.access import Access


def test_remote_files_are_carried_checked_and_removed(source: Access, near: Access, tmp_path: Path) -> None:
    """An experiment in `memory://`: its archive holds the files, a check reads them, a clean-up removes them."""
    root = f"memory://{uuid.uuid4().hex}/files"
    client = Client(source.location.url)
    experiment = client.create_experiment("remote", root)
    run = client.create_run(experiment)
    run_id = run.info.run_id
    client.log_text(run_id, "hello", "notes/hello.txt")
    client.log_text(run_id, "more", "more.txt")
    client.set_terminated(run_id)
    assert check_store(source.location.url).findings == []

    done = export_runs([run_id], tmp_path / "runs.zip", source.location.url)
    assert (done.files, done.missing) == (2, [])
    import_runs(tmp_path / "runs.zip", near.location.url)
    here = Client(near.location.url).get_run(run_id).info.artifact_uri
    assert files_below(here) == {"more.txt": b"more", "notes/hello.txt": b"hello"}

    back = Access(tmp_path / "back")
    other = f"memory://{uuid.uuid4().hex}"
    Client(back.location.url).create_experiment("there", other)
    import_runs(tmp_path / "runs.zip", back.location.url, experiment="there")
    assert Client(back.location.url).get_run(run_id).info.artifact_uri == f"{other}/{run_id}"
    system, path = fsspec.core.url_to_fs(f"{other}/{run_id}")
    assert system.cat_file(f"{path}/notes/hello.txt") == b"hello"
    system.pipe_file(f"{path}/more.txt", b"less")
    (found,) = check_store(back.location.url).findings
    assert (found.kind, found.problem) == ("artifact", "its content has changed since it was logged")

    Client(back.location.url).delete_run(run_id)
    listed = collect_garbage(back.location.url)
    assert [(item.kind, item.size) for item in listed.items] == [("run", 9)]
    collect_garbage(back.location.url, dry_run=False)
    assert not system.exists(path)
