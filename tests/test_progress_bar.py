"""The progress bar: seen on a terminal, absent elsewhere."""

from __future__ import annotations

import os
import select
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import autotrack

SCRIPT = """
import sys
from autotrack.progress_bar import progress_bar
with progress_bar("copying", 3 * 2**20) as advance:
    for _ in range(3):
        assert advance(2**20) is None
print("tqdm" in sys.modules)
"""


def run(stderr: int) -> str:
    """What the script writes to stdout."""
    environ = {**os.environ, "PYTHONPATH": str(Path(autotrack.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=stderr, env=environ, check=True
    )
    return done.stdout.decode().strip()


def test_nothing_is_shown_where_stderr_is_no_terminal(tmp_path: Path) -> None:
    """A log file gets no bar, and the library that draws it is not even imported."""
    with (tmp_path / "log").open("wb") as log:
        assert run(log.fileno()) == "False"
    assert (tmp_path / "log").read_bytes() == b""


def test_a_terminal_shows_it() -> None:
    """With label and size."""
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")
    import fcntl
    import termios

    leader, follower = pty.openpty()
    try:
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        assert run(follower) == "True"
        assert select.select([leader], [], [], 0)[0], "nothing was shown"
        shown = os.read(leader, 65536).decode()
    finally:
        os.close(follower)
        os.close(leader)
    assert "copying" in shown
    assert "3.00M" in shown
