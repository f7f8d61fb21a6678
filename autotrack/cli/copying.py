"""`autotrack db copy SRC DST`: a whole store into another one."""

from __future__ import annotations

import argparse

from autotrack.cli import terminal
from autotrack.cli.actions import add_action
from autotrack.maintenance.copying import copy_store


def add_copy(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The action and its options."""
    text = "copy a whole store into another one, of any engine; again, to complete it or bring it up to date"
    parser = add_action(actions, "copy", text)
    parser.add_argument("source", metavar="SRC", help="the store: URL, folder or .db file")
    parser.add_argument("target", metavar="DST", help="the other one, empty or a copy of this one; made if need be")
    text = "copy the files of runs and models too (without this they stay where they are, and the copy says so)"
    parser.add_argument("--with-artifacts", action="store_true", help=text)


def copy(options: argparse.Namespace) -> int:
    """Copy."""
    done = copy_store(options.source, options.target, options.with_artifacts)
    total = sum(done.rows.values())
    files = f", {done.files} files ({terminal.size(done.size)})" if options.with_artifacts else ""
    shown = ", ".join(f"{done.rows[name]} {name}" for name in ("experiments", "runs", "metric_points"))
    terminal.write(f"{done.target}: the same as {done.source}: {total} rows ({shown}); {done.written} written{files}")
    return 0
