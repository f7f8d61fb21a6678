"""`autotrack files RUN [PATH]`: the files and models of a run, listed or brought here."""

from __future__ import annotations

import argparse

from autotrack.cli import terminal
from autotrack.cli.stores import add_store_option, open_client
from autotrack.tracking import downloads


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which files, and where to."""
    parser.add_argument("run", metavar="RUN", help="an id or its beginning, @ for the latest run, or best:METRIC")
    text = "a folder or file among the run's, or the name of its model; all files by default"
    parser.add_argument("path", metavar="PATH", nargs="?", default="", help=text)
    text = "copy into this folder, instead of listing what is there"
    parser.add_argument("-d", "--download", metavar="FOLDER", help=text)
    add_store_option(parser)


def run(options: argparse.Namespace) -> int:
    """List files, or copy them."""
    run_id = open_client(options.store).resolve_run_id(options.run)
    what = {"run_id": run_id, "artifact_path": options.path, "tracking_uri": options.store}
    if options.download is not None:
        terminal.write(terminal.printable(downloads.download_artifacts(**what, dst_path=options.download)))
        return 0
    found = downloads.list_artifacts(**what)
    rows = [(f"{info.path}/" if info.is_dir else info.path, _size(info.file_size)) for info in found]
    if not rows:
        terminal.remark(terminal.printable(f"run {run_id} has no folder {options.path!r} of files"))
        return 1
    for line in terminal.table(("PATH", "SIZE"), rows, (False, True)):
        terminal.write(line)
    return 0


def _size(size: int | None) -> str:
    return "" if size is None else terminal.size(size)
