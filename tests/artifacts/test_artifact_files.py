"""Artifacts: paths, whole files, folders, local and remote roots."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autotrack.artifacts import Artifacts, checked_path
from autotrack.errors import ArtifactError


def names(files: Artifacts, path: str = "") -> list[tuple[str, bool, int | None]]:
    """What is directly below a path."""
    return [(info.path, info.is_dir, info.file_size) for info in files.list(path)]


def test_bytes_come_back_as_they_were_stored(files: Artifacts) -> None:
    """With their size and digest; storing again replaces."""
    data = os.urandom(3_000_000)
    stored = files.put_bytes("sub/data.bin", data)
    assert stored == ("sub/data.bin", len(data), hashlib.sha256(data).hexdigest())
    assert files.read_bytes("sub/data.bin") == data
    files.put_bytes("sub/data.bin", b"")
    assert files.read_bytes("sub/data.bin") == b""
    assert files.exists("sub/data.bin")
    assert files.exists("sub")
    assert not files.exists("other")


def test_several_files_of_a_folder_are_stored_at_once(files: Artifacts) -> None:
    """With size and digest each; also into a folder that is there, whose other files stay, and in folders below."""
    first = {"b.txt": b"1", "deep/er/a.txt": os.urandom(100_000), "empty": b""}
    for some in (first, {"b.txt": b"2", "c.txt": b"3"}):
        assert files.put_all("some/where", some) == [
            (f"some/where/{name}", len(data), hashlib.sha256(data).hexdigest()) for name, data in some.items()
        ]
    expected = {**first, "b.txt": b"2", "c.txt": b"3"}
    assert {name: files.read_bytes(f"some/where/{name}") for name in expected} == expected
    assert [info.path for info in files.list("some/where")] == [
        f"some/where/{name}" for name in ("b.txt", "c.txt", "deep", "empty")
    ]
    known = hashlib.sha256(b"1").hexdigest()
    assert files.put_all("known", {"a": b"1", "b": b"1"}, {"a": known}) == [
        ("known/a", 1, known),
        ("known/b", 1, known),
    ]
    assert files.put_all("nothing", {}) == []


@pytest.mark.parametrize("name", ["../x", "/x", "", "a/../../x", "a\0b", "s3://x"])
def test_a_name_that_leads_out_is_refused_before_any_is_stored(files: Artifacts, name: str) -> None:
    """Not one of the others is there then."""
    with pytest.raises(ArtifactError, match="relative path"):
        files.put_all("folder", {"good": b"1", name: b"2"})
    assert files.list() == []


def test_lists_show_one_level_by_name(files: Artifacts) -> None:
    """Files with their size, folders without; nothing where there is nothing."""
    assert files.list() == []
    for path in ("b.txt", "a/x/deep.txt", "a/y.part", "c"):
        files.put_bytes(path, b"123")
    assert names(files) == [("a", True, None), ("b.txt", False, 3), ("c", False, 3)]
    assert names(files, "a") == [("a/x", True, None), ("a/y.part", False, 3)]
    assert names(files, "a/") == names(files, "a")
    assert files.list("nowhere") == []


def test_files_and_folders_are_downloaded(files: Artifacts, tmp_path: Path) -> None:
    """Below the given folder under their own path."""
    files.put_bytes("a/x/deep.txt", b"1")
    files.put_bytes("a/y.txt", b"2")
    target = tmp_path / "out"
    assert files.download("a/y.txt", target) == target / "a/y.txt"
    assert (target / "a/y.txt").read_bytes() == b"2"
    assert files.download("a", target) == target / "a"
    assert (target / "a/x/deep.txt").read_bytes() == b"1"
    assert files.download("", tmp_path / "all") == tmp_path / "all"
    assert (tmp_path / "all/a/x/deep.txt").read_bytes() == b"1"
    with pytest.raises(ArtifactError, match="no such file or folder"):
        files.download("nowhere", target)


def test_local_files_and_folders_are_stored(files: Artifacts, tmp_path: Path) -> None:
    """Also empty files and names with blanks and other scripts."""
    source = tmp_path / "source"
    (source / "sub folder").mkdir(parents=True)
    (source / "empty").touch()
    (source / "sub folder" / "grüße.txt").write_text("x")
    stored = files.put_folder(source, "copy")
    assert [(one.path, one.size) for one in stored] == [("copy/empty", 0), ("copy/sub folder/grüße.txt", 1)]
    assert files.read_bytes("copy/sub folder/grüße.txt") == b"x"
    assert files.put_file(source / "empty", "top").digest == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "..", "/", "/etc/passwd", "../x", "a/../../x", "a/..", "..\\x", "a\\..\\..\\x", "\\x", "C:\\x", "C:x",
        "c:/x", "a\0b", "s3://bucket/x", "file:///x", "\\\\server\\share",
    ],
)  # fmt: skip
def test_a_path_that_would_leave_the_folder_is_refused(files: Artifacts, path: str, tmp_path: Path) -> None:
    """By every call that takes a path, before anything is written."""
    with pytest.raises(ArtifactError, match="relative path"):
        checked_path(path)
    with pytest.raises(ArtifactError):
        files.put_bytes(path or ".", b"x")
    with pytest.raises(ArtifactError):
        files.put_file(Path(__file__), path or ".")
    if path:
        for call in (files.read_bytes, files.list, files.exists):
            with pytest.raises(ArtifactError):
                call(path)
        with pytest.raises(ArtifactError):
            files.download(path, tmp_path)


@pytest.mark.parametrize("path", ["a", "a/b", "ab:c.txt", "epoch:3/x", "...", "..a", "a..b", ".hidden", "a//b", "./a"])
def test_a_path_inside_is_taken(files: Artifacts, path: str) -> None:
    """However odd its name."""
    files.put_bytes(path, b"x")
    assert files.read_bytes(path) == b"x"


@given(st.lists(st.sampled_from(["..", ".", "a", "b c", "", "\\", "/", "C:", "\0", "..."]), max_size=6).map("/".join))
@example("a/./../..")
def test_no_accepted_path_ever_leads_out(path: str) -> None:
    """Whatever is accepted stays below the root when it is joined and resolved."""
    try:
        accepted = checked_path(path)
    except ArtifactError:
        return
    root = os.path.realpath("/root-of-all")
    assert os.path.normpath(os.path.join(root, accepted)).startswith(root + os.sep)


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """A source that fails in mid-way leaves the old file as it was, and no rest of the new one."""
    files = Artifacts(str(tmp_path / "root"))
    files.put_bytes("x.bin", b"old")

    def failing() -> Iterator[bytes]:
        yield b"new" * 1000
        raise OSError(28, "No space left on device")

    with pytest.raises(ArtifactError, match="No space left"):
        files._put("x.bin", failing())
    assert files.read_bytes("x.bin") == b"old"
    assert [entry.name for entry in (tmp_path / "root").iterdir()] == ["x.bin"]


def test_a_file_cannot_take_the_place_of_a_folder_or_go_below_a_file(files: Artifacts) -> None:
    """The error names the path."""
    files.put_bytes("a/b", b"x")
    with pytest.raises(ArtifactError, match="'a'"):
        files.put_bytes("a", b"x")
    assert files.read_bytes("a/b") == b"x"


def test_a_name_as_long_as_the_filesystem_takes_is_taken(tmp_path: Path) -> None:
    """What stands in its place while it is written is shorter."""
    files = Artifacts(str(tmp_path))
    files.put_bytes("n" * 255, b"x")
    assert files.read_bytes("n" * 255) == b"x"
    with pytest.raises(ArtifactError, match="too long"):
        files.put_bytes("n" * 256, b"x")


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="links need rights on Windows")
def test_links_in_a_source_folder_are_followed_once(tmp_path: Path) -> None:
    """A link to a file or folder elsewhere is copied as what it leads to; one that leads back up ends."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "data.txt").write_text("data")
    source = tmp_path / "source"
    source.mkdir()
    (source / "link.txt").symlink_to(elsewhere / "data.txt")
    (source / "folder").symlink_to(elsewhere)
    (source / "up").symlink_to(source)
    (source / "broken").symlink_to(tmp_path / "nowhere")
    files = Artifacts(str(tmp_path / "root"))
    stored = files.put_folder(source)
    assert [one.path for one in stored] == ["folder/data.txt", "link.txt"]
    assert files.read_bytes("folder/data.txt") == b"data"
    assert not (tmp_path / "root" / "link.txt").is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_what_is_no_file_is_left_out_of_a_folder(tmp_path: Path) -> None:
    """A pipe in the folder does not make the copy wait for ever."""
    (tmp_path / "source").mkdir()
    os.mkfifo(tmp_path / "source" / "pipe")
    (tmp_path / "source" / "a").write_text("x")
    stored = Artifacts(str(tmp_path / "root")).put_folder(tmp_path / "source")
    assert [one.path for one in stored] == ["a"]


def test_what_cannot_be_read_is_an_error_that_says_why(files: Artifacts, tmp_path: Path) -> None:
    """Missing files and folders, on both sides."""
    with pytest.raises(ArtifactError, match="No such file"):
        files.put_file(tmp_path / "nowhere", "x")
    with pytest.raises(ArtifactError, match="no such folder"):
        files.put_folder(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match="'x'"):
        files.read_bytes("x")
    with pytest.raises(ArtifactError, match="file "):
        files.put_file(tmp_path, "x")


def test_a_root_of_no_known_kind_is_an_error() -> None:
    """The message names the root."""
    with pytest.raises(ArtifactError, match="gopher://x"):
        Artifacts("gopher://x/y")
