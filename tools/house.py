"""The code measured against the house's style: prints figures and candidates, and never fails.

    python tools/house.py [--all]

What CI enforces stands elsewhere (ruff, mypy, the import layers, `tests/test_architecture.py`); these are aims. Of each
list the first ten are shown, all of them with `--all`.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

ROOT = Path(__file__).resolve().parents[1]
FIRST = 10

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)
READERS = ("autotrack/config.py", "__main__.py", "sitecustomize.py")
"""Files that may read the environment."""

CALLED_BY_OTHERS = ("visit_", "pytest_", "test_", "do_")
"""Names that begin so are found by a framework, and called by nobody else."""


class Source(NamedTuple):
    """One file."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """Its path below the project."""
        return self.path.relative_to(ROOT).as_posix()


class Found(NamedTuple):
    """One function, where it stands."""

    source: Source
    node: Function
    parents: tuple[ast.AST, ...]

    @property
    def lines(self) -> int:
        """Lines of it, decorators left out."""
        return (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1

    @property
    def place(self) -> str:
        """How a person finds it."""
        return f"{self.source.name}:{self.node.lineno} {self.node.name}"

    @property
    def is_nested(self) -> bool:
        """Whether it stands in another function."""
        return any(isinstance(parent, Function) for parent in self.parents)

    @property
    def is_setter(self) -> bool:
        """Whether it is the other half of a property."""
        return any(getattr(one, "attr", "") == "setter" for one in self.node.decorator_list)

    @property
    def is_public(self) -> bool:
        """Whether its name, and those of what it stands in, are for others."""
        names = [self.node.name, *(str(getattr(parent, "name", "")) for parent in self.parents)]
        return not self.is_nested and not any(name.startswith("_") for name in names)


def sources(*folders: str) -> list[Source]:
    """All Python files below some folders."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    texts = [(path, path.read_text("utf-8")) for path in paths if ".mlflow" not in path.parts]
    return [Source(path, text, ast.parse(text)) for path, text in texts]


def functions(source: Source) -> Iterator[Found]:
    """All functions of a file, nested ones too."""
    waiting: list[tuple[ast.AST, tuple[ast.AST, ...]]] = [(source.tree, ())]
    while waiting:
        node, parents = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield Found(source, child, parents)
            named = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            waiting.append((child, (*parents, child) if named else parents))


def branches(node: Function) -> int:
    """Places at which a function's way parts, those of functions in it left out."""
    count, waiting = 0, list(ast.iter_child_nodes(node))
    while waiting:
        child = waiting.pop()
        if isinstance(child, Function):
            continue
        count += isinstance(child, BRANCHES)
        if isinstance(child, ast.BoolOp):
            count += len(child.values) - 1
        waiting.extend(ast.iter_child_nodes(child))
    return count


def is_annotated(node: Function) -> bool:
    """Whether every argument and the result have a type."""
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    named = [one for one in given if one is not None and one.arg not in ("self", "cls")]
    return all(one.annotation is not None for one in named) and (node.returns is not None or node.name == "__init__")


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Whether it catches everything, and does not raise it again."""
    if any(isinstance(node, ast.Raise) and node.exc is None for node in handler.body):
        return False
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or getattr(kind, "id", "") in ("Exception", "BaseException") for kind in kinds)


def reads_environment(node: ast.AST) -> bool:
    """Whether it is `os.environ`, `os.getenv` or their like."""
    return isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.environb", "os.getenv")


def used_names(found: Iterable[Source]) -> Counter[str]:
    """How often each name is used by name: as a variable, an attribute, an import, or inside a text that is one."""
    used: Counter[str] = Counter()
    for source in found:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Name):
                used[node.id] += 1
            elif isinstance(node, ast.Attribute):
                used[node.attr] += 1
            elif isinstance(node, ast.alias):
                used[node.name.rpartition(".")[2]] += 1
            elif isinstance(node, ast.keyword) and node.arg:
                used[node.arg] += 1
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 2_000:
                used.update(word.rpartition(".")[2].rpartition(":")[2] for word in node.value.split())
    return used


def unused(found: Iterable[Found], used: Counter[str]) -> list[str]:
    """Functions that nobody calls by name: candidates, for what is found in other ways is called all the same."""
    texts = []
    for one in found:
        name = one.node.name
        exempt = name.startswith("__") or name.startswith(CALLED_BY_OTHERS) or one.node.decorator_list
        if not exempt and not used[name]:
            texts.append(one.place)
    return texts


def listed(title: str, found: list[str], everything: bool) -> None:
    """Print a list, or the beginning of it."""
    print(f"{title}: {len(found)}")
    for text in found if everything else found[:FIRST]:
        print(f"    {text}")
    if len(found) > FIRST and not everything:
        print(f"    and {len(found) - FIRST} more")


def share(part: int, whole: int) -> str:
    """A part in percent."""
    return f"{100 * part / max(1, whole):.1f} %"


def percentile(values: list[int], part: float) -> int:
    """The value that this part of them stays below."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def sizes(package: list[Source], found: list[Found], everything: bool) -> None:
    """Files and functions, and how long they are."""
    lengths, files = [one.lines for one in found], [source.text.count("\n") for source in package]
    print(f"files: {len(package)}, median {statistics.median(files):.0f}, longest {max(files)} (aim 120, 400)")
    middle, most = statistics.median(lengths), max(lengths)
    high = percentile(lengths, 0.95)
    print(f"functions: {len(found)}, lines median {middle:.0f}, p95 {high}, max {most} (aim 8 / 40 / 80)")
    long = sorted(zip(files, package, strict=True), key=lambda pair: -pair[0])
    listed("files over 400 lines", [f"{count:4} {source.name}" for count, source in long if count > 400], everything)
    listed("functions over 60 lines", [f"{one.lines:4} {one.place}" for one in found if one.lines > 60], everything)
    many = [(branches(one.node), one.place) for one in found]
    listed("functions with more than 12 branches", [f"{n:4} {place}" for n, place in many if n > 12], everything)
    nested = sum(one.is_nested for one in found)
    print(f"nested functions: {share(nested, len(found))} (aim under 5 %)")


def manners(package: list[Source], found: list[Found], everything: bool) -> None:
    """Annotations, docstrings, broad excepts, the environment."""
    without = [one.place for one in found if not is_annotated(one.node)]
    print(f"annotated functions: {share(len(found) - len(without), len(found))} (aim 100 %)")
    listed("functions without all annotations", without, everything)
    public = [one for one in found if one.is_public and not one.is_setter]
    bare = [one.place for one in public if ast.get_docstring(one.node) is None]
    print(f"public functions with a docstring: {share(len(public) - len(bare), len(public))} (aim 95 %)")
    listed("public functions without a docstring", bare, everything)
    nodes = [(source, node) for source in package for node in ast.walk(source.tree)]
    broad = [
        f"{source.name}:{node.lineno}"
        for source, node in nodes
        if isinstance(node, ast.ExceptHandler) and is_broad(node)
    ]
    listed("broad excepts (aim 2: the guard and the hook)", broad, everything)
    reads = {
        f"{source.name}" for source, node in nodes if reads_environment(node) and not source.name.endswith(READERS)
    }
    listed("files that read the environment, but for config.py, the launcher and the hook", sorted(reads), everything)


def main(arguments: list[str]) -> int:
    """Measure and print; the exit status is always 0."""
    everything = "--all" in arguments
    package, tests = sources("autotrack", "sitecustomize_hook"), sources("tests")
    found = [one for source in package for one in functions(source)]
    sizes(package, found, everything)
    manners(package, found, everything)
    proofs = [one for source in tests for one in functions(source) if one.node.name.startswith("test_")]
    silent = [one.place for one in proofs if not one.is_nested and ast.get_docstring(one.node) is None]
    print(f"tests: {len(proofs)}, without a docstring {share(len(silent), len(proofs))} (aim 0 %)")
    rest = sources("benchmarks", "tools", "examples")
    used = used_names(package)
    in_package, in_all = unused(found, used), unused(found, used + used_names([*tests, *rest]))
    listed("functions that nobody names", in_all, everything)
    only = [place for place in in_package if place not in in_all]
    listed("functions that tests and tools alone name (the public API is among them)", only, everything)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
