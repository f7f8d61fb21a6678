from __future__ import annotations

import ast
import importlib
import platform
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module that keeps the benchmarks' figures, keeping them in a folder of the test's."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    module = importlib.import_module("results")
    monkeypatch.setattr(module, "FILE", tmp_path / "results.json")
    return module


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that measures the code."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("house")


def line(what: str, ours: float, verdict: str) -> dict[str, object]:
    """One line of the benchmarks, as they report it."""
    return {
        "case": "made up", "what": what, "unit": "ms", "budget": 5.0, "autotrack": ours, "plain": 1.0, "mlflow": 80.0,
        "mlflow_over_autotrack": 80.0 / ours, "verdict": verdict,
    }  # fmt: skip


def test_kept_figures_show_a_missed_budget_and_no_name_of_the_machine(results: ModuleType) -> None:
    """A figure replaces its older self alone; a miss is shown; no host and no path gets into the file."""
    results.keep([line("one", 4.0, "ok"), line("two", 4.0, "ok")], {})
    results.keep([line("two", 8.0, "OVER")], {})
    rows = [row for row in results.table().splitlines() if row.startswith(("| one", "| two"))]
    assert rows == ["| one | 5 ms | 4 ms | kept | 80 ms | 20 x |", "| two | 5 ms | 8 ms | **missed** | 80 ms | 10 x |"]
    text = results.FILE.read_text()
    assert platform.node() not in text
    assert str(ROOT) not in text
    assert str(Path.home()) not in text


def test_trackers_that_do_part_of_it_have_a_table_of_their_own(results: ModuleType) -> None:
    """With the lines that they have a figure of; a figure that nobody measured stays empty."""
    results.keep([line("one", 4.0, "ok"), {**line("two", 4.0, "ok"), "wandb": 64.0}], {})
    table = results.table()
    assert table.count("| one |") == 1
    assert "| two | 4 ms | 80 ms | 64 ms |  |" in table.splitlines()


def test_house_counts_what_it_says_it_counts(house: ModuleType) -> None:
    """Branches, annotations, broad excepts and functions that nobody names are found in a made-up file."""
    text = """
def used(a: int) -> int:
    if a and a > 1:
        return 1
    return unknown(a)

def dead(b):
    try:
        return [used(one) for one in b]
    except Exception:
        pass

def passed_on() -> None:
    try:
        used(1)
    except BaseException:
        raise
"""
    source = house.Source(ROOT / "made_up.py", text, ast.parse(text))
    found = {one.node.name: one for one in house.functions(source)}
    assert {name: house.branches(one.node) for name, one in found.items()} == {"used": 2, "dead": 1, "passed_on": 1}
    assert {name for name, one in found.items() if not house.is_annotated(one.node)} == {"dead"}
    handlers = [node for node in ast.walk(source.tree) if isinstance(node, ast.ExceptHandler)]
    assert [house.is_broad(handler) for handler in handlers] == [True, False]
    assert house.unused(found.values(), house.used_names([source])) == ["made_up.py:7 dead", "made_up.py:13 passed_on"]


def test_house_prints_its_figures_and_never_fails(house: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole project is measured, and the status is 0 whatever was found."""
    assert house.main([]) == 0
    printed = capsys.readouterr().out
    for title in ("files: ", "functions: ", "nested functions: ", "broad excepts", "functions that nobody names: "):
        assert f"\n{title}" in f"\n{printed}"
