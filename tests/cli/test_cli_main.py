from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autotrack import __version__, cli


def test_command_alone_prints_help(autotrack: Callable) -> None:
    """`autotrack` tells what it can do, on stdout, and that is no error."""
    shown = autotrack()
    assert shown.status == 0
    for command, text in cli.COMMANDS.items():
        assert f"\n    {command} " in shown.out
        assert text.split()[0] in shown.out


def test_version_is_told(autotrack: Callable) -> None:
    """`autotrack --version` prints the version alone."""
    assert autotrack("--version").out == f"autotrack {__version__}\n"


def parsers_below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from parsers_below(command)


def test_every_command_and_option_has_help() -> None:
    """Each command says what it does, each option and argument what it is for."""
    parsers = list(parsers_below(cli.make_parser(*cli.COMMANDS)))
    assert {f"autotrack {name}" for name in cli.COMMANDS} < {parser.prog for parser in parsers}
    for parser in parsers:
        assert parser.description, parser.prog
        for action in parser._actions:
            helped = action.help or isinstance(action, argparse._SubParsersAction)
            assert helped, f"{parser.prog}: {action.option_strings or action.dest}"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_of_each_command_can_be_printed(autotrack: Callable, command: str) -> None:
    """`--help` of each command is status 0 and begins with its usage."""
    shown = autotrack(command, "--help")
    assert shown.status == 0
    assert shown.out.startswith(f"usage: autotrack {command}")


@pytest.mark.parametrize("words", [["nope"], ["ls", "--nope"], ["show"], ["db"], ["db", "nope"], ["ls", "--js"]])
def test_wrong_command_line_is_a_usage_error(autotrack: Callable, words: list[str]) -> None:
    """An unknown command or option, also an abbreviated one, and a missing argument are status 2."""
    shown = autotrack(*words)
    assert (shown.out, shown.status) == ("", 2)
    assert shown.err.startswith("usage: autotrack")


def test_store_of_no_known_kind_is_one_line(autotrack: Callable) -> None:
    """An error of autotrack's own is one line on stderr and status 1, without a traceback."""
    shown = autotrack("ls", "--store", "redis://host/1")
    assert (shown.out, shown.status) == ("", 1)
    assert shown.err.startswith("autotrack: tracking URI: got 'redis://host/1'")
    assert shown.err.count("\n") == 1


def test_corrupt_store_is_one_line(autotrack: Callable, tmp_path: Path) -> None:
    """A file that is no database is refused with what to do about it."""
    file = tmp_path / "broken.db"
    file.write_bytes(b"no database at all" * 100)
    for words in (("ls",), ("show", "@"), ("db", "status"), ("db", "upgrade")):
        shown = autotrack(*words, "--store", file)
        assert (shown.out, shown.status) == ("", 1)
        assert "file is not a database" in shown.err
        assert "Traceback" not in shown.err


def command(*words: str | Path) -> list[str]:
    """The command line, as a child process."""
    return [sys.executable, "-m", "autotrack.cli", *map(str, words)]


def environment(**more: str) -> dict[str, str]:
    """Of a child process that finds this checkout."""
    return {**os.environ, "PYTHONPATH": str(Path(cli.__file__).resolve().parents[2]), **more}


def test_reader_that_has_seen_enough_is_no_error(recorded: Path) -> None:
    """When the pipe is closed before all is read, nothing is said about it."""
    words = command("ls", "--store", recorded, "--json")
    process = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_terminal_without_unicode_gets_escapes(tmp_path: Path) -> None:
    """Text that stdout's encoding does not have is printed as escapes."""
    source = (
        "import autotrack, sys; autotrack.set_tracking_uri('s')\n"
        "with autotrack.start_run(run_name='na\\u00efve \\U0001f600'): pass"
    )
    subprocess.run([sys.executable, "-c", source], env=environment(), cwd=tmp_path, check=True)
    words = command("ls", "--store", "s")
    done = subprocess.run(words, env=environment(PYTHONIOENCODING="ascii"), cwd=tmp_path, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"na\xefve \U0001f600" in done.stdout


def test_run_starts_the_program_with_its_own_arguments(tmp_path: Path) -> None:
    """All that follows `autotrack run` is the program's, options included, and its status is the command's."""
    script = tmp_path / "train.py"
    script.write_text("import sys, autotrack.process as p; print(sys.argv[1:], p.activated); sys.exit(7)\n")
    words = command("run", "-X", "dev", script, "--help", "-m", "--", "x y")
    done = subprocess.run(words, env=environment(), cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("['--help', '-m', '--', 'x y'] True\n", 7)
    module = subprocess.run(command("run", "-m", "platform"), env=environment(), capture_output=True, text=True)
    assert (module.stderr, module.returncode) == ("", 0)


def test_run_without_a_program_is_a_usage_error() -> None:
    """`autotrack run` alone has nothing to run: status 2."""
    done = subprocess.run(command("run"), env=environment(), capture_output=True, text=True)
    assert done.returncode == 2
    assert "nothing to run" in done.stderr
