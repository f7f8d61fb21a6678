"""Fixtures of the integrations' tests."""

from __future__ import annotations

from typing import Any

import pytest

import autotrack


@pytest.fixture
def recorded(autotrack_store: Any) -> Any:
    """A fresh store, with automatic recording on."""
    autotrack.autolog()
    return autotrack_store
