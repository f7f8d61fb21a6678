"""Taps: a stand-in that passes for the raw function, and goes when it is taken off."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import sys
import warnings

import pytest

from autotrack.hooks import taps
from autotrack.hooks.patching import Patcher

MODULE = """
import os
import sys
import warnings

FOLDER = os.path.dirname(__file__)


def double(number: int = 1, *, twice: bool = False) -> int:
    '''Twice a number.'''
    frame, level = sys._getframe(), 1
    while frame.f_code.co_filename.startswith(FOLDER):
        frame, level = frame.f_back, level + 1
    warnings.warn("seen", stacklevel=level)
    if number < 0:
        raise ValueError("negative")
    return number * 2


class Thing:
    def method(self, number):
        return self, number

    @property
    def size(self):
        return 3

    @classmethod
    def made(cls):
        return cls()
"""


@pytest.fixture
def library(write_module):
    """A module of functions."""
    write_module("tapped_library", MODULE)
    import tapped_library

    return tapped_library


@pytest.fixture
def patcher(health):
    """A patcher that cleans up."""
    made = Patcher("test", health)
    yield made
    made.revert()


def quietly(function, *args, **kwargs):
    """A call without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def test_a_tap_learns_what_went_in_and_came_out(library, patcher):
    """Result, positional arguments and those by keyword of a function, a method and a property."""
    seen = []
    for owner, name in ((library, "double"), (library.Thing, "method"), (library.Thing, "size")):
        assert patcher.tap(owner, name, lambda *what, name=name: seen.append((name, *what)))
    thing = library.Thing()
    assert quietly(library.double, 4, twice=True) == 8
    assert thing.method(number=2) == (thing, 2)
    assert thing.size == 3
    assert seen == [
        ("double", 8, (4,), {"twice": True}),
        ("method", (thing, 2), (thing,), {"number": 2}),
        ("size", 3, (thing,), {}),
    ]


def test_the_stand_in_passes_for_the_function(library, patcher):
    """Name, module, documentation, signature, what is pickled and copied: all as before."""
    raw = library.double
    before = pickle.dumps(raw)
    assert patcher.tap(library, "double", lambda *what: None)
    assert library.double is not raw
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        assert getattr(library.double, name) == getattr(raw, name)
    assert inspect.signature(library.double) == inspect.signature(raw)
    assert inspect.getsource(library.double) == inspect.getsource(raw)
    assert pickle.dumps(library.double) == before
    assert copy.deepcopy(library.double) is library.double


def test_a_warning_is_blamed_on_the_line_that_it_would_be(library, patcher):
    """A library that leaves the frames of its own folder to find the program's finds it behind the stand-in too."""
    assert patcher.tap(library, "double", lambda *what: None)
    with pytest.warns(UserWarning, match="seen") as caught:
        library.double(1)
    assert [os.path.basename(one.filename) for one in caught] == [os.path.basename(__file__)]


def test_an_exception_goes_through(library, patcher):
    """It is the same, with one frame more, and the tap learns nothing of the call."""
    seen = []
    patcher.tap(library, "double", lambda *what: seen.append(what))
    with pytest.raises(ValueError, match="negative") as caught:
        quietly(library.double, -1)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert [entry.name for entry in caught.traceback][1:] == ["quietly", "double", "double"]
    assert not any("autotrack" in str(entry.path) for entry in caught.traceback)
    assert not seen


@pytest.mark.parametrize(
    "how", [{}, {"timed": True}, {"watch": taps.When([True], lambda: True, lambda: False)}], ids=["", "timed", "when"]
)
def test_what_a_tap_raises_stays_inside(library, patcher, health, production, how):
    """It counts as an error of the integration, whose taps are silent after a few of them; of any kind of tap."""
    calls = []

    def after(*what):
        calls.append(what)
        raise RuntimeError("ours")

    patcher.tap(library, "double", after, **how)
    assert [quietly(library.double, number) for number in range(10)] == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert len(calls) == health.errors == 5
    assert health.broken


def test_nothing_is_called_while_there_is_nothing_to_watch(library, patcher):
    """`watch` decides by its truth."""
    seen, watch = [], {}
    patcher.tap(library, "double", lambda *what: seen.append(what), watch=watch)
    quietly(library.double, 1)
    assert not seen
    watch["something"] = True
    quietly(library.double, 1)
    assert len(seen) == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_is_no_exception_goes_through_a_tap(library, patcher, health, production, kind):
    """Ctrl-C while a tap looks at a call is the program's."""

    def after(*what):
        raise kind

    patcher.tap(library, "double", after)
    with pytest.raises(kind):
        quietly(library.double, 1)
    assert health.errors == 0


@pytest.mark.parametrize(
    ("watch", "calm", "never", "expected"),
    [([], True, False, 0), ([1], True, False, 1), ([], False, False, 1), ([1], False, True, 0), ([], True, True, 0)],
)
def test_a_tap_can_look_at_rare_moments(library, patcher, watch, calm, never, expected):
    """While something is there, or it is not calm; never while that is said."""
    seen = []
    patcher.tap(library, "double", lambda *what: seen.append(what), watch=taps.When(watch, lambda: calm, lambda: never))
    assert quietly(library.double, 4) == 8
    assert seen == [(8, (4,), {})] * expected


def test_reverting_puts_back_the_very_same_objects(library, patcher, write_module):
    """In the module, in the class, and in a program's module that had imported the function before."""
    write_module("tapping_program", "from tapped_library import double as twice\n")
    import tapping_program

    raw = library.double, vars(library.Thing)["method"], vars(library.Thing)["size"]
    with patcher.applying():
        patcher.tap(library, "double", lambda *what: None, rebind_in=lambda module: module is tapping_program)
        patcher.tap(library.Thing, "method", lambda *what: None)
        patcher.tap(library.Thing, "size", lambda *what: None)
    assert tapping_program.twice is library.double is not raw[0]
    assert [patch.state for patch in patcher.patches()] == ["applied"] * 3
    assert "tapped_library.double" in taps.installed()
    patcher.revert()
    assert (library.double, vars(library.Thing)["method"], vars(library.Thing)["size"]) == raw
    assert tapping_program.twice is raw[0]
    assert "tapped_library.double" not in taps.installed()


def test_a_stand_in_under_somebody_elses_wrapper_falls_silent(library, patcher):
    """What wraps over it stays where it is when the tap is taken off, and the original is called through it."""
    seen = []
    patcher.tap(library, "double", lambda *what: seen.append(what))
    ours = library.double
    library.double = theirs = lambda *args, **kwargs: ours(*args, **kwargs)
    assert [patch.state for patch in patcher.patches()] == ["orphaned"]
    patcher.revert()
    assert library.double is theirs
    assert quietly(library.double, 3) == 6
    assert not seen


def test_what_cannot_be_tapped_is_said(library, patcher):
    """A class method, a name that is not there, a function of C, and one that has a tap."""
    assert patcher.tap(library, "double", lambda *what: None)
    assert not patcher.tap(library, "double", lambda *what: None)
    assert not patcher.tap(library, "missing", lambda *what: None)
    assert not patcher.tap(library.Thing, "made", lambda *what: None)
    assert not patcher.tap(sys, "getsizeof", lambda *what: None)
    refused = {patch.target: patch.reason for patch in patcher.patches() if patch.state == "unpatchable"}
    assert refused == {
        "tapped_library.double": "tapped already",
        "tapped_library.missing": "no such attribute",
        "tapped_library.Thing.made": "a classmethod, no plain function",
        "sys.getsizeof": "a builtin_function_or_method, no plain function",
    }


def test_a_timed_tap_is_told_how_long_the_call_took(library, patcher):
    """One more argument, in seconds."""
    seen = []
    patcher.tap(library.Thing, "method", lambda *what: seen.append(what), timed=True)
    library.Thing().method(3)
    ((_, _, _, seconds),) = seen
    assert 0 <= seconds < 60


def test_a_tap_can_ask_who_made_the_call(library, patcher):
    """The frame is that of the line that called, not one of the stand-in's."""
    seen = []
    patcher.tap(library.Thing, "method", lambda *what: seen.append(taps.caller().f_code.co_name))
    library.Thing().method(3)
    assert seen == ["test_a_tap_can_ask_who_made_the_call"]


def test_a_stand_in_has_the_globals_of_the_raw_function(library, patcher):
    """Compilers that read the source, such as torch.jit, look names up there."""
    raw = library.double
    patcher.tap(library, "double", lambda *what: None)
    assert library.double.__globals__ is raw.__globals__
