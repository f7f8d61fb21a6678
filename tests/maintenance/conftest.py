"""Empty stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from autotrack.store.engine import Store
from autotrack.tracking.access import Access


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Access]:
    """An empty SQLite store."""
    access = Access(tmp_path / "source")
    yield access
    access.store.dispose()


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Access]:
    """An empty store on each engine; files of a server's lie in a folder of their own."""
    if request.param == "sqlite":
        yield Access(tmp_path / "target")
        return
    (tmp_path / "home" / ".autotrack").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "home")
    fixture = {"postgresql": "postgres_url", "mysql": "mariadb_url"}[request.param]
    access = Access(request.getfixturevalue(fixture))
    yield access
    Store.forget(access.location)


@pytest.fixture
def near(tmp_path: Path) -> Iterator[Access]:
    """An empty SQLite store to write into."""
    access = Access(tmp_path / "near")
    yield access
    access.store.dispose()
