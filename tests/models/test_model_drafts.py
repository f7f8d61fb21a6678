"""Model directories in memory: the same as on disk, and what autologging stores goes no way round."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pinned
import pytest

import autotrack
from autotrack.models import load_model, save_model
from autotrack.models.directory import Draft
from autotrack.models.flavors import flavor_of
from autotrack.testing import TemporaryStore

IN_MEMORY = sorted(set(pinned.MODELS) - {"python-model"})
"""The Python model copies a file of the program's."""


@pytest.mark.parametrize("name", IN_MEMORY)
def test_a_draft_holds_what_the_directory_holds(tmp_path: Path, name: str) -> None:
    """Files, hashes, size and digest are the same in memory and on disk, for each flavor."""
    make, options, trusted = pinned.MODELS[name]
    model, draft = make(), Draft()
    drafted = flavor_of(model).load().save_model(model, draft, **options)
    saved = save_model(model, tmp_path / "model", **options)
    on_disk = {
        file.relative_to(tmp_path / "model").as_posix(): file.read_bytes()
        for file in (tmp_path / "model").rglob("*") if file.is_file()
    }  # fmt: skip
    assert set(on_disk) == {*draft.files, "MLmodel"}
    assert drafted.model_size_bytes == sum(map(len, draft.files.values()))
    assert set(drafted.autotrack["files"]) == set(draft.files)
    for file, content in draft.files.items():
        (tmp_path / "draft" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "draft" / file).write_bytes(content)
    drafted.save(tmp_path / "draft")
    loaded = load_model(tmp_path / "draft", trusted=trusted)
    assert pinned.outputs(loaded) == pinned.outputs(load_model(tmp_path / "model", trusted=trusted))
    if "torch" not in name:  # a zip of torch's has the time in it
        assert drafted.digest == saved.digest
        assert {file: on_disk[file] for file in draft.files} == draft.files


def test_a_model_is_stored_without_a_temporary_folder(
    autotrack_store: TemporaryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a fit nor `log_model` makes a folder beside the store; one that copies files takes its own away again."""
    from sklearn.linear_model import LogisticRegression

    made: list[Any] = []
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    makes = os.mkdir

    def mkdir(path: Any, *args: Any, **options: Any) -> None:
        made.append(Path(path))
        makes(path, *args, **options)

    monkeypatch.setattr(os, "mkdir", mkdir)
    autotrack.autolog()
    with autotrack.start_run() as run:
        LogisticRegression().fit(pinned.ROWS, pinned.TARGET)
        autotrack.log_model(LogisticRegression(C=2).fit(pinned.ROWS, pinned.TARGET), "mine")
    autotrack.flush()
    assert not [path for path in made if path.is_relative_to(temporary)]
    code = tmp_path / "helper_of_mine.py"
    code.write_text("x = 1\n")
    with autotrack.start_run(run_id=run.info.run_id):
        autotrack.log_model(LogisticRegression(C=3).fit(pinned.ROWS, pinned.TARGET), "other", code_paths=[code])
    assert [path for path in made if path.is_relative_to(temporary)]
    assert not list(temporary.iterdir())
    rows = np.asarray(pinned.ROWS)
    for name in ("model", "mine", "other"):
        assert len(autotrack.load_model(f"runs:/{run.info.run_id}/{name}").predict(rows)) == len(rows)
