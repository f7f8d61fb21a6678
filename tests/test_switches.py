"""The switches: `autolog`, `disable`, `enable`, AUTOTRACK_DISABLE, and `disabled()` per context."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LinearRegression, Ridge

import autotrack
from autotrack import bootstrap, config
from autotrack.errors import InvalidArgumentError
from autotrack.hooks import guard, imports, layers
from autotrack.integrations import registry
from autotrack.testing import TemporaryStore

Python = Callable[..., Any]

X, Y = [[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0]


def fit(alpha: float = 1.0) -> Ridge:
    """Train something."""
    return Ridge(alpha=alpha).fit(X, Y)


def is_on() -> bool:
    """Whether patches and import finder are there; never the one without the other."""
    patched = any(target.startswith("sklearn.") for target in layers.installed())
    assert patched == imports.is_installed() == bootstrap.STATE.active
    return patched


OFF: dict[str, Callable[[], None]] = {
    "disable()": autotrack.disable,
    "autolog(disable=True)": lambda: autotrack.autolog(disable=True),
}
ON: dict[str, Callable[[], None]] = {
    "enable()": autotrack.enable,
    "autolog()": autotrack.autolog,
    "autolog(disable=False)": lambda: autotrack.autolog(disable=False),
}


@pytest.mark.parametrize("on", ON)
@pytest.mark.parametrize("off", OFF)
def test_off_is_absolute_until_it_is_taken_back(autotrack_store: TemporaryStore, off: str, on: str) -> None:
    """Switched off, nothing is patched, also where one framework was asked for; options count again afterwards."""
    autotrack.autolog(extra_tags={"team": "a"})
    assert is_on()
    OFF[off]()
    assert not is_on()
    autotrack.sklearn.autolog(log_models=False)
    assert not is_on()
    fit()
    assert autotrack_store.runs() == []
    ON[on]()
    assert is_on()
    fit()
    run = autotrack_store.only_run()
    assert run.data.tags["team"] == "a"
    assert run.outputs.model_outputs == []


@pytest.mark.parametrize("switch_on", ["autolog()", "autolog(disable=False)", "sklearn.autolog()", "enable()"])
def test_disabling_variable_cannot_be_overruled(
    autotrack_store: TemporaryStore, monkeypatch: pytest.MonkeyPatch, switch_on: str
) -> None:
    """`AUTOTRACK_DISABLE=1` stops everything, the import finder included."""
    monkeypatch.setenv("AUTOTRACK_DISABLE", "1")
    config.reload()
    if switch_on == "sklearn.autolog()":
        autotrack.sklearn.autolog()
    else:
        ON[switch_on]()
    assert not is_on()
    fit()
    assert autotrack_store.runs() == []
    assert guard.health("sklearn").status == "off"


def test_disabling_in_the_project_file_switches_off(run_python: Python, tmp_path: Any) -> None:
    """`disable: true` of the project counts like the variable."""
    (tmp_path / "autotrack.yaml").write_text("disable: true\n")
    done = run_python("""
        import autotrack
        autotrack.autolog()
        from sklearn.linear_model import Ridge
        Ridge().fit([[1.0], [2.0]], [1.0, 2.0])
        print(len(autotrack.search_runs(output_format="list")))
    """)
    assert done.stdout == "0\n"


def test_one_framework_can_be_switched_off_and_on(autotrack_store: TemporaryStore) -> None:
    """`autotrack.sklearn.autolog(disable=True)` holds whatever is set for all, until it is taken back."""
    autotrack.sklearn.autolog(disable=True)
    autotrack.autolog()
    fit()
    assert (guard.health("sklearn").status, guard.health("sklearn").reason) == ("off", "switched off")
    autotrack.sklearn.autolog(disable=False)
    fit()
    assert len(autotrack_store.runs()) == 1


def test_only_the_wanted_integrations_are_turned_on(
    autotrack_store: TemporaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting `integrations` names those that may be patched."""
    monkeypatch.setenv("AUTOTRACK_INTEGRATIONS", "torch")
    config.reload()
    autotrack.autolog()
    fit()
    assert autotrack_store.runs() == []
    monkeypatch.setenv("AUTOTRACK_INTEGRATIONS", "torch,sklearn")
    config.reload()
    autotrack.autolog()
    fit()
    assert len(autotrack_store.runs()) == 1


def test_calls_that_change_nothing_keep_the_patches(autotrack_store: TemporaryStore) -> None:
    """A repeated `autolog()`, `enable()` or `disable()` neither repeats nor loses anything."""
    before = vars(LinearRegression)["fit"]
    autotrack.autolog()
    patched = vars(LinearRegression)["fit"]
    assert patched is not before
    autotrack.autolog()
    autotrack.enable()
    assert vars(LinearRegression)["fit"] is patched
    autotrack.disable()
    autotrack.disable()
    assert vars(LinearRegression)["fit"] is before


def test_silence_is_kept_on_stderr(run_python: Python) -> None:
    """With `silent=True` a store that is away goes unmentioned; without it is said once. stdout is never written."""
    source = """
        import autotrack
        autotrack.set_tracking_uri("postgresql://nobody@127.0.0.1:9/none")
        autotrack.autolog({options})
        from sklearn.linear_model import Ridge
        for _ in range(3):
            Ridge().fit([[1.0], [2.0]], [1.0, 2.0])
    """
    loud = run_python(source.format(options=""))
    assert loud.stdout == ""
    assert loud.stderr.count("(nothing is lost") == 1
    quiet = run_python(source.format(options="silent=True"))
    assert (quiet.stdout, quiet.stderr) == ("", "")


def test_debug_tells_what_is_hooked_trained_and_left_out(run_python: Python, tmp_path: Path) -> None:
    """By the variable or in the project's file: a line each on stderr; stdout is the program's own."""
    source = """
        import autotrack
        autotrack.autolog(log_models=False)
        from sklearn.linear_model import Ridge
        Ridge().fit([[1.0], [2.0]], [1.0, 2.0])
        with autotrack.start_run():
            pass
    """
    by_variable = run_python(source, env={"AUTOTRACK_DEBUG": "1"})
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "pyproject.toml").write_text("[tool.autotrack]\ndebug = true\n")
    for done in (by_variable, run_python(source, cwd=tmp_path / "project")):
        assert done.stdout == ""
        told = re.sub("run [0-9a-f]{8}", "run ID", done.stderr)
        assert re.search(r"^autotrack: sklearn [\d.]+ is active$", told, re.MULTILINE), told
        assert re.search(r"^autotrack: run ID: Ridge.fit, at .*:\d+ in <module>$", told, re.MULTILINE), told
        assert "autotrack: run ID: model is left out: the option log_models is off\n" in told
        assert told.count("autotrack: run ID: FINISHED\n") == 2
        assert told.count("autotrack: run ID: begins\n") == 1


# disabled()


def test_disabled_nests(autotrack_store: TemporaryStore) -> None:
    """Recording begins again when the outermost block ends, also by an exception."""
    autotrack.autolog()
    switch = autotrack.disabled()
    with switch:
        with pytest.raises(ValueError, match="alpha"), switch, autotrack.disabled():
            fit(-1)
        fit(2)
        with switch:
            fit(3)
        fit(4)
    fit(5)
    assert autotrack_store.only_run().data.params["alpha"] == "5"


def test_disabled_keeps_fits_out_of_an_explicit_run(autotrack_store: TemporaryStore) -> None:
    """Explicit calls record inside the block; fits do not, though a run is open."""
    autotrack.autolog()
    with autotrack.start_run(), autotrack.disabled():
        fit()
        autotrack.log_metric("loss", 0.5)
    run = autotrack_store.only_run()
    assert (run.data.metrics, run.data.params) == ({"loss": 0.5}, {})


def test_run_inside_disabled_records_no_fits(autotrack_store: TemporaryStore) -> None:
    """An explicit run that is opened inside the block holds what was logged to it alone."""
    autotrack.autolog()
    with autotrack.disabled(), autotrack.start_run():
        fit()
    assert autotrack_store.only_run().data.params == {}


def test_disabled_is_of_one_thread(autotrack_store: TemporaryStore) -> None:
    """Another thread that runs at the same time is recorded."""
    autotrack.autolog()
    inside, done = threading.Event(), threading.Event()

    def other() -> None:
        inside.wait(30)
        fit(2)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with autotrack.disabled():
        inside.set()
        assert done.wait(30)
        fit(1)
    thread.join()
    assert autotrack_store.only_run().data.params["alpha"] == "2"


def test_threads_that_are_started_inside_disabled_are_disabled(autotrack_store: TemporaryStore) -> None:
    """Work that is handed on inside the block belongs to it, in a thread or a pool of threads."""
    autotrack.autolog()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(fit, 1).result()
        with autotrack.disabled():
            pool.submit(fit, 2).result()
            thread = threading.Thread(target=fit, args=(3,))
            thread.start()
            thread.join()
        pool.submit(fit, 4).result()
    assert [run.data.params["alpha"] for run in autotrack_store.runs()] == ["1", "4"]


def test_disabled_is_of_one_task(autotrack_store: TemporaryStore) -> None:
    """Of two asyncio tasks that take turns, the one that is disabled records nothing."""
    autotrack.autolog()

    async def quiet() -> None:
        with autotrack.disabled():
            await asyncio.sleep(0)
            fit(1)
            await asyncio.sleep(0)
            fit(2)

    async def loud() -> None:
        await asyncio.sleep(0)
        fit(3)
        await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(quiet(), loud())

    asyncio.run(main())
    assert autotrack_store.only_run().data.params["alpha"] == "3"


def test_disabled_decorates_functions(autotrack_store: TemporaryStore) -> None:
    """Inside its calls, recursive ones too, nothing is recorded; result, name and exception are the function's."""
    autotrack.autolog()

    @autotrack.disabled()
    def search(depth: int) -> int:
        """Search."""
        fit()
        return search(depth - 1) + 1 if depth else 0

    assert search(2) == 2
    assert (search.__name__, search.__doc__) == ("search", "Search.")
    with pytest.raises(TypeError):
        search("deep")  # type: ignore[arg-type]
    fit(5)
    assert autotrack_store.only_run().data.params["alpha"] == "5"


def test_disabled_decorates_coroutine_functions(autotrack_store: TemporaryStore) -> None:
    """From the first step of the coroutine to its end, and it still is a coroutine function."""
    autotrack.autolog()

    @autotrack.disabled()
    async def search(number: int) -> int:
        fit(1)
        await asyncio.sleep(0)
        fit(2)
        return number

    assert asyncio.iscoroutinefunction(search) if sys.version_info < (3, 14) else True

    async def main() -> list[int]:
        task = asyncio.create_task(search(1))
        await asyncio.sleep(0)
        fit(3)
        return [await task, await search(2)]

    assert asyncio.run(main()) == [1, 2]
    assert autotrack_store.only_run().data.params["alpha"] == "3"


def test_disabled_refuses_generator_functions() -> None:
    """Their body runs in the context of whoever iterates: the decorator could not keep its word."""

    def generate() -> Iterator[int]:
        yield 1

    async def generate_later() -> AsyncIterator[int]:
        yield 1

    for function in (generate, generate_later):
        with pytest.raises(InvalidArgumentError, match="no generator function"):
            autotrack.disabled()(function)


def test_options_beat_nothing_while_all_is_off(autotrack_store: TemporaryStore) -> None:
    """Options that are set while everything is off are kept for later."""
    autotrack.disable()
    autotrack.sklearn.autolog(log_models=False, disable=False)
    assert registry.is_off()
    assert not is_on()
    autotrack.enable()
    assert not registry.configuration("sklearn").log_models
