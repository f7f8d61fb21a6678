"""What the contracts run over: a new, empty store on each engine, and crowds of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autotrack.store.engine import Store
from autotrack.store.location import locate
from autotrack.tracking import recorders

ROOT = Path(__file__).resolve().parents[2]

Crowd = Callable[..., list[str]]


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database on each engine; nothing has opened it yet."""
    fixtures = {"postgresql": "postgres_url", "mariadb": "mariadb_url"}
    if request.param in fixtures:
        yield request.getfixturevalue(fixtures[request.param])
        return
    url = f"sqlite:///{tmp_path}/contract/autotrack.db"
    yield url
    recorders.forget_store(locate(url))
    Store.forget(locate(url))


@pytest.fixture
def crowd(store_url: str, tmp_path: Path) -> Crowd:
    """`crowd(source, size)` runs a program in many interpreters at once and gives back what each wrote to stdout.

    Each gets its number as argument, imports what it wants, calls `together()`, and goes on when all are there. The
    test fails where one of them fails or writes to stderr.
    """

    def run(source: str, size: int) -> list[str]:
        code = TOGETHER + textwrap.dedent(source)
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "AUTOTRACK_TRACKING_URI": store_url}
        children = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
                env=environ,
            )
            for number in range(size)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "here\n", child.communicate()[1]
        done = [child.communicate(timeout=300) for child in _released(children)]
        assert [(child.returncode, error) for child, (_, error) in zip(children, done, strict=True)] == [(0, "")] * size
        return [out for out, _ in done]

    return run


TOGETHER = """
import sys

def together():
    print("here", flush=True)
    sys.stdin.readline()
"""


def _released(children: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    return children
