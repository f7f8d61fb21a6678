"""`autotrack files`: files of a run, listed and brought here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Command = Callable[..., Any]


def test_files_are_listed_and_brought_here(recorded: Path, autotrack: Command, tmp_path: Path) -> None:
    """Of the latest run, as a table; a folder ends in a slash."""
    assert autotrack("files", "@", "--store", recorded).out.split() == ["PATH", "SIZE", "notes/"]
    assert autotrack("files", "@", "notes", "--store", recorded).out.split() == [
        "PATH",
        "SIZE",
        "notes/hello.txt",
        "5",
        "B",
    ]
    done = autotrack("files", "@", "notes", "-d", str(tmp_path / "here"), "--store", recorded)
    assert done.out == f"{tmp_path / 'here' / 'notes'}\n"
    assert (tmp_path / "here" / "notes" / "hello.txt").read_text() == "hello"


def test_a_model_is_named_like_a_file(recorded: Path, autotrack: Command, tmp_path: Path) -> None:
    """Its directory is wherever the store keeps it."""
    best = "best:training_accuracy_score"
    assert "MLmodel" in autotrack("files", best, "model", "--store", recorded).out.replace("/", " ").split()
    autotrack("files", best, "model", "-d", str(tmp_path), "--store", recorded)
    assert [path.name for path in tmp_path.rglob("MLmodel")] == ["MLmodel"]


def test_what_is_not_there_is_said(recorded: Path, autotrack: Command, tmp_path: Path) -> None:
    """Status 1 and a line on stderr."""
    done = autotrack("files", "@", "nowhere", "--store", recorded)
    assert (done.status, done.out, "'nowhere'" in done.err) == (1, "", True)
    done = autotrack("files", "@", "nowhere", "-d", str(tmp_path), "--store", recorded)
    assert "there is no such file or folder" in done.err
    assert "without '..'" in autotrack("files", "@", "../x", "-d", str(tmp_path), "--store", recorded).err
