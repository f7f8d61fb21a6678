"""What git says about the program's folder: commit, branch, remote, and what differs from the commit.

Only ever reads: no lock on the index, no refresh of it written back, no hook, no external diff or text conversion, no
network. What is not recorded (files that are too large, binary, or of a kind that holds secrets) is named.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import re
import shutil
import stat
import sys
from pathlib import Path
from typing import Any, NamedTuple

from autotrack.tracking.helper_process import Output, run
from autotrack.tracking.redaction import redact, redact_url

LIMIT = 5 * 1024 * 1024
"""Bytes of the diff and of the untracked text files together."""

MAX_READ = 2_000
"""So many untracked files are looked at, the smallest first."""

MAX_LISTED = 100
"""So many of the files that are left out are named; of the others, the number is recorded."""

_ENVIRONMENT: dict[str, str | None] = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "LC_ALL": "C",
    # A program that git itself started (a hook) has these set for another repository, maybe.
    **dict.fromkeys(("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")),
}
_SAFE = (
    *("--no-pager", "--no-optional-locks", "--literal-pathspecs", "-c", "core.fsmonitor=", "-c", "core.quotePath=true"),
    # `git diff` else writes the index where a file was only touched, optional locks or not; see `_UNCHANGED`.
    *("-c", "diff.autoRefreshIndex=false"),
)
_UNCHANGED = rb"(?m)^diff --git .*\n(?=diff --git |\Z)"
"""Entry of a diff without content: a file that was touched and not changed."""
_STATUS = ("status", "--porcelain=v2", "--branch", "-z", "--no-renames")
_DIFF = ("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--submodule=short")
_PREFIXES = ("--src-prefix=a/", "--dst-prefix=b/")
_SECRET_FILES = (
    *(".env*", "*.env", ".netrc", "_netrc", ".pgpass", ".npmrc", ".pypirc", ".htpasswd", ".git-credentials"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx", "*.ppk", "id_rsa*", "id_ed25519*", "id_ecdsa*"),
    *("*credential*", "*secret*", "kaggle.json"),
)
_APPLE_TOOLS = ("/Library/Developer/CommandLineTools/usr/bin/git", "/Applications/Xcode.app")


class Status(NamedTuple):
    """What `git status` says; see `parse_status`."""

    commit: str | None
    branch: str | None
    upstream: str
    changed: int
    """How many tracked files differ from the commit."""
    untracked: list[bytes]
    """Paths from the top of the repository, as the file system has them."""


def describe(folder: Path) -> dict[str, Any] | None:
    """The state of the repository that a folder is in.

    Args:
        folder: Where the program's script is.

    Returns:
        `commit` (None before the first one), `branch` (None when detached), `remote` (its URL without credentials),
        `folder` (the path from the top), `dirty` (whether anything differs, untracked files included), and where it
        is: `diff` (against the commit, redacted), `untracked` (text by path, redacted), `left_out`, `problems`.
        None where the folder is in no repository.
    """
    top = top_of(folder)
    if top is None:
        return None
    if _executable() is None:
        return {"problems": ["git is not installed"]}
    if not os.path.lexists(top / ".git"):
        return _describe_bare(top)
    return _describe_tree(top, folder)


def top_of(folder: Path) -> Path | None:
    """The nearest folder, from this one upwards, that is the top of a repository; found without starting git."""
    for parent in (folder, *folder.parents):
        if os.path.lexists(parent / ".git"):
            return parent
        if (parent / "HEAD").is_file() and (parent / "objects").is_dir() and (parent / "refs").is_dir():
            return parent
    return None


@functools.cache
def _executable() -> str | None:
    found = shutil.which("git")
    # Apple's stand-in opens a window that offers to install the tools, where they are not.
    if sys.platform == "darwin" and found == "/usr/bin/git" and not any(map(os.path.exists, _APPLE_TOOLS)):
        return None
    return found


def _git(top: Path, *arguments: str, errors: bool = False) -> Output:
    command = [_executable() or "git", *_SAFE, "-C", str(top), *arguments]
    # Where this repository is broken, git is not to go on to one further up.
    return run(command, LIMIT, _ENVIRONMENT | {"GIT_CEILING_DIRECTORIES": str(top.parent)}, errors)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _describe_bare(top: Path) -> dict[str, Any]:
    commit = _git(top, "rev-parse", "--verify", "--quiet", "HEAD")
    branch = _git(top, "symbolic-ref", "--short", "--quiet", "HEAD")
    return {
        "commit": _text(commit.data).strip() or None,
        "branch": _text(branch.data).strip() or None,
        "remote": _remote(top, ""),
        "dirty": False,
    }


def _describe_tree(top: Path, folder: Path) -> dict[str, Any]:
    problems: list[str] = []
    status = _status(top, problems)
    if status is None:
        return {"problems": problems}
    content: dict[str, Any] = {
        "commit": status.commit,
        "branch": status.branch,
        "remote": _remote(top, status.upstream),
        "folder": _text(os.fsencode(folder.relative_to(top).as_posix())),
        "dirty": bool(status.changed or status.untracked),
    }
    left = LIMIT
    if status.changed:
        diff = _diff(top, status.commit, problems)
        left -= len(diff)
        content["diff"] = redact(_text(diff))
    if status.untracked:
        content["untracked"], content["left_out"] = _untracked(top, status.untracked, left)
    if problems:
        content["problems"] = problems
    return content


def _status(top: Path, problems: list[str]) -> Status | None:
    """`git status`; without untracked files where the repository is the home folder, or where there are too many."""
    if _is_home(top):
        problems.append("untracked files are not listed: the repository is the home folder")
    else:
        output = _git(top, *_STATUS, "--untracked-files=all")
        if not output.problem and not output.clipped:
            return parse_status(output.data)
    output = _git(top, *_STATUS, "--untracked-files=no")
    if output.problem or output.clipped:
        problems.append(f"git status: {output.problem or 'too many files have changed'}{_complaint(top)}")
        return None
    if not problems:
        problems.append("untracked files are not listed: there are too many of them")
    return parse_status(output.data)


def _is_home(top: Path) -> bool:
    return os.path.normcase(top) == os.path.normcase(os.path.expanduser("~"))


def _complaint(top: Path) -> str:
    """What git itself says is wrong with a repository."""
    said = _text(_git(top, *_STATUS, "--untracked-files=no", errors=True).data[:1000]).partition("\n")[0]
    return f": {said}" if said.startswith(("fatal", "error", "warning")) else ""


def parse_status(data: bytes) -> Status:
    """Read the output of `git status --porcelain=v2 --branch -z` (git-status(1), "Porcelain Format Version 2")."""
    headers: dict[str, str] = {}
    changed = 0
    untracked: list[bytes] = []
    entries = iter(data.split(b"\0"))
    for entry in entries:
        kind, _, rest = entry.partition(b" ")
        if kind == b"#":
            name, _, value = _text(rest).partition(" ")
            headers[name] = value
        elif kind == b"?":
            untracked.append(rest)
        elif kind in (b"1", b"2", b"u"):
            changed += 1
            if kind == b"2":  # a rename: its old path is an entry of its own
                next(entries, b"")
    commit, branch = headers.get("branch.oid"), headers.get("branch.head")
    return Status(
        commit=None if commit == "(initial)" else commit,
        branch=None if branch == "(detached)" else branch,
        upstream=headers.get("branch.upstream", ""),
        changed=changed,
        untracked=untracked,
    )


def _remote(top: Path, upstream: str) -> str:
    """URL of the branch's remote, else of `origin`, else of the first; empty where there is none."""
    output = _git(top, "config", "-z", "--get-regexp", r"^remote\..*\.url$")
    urls: dict[str, str] = {}
    for entry in _text(output.data).split("\0"):
        key, _, url = entry.partition("\n")
        if url:
            urls.setdefault(key[len("remote.") : -len(".url")], url)
    names = [name for name in urls if upstream.startswith(f"{name}/")] + ["origin", *urls]
    return next((redact_url(urls[name]) for name in names if name in urls), "")


def _diff(top: Path, commit: str | None, problems: list[str]) -> bytes:
    """What differs from the commit, staged or not; from nothing before the first commit."""
    base = commit or _text(_git(top, "hash-object", "-t", "tree", "--stdin").data).strip()
    output = _git(top, *_DIFF, *_PREFIXES, base, "--")
    if output.problem:
        problems.append(f"git diff: {output.problem}")
    if output.clipped:
        problems.append(f"the diff is larger than {LIMIT} bytes: its end is left out")
    return re.sub(_UNCHANGED, b"", output.data[: output.data.rfind(b"\n") + 1])


def _untracked(top: Path, paths: list[bytes], left: int) -> tuple[dict[str, str], list[str]]:
    """Text of untracked files, redacted, the smallest first; and what is left out, with the reason."""
    texts: dict[str, str] = {}
    left_out: list[str] = []
    for size, path in sorted((_size(top, path), path) for path in paths[:MAX_READ]):
        name = _text(path)
        reason = _unwanted(path, size, left)
        text = None if reason else _read_text(top, path, left)
        if text is None:
            left_out.append(f"{name}: {reason or 'no text in UTF-8'}")
        else:
            texts[name] = redact(text)
            left -= size
    more = max(0, len(left_out) - MAX_LISTED) + max(0, len(paths) - MAX_READ)
    return texts, left_out[:MAX_LISTED] + ([f"and {more} files more"] if more else [])


def _size(top: Path, path: bytes) -> int:
    """Size of a regular file in bytes; -1 for anything else (a link is not followed, a pipe is not opened)."""
    try:
        found = os.lstat(os.path.join(os.fsencode(top), path))
    except OSError:
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


def _unwanted(path: bytes, size: int, left: int) -> str:
    """Why an untracked file is not recorded; empty where it may be."""
    if size < 0:
        return "no regular file"
    name = os.fsdecode(path).rpartition("/")[2].lower()
    if any(fnmatch.fnmatchcase(name, rule) for rule in _SECRET_FILES):
        return "its name says that it may hold secrets"
    return f"{size} bytes, beyond the limit" if size > left else ""


def _read_text(top: Path, path: bytes, left: int) -> str | None:
    """A file's text; None where it is binary, in another encoding, or cannot be read."""
    try:
        with open(os.path.join(os.fsencode(top), path), "rb") as file:
            data = file.read(left + 1)
        return None if b"\0" in data[:8000] or len(data) > left else data.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
