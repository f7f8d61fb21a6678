"""What is recorded of a git repository, tried on real ones, odd and broken ones among them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from autotrack.tracking import repository
from autotrack.tracking.redaction import REDACTED
from autotrack.tracking.repository import describe, parse_status, top_of


@pytest.fixture(autouse=True)
def own_git_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git as if freshly installed: no user's or system's settings; a home that is no repository."""
    for name, value in {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(tmp_path.parent),
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }.items():
        monkeypatch.setenv(name, value)


def git(folder: Path, *arguments: str) -> str:
    """What a git command prints."""
    command = ["git", "-C", str(folder), "-c", "protocol.file.allow=always", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit: `train.py` and `src/model.py`."""
    top = tmp_path / "project"
    (top / "src").mkdir(parents=True)
    (top / "train.py").write_text("print(1)\n")
    (top / "src" / "model.py").write_text("size = 1\n")
    git(top, "init", "-q", "-b", "main")
    git(top, "add", ".")
    git(top, "commit", "-q", "-m", "first")
    return top


def described(folder: Path) -> dict[str, Any]:
    """The description of a folder that is in a repository."""
    found = describe(folder)
    assert found is not None
    return found


def everything_in(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and modification time of every file of a repository, git's own included."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_clean_repository_has_commit_and_branch(repo: Path) -> None:
    """Commit, branch and the program's folder are recorded; there is no diff."""
    assert described(repo / "src") == {
        "commit": git(repo, "rev-parse", "HEAD"),
        "branch": "main",
        "remote": "",
        "folder": "src",
        "dirty": False,
    }


def test_staged_and_unstaged_changes_are_in_the_diff(repo: Path) -> None:
    """The diff is against the commit, whatever is staged, and can be applied to it."""
    (repo / "train.py").write_text("print(2)\n")
    (repo / "src" / "model.py").write_text("size = 2\n")
    git(repo, "add", "src")
    found = described(repo)
    assert found["dirty"] is True
    assert "+print(2)\n" in found["diff"]
    assert "+size = 2\n" in found["diff"]
    patch = repo.parent / "changes.patch"
    patch.write_text(found["diff"])
    git(repo, "stash", "-q")
    git(repo, "apply", str(patch))
    assert (repo / "train.py").read_text() == "print(2)\n"


def test_untracked_text_is_recorded_and_ignored_files_are_not(repo: Path) -> None:
    """Code that was never added is kept whole; what .gitignore names is left alone."""
    (repo / ".gitignore").write_text("*.log\n")
    (repo / "new").mkdir()
    (repo / "new" / "layer.py").write_text("x = 'é'\n")
    (repo / "run.log").write_text("ignored")
    found = described(repo)
    assert found["dirty"] is True
    assert found["untracked"] == {".gitignore": "*.log\n", "new/layer.py": "x = 'é'\n"}
    assert found["left_out"] == []
    assert "diff" not in found


def test_binary_and_odd_untracked_files_are_named_only(repo: Path) -> None:
    """Binary files, other encodings, links, pipes and files of secrets are left out, each with the reason."""
    (repo / "image.png").write_bytes(b"\x89PNG\0\0")
    (repo / "latin.txt").write_bytes("é".encode("latin-1"))
    (repo / ".env").write_text("A=1")
    (repo / "link").symlink_to("/etc/hosts")
    found = described(repo)
    assert found["untracked"] == {}
    assert sorted(found["left_out"]) == [
        ".env: its name says that it may hold secrets",
        "image.png: no text in UTF-8",
        "latin.txt: no text in UTF-8",
        "link: no regular file",
    ]


def test_file_names_with_odd_bytes_are_taken(repo: Path) -> None:
    """A name that is no UTF-8, or holds a line end, quotes or blanks, neither fails nor loses the file."""
    (repo / 'a "b"\n c.py').write_text("odd = 1\n")
    name = os.fsencode(repo) + b"/caf\xe9.py"
    try:
        Path(os.fsdecode(name)).write_text("latin = 1\n")
    except OSError:  # a file system that takes no such name
        name = b""
    found = described(repo)
    assert found["untracked"]['a "b"\n c.py'] == "odd = 1\n"
    if name:
        assert found["untracked"]["caf\\xe9.py"] == "latin = 1\n"


def test_what_is_beyond_the_limit_is_said_to_be(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files come first; what no longer fits is named with its size, and a huge diff says that it is cut."""
    monkeypatch.setattr(repository, "LIMIT", 1000)
    (repo / "a_data.csv").write_text("x" * 2000)
    (repo / "small.py").write_text("x = 1\n")
    found = described(repo)
    assert found["untracked"] == {"small.py": "x = 1\n"}
    assert found["left_out"] == ["a_data.csv: 2000 bytes, beyond the limit"]


def test_a_huge_diff_is_cut_at_a_line_and_says_so(repo: Path) -> None:
    """Of a diff of 8 MB, the first 5 MB are kept, in whole lines, and the content says that the rest is missing."""
    (repo / "train.py").write_text("".join(f"value_{number} = {number}\n" for number in range(350_000)))
    found = described(repo)
    assert 0.99 * repository.LIMIT < len(found["diff"]) <= repository.LIMIT
    assert found["diff"].endswith("\n")
    assert found["problems"] == [f"the diff is larger than {repository.LIMIT} bytes: its end is left out"]


def test_many_left_out_files_are_counted(repo: Path) -> None:
    """A hundred names are enough; the others are counted, not silently dropped."""
    for number in range(130):
        (repo / f"{number:03}.bin").write_bytes(b"\0")
    left_out = described(repo)["left_out"]
    assert len(left_out) == 101
    assert left_out[-1] == "and 30 files more"


def test_secrets_in_diff_and_files_and_remote_are_redacted(repo: Path) -> None:
    """A token in the remote's URL, a password in a changed line and one in a new file are not stored."""
    git(repo, "remote", "add", "origin", "https://me:ghs_token@example.org/a.git")
    (repo / "train.py").write_text('password = "hunter2"\n')
    (repo / "new.py").write_text("login(api_key='hunter3')\n")
    found = described(repo)
    assert found["remote"] == f"https://{REDACTED}@example.org/a.git"
    assert f'+password = "{REDACTED}"' in found["diff"]
    assert found["untracked"]["new.py"] == f"login(api_key='{REDACTED}')\n"
    assert "hunter" not in str(found)


def test_the_remote_is_the_one_that_the_branch_follows(repo: Path, tmp_path: Path) -> None:
    """Upstream's remote comes before `origin`, and `origin` before any other."""
    git(repo, "remote", "add", "backup", "https://example.org/backup.git")
    assert described(repo)["remote"] == "https://example.org/backup.git"
    git(repo, "remote", "add", "origin", "https://example.org/origin.git")
    assert described(repo)["remote"] == "https://example.org/origin.git"
    bare = tmp_path / "bare.git"
    git(tmp_path, "init", "-q", "--bare", str(bare))
    git(repo, "remote", "add", "team", str(bare))
    git(repo, "push", "-q", "-u", "team", "main")
    assert described(repo)["remote"] == str(bare)


def test_no_repository_is_no_content(tmp_path: Path) -> None:
    """Outside any repository nothing is recorded, and git is not even started."""
    assert top_of(tmp_path) is None
    assert describe(tmp_path) is None


def test_a_repository_before_its_first_commit_is_described(tmp_path: Path) -> None:
    """Without a commit the diff shows what is staged, against nothing."""
    git(tmp_path, "init", "-q", "-b", "trunk")
    (tmp_path / "train.py").write_text("print(1)\n")
    git(tmp_path, "add", ".")
    (tmp_path / "other.py").write_text("x = 1\n")
    found = described(tmp_path)
    assert found["commit"] is None
    assert found["branch"] == "trunk"
    assert "+print(1)" in found["diff"]
    assert found["untracked"] == {"other.py": "x = 1\n"}
    assert "problems" not in found


def test_a_detached_head_has_no_branch(repo: Path) -> None:
    """A checked-out commit is recorded without a branch."""
    git(repo, "checkout", "-q", "--detach")
    found = described(repo)
    assert found["branch"] is None
    assert found["commit"] == git(repo, "rev-parse", "HEAD")


def test_a_bare_repository_has_commit_and_branch(repo: Path, tmp_path: Path) -> None:
    """Where there is no working tree, commit, branch and remote are recorded all the same."""
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--bare", str(repo), str(bare))
    found = described(bare)
    assert found["commit"] == git(repo, "rev-parse", "HEAD")
    assert found["branch"] == "main"
    assert found["remote"] == str(repo)
    assert found["dirty"] is False
    empty = tmp_path / "empty.git"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(empty))
    assert described(empty) == {"commit": None, "branch": "main", "remote": "", "dirty": False}


def test_a_submodule_is_a_repository_of_its_own_and_a_change_of_its_parent(repo: Path, tmp_path: Path) -> None:
    """From inside, the submodule's state counts; from outside, a moved submodule shows in the diff."""
    outer = tmp_path / "outer"
    git(tmp_path, "init", "-q", "-b", "main", str(outer))
    git(outer, "submodule", "--quiet", "add", str(repo), "lib")
    git(outer, "commit", "-q", "-m", "with lib")
    assert described(outer)["dirty"] is False
    inner = outer / "lib"
    (inner / "train.py").write_text("print(3)\n")
    assert "+print(3)" in described(inner)["diff"]
    git(inner, "commit", "-q", "-a", "-m", "moved")
    found = described(outer)
    assert f"+Subproject commit {git(inner, 'rev-parse', 'HEAD')}" in found["diff"]


def test_a_linked_worktree_is_described(repo: Path, tmp_path: Path) -> None:
    """A worktree, whose `.git` is a file, has its own branch."""
    git(repo, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    found = described(tmp_path / "side" / "src")
    assert (found["branch"], found["folder"], found["dirty"]) == ("side", "src", False)


@pytest.mark.parametrize("damage", ["HEAD", "objects", "index", "config", "empty"])
def test_a_broken_repository_is_a_problem_and_no_error(repo: Path, damage: str) -> None:
    """Whatever is broken in `.git`, something is said about it and nothing is raised."""
    if damage == "HEAD":
        (repo / ".git" / "HEAD").write_text("nonsense")
    elif damage == "objects":
        for path in (repo / ".git" / "objects").rglob("*"):
            if path.is_file():
                path.chmod(0o600)
                path.write_bytes(b"broken")
        (repo / "train.py").write_text("print(2)\n")
    elif damage == "index":
        (repo / ".git" / "index").write_bytes(b"broken")
    elif damage == "config":
        (repo / ".git" / "config").write_text("[broken")
    else:
        (repo / "sub" / ".git").mkdir(parents=True)
        repo = repo / "sub"
    problems = described(repo)["problems"]
    assert problems
    assert all(problem.startswith("git ") for problem in problems)


def test_without_git_it_is_said_to_be_missing(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a repository and no git, the content says why it is empty."""
    monkeypatch.setenv("PATH", str(repo))
    repository._executable.cache_clear()
    try:
        assert described(repo) == {"problems": ["git is not installed"]}
    finally:
        repository._executable.cache_clear()


def test_nothing_in_the_repository_is_written(repo: Path) -> None:
    """Index, objects and files are as before, byte for byte, also where git would like to refresh the index."""
    (repo / "train.py").write_text("print(2)\n")
    (repo / "new.py").write_text("x = 1\n")
    later = (repo / "src" / "model.py").stat().st_mtime + 10
    os.utime(repo / "src" / "model.py", (later, later))
    before = everything_in(repo)
    diff = described(repo)["diff"]
    assert everything_in(repo) == before
    assert "train.py" in diff
    assert "model.py" not in diff


def test_programs_that_the_repository_names_are_not_started(repo: Path) -> None:
    """A file-system monitor, an external diff and a text conversion in the settings stay unused."""
    mark = repo.parent / "started"
    program = repo.parent / "program.sh"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "diff.x.command", "diff.x.textconv", "core.pager"):
        git(repo, "config", name, str(program))
    (repo / ".gitattributes").write_text("*.py diff=x\n")
    (repo / "train.py").write_text("print(2)\n")
    assert "+print(2)" in described(repo)["diff"]
    assert not mark.exists()


def test_settings_of_the_user_do_not_change_the_diff(repo: Path) -> None:
    """Colours, prefixes and renames that the user likes are not in the record."""
    (repo / "train.py").write_text("print(2)\n")
    expected = described(repo)["diff"]
    for name, value in {"color.ui": "always", "diff.noprefix": "true", "diff.renames": "copies"}.items():
        git(repo, "config", name, value)
    assert described(repo)["diff"] == expected


def test_variables_of_another_repository_do_not_mislead(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training started by a git hook has GIT_DIR set for the hook's repository; the script's own one counts."""
    commit = git(repo, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "no-index"))
    found = described(repo)
    assert (found["commit"], found["dirty"]) == (commit, False)


def test_the_home_folder_as_a_repository_is_not_searched(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the home folder is under git (dotfiles), its untracked files are not listed, and that is said."""
    monkeypatch.setenv("HOME", str(repo))
    monkeypatch.setenv("USERPROFILE", str(repo))
    (repo / "new.py").write_text("x = 1\n")
    found = described(repo)
    assert found["dirty"] is False
    assert found["problems"] == ["untracked files are not listed: the repository is the home folder"]


def test_status_of_renamed_and_conflicting_files_is_read() -> None:
    """A rename's old path is no entry of its own; conflicts count as changes."""
    entries = [
        b"# branch.oid abc",
        b"# branch.head (detached)",
        b"1 .M N... 100644 100644 100644 a a x.py",
        b"2 R. N... 100644 100644 100644 a a R100 new.py",
        b"? not-untracked.py",
        b"u UU N... 100644 100644 100644 100644 a a a y.py",
        b"? z.py",
        b"",
    ]
    status = parse_status(b"\0".join(entries))
    assert (status.commit, status.branch, status.changed, status.untracked) == ("abc", None, 3, [b"z.py"])
