"""The tables of edge cases in edge_cases.md are true: no case is left out, and the tests that they name are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
CASES = re.findall(r"^\| ([A-Z])(\d+) \| .+ \| (.+) \|$", (TESTS / "edge_cases.md").read_text("utf-8"), re.MULTILINE)


def functions(path: Path) -> set[str]:
    """The names of a file's functions."""
    return {node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)}


def test_cases_are_numbered_without_a_gap() -> None:
    """Each kind of case counts from 1, in order."""
    kinds = dict.fromkeys(kind for kind, _, _ in CASES)
    assert list(kinds) == ["L", "S", "I", "E", "P"]
    for kind in kinds:
        numbers = [int(number) for one, number, _ in CASES if one == kind]
        assert numbers == list(range(1, len(numbers) + 1))


def test_every_case_names_tests_that_are_there() -> None:
    """Each case has a test at least, and each `file::test` is a function of that file."""
    known = {path.stem: functions(path) for path in TESTS.rglob("test_*.py")}
    for kind, number, shown in CASES:
        named = re.findall(r"`(\w+)::(\w+)`", shown)
        assert len(named) == shown.count("`") // 2 >= 1, f"{kind}{number}: {shown}"
        missing = [f"{file}::{test}" for file, test in named if test not in known.get(file, ())]
        assert not missing, f"{kind}{number}: no such tests: {missing}"
