"""How the program wrote its calls, asked for by many threads at once."""

from __future__ import annotations

import gc
import runpy
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autotrack import callsite

DEEP = "odd = " + "(" * 60 + "1" + ", 2)" * 60 + "\n"
PROGRAM = "def call(ask):\n    mine = [1]\n    return ask(mine)\n" + DEEP * 20


@pytest.fixture
def collector_that_gives_way() -> Iterator[None]:
    """Whoever makes objects, syntax trees say, comes upon the collector, and that lets other threads have a turn."""

    def give_way(*_: object) -> None:
        time.sleep(0.0005)

    before = gc.get_threshold()
    gc.callbacks.append(give_way)
    gc.set_threshold(200, 1_000, 1_000)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(give_way)


def ask(data: list[int]) -> str:
    """What the caller calls the data."""
    return callsite.name_of_argument(sys._getframe(1), data, ("data",), 0)


@pytest.mark.usefixtures("collector_that_gives_way")
def test_many_threads_may_ask_at_once_what_their_data_are_called(tmp_path: Path) -> None:
    """Syntax trees are made by one thread at a time: with several, Python up to 3.12 fails."""
    calls = []
    for number in range(8):
        path = tmp_path / f"program_{number}.py"
        path.write_text(PROGRAM)
        calls.append(runpy.run_path(str(path))["call"])
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda call: call(ask), calls)) == ["mine"] * 8
