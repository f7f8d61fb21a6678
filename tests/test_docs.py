"""The documentation is true: its blocks run, its tables are the code's, what it names is there."""

from __future__ import annotations

import importlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import autotrack
from autotrack import events
from autotrack.cli import COMMANDS
from autotrack.hooks import guard
from autotrack.hooks.patching import Patcher
from autotrack.integrations import INTEGRATIONS
from autotrack.integrations.options import IntegrationConfig
from autotrack.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")

EXECUTED = ("python", "autotrack")
"""Programs whose lines in README.md's bash blocks are run; those of others are looked at."""


class Block(NamedTuple):
    """A fenced block of a document."""

    document: str
    line: int
    language: str
    code: str

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.document}:{self.line}"


def text_of(document: str) -> str:
    """A document."""
    return (ROOT / document).read_text("utf-8")


def blocks(document: str) -> list[Block]:
    """The fenced blocks of a document; an indented one without its indentation."""
    text = text_of(document)
    found = []
    for match in re.finditer(r"^( *)```(\w+)\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE):
        code = re.sub(f"^{match[1]}", "", match[3], flags=re.MULTILINE)
        found.append(Block(document, text[: match.start()].count("\n") + 1, match[2], code))
    return found


def prose(document: str) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^( *)```\w*\n.*?^\1```$", "", text_of(document), flags=re.DOTALL | re.MULTILINE)


def commands(block: Block) -> Iterator[list[str]]:
    """The command lines of a bash block, in words, without comments."""
    for line in block.code.splitlines():
        words = line.partition(" #")[0].split()
        if words:
            yield words


class Shell:
    """Runs the blocks of a document, in one folder, as a reader would who types them in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        programs = folder / "programs"
        programs.mkdir()
        for name, arguments in (("python", '"$@"'), ("autotrack", '-m autotrack.cli "$@"')):
            path = programs / name
            path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}\n')
            path.chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTOTRACK_", "PYTHON"))}
        path = os.pathsep.join((str(programs), kept.get("PATH", "")))
        self.environment = {**kept, "PATH": path, "PYTHONPATH": str(ROOT)}

    def run(self, place: str, *command: str) -> str:
        """Run a command line; what it wrote to stdout."""
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{place}: {' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def python(self, block: Block) -> None:
        """Run a block of Python; one that begins with a file's name is saved under it, for what follows."""
        named = re.match(r"# (\w+\.py)\n", block.code)
        name = named[1] if named else "block.py"
        (self.folder / name).write_text(block.code, "utf-8")
        if name.startswith("test_"):
            self.run(block.place, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin(), name)
        elif not named:
            self.run(block.place, sys.executable, name)

    def bash(self, block: Block) -> None:
        """Run the lines of a bash block that call Python or autotrack."""
        for line in block.code.splitlines():
            if line.startswith("autotrack models serve"):
                self.serve(block.place, line)
            elif line.split()[:1] and line.split()[0] in EXECUTED:
                self.run(block.place, "sh", "-e", "-c", line)

    def serve(self, place: str, line: str) -> None:
        """Run a server, on a free port, until it says that it is up; a reader would stop it by Ctrl-C."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = ["sh", "-c", "exec " + re.sub(r"--port \d+", f"--port {port}", line)]
        with subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stderr=subprocess.PIPE, text=True
        ) as server:
            assert server.stderr is not None
            said = []
            for told in server.stderr:
                said.append(told)
                if f":{port}" in told:
                    break
            server.send_signal(signal.SIGINT)
            said += server.stderr
        assert f":{port}" in "".join(said), f"{place}: {line}\n{''.join(said)}"


def plugin() -> list[str]:
    """Options that load the pytest plugin where autotrack is not installed, but found on the path."""
    installed = any(point.value == "autotrack.testing" for point in entry_points(group="pytest11"))
    return [] if installed else ["-p", "autotrack.testing"]


@pytest.mark.skipif(os.name != "posix", reason="the blocks are for a POSIX shell")
def test_readme_runs_from_top_to_bottom(tmp_path: Path) -> None:
    """Whoever copies every block of README.md in order, into an empty folder, sees no error."""
    shell = Shell(tmp_path)
    for block in blocks("README.md"):
        if block.language == "python":
            shell.python(block)
        else:
            shell.bash(block)
    listed = shell.run("autotrack ls", "autotrack", "ls", "--csv")
    assert {"Ridge", "LogisticRegression", "first"} <= set(re.findall(r"\w+", listed))


def test_every_block_is_of_a_language_that_is_tested() -> None:
    """A block in another language, or none, would go unread."""
    found = [block for document in DOCUMENTS for block in blocks(document)]
    assert len(found) == sum(text_of(document).count("```") for document in DOCUMENTS) / 2
    assert {block.language for block in found} == {"python", "bash"}


def test_command_lines_name_what_is_there() -> None:
    """Each command line in a document is one of autotrack's commands, a target of the Makefile, or an extra."""
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    extras = set(re.findall(r"^(\w+) = \[", text_of("pyproject.toml"), re.MULTILINE))
    for block in (one for document in DOCUMENTS for one in blocks(document) if one.language == "bash"):
        for words in commands(block):
            match words:
                case ["autotrack", command, *_]:
                    assert command in COMMANDS, block.place
                case ["make", target, *_]:
                    assert target in targets, block.place
                case ["pip", "install", what]:
                    assert set(re.findall(r"\w+", what)) <= extras, block.place
                case _:
                    assert words[:3] == ["python", "-m", "autotrack"], block.place


def test_tables_are_those_of_the_code() -> None:
    """README.md's settings and commands and CONTRIBUTING.md's events are as the code has them."""
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "readme.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_readme_mentions_every_setting_and_command() -> None:
    """Nothing that can be set or called goes unmentioned."""
    readme = text_of("README.md")
    assert not [name for name in Settings.__struct_fields__ if f"`AUTOTRACK_{name.upper()}`" not in readme]
    assert not [name for name in COMMANDS if f"`autotrack {name}`" not in readme]


def test_readme_mentions_every_option_of_autolog() -> None:
    """What `autolog()` takes is listed."""
    readme = prose("README.md")
    assert not [name for name in IntegrationConfig.__struct_fields__ if f"`{name}`" not in readme]


def test_readme_mentions_every_public_name() -> None:
    """Every name in `autotrack.__all__` stands in README.md, alone or as the singular of one in `log_param(s)`."""
    readme = re.sub(r"(\w+)\(s\)", r"\1 \1s", text_of("README.md"))
    words = set(re.findall(r"\w+", readme))
    said_otherwise = {"ActiveRun", "DatasetInfo", "Experiment", "Metric", "Run", "AutotrackError"} | {
        "create_experiment", "get_experiment", "get_experiment_by_name", "get_tracking_uri",
    }  # fmt: skip
    assert not set(autotrack.__all__) - words - said_otherwise


def test_readme_mentions_every_framework() -> None:
    """Every framework that is recorded is named."""
    readme = text_of("README.md")
    assert not [row.name for row in INTEGRATIONS if row.distribution and row.distribution not in readme]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_functions_are_there(document: str) -> None:
    """`autotrack.x.y` in a document's text is a module, or a name in one."""
    names = set(re.findall(r"\bautotrack((?:\.[A-Za-z_]\w*)+)", prose(document)))
    files = {".db", ".yaml", ".integrations"}
    for name in sorted(names - files):
        found: object = autotrack
        path = "autotrack"
        for part in name.split(".")[1:]:
            path += f".{part}"
            try:
                found = getattr(found, part)
            except AttributeError:
                found = importlib.import_module(path)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_paths_lead_somewhere(document: str) -> None:
    """Each relative link has its file, and each path in backticks is in the repository."""
    text = prose(document)
    links = {link for link in re.findall(r"\]\(([^)#\s]+)\)", text) if "://" not in link}
    paths = set(re.findall(r"`((?:autotrack|sitecustomize_hook|tests|tools|examples)/[\w./]*)`", text))
    missing = sorted(path for path in links | paths if not (ROOT / path).exists() and "foo" not in path)
    assert not missing


def test_anchors_lead_to_headings() -> None:
    """A link within README.md leads to one of its headings."""
    text = text_of("README.md")
    headings = {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in re.findall(r"^#+ (.*)$", text, re.M)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= headings


def test_journal_version_is_the_documented_one() -> None:
    """CONTRIBUTING.md describes the version that is written."""
    assert f"Version **{events.FORMAT_VERSION}** " in text_of("CONTRIBUTING.md")


def test_changelog_has_a_place_for_what_comes() -> None:
    """The changelog begins with what is not released yet, or with the version of the package."""
    first = re.search(r"^## \[(.*?)\]", text_of("CHANGELOG.md"), re.MULTILINE)
    assert first is not None
    assert first[1] in ("Unreleased", autotrack.__version__)


def test_the_integration_in_contributing_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of an integration, put on a framework called foo, records a call of `foo.train`."""
    foo = ModuleType("foo")
    foo.train = lambda rounds: {"loss": 1 / rounds}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "foo", foo)
    block = next(one for one in blocks("CONTRIBUTING.md") if one.language == "python")
    names: dict[str, object] = {"__name__": "autotrack.integrations.foo"}
    exec(compile(block.code, block.place, "exec"), names)
    patcher = Patcher("foo", guard.health("foo"))
    with patcher.applying():
        names["instrument"](patcher, IntegrationConfig)  # type: ignore[operator]
    try:
        assert foo.train(rounds=4) == {"loss": 0.25}
    finally:
        patcher.revert()
    assert autotrack.flush()
    [run] = autotrack.search_runs(output_format="list")
    assert (run.info.run_name, run.info.status) == ("train", "FINISHED")
    assert run.data.params == {"rounds": "4"}
    assert run.data.metrics == {"loss": 0.25}
