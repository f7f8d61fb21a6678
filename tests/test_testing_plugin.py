"""The pytest plugin in real runs of pytest: off unless asked for, nothing left behind, next to no cost at start."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from autotrack.client import Client

HEAVY = ("msgspec", "sqlalchemy", "numpy", "wrapt", "yaml", "asyncio", "sklearn")

TRAIN = """
    import autotrack
    from sklearn.linear_model import LinearRegression

    def train(switch_on=True):
        if switch_on:
            autotrack.autolog()
        return LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])
"""


class Session(NamedTuple):
    """What came of a run of pytest."""

    passed: int
    output: str
    runs: list[str]
    """Names of the runs in the store that the settings name."""


@pytest.fixture
def run_pytest(run_python: Callable[..., Any], tmp_path: Path) -> Callable[..., Session]:
    """Run pytest on a file of tests, in an environment where autotrack is installed: its entry point is there."""
    installed = tmp_path / "installed"
    metadata = installed / "autotrack-0.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: autotrack\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text("[pytest11]\nautotrack = autotrack.testing\n")
    program = tmp_path / "program"
    program.mkdir()
    (program / "training.py").write_text(textwrap.dedent(TRAIN))

    def run(
        tests: str,
        *options: str,
        launcher: tuple[str, ...] = (),
        plugin: str = "autotrack",
        passes: bool = True,
        **files: str,
    ) -> Session:
        (program / "test_program.py").write_text(textwrap.dedent(tests))
        for name, text in files.items():
            (program / f"{name}.py").write_text(textwrap.dedent(text))
        command = (*launcher, "-m", "pytest", "-p", "no:cacheprovider", "--strict-markers", "-rA", *options)
        # Other plugins of this machine may import anything.
        env = {"PYTHONPATH": str(installed), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": None}
        done = run_python(*command, "-p", plugin, cwd=program, env=env, status=0 if passes else None)
        runs = Client(os.environ["AUTOTRACK_TRACKING_URI"]).search_runs()
        output = done.stdout + done.stderr
        return Session(output.count("PASSED "), output, sorted(run.info.run_name for run in runs))

    return run


OFF = """
    import os, subprocess, sys
    import autotrack
    from autotrack import process
    from training import train
    autotrack.autolog()
    from sklearn.base import BaseEstimator

    def test_nothing_is_patched():
        train()
        assert type(BaseEstimator.__init_subclass__).__module__ == "builtins"
        assert not any(type(one).__module__.startswith("autotrack") for one in sys.meta_path)
        assert not process.activated

    def test_child_processes_are_left_alone():
        code = "import sys; print('_autotrack_hook' in sys.modules, 'autotrack.bootstrap' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split()[1] == "False"

    def test_explicit_calls_record():
        with autotrack.start_run(run_name="mine"):
            autotrack.log_metric("loss", 0.5)
            train()
"""


@pytest.mark.parametrize("launcher", [(), ("-m", "autotrack")], ids=["plain", "launched"])
def test_autotrack_is_off_under_pytest(run_pytest: Callable[..., Session], launcher: tuple[str, ...]) -> None:
    """Whatever the program calls and however pytest is started, no fit is recorded; explicit calls are."""
    done = run_pytest(OFF, launcher=launcher)
    assert (done.passed, done.runs) == (3, ["mine"])


def test_option_lets_autotrack_be(run_pytest: Callable[..., Session]) -> None:
    """With `--autotrack` all is as without pytest: recorded into the store that the settings name."""
    tests = """
        from training import train
        def test_training(): train()
    """
    assert run_pytest(tests, "--autotrack").runs == ["LinearRegression"]


def test_option_lets_the_launcher_record_without_a_line(run_pytest: Callable[..., Session]) -> None:
    """`python -m autotrack -m pytest --autotrack` records what the tests train; a test that asks has its own store."""
    tests = """
        from training import train
        def test_zero_code(): train(switch_on=False)
        def test_own_store(autotrack_store):
            train()
            train()
            assert len(autotrack_store.runs()) == 2
        def test_zero_code_again(): train(switch_on=False)
    """
    done = run_pytest(tests, "--autotrack", launcher=("-m", "autotrack"))
    assert (done.passed, done.runs) == (3, ["LinearRegression", "LinearRegression"])


def test_options_of_the_session_count_again_after_a_test_that_asks(run_pytest: Callable[..., Session]) -> None:
    """What conftest.py configured stays configured, but not within a test that asks."""
    tests = """
        import pytest
        from autotrack.integrations import registry
        from training import train
        def options(): return registry.configuration("sklearn")
        def test_before(): assert options().extra_tags == {"team": "a"}
        @pytest.mark.autotrack
        def test_asks():
            assert options().extra_tags == {}
        def test_after():
            assert options().extra_tags == {"team": "a"}
            train(switch_on=False)
    """
    done = run_pytest(tests, "--autotrack", conftest="import autotrack; autotrack.autolog(extra_tags={'team': 'a'})\n")
    assert (done.passed, done.runs) == (3, ["LinearRegression"])


def test_fixture_lets_a_test_record_into_a_store_of_its_own(run_pytest: Callable[..., Session]) -> None:
    """The test sees what it recorded and nothing else; before and after it autotrack is off."""
    tests = """
        import pytest
        from autotrack import process
        from training import train

        def test_before(): train(); assert process.suspended

        @pytest.mark.parametrize("number", [1, 2])
        def test_asks(autotrack_store, number):
            assert autotrack_store.runs() == []
            train(switch_on=False)
            assert autotrack_store.runs() == []
            train()
            run = autotrack_store.only_run()
            assert run.info.run_name == "LinearRegression"
            assert autotrack_store.path.is_dir() and autotrack_store.client.get_run(run.info.run_id) == run

        def test_after(): train(); assert process.suspended and not process.activated
    """
    done = run_pytest(tests)
    assert (done.passed, done.runs) == (4, [])


def test_marker_asks_for_the_test_and_its_fixtures(run_pytest: Callable[..., Session]) -> None:
    """A marked test, function, method or one case of several, records; so do the fixtures that only it uses."""
    tests = """
        import unittest
        import pytest
        from autotrack import process
        from training import train

        @pytest.fixture
        def suspended(): return process.suspended

        @pytest.mark.autotrack
        def test_function(suspended, request):
            assert not suspended
            store = request.getfixturevalue("autotrack_store")
            train()
            assert store.only_run().info.status == "FINISHED"

        @pytest.mark.parametrize("on", [False, pytest.param(True, marks=pytest.mark.autotrack)])
        def test_case(suspended, on): assert suspended is not on

        @pytest.mark.autotrack
        class TestMethods(unittest.TestCase):
            def test_method(self): assert not process.suspended

        def test_unmarked(suspended): assert suspended
    """
    done = run_pytest(tests)
    assert (done.passed, done.runs) == (5, [])


def test_what_is_left_behind_fails_the_test(run_pytest: Callable[..., Session]) -> None:
    """A patch that was not taken off and a thread that goes on are reported after the test that asked."""
    tests = """
        import json, threading
        from autotrack.hooks import guard
        from autotrack.hooks.patching import Patcher

        def handler(call):
            yield

        def test_leaves(autotrack_store):
            patcher = Patcher("mine", guard.health("mine"))
            patcher.function(json, "dumps", handler)
            threading.Thread(target=threading.Event().wait, name="autotrack-stray", daemon=True).start()
    """
    done = run_pytest(tests, passes=False)
    assert "1 passed, 1 error" in done.output
    assert "autotrack has left behind: patch on json.dumps; thread autotrack-stray" in done.output


def test_open_runs_and_threads_end_with_the_test(run_pytest: Callable[..., Session]) -> None:
    """A run that the test leaves open is ended with it, `sys.exit` is the original again, no thread goes on."""
    tests = """
        import sys, threading
        import autotrack
        from training import train
        exit = sys.exit

        def test_leaves_a_run_open(autotrack_store):
            train()
            autotrack.start_run()
            autotrack.start_run(nested=True)
            autotrack.log_metric("loss", 1.0)
            assert sys.exit is not exit

        def test_is_clean():
            assert autotrack.active_run() is None
            assert sys.exit is exit
            assert not [one for one in threading.enumerate() if one.name.startswith("autotrack")]
    """
    assert run_pytest(tests).passed == 2


def test_pytest_within_a_program_leaves_its_recording_on(run_python: Callable[..., Any], tmp_path: Path) -> None:
    """A notebook that calls `pytest.main()` records again afterwards, and not in between."""
    (tmp_path / "test_inner.py").write_text(
        "from sklearn.linear_model import Ridge\ndef test_fit(): Ridge().fit([[1.0], [2.0]], [1.0, 2.0])\n"
    )
    done = run_python("""
        import autotrack, pytest
        from sklearn.linear_model import LinearRegression
        autotrack.autolog()
        import autotrack.testing
        plugins = [] if "autotrack" in pytest.__dict__ else [autotrack.testing]
        assert pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:autotrack"], plugins) == 0
        LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])
        print([run.info.run_name for run in autotrack.search_runs(output_format="list")])
    """)
    assert done.stdout.splitlines()[-1] == "['LinearRegression']"


def test_start_of_pytest_imports_nothing_heavy(run_pytest: Callable[..., Session], tmp_path: Path) -> None:
    """With the plugin pytest imports a few small modules of autotrack's more, and nothing else."""
    report = """
        import json, sys
        def pytest_unconfigure(config):
            name = "with" if config.pluginmanager.has_plugin("autotrack") else "without"
            with open(f"{name}.json", "w") as file:
                json.dump(sorted(sys.modules), file)
    """
    run_pytest("def test_nothing(): pass", "--collect-only", conftest=report)
    run_pytest("def test_nothing(): pass", "--collect-only", plugin="no:autotrack", conftest=report)
    loaded = {
        name: set(json.loads((tmp_path / "program" / f"{name}.json").read_text())) for name in ("with", "without")
    }
    added = loaded["with"] - loaded["without"]
    assert {name for name in added if name.partition(".")[0] != "autotrack"} == set()
    assert added & {"autotrack.automatic", "autotrack.client", "autotrack.settings"} == set()
    assert not added.intersection(HEAVY)
    assert len(added) <= 12
