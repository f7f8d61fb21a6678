"""What is done behind the training thread copes with a program that is importing something meanwhile."""

from __future__ import annotations

import importlib
import sys
import threading

import pytest

from autotrack.tracking import behind

HALF_DONE = """
import gate

gate.entered.set()
assert gate.leave.wait(60)
VALUE = 3
"""

GATE = """
import threading

entered, leave = threading.Event(), threading.Event()
"""


@pytest.fixture
def half_done(tmp_path, monkeypatch):
    """A module that another thread is in the middle of importing, and the event that lets it go on."""
    (tmp_path / "half_done.py").write_text(HALF_DONE)
    (tmp_path / "gate.py").write_text(GATE)
    monkeypatch.syspath_prepend(tmp_path)
    gate = importlib.import_module("gate")
    importing = threading.Thread(target=importlib.import_module, args=("half_done",))
    importing.start()
    assert gate.entered.wait(60)
    yield gate.leave
    gate.leave.set()
    importing.join(60)
    for name in ("gate", "half_done"):
        sys.modules.pop(name, None)


def test_what_needs_a_module_that_is_being_imported_is_computed_once_it_is_there(half_done):
    """It is tried again, and holds no import lock while it waits."""
    tries = []

    def compute():
        tries.append(len(tries))
        if len(tries) == 3:
            half_done.set()
        return sys.modules["half_done"].VALUE

    assert behind.past_imports(compute) == 3
    assert len(tries) >= 3


def test_an_import_that_never_ends_is_not_waited_for_for_ever(half_done, monkeypatch):
    """The error comes out when the time is up."""
    monkeypatch.setattr(behind, "IMPORTS_TAKE", 0.0)
    with pytest.raises(AttributeError, match="half_done"):
        behind.past_imports(lambda: sys.modules["half_done"].VALUE)


def test_other_errors_come_out_at_once():
    """A mistake is no import under way: it is not repeated."""
    tries = []

    def compute():
        tries.append(1)
        return sys.no_such_thing

    with pytest.raises(AttributeError, match="no_such_thing"):
        behind.past_imports(compute)
    assert len(tries) == 1
