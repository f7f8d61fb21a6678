"""Artifacts: nothing leads out of a run's folder, nothing is ever there in half, nothing big is held in memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import autotrack
from autotrack.artifacts import Artifacts, checked_root
from autotrack.errors import ArtifactError

links = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")

ODD = [
    "a b.txt", " leading and trailing ", "#1", "100%.txt", "%2e%2e", "what?", "a&b=c+d", "grüße", "日本語",
    "\U0001f600", "e\u0301", ".hidden", "...", "a::b", "a*b[c]{d}", "~", "-r", "$HOME", "'\"", "a;b|c", "n" * 200,
]  # fmt: skip
"""Names that some layer below might read in its own way."""


@pytest.mark.skipif(os.name == "nt", reason="Windows takes fewer names")
def test_odd_names_are_taken_as_they_are(files: Artifacts, tmp_path: Path) -> None:
    """As a file's name and as a folder's, in and out again."""
    source = tmp_path / "source"
    for name in ODD:
        (source / name).mkdir(parents=True)
        (source / name / name).write_text(name, "utf-8")
    files.put_folder(source, "x")
    assert [info.path for info in files.list("x")] == sorted(f"x/{name}" for name in ODD)
    for name in ODD:
        assert [info.path for info in files.list(f"x/{name}")] == [f"x/{name}/{name}"]
        assert files.read_bytes(f"x/{name}/{name}").decode() == name
    copy = files.download("x", tmp_path / "copy")
    assert {path.name: path.read_text("utf-8") for path in copy.glob("*/*")} == {name: name for name in ODD}


def test_a_backslash_parts_no_folders_here(files: Artifacts) -> None:
    """It would mean one thing on this machine and another on the next; Windows' own paths are taken on Windows."""
    if os.name == "nt":
        assert files.put_bytes("a\\b", b"x").path == "a/b"
        return
    with pytest.raises(ArtifactError, match="without backslashes"):
        files.put_bytes("a\\b", b"x")
    assert files.list() == []


def test_a_name_that_no_encoding_has_is_refused_by_remote_storage(memory: str, bucket: str) -> None:
    """The error names the path."""
    for root in (memory, bucket):
        files = Artifacts(root)
        if root == memory:
            continue  # it keeps Python's own strings
        with pytest.raises(ArtifactError, match="udcff"):
            files.put_bytes("a\udcff", b"x")


def test_what_a_client_would_take_for_a_versions_number_is_refused(bucket: str, tmp_path: Path) -> None:
    """It would store the file under another name; a folder takes it."""
    with pytest.raises(ArtifactError, match="use another name"):
        Artifacts(bucket).put_bytes("x?versionId=3", b"x")
    Artifacts(str(tmp_path / "root")).put_bytes("x?versionId=3", b"x")


@links
def test_a_link_inside_that_leads_out_is_never_followed(tmp_path: Path) -> None:
    """It is listed as what it is; reading, writing, downloading and removing through it are refused."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("private")
    root = tmp_path / "root"
    files = Artifacts(str(root))
    files.put_bytes("sub/own", b"1")
    (root / "sub" / "file").symlink_to(secret / "key")
    (root / "folder").symlink_to(secret)
    assert [(info.path, info.is_dir, info.file_size) for info in files.list()] == [
        ("folder", False, None), ("sub", True, None),
    ]  # fmt: skip
    assert [(info.path, info.file_size) for info in files.list("sub")] == [("sub/file", None), ("sub/own", 1)]
    for call in (
        lambda: files.read_bytes("sub/file"),
        lambda: files.list("folder"),
        lambda: files.exists("folder/key"),
        lambda: files.put_bytes("folder/new", b"x"),
        lambda: files.put_bytes("sub/file", b"x"),
        lambda: files.download("folder", tmp_path / "out"),
        lambda: files.download("sub/file", tmp_path / "out"),
        lambda: files.download("sub", tmp_path / "out"),
        lambda: files.remove("folder/key"),
    ):
        with pytest.raises(ArtifactError, match=r"leads out of the folder.*remove the link"):
            call()
    assert [path.name for path in secret.iterdir()] == ["key"]
    assert (secret / "key").read_text() == "private"
    assert "private" not in [path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file()]


@links
def test_a_link_that_stays_inside_is_followed_and_one_that_leads_up_is_refused(tmp_path: Path) -> None:
    """A download of the whole ends, one way or the other; the root itself may be a link to a bigger disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    files = Artifacts(str(tmp_path / "root"))
    files.put_bytes("a/x", b"1")
    (tmp_path / "disk" / "b").symlink_to(tmp_path / "disk" / "a")
    assert files.read_bytes("b/x") == b"1"
    files.download("", tmp_path / "out")
    assert (tmp_path / "out" / "b" / "x").read_bytes() == b"1"
    assert not (tmp_path / "out" / "b").is_symlink()
    (tmp_path / "disk" / "a" / "up").symlink_to(tmp_path / "disk")
    with pytest.raises(ArtifactError, match=r"'[ab]/up'.*leads back up"):
        files.download("", tmp_path / "out")


@links
def test_a_source_whose_links_lead_out_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What they lead to is stored, as the program asked; a line on stderr names it."""
    (tmp_path / "elsewhere").write_text("x")
    source = tmp_path / "source"
    source.mkdir()
    (source / "own").write_text("x")
    (source / "near").symlink_to(source / "own")
    files = Artifacts(str(tmp_path / "root"))
    files.put_folder(source)
    assert capsys.readouterr().err == ""
    (source / "far").symlink_to(tmp_path / "elsewhere")
    assert len(files.put_folder(source)) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"autotrack: links lead out of {source}: a copy of {tmp_path / 'elsewhere'} is")


@pytest.mark.parametrize("name", ["..", "../evil", "../../evil", "sub/../../evil", "C:\\evil", "a\\..\\..\\evil"])
def test_names_of_a_hostile_server_lead_nowhere(bucket: str, tmp_path: Path, name: str) -> None:
    """An object's key is any text: neither a list nor a download follows one out of the folder."""
    import fsspec

    client = fsspec.filesystem("s3")
    client.pipe_file(f"{bucket[5:]}/run/good", b"1")
    client.pipe_file(f"{bucket[5:]}/run/{name}", b"evil")
    files = Artifacts(f"{bucket}/run")
    target = tmp_path / "a" / "b" / "out"
    with pytest.raises(ArtifactError, match=r"(leads out|relative path)"):
        files.download("", target)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "evil" in path.name] == []
    assert files.read_bytes("good") == b"1"


def test_marks_of_folders_are_no_entries(bucket: str, tmp_path: Path) -> None:
    """Consoles leave an empty object with a slash at its end; keys with two slashes have no name between them."""
    import fsspec

    client = fsspec.filesystem("s3")
    for key in ("run/", "run/sub/", "run/sub/x", "run//y"):
        client.pipe_file(f"{bucket[5:]}/{key}", b"")
    files = Artifacts(f"{bucket}/run")
    assert [(info.path, info.is_dir) for info in files.list()] == [("sub", True)]
    assert [info.path for info in files.list("sub")] == ["sub/x"]
    files.download("", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["sub", "x"]


def _broken(blocks: int) -> Iterator[bytes]:
    for _ in range(blocks):
        yield b"x" * 2**20
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("blocks", [1, 55], ids=["small", "of several parts"])
def test_a_failed_upload_leaves_nothing(files: Artifacts, blocks: int) -> None:
    """Neither a new file nor a part of one, nor a change of the old one; the error says what to do."""
    files.put_bytes("old", b"old")
    for path in ("old", "new"):
        with pytest.raises(ArtifactError, match=r"No space left.*make room"):
            files._put(path, _broken(blocks))
    assert [info.path for info in files.list()] == ["old"]
    assert files.read_bytes("old") == b"old"
    assert not files.exists("new")


@pytest.mark.parametrize("files", ["folder", "file-url"], indirect=True)
@pytest.mark.parametrize("broken", [{"a": b"1", "a/b": b"2"}, {"a": b"1", "n" * 300: b"2"}])
def test_a_folder_whose_files_cannot_all_be_stored_is_not_there(files: Artifacts, broken: dict[str, bytes]) -> None:
    """A file that would have to be a folder too, a name that is too long: nothing is left, nor in its way."""
    with pytest.raises(ArtifactError):
        files.put_all("x/y", broken)
    assert [info.path for info in files.list("x")] == []
    files.put_all("x/y", {"a": b"3"})
    assert files.read_bytes("x/y/a") == b"3"


def test_a_folder_that_several_writers_make_at_once_is_whole(files: Artifacts) -> None:
    """Each sees all of its files, whoever was first."""
    given = {f"{number}.bin": bytes([number]) * 5_000 for number in range(8)}
    together = threading.Barrier(4)
    seen: list[dict[str, bytes]] = []

    def write() -> None:
        for round_ in range(6):
            together.wait()
            files.put_all(f"model-{round_}", given)
            seen.append({name: files.read_bytes(f"model-{round_}/{name}") for name in given})

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [given] * 24
    assert sorted(info.path for info in files.list()) == [f"model-{round_}" for round_ in range(6)]


@links
def test_a_folder_is_not_made_through_a_link_that_leads_out(tmp_path: Path) -> None:
    """Nor where the folder itself is such a link."""
    (tmp_path / "outside").mkdir()
    files = Artifacts(str(tmp_path / "run"))
    files.put_bytes("there.txt", b"")
    (tmp_path / "run" / "out").symlink_to(tmp_path / "outside")
    for folder in ("out", "out/below"):
        with pytest.raises(ArtifactError, match="leads out"):
            files.put_all(folder, {"x": b"1"})
    assert list((tmp_path / "outside").iterdir()) == []


def test_writers_of_one_file_never_mix(files: Artifacts) -> None:
    """Whatever is read, in the end and in between, is one writer's whole content."""
    size, problems = 300_000, []
    files.put_bytes("x", b"0" * size)
    done = threading.Event()

    def write(letter: bytes) -> None:
        for _ in range(4):
            Artifacts(files.root).put_bytes("x", letter * size)

    def read() -> None:
        while not done.is_set():
            data = Artifacts(files.root).read_bytes("x")
            if len(data) != size or len(set(data)) != 1:
                problems.append((len(data), set(data)))

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert problems == []
    assert set(files.read_bytes("x")) <= set(b"abc")
    assert [info.path for info in files.list()] == ["x"]


STREAMED = """
import sys, tracemalloc
from pathlib import Path
from autotrack.artifacts import Artifacts
place = Path(sys.argv[1])
files = Artifacts(str(place / "root"))
files.download(files.put_bytes("small", b"x").path, place / "out")  # what is imported for it counts for nothing
tracemalloc.start()
stored = files.put_file(place / "big", "big")
copy = files.download("big", place / "out")
peak = tracemalloc.get_traced_memory()[1]
print(stored.size, copy.stat().st_size, peak)
"""


def test_a_big_file_is_streamed(tmp_path: Path) -> None:
    """To store and to fetch 100 MB takes a few MB of memory: in a process of its own, where nothing else goes on."""
    with (tmp_path / "big").open("wb") as file:
        file.truncate(100_000_000)
    done = subprocess.run([sys.executable, "-c", STREAMED, tmp_path], capture_output=True, text=True, check=True)
    stored, fetched, peak = map(int, done.stdout.split())
    assert stored == fetched == 100_000_000
    assert peak < 10_000_000


def test_a_big_file_goes_up_in_parts(bucket: str, tmp_path: Path) -> None:
    """S3's mark of an upload says of how many parts it was: no more than one is held in memory."""
    import fsspec

    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(60_000_000)
    files = Artifacts(f"{bucket}/run")
    stored = files.put_file(big, "big")
    assert fsspec.filesystem("s3").info(f"{bucket[5:]}/run/big")["ETag"].strip('"').endswith("-2")
    assert files.download("big", tmp_path / "out").stat().st_size == stored.size == 60_000_000


BIG_TRANSFERS = """
import sys
from pathlib import Path
from autotrack.artifacts import Artifacts
place = Path(sys.argv[1])
files = Artifacts(str(place / "root"), show_progress=sys.argv[2] == "show")
files.put_file(place / "big", "big")
files.download("", place / "out")
"""


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals here")
def test_a_terminal_sees_how_far_a_big_file_is(tmp_path: Path) -> None:
    """Where progress was asked for; a log file sees nothing."""
    import fcntl
    import pty
    import struct
    import termios

    with (tmp_path / "big").open("wb") as file:
        file.truncate(40_000_000)

    def shown(mode: str, stderr: int) -> None:
        command = [sys.executable, "-c", BIG_TRANSFERS, str(tmp_path), mode]
        environ = {**os.environ, "PYTHONPATH": str(Path(autotrack.__file__).parents[1])}
        done = subprocess.run(command, stderr=stderr, stdout=subprocess.PIPE, env=environ, check=True)
        assert done.stdout == b""

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    shown("quiet", follower)
    os.write(follower, b"begin;")
    shown("show", follower)
    os.write(follower, b";end")
    text = ""
    while not text.endswith(";end"):
        text += os.read(leader, 65536).decode()
    os.close(follower)
    os.close(leader)
    assert text.startswith("begin;")
    assert "autotrack: storing" in text
    with (tmp_path / "log").open("wb") as log:
        shown("show", log.fileno())
    assert (tmp_path / "log").read_bytes() == b""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits here")
def test_a_full_disk_is_said_clearly(tmp_path: Path) -> None:
    """By a limit of the system's on what this process may write; what was there stays."""
    import resource

    files = Artifacts(str(tmp_path / "root"))
    files.put_bytes("x", b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(ArtifactError, match=r"'x' below .*root: File too large"):
            files.put_bytes("x", b"n" * 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files.read_bytes("x") == b"old"
    assert [info.path for info in files.list()] == ["x"]


def test_storage_that_is_away_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    """A bucket that is not there is not made; credentials and hosts that do not work are said to."""
    with pytest.raises(ArtifactError, match="bucket does not exist"):
        Artifacts("s3://no-such-bucket-here/x").put_bytes("a", b"x")
    assert Artifacts("s3://no-such-bucket-here/x").list() == []
    with pytest.raises(ArtifactError, match="protocol"):
        checked_root("gopher://user:secret@x/y")
    with pytest.raises(ArtifactError) as caught:
        Artifacts("gopher://user:secret@x/y")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("root", "kept"), [("s3://bucket/x/", "s3://bucket/x"), ("memory://", "memory://")])
def test_a_root_is_kept_as_a_url(root: str, kept: str) -> None:
    """Without a slash at its end."""
    assert checked_root(root) == kept


def test_a_local_root_is_kept_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that another folder of work, later, does not move it."""
    monkeypatch.chdir(tmp_path)
    here: Any = os.path.realpath(tmp_path).replace(os.sep, "/")
    assert checked_root("some/where") == f"{here}/some/where"
    assert checked_root("file:///some/where") == "file:///some/where"
