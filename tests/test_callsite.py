"""How the program wrote its calls, asked for by many threads at once."""

from __future__ import annotations

import ast
import gc
import runpy
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import executing
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


SITES = """
def sites(ask, ask_much, données):
    a = [1]
    yield ask(a)
    yield ask_much(ask(a), ask(données), [ask(one) for one in (a, a)])
    yield ask(
        a,
    ); yield ask(a)
    é, ü = "é", ask(a); yield ask(données); yield ask(*[a]); yield ask(**{"data": a})
    yield (lambda: ask(a))(); yield (lambda: ask( a))()
    @ask
    def decorated(): pass
    with ask(a): pass
    yield f"{ask(a)} {ask(données)}"
    yield ask(a)[0] + ask(a).x if ask(a) else ask(a)
    del a
"""


def test_a_call_is_found_where_it_stands(tmp_path: Path) -> None:
    """It is the one that `executing` finds by the function's instructions, wherever several stand in a line."""
    found: list[tuple[ast.AST | None, ast.AST | None]] = []

    class Anything(list[int]):
        x = 1

        def __add__(self, other: object) -> Anything:
            return self

        __call__ = __getitem__ = __add__

        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            pass

    def ask(*_: object, **__: object) -> Anything:
        frame = sys._getframe(1)
        found.append((callsite._call_at(frame), executing.Source.executing(frame).node))
        return Anything()

    (tmp_path / "sites.py").write_text(SITES, "utf-8")
    sites = runpy.run_path(str(tmp_path / "sites.py"))["sites"]
    list(sites(ask, ask, [2]))
    calls = [(ours, theirs) for ours, theirs in found if isinstance(theirs, ast.Call)]
    assert len(calls) > 15
    known = sys.version_info >= (3, 11)
    assert [ours for ours, _ in calls] == [theirs if known else None for _, theirs in calls]


def test_functions_whose_code_is_equal_are_told_apart(tmp_path: Path) -> None:
    """Where their calls stand is kept for each of them, for a bounded number."""
    one, other = "def call(ask, a, b):\n    return ask(a)\n", "def call(ask, a, b):\n    return ask(  a)\n"
    for number in range(callsite.MAX_FUNCTIONS + 8):
        path = tmp_path / f"f{number}.py"
        path.write_text(other if number % 2 else one)
        names: list[str] = []

        def told(data: list[int], names: list[str] = names) -> None:
            names.append(callsite.name_of_argument(sys._getframe(1), data, (), 0))

        runpy.run_path(str(path))["call"](told, [1], [2])
        assert names == ["a"]
    assert len(callsite._spans) <= callsite.MAX_FUNCTIONS
