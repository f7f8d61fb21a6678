"""The registry: the static table, version gates, typed options, what beats what, patches that never stack."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sklearn.linear_model
from sklearn.base import BaseEstimator

import autotrack
from autotrack import integrations
from autotrack.errors import IntegrationNotAvailableError, InvalidArgumentError
from autotrack.hooks import guard, layers
from autotrack.integrations import INTEGRATIONS, Integration, registry
from autotrack.integrations.options import IntegrationConfig
from autotrack.models import flavors
from autotrack.models.flavors import FLAVORS
from autotrack.settings import Settings
from autotrack.testing import TemporaryStore

Python = Callable[..., Any]

HEALTH = """
from autotrack.hooks import guard
health = guard.health("sklearn")
print(health.status, "|", health.reason)
"""

X, Y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]


def fit() -> sklearn.linear_model.LogisticRegression:
    """Train something."""
    return sklearn.linear_model.LogisticRegression(C=0.5).fit(X, Y)


def config() -> IntegrationConfig:
    """What is configured for scikit-learn now."""
    return registry.configuration("sklearn")


# The table


def test_every_row_has_a_module_and_every_module_a_row() -> None:
    """No integration lacks its code, and no code its row."""
    shared = {"options", "registry"}
    modules = {found.name for found in pkgutil.iter_modules(integrations.__path__)} - shared
    assert modules == {row.name for row in INTEGRATIONS}
    for row in INTEGRATIONS:
        assert callable(importlib.import_module(f"autotrack.integrations.{row.name}").instrument)


@pytest.mark.parametrize("row", INTEGRATIONS, ids=lambda row: row.name)
def test_row_is_complete(row: Integration) -> None:
    """A framework's row says what to install, which versions, and how to tell the framework from a namesake."""
    assert row.triggers
    assert row is integrations.find(row.name)
    if row.target:
        assert row.distribution
        assert row.probes
        assert registry._numbers(row.minimum) <= registry._numbers(row.tested)
        assert all(trigger.split(".")[0] == row.target for trigger in row.triggers)


def test_integrations_and_flavors_pair_up_by_name() -> None:
    """Where a framework has a flavor of models, the files of flavor and integration have the same name."""
    files = {found.name for found in pkgutil.iter_modules(flavors.__path__)}
    names = {row.module.rpartition(".")[2] for row in FLAVORS}
    assert names == files
    assert {row.name for row in INTEGRATIONS if row.target} & files <= names


def test_options_are_the_fields_of_the_configuration_and_the_parameters_of_autolog() -> None:
    """Option table, frozen configuration, `autolog` of all and of one framework: one list of names."""
    import inspect

    import autotrack.sklearn

    fields = [field.name for field in msgspec.structs.fields(IntegrationConfig)]
    assert list(registry.OPTIONS) == fields
    assert list(inspect.signature(autotrack.autolog).parameters) == fields
    assert list(inspect.signature(autotrack.sklearn.autolog).parameters) == fields


def test_options_that_are_settings_have_the_same_default_and_type() -> None:
    """An option's default is that of the setting of its name."""
    plain, settings = IntegrationConfig(), Settings()
    for field in msgspec.structs.fields(IntegrationConfig):
        if hasattr(settings, field.name):
            assert getattr(plain, field.name) == getattr(settings, field.name), field.name


# Version gates and namesakes


@pytest.mark.parametrize(
    ("version", "options", "expected"),
    [
        ("1.3.2", "", "skipped | scikit-learn 1.3.2 is older than the oldest supported, 1.4"),
        ("1.4", "", "active |"),
        ("99.1.dev0", "", "active |"),
        (
            "99.1.dev0",
            "disable_for_unsupported_versions=True",
            "skipped | scikit-learn 99.1.dev0 is newer than the newest tested, 1.9",
        ),
        ("1.9.7", "disable_for_unsupported_versions=True", "active |"),
    ],
)
def test_version_decides_whether_a_framework_is_patched(
    run_python: Python, version: str, options: str, expected: str
) -> None:
    """Older than supported: left alone; newer than tested: patched, unless asked not to. The reason is kept."""
    done = run_python(f"""
        import sklearn
        sklearn.__version__ = {version!r}
        import autotrack
        autotrack.autolog({options})
        import sklearn.base
        {HEALTH.strip().replace(chr(10), chr(10) + " " * 8)}
    """)
    assert done.stdout.strip() == expected
    assert done.stderr == ""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("form", ["module", "package"])
def test_module_of_the_users_that_bears_a_frameworks_name_is_left_alone(
    run_python: Python, tmp_path: Path, form: str, when: str
) -> None:
    """A program's own `sklearn.py`, or package of that name, is skipped with a reason (edge case I15)."""
    if form == "module":
        (tmp_path / "sklearn.py").write_text("def fit(): return 'mine'\n")
    else:
        (tmp_path / "sklearn").mkdir()
        (tmp_path / "sklearn" / "__init__.py").write_text("from sklearn import base\ndef fit(): return 'mine'\n")
        (tmp_path / "sklearn" / "base.py").write_text("class BaseEstimator: pass\n")
    lines = ["import autotrack; autotrack.autolog()", "import sklearn"]
    script = tmp_path / "program.py"
    script.write_text("\n".join([*(lines if when == "after" else lines[::-1]), "print(sklearn.fit())", HEALTH]))
    done = run_python(script)
    assert done.stdout == "mine\nskipped | the module 'sklearn' that was imported is not scikit-learn\n"
    assert done.stderr == ""


def test_framework_that_is_not_installed_is_an_error_when_asked_for_by_name(
    autotrack_store: TemporaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`autolog()` of all is silent about what is missing; of one framework it says what to install."""
    row = Integration("absent", ("absent_framework",), "absent_framework", "absent-framework")
    monkeypatch.setattr(registry, "find", lambda name: row)
    with pytest.raises(IntegrationNotAvailableError, match=r"pip install absent-framework$"):
        registry.require("absent")


# Options


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("log_models", "yes"),
        ("log_models", 1),
        ("disable", "true"),
        ("silent", 0),
        ("extra_tags", [("team", "a")]),
        ("log_training_metrics", "some"),
        ("log_training_metrics", True),
        ("no_such_option", True),
    ],
)
@pytest.mark.parametrize("name", [None, "sklearn"])
def test_bad_option_is_an_error_and_changes_nothing(
    autotrack_store: TemporaryStore, name: str | None, option: str, value: object
) -> None:
    """A value of the wrong type, a value or an option that is not known: nothing of the call counts."""
    from autotrack import automatic, console

    autotrack.autolog(log_datasets=False)
    before = config()
    with pytest.raises(InvalidArgumentError, match=option):
        automatic.configure({"log_models": False, "silent": True, option: value}, name)
    assert config() == before
    assert not console.silent
    assert guard.health("sklearn").status == "active"


def test_unknown_integration_is_an_error() -> None:
    """Options of an integration that does not exist: the message names those that do."""
    with pytest.raises(InvalidArgumentError, match=" or ".join(row.name for row in INTEGRATIONS)):
        registry.configure({"log_models": False}, "caffe")


def test_specific_option_beats_a_global_one_whichever_came_first(autotrack_store: TemporaryStore) -> None:
    """What was set for one framework stays, before and after the same option is set for all; others follow."""
    autotrack.sklearn.autolog(log_models=False)
    autotrack.autolog(log_models=True, log_datasets=False)
    assert (config().log_models, config().log_datasets) == (False, False)
    autotrack.autolog(log_models=False, log_datasets=True)
    autotrack.sklearn.autolog(log_models=True)
    assert (config().log_models, config().log_datasets) == (True, True)


def test_option_that_is_not_given_stays_as_it_is(autotrack_store: TemporaryStore) -> None:
    """A second call changes only what it names."""
    autotrack.autolog(log_models=False, log_training_metrics="none")
    autotrack.autolog(log_datasets=False)
    assert (config().log_models, config().log_datasets, config().log_training_metrics) == (False, False, "none")


def test_options_beat_settings(autotrack_store: TemporaryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Call argument > environment > default."""
    from autotrack import config as configuration

    monkeypatch.setenv("AUTOTRACK_LOG_MODELS", "0")
    monkeypatch.setenv("AUTOTRACK_LOG_DATASETS", "0")
    configuration.reload()
    autotrack.autolog(log_models=True)
    assert (config().log_models, config().log_datasets) == (True, False)


def test_extra_tags_of_settings_all_and_one_add_up(
    autotrack_store: TemporaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tags are merged, the more specific one winning, and stand on the run as text."""
    from autotrack import config as configuration

    monkeypatch.setenv("AUTOTRACK_EXTRA_TAGS", "a=settings,b=settings,c=settings")
    configuration.reload()
    autotrack.autolog(extra_tags={"b": "all", "c": "all"})
    autotrack.sklearn.autolog(extra_tags={"c": "one", "number": 3})
    fit()
    tags = autotrack_store.only_run().data.tags
    assert {key: tags[key] for key in ("a", "b", "c", "number")} == {
        "a": "settings", "b": "all", "c": "one", "number": "3",
    }  # fmt: skip


def test_exclusive_records_nothing_inside_runs_of_the_programs_own(autotrack_store: TemporaryStore) -> None:
    """With `exclusive`, an explicit run holds only what was logged to it; outside, fits are recorded."""
    autotrack.autolog(exclusive=True)
    with autotrack.start_run(run_name="mine"):
        fit()
    autotrack.autolog(exclusive=False)
    with autotrack.start_run(run_name="shared"):
        fit()
    mine, shared = autotrack_store.runs()
    assert (mine.info.run_name, mine.data.params) == ("mine", {})
    assert shared.data.params["C"] == "0.5"


# Patches


def raw_attributes() -> dict[tuple[str, str], object]:
    """The raw descriptors of all estimator classes that are loaded, and of the metric functions."""
    found: dict[tuple[str, str], object] = {}
    waiting: list[type] = [BaseEstimator]
    while waiting:
        cls = waiting.pop()
        waiting.extend(type.__subclasses__(cls))
        for base in cls.__mro__:
            found.update({(f"{base.__module__}.{base.__qualname__}", name): raw for name, raw in vars(base).items()})
    for module in [module for name, module in sys.modules.items() if name.startswith("sklearn.") and module]:
        found.update({(module.__name__, name): value for name, value in list(vars(module).items())})
    return found


def test_patches_never_stack_and_all_come_off(autotrack_store: TemporaryStore) -> None:
    """After any number of `autolog()` calls one `disable()` gives the identical raw descriptors back."""
    import sklearn.metrics
    import sklearn.model_selection  # noqa: F401

    registry.reset()
    importlib.import_module("autotrack.integrations.sklearn")
    before = raw_attributes()
    for _ in range(3):
        autotrack.autolog()
        autotrack.sklearn.autolog(log_models=False)
    assert layers.installed()
    fit()
    assert len(autotrack_store.runs()) == 1
    autotrack.disable()
    after = raw_attributes()
    changed = [key for key, raw in before.items() if after.get(key) is not raw]
    assert changed == []
    assert layers.installed() == ["sys.exit"]  # watched as long as something may be recorded


class Reconfigures(BaseEstimator):
    """Changes autotrack's options in the middle of its fit."""

    def fit(self, X: Any, y: Any = None) -> Reconfigures:
        """Learn nothing."""
        autotrack.sklearn.autolog(log_datasets=False, extra_tags={"late": "1"})
        return self


def test_fit_in_flight_keeps_the_configuration_that_it_began_with(autotrack_store: TemporaryStore) -> None:
    """Options that change during a fit count from the next one on; the fit is recorded to its end (edge case E22)."""
    autotrack.autolog()
    Reconfigures().fit(X, Y)
    fit()
    first, second = autotrack_store.runs()
    assert (first.info.status, second.info.status) == ("FINISHED", "FINISHED")
    assert len(first.inputs.dataset_inputs) == 1
    assert second.inputs.dataset_inputs == []
    assert "late" not in first.data.tags
    assert second.data.tags["late"] == "1"
    assert first.info.degraded == second.info.degraded


def test_broken_integration_gets_another_chance_by_autolog(autotrack_store: TemporaryStore, shield_on: None) -> None:
    """The breaker of an integration is closed when it is switched on anew."""
    autotrack.autolog()
    health = guard.health("sklearn")
    for _ in range(guard.MAX_ERRORS):
        guard.call(health, "a test", int, "no number")
    assert health.broken
    fit()
    assert autotrack_store.runs() == []
    autotrack.autolog()
    fit()
    assert len(autotrack_store.runs()) == 1
    assert health.status == "active"


def test_framework_that_is_imported_again_is_patched_again(run_python: Python) -> None:
    """Modules that were removed from `sys.modules` and are imported anew are hooked, and the old ones let go."""
    done = run_python("""
        import sys
        import autotrack
        autotrack.autolog()
        from sklearn.linear_model import LinearRegression as First
        for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn" and "_" not in name]:
            del sys.modules[name]
        from sklearn.base import BaseEstimator
        class Second(BaseEstimator):
            def fit(self, X): return self
        Second().fit([[1.0]])
        print([run.info.run_name for run in autotrack.search_runs(output_format="list")])
        autotrack.disable()
        from autotrack.hooks import layers
        print(layers.installed())
    """)
    assert done.stdout == "['Second']\n['sys.exit']\n"


def test_one_thread_imports_a_framework_while_another_switches_on(run_python: Python) -> None:
    """Whoever comes first, there is no deadlock and each fit is recorded once (edge case I19)."""
    source = """
        import sys, threading
        import autotrack
        start = threading.Barrier(2)
        def load():
            start.wait()
            import sklearn.linear_model
        def switch_on():
            start.wait()
            for _ in range({calls}):
                autotrack.autolog()
        threads = [threading.Thread(target=work, daemon=True) for work in (load, switch_on)]
        for thread in threads: thread.start()
        for thread in threads: thread.join(60)
        assert not any(thread.is_alive() for thread in threads), "deadlock"
        from sklearn.linear_model import LinearRegression
        LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])
        from autotrack.hooks import guard
        print(len(autotrack.search_runs(output_format="list")), guard.health("sklearn").status)
    """
    for number, calls in enumerate((1, 3000)):
        env = {"AUTOTRACK_TRACKING_URI": f"store-{number}"}
        assert run_python(source.format(calls=calls), env=env).stdout == "1 active\n"
