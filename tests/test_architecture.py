"""The shape of the code: layers, the one shield, the one reader of the environment, sizes, pairs of files."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from autotrack.integrations import INTEGRATIONS
from autotrack.models.flavors import FLAVORS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "autotrack"
HOOK = ROOT / "sitecustomize_hook" / "sitecustomize.py"

MAX_FUNCTION_LINES = 80

READERS_OF_THE_ENVIRONMENT = {
    "autotrack/__main__.py",  # the launcher: settings are too heavy for it
    "autotrack/config.py",
    "sitecustomize_hook/sitecustomize.py",  # runs before the package can be imported
}

SWALLOWERS = {
    ("autotrack/hooks/guard.py", "call"),  # the shield
    ("autotrack/hooks/taps.py", "_stand_in"),  # the same, where a call more would be felt: they ask `guard.failed`
    ("autotrack/hooks/taps.py", "stand_in"),
    ("autotrack/hooks/taps.py", "timed_stand_in"),
    ("autotrack/hooks/taps.py", "_rare_stand_in"),
    ("autotrack/integrations/torch/steps.py", "on_step"),  # torch's own hook, likewise
    ("autotrack/hooks/suspended.py", "_async_generator"),  # hands what is thrown in on to the generator inside
}
"""Functions that catch `Exception` or more and do not raise it again."""

WRITERS_TO_STDOUT = ("autotrack/__main__.py", "autotrack/cli/")

HOME_FOLDERS = re.compile(r"(?<![\w.~])(?:/home/(?!me\b)[a-z]\w+|/root|/Users/\w+|[A-Z]:\\Users\\\w+)(?=[/\\])")
"""A person's own folder; `/home/me` is the one that tests make up."""


def sources() -> list[Path]:
    """All Python files that are shipped."""
    return [*sorted(PACKAGE.rglob("*.py")), HOOK]


def name_of(path: Path) -> str:
    """A path as seen from the root of the project."""
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text("utf-8"))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions in a tree, methods and nested ones included."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Whether an `except` catches `Exception`, more, or everything."""
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or ast.unparse(kind) in ("Exception", "BaseException") for kind in caught)


def swallows(node: ast.AST) -> bool:
    """Whether this catches `Exception` or more and does not raise it again."""
    if isinstance(node, ast.ExceptHandler):
        return is_broad(node) and not any(isinstance(one, ast.Raise) and one.exc is None for one in node.body)
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
        return any(ast.unparse(one) in ("Exception", "BaseException") for one in node.args)
    return False


def swallowers(path: Path) -> Iterator[tuple[str, str]]:
    """The functions of a file that swallow errors of any kind."""
    for function in functions(tree_of(path)):
        if any(swallows(node) for node in ast.walk(function)):
            yield name_of(path), function.name


def tracked_files() -> list[Path]:
    """What is under version control; in an unpacked source archive, everything."""
    if not (ROOT / ".git").exists():
        return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def layers() -> list[str]:
    """The lines of the contract named "layers", top first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = {contract["id"]: contract for contract in project["tool"]["importlinter"]["contracts"]}
    return list(contracts["layers"]["layers"])


def test_imports_keep_to_the_layers() -> None:
    """Every contract of import-linter in pyproject.toml holds."""
    check = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_every_module_stands_in_a_layer() -> None:
    """A new module cannot escape the contracts by not being named in them."""
    layered = {name for line in layers() for name in re.findall(r"[\w.]+", line)}
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in sources()}
    containers = {"autotrack", "autotrack.tracking", "sitecustomize_hook.sitecustomize"}
    missing = {
        module
        for module in modules - containers
        if not any(module == layer or module.startswith(f"{layer}.") for layer in layered)
    }
    assert not missing, f"name them in a layer of [tool.importlinter] in pyproject.toml: {sorted(missing)}"


def test_one_module_reads_the_environment() -> None:
    """`os.environ` is for `config.py`, the launcher and the hook alone."""
    pattern = re.compile(r"\bos\.(?:environb?|getenvb?|putenv|unsetenv)\b|from os import .*\benviron")
    readers = {name_of(path) for path in sources() if pattern.search(path.read_text("utf-8"))}
    assert readers == READERS_OF_THE_ENVIRONMENT


def test_there_is_one_shield() -> None:
    """Whoever catches `Exception` or more raises it again, but for the shield in hooks/guard.py and the few named."""
    found = {one for path in sorted(PACKAGE.rglob("*.py")) for one in swallowers(path)}
    assert found == SWALLOWERS


def test_nothing_but_the_command_line_writes_to_stdout() -> None:
    """The program's stdout is the program's own."""
    pattern = re.compile(r"\bprint\(|\bsys\.(?:__)?stdout")
    writers = {name_of(path) for path in sources() if pattern.search(path.read_text("utf-8"))}
    assert not {name for name in writers if not name.startswith(WRITERS_TO_STDOUT)}


def test_functions_are_short() -> None:
    """No function is longer than can be taken in at a glance."""
    long = [
        f"{name_of(path)}: {function.name}: {lines} lines"
        for path in sources()
        for function in functions(tree_of(path))
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert not long


def test_every_integration_is_a_module_of_its_name() -> None:
    """A row of the table and a file (or folder) under integrations/ pair up."""
    shared = {"__init__", "registry", "options"}
    stems = {path.stem for path in (PACKAGE / "integrations").iterdir() if not path.name.startswith("__")}
    assert {row.name for row in INTEGRATIONS} == stems - shared


def test_every_flavor_has_a_module_and_a_namespace() -> None:
    """Flavor, integration and the public namespace of a framework have one name; custom models are `pyfunc`'s."""
    stems = {path.stem for path in (PACKAGE / "models" / "flavors").glob("*.py")} - {"__init__"}
    assert stems == {flavor.module.rpartition(".")[2] for flavor in FLAVORS}
    recorded = {row.name for row in INTEGRATIONS}
    for stem in stems:
        name = {"python_function": "pyfunc"}.get(stem, stem)
        namespace = importlib.import_module(f"autotrack.{name}")
        assert {"load_model", "log_model", "save_model"} <= set(namespace.__all__)
        assert ("autolog" in namespace.__all__) == (name in recorded)


def test_no_file_names_a_persons_folder() -> None:
    """Nothing under version control depends on where it was written."""
    found = []
    for path in tracked_files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{name_of(path)}: {match.group()}" for match in HOME_FOLDERS.finditer(text)]
    assert not found


def test_file_names_of_tests_are_unique() -> None:
    """The folders of tests are no packages, so two files of one name could not be collected together."""
    stems = [path.stem for path in (ROOT / "tests").rglob("*.py") if path.stem != "conftest"]
    assert sorted(stems) == sorted(set(stems))


def test_every_test_says_what_it_proves() -> None:
    """Each test has a docstring."""
    silent = [
        f"{name_of(path)}::{function.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for function in functions(tree_of(path))
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert not silent
