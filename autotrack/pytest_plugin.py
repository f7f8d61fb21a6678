"""The pytest plugin: autotrack is off in tests that do not ask for it (see `testing`).

Loaded at every start of pytest in an environment where autotrack is installed: it imports nothing that pytest has not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from autotrack import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotrack.testing import FixedClock, TemporaryStore

MARKER = "autotrack: autotrack may record in this test, into a store of its own (see autotrack.testing)"

_SUSPENDED = pytest.StashKey[bool]()
"""It was this session that suspended autotrack, not one around it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--autotrack`."""
    group = parser.getgroup("autotrack")
    group.addoption("--autotrack", action="store_true", help="let autotrack record in this session, as without pytest")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Keep autotrack off from before the first conftest.py is imported."""
    if not early_config.known_args_namespace.autotrack:
        _suspend(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Keep autotrack off, where this plugin was loaded by a conftest.py; or let it be after all."""
    config.addinivalue_line("markers", MARKER)
    if not config.option.autotrack:
        _suspend(config)
    elif config.stash.get(_SUSPENDED, False):
        _resume()


def _suspend(config: pytest.Config) -> None:
    if process.suspended:
        return
    from autotrack import bootstrap

    bootstrap.suspend()
    config.stash[_SUSPENDED] = True
    config.add_cleanup(_resume)


def _resume() -> None:
    from autotrack import bootstrap

    bootstrap.resume()


def pytest_itemcollected(item: pytest.Item) -> None:
    """The marker asks for the fixture, before all others of the test."""
    if isinstance(item, pytest.Function) and item.get_closest_marker("autotrack"):
        others = [name for name in item.fixturenames if name != "autotrack_store"]
        item.fixturenames = ["autotrack_store", *others]


@pytest.fixture
def autotrack_store(tmp_path: Path) -> Iterator[TemporaryStore]:
    """A store of this test's own, into which autotrack may record; it is on once `autotrack.autolog()` is called."""
    from autotrack import testing

    with testing.fresh_process(), testing.temporary_store(tmp_path / "autotrack-store") as store:
        yield store


@pytest.fixture
def autotrack_clock() -> Iterator[FixedClock]:
    """Time that stands still, and ids that count from 1, in what autotrack records."""
    from autotrack import testing

    with testing.fixed_clock() as clock:
        yield clock
