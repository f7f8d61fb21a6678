"""Activation: one code path for zero-code start and `autotrack.autolog()`, idempotent, and lazy to the last."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from zero_code_interpreters import HOOK, Interpreter, Outcome

Write = Callable[..., Path]

PACKAGES = os.path.dirname(os.path.dirname(msgspec.__file__))
"""Where autotrack's dependencies are."""


def test_second_activation_is_a_no_op(python: Interpreter) -> None:
    """Activating twice, or by API under the hook, says so and installs one finder."""
    command = (
        "import sys; from autotrack import bootstrap\n"
        "print(bootstrap.activate('worker'), '/', bootstrap.activate())\n"
        "print(bootstrap.STATE.role, bootstrap.STATE.source, bootstrap.STATE.hook_position)\n"
        "print(sum(type(f).__module__ == 'autotrack.hooks.imports' for f in sys.meta_path))\n"
    )
    again = "already active (role {}, by {})"
    by_api = f"active (role worker, by api) / {again.format('worker', 'api')}\nworker api None\n1\n"
    assert python.run("-c", command) == Outcome(by_api, "", 0)
    by_hook = f"{again.format('main', 'hook')} / {again.format('main', 'hook')}\nmain hook 0\n1\n"
    assert python.hooked("-c", command) == Outcome(by_hook, "", 0)


def test_hook_verdict_and_position_are_kept_for_doctor(python: Interpreter, tmp_path: Path) -> None:
    """What the hook decided, and how many folders stood before it, can be asked for afterwards."""
    command = "from autotrack import bootstrap as b; print(b.hook_verdict(), b.STATE.active, b.STATE.hook_position)"
    assert python.run("-c", command).stdout == " False None\n"
    assert python.hooked("-c", command).stdout == "active (role main, by hook) True 0\n"
    assert python.hooked("-c", command, hook=tmp_path, path=(HOOK,)).stdout.endswith("True 1\n")
    disabled = python.hooked("-c", command, AUTOTRACK_DISABLE="1").stdout
    assert disabled == "inactive: AUTOTRACK_DISABLE is set False None\n"


def test_deactivation_takes_the_finder_off_and_activation_restores_the_role(python: Interpreter) -> None:
    """After `deactivate` the finders are those of plain Python; activating again keeps role and source."""
    command = (
        "import sys; from autotrack import bootstrap, process\n"
        "bootstrap.deactivate(); print(process.activated, len(sys.meta_path))\n"
        "bootstrap.deactivate(); print(bootstrap.activate('main', 'api'), process.activated, len(sys.meta_path))\n"
    )
    finders = int(python.run("-c", "import sys; print(len(sys.meta_path))").stdout)
    done = python.hooked("-c", command, RANK="2")
    assert done == Outcome(f"False {finders}\nactive (role rank, by hook) True {finders + 1}\n", "", 0)


def test_role_of_a_process_that_activates_itself_is_found_out(python: Interpreter) -> None:
    """`autolog()` in a rank or in a spawned worker is no "main", though no hook said so."""
    command = "from autotrack import bootstrap, process; bootstrap.activate(); print(process.role, process.source)"
    assert python.run("-c", command, PYTHONPATH=PACKAGES).stdout == "main api\n"
    assert python.run("-c", command, PYTHONPATH=PACKAGES, RANK="1").stdout == "rank api\n"


def test_spawned_worker_that_runs_the_program_again_is_a_worker(python: Interpreter, program: Write) -> None:
    """multiprocessing imports the main module in its children, and so runs the program's `autolog()` there."""
    script = program(
        "import multiprocessing\nfrom autotrack import bootstrap, process\n"
        "bootstrap.activate()\n"
        "def role(): print(process.role, flush=True)\n"
        "if __name__ == '__main__':\n"
        "    role()\n"
        "    child = multiprocessing.get_context('spawn').Process(target=role); child.start(); child.join()\n"
    )
    assert python.run(script, PYTHONPATH=PACKAGES) == Outcome("main\nworker\n", "", 0)


def test_registry_is_loaded_by_the_import_of_a_framework_and_not_before(python: Interpreter, program: Write) -> None:
    """Nothing but the finder exists until a trigger module is imported; after `deactivate` not even then."""
    script = program(
        "import sys; from autotrack import bootstrap\n"
        "def loaded(): return 'autotrack.integrations.registry' in sys.modules\n"
        "if len(sys.argv) > 1: bootstrap.deactivate()\n"
        "print(loaded()); import sklearn.base; print(loaded())\n"
    )
    program("", "sklearn/__init__.py")
    program("class BaseEstimator: pass", "sklearn/base.py")
    assert python.launched(script, PYTHONPATH=PACKAGES).stdout == "False\nTrue\n"
    assert python.launched(script, "off", PYTHONPATH=PACKAGES).stdout == "False\nFalse\n"
