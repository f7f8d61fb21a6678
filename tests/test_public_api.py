"""The public API: lazy, complete, the same for type checkers, and light to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack

Python = Callable[..., "subprocess.CompletedProcess[str]"]

SOURCE = ast.parse(Path(autotrack.__file__).read_text("utf-8"))


def imports_for_type_checkers() -> dict[str, str]:
    """Module of each name that the `TYPE_CHECKING` block imports."""
    blocks = [node for node in SOURCE.body if isinstance(node, ast.If)]
    statements = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: str(node.module) for node in statements for alias in node.names}


@pytest.mark.parametrize("name", autotrack.__all__)
def test_public_name_resolves(name: str) -> None:
    """Each name of `__all__` is there, and the same object each time."""
    assert getattr(autotrack, name) is getattr(autotrack, name)
    assert getattr(autotrack, name).__doc__


def test_all_has_no_name_twice_and_dir_lists_it() -> None:
    """`dir()` and star imports see the whole API before any of it is loaded."""
    assert len(set(autotrack.__all__)) == len(autotrack.__all__)
    assert set(autotrack.__all__) <= set(dir(autotrack))
    assert "__version__" in dir(autotrack)


def test_type_checkers_see_what_the_table_loads() -> None:
    """The imports under `TYPE_CHECKING` are the table of lazy names, name by name."""
    assert imports_for_type_checkers() == autotrack._HOME_OF


def test_public_functions_have_the_same_home_as_they_say() -> None:
    """Where the table says that a name lives, it lives."""
    for name, home in autotrack._HOME_OF.items():
        value = getattr(autotrack, name)
        assert value is getattr(sys.modules[home], name), name


def test_unknown_name_is_an_attribute_error() -> None:
    """With the wording of Python's own."""
    with pytest.raises(AttributeError, match=r"^module 'autotrack' has no attribute 'log_metrik'$"):
        autotrack.log_metrik  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'log_metrik' from 'autotrack'"):
        exec("from autotrack import log_metrik")


@pytest.mark.parametrize("name", autotrack._SUBMODULES)
def test_submodule_is_one_object_by_every_way_to_it(run_python: Python, name: str) -> None:
    """`import autotrack.x`, `from autotrack import x`, `autotrack.x` and `sys.modules`, in any order."""
    ways = {
        "import": f"import autotrack.{name}; found.append(autotrack.{name})",
        "from": f"from autotrack import {name} as module; found.append(module)",
        "attribute": f"import autotrack; found.append(autotrack.{name})",
        "as": f"import autotrack.{name} as module; found.append(module)",
        "modules": f"import autotrack.{name}, sys; found.append(sys.modules['autotrack.{name}'])",
    }
    for first in ways:
        order = [ways[first], *(way for key, way in ways.items() if key != first)]
        run_python("found = []\n" + "\n".join(order) + "\nassert len({id(one) for one in found}) == 1, found\n")


def test_pyfunc_offers_what_models_offer() -> None:
    """`autotrack.pyfunc` loads by `autotrack.models.pyfunc`, so that both mean the same classes."""
    from autotrack.models import pyfunc

    assert autotrack.pyfunc.load_model is pyfunc.load_model
    assert autotrack.pyfunc.PyFuncModel is pyfunc.PyFuncModel


def test_pytorch_is_another_name_of_torch() -> None:
    """MLflow's name and torch's own are one module."""
    import autotrack.pytorch

    assert autotrack.pytorch is autotrack.torch


def test_framework_namespace_offers_its_four_functions() -> None:
    """`autolog`, `log_model`, `save_model`, `load_model`, as in MLflow."""
    assert set(autotrack.sklearn.__all__) == {"autolog", "log_model", "save_model", "load_model"}
    for name in autotrack.sklearn.__all__:
        assert callable(getattr(autotrack.sklearn, name))


LOADED = """
    import sys
    before = set(sys.modules)
    import autotrack
    {call}
    print(*sorted(set(sys.modules) - before))
"""


def test_import_loads_nothing_of_its_own(run_python: Python) -> None:
    """`import autotrack` alone loads that one module, and what its annotations need."""
    assert run_python(LOADED.format(call="")).stdout.split() == ["__future__", "autotrack"]


def test_switching_on_loads_nothing_heavy(run_python: Python) -> None:
    """`autotrack.autolog()` with no framework imported: no patching library, database, numbers or event loop."""
    loaded = set(run_python(LOADED.format(call="autotrack.autolog(log_models=False)")).stdout.split())
    heavy = {
        "wrapt", "sqlalchemy", "alembic", "msgspec", "yaml", "psutil", "fsspec", "numpy", "pandas", "sklearn",
        "asyncio", "logging", "inspect", "json", "pathlib", "tempfile", "subprocess", "socket", "uuid",
        "importlib.metadata", "autotrack.settings", "autotrack.tracking.recorder", "autotrack.hooks.patching",
    }  # fmt: skip
    assert not loaded & heavy
    assert "autotrack.bootstrap" in loaded


def test_switching_off_and_disabled_load_nothing_heavy(run_python: Python) -> None:
    """Nor do `disable()`, `enable()` and the context manager `disabled()`."""
    call = "autotrack.disable(); autotrack.enable()\n    with autotrack.disabled(): pass"
    loaded = set(run_python(LOADED.format(call=call)).stdout.split())
    assert not loaded & {
        "wrapt",
        "sqlalchemy",
        "msgspec",
        "numpy",
        "asyncio",
        "logging",
        "inspect",
        "autotrack.settings",
    }
