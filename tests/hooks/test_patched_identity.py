"""What `is` says of patched methods is what it says of plain ones: that is how programs look for overrides."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Generator
from typing import Any

import pytest

from autotrack.hooks.guard import Health
from autotrack.hooks.patching import Call, Patcher


class Base:
    """Importable by name, for pickle."""

    def fit(self, x: int) -> int:
        """What it gets."""
        return x

    @classmethod
    def make(cls) -> type:
        """The class itself."""
        return cls


class Heir(Base):
    """Overrides nothing."""


class Rebel(Base):
    """Overrides, and calls what it overrides by its class."""

    def fit(self, x: int) -> int:
        """One more."""
        return Base.fit(self, x) + 1


@pytest.fixture
def seen(health: Health) -> Any:
    """The calls that a handler on all methods has seen; the classes are patched."""
    calls: list[tuple[str, Any]] = []

    def on_call(call: Call) -> Generator[None, Any, None]:
        calls.append((call.name, call.args))
        yield

    patcher = Patcher(health.name, health)
    with patcher.applying():
        for cls, name in ((Base, "fit"), (Base, "make"), (Rebel, "fit")):
            assert patcher.method(cls, name, on_call)
    yield calls
    patcher.revert()


def facts() -> list[Any]:
    """What a program can find out by `is`, `==`, `hash` and `hasattr`."""
    one = Heir()
    unbound: Callable[..., Any] = Base.fit
    return [
        Base.fit is Base.fit,
        Heir.fit is Base.fit,
        Rebel.fit is Base.fit,
        vars(Base)["fit"] is Base.fit,
        {Base.fit: 1}.get(Heir.fit),
        one.fit is one.fit,
        one.fit == one.fit,
        one.fit.__func__ is Heir.fit,
        one.make.__func__ is Base.make.__func__,
        hasattr(unbound, "__func__"),
        hasattr(unbound, "__self__"),
        pickle.loads(pickle.dumps(Base.fit)) is Base.fit,
        copy.copy(Base.fit) is copy.deepcopy(Base.fit),
    ]


def test_identities_are_those_of_plain_functions(request: pytest.FixtureRequest) -> None:
    """Patched or not, every comparison of methods has the same answer."""
    plain = facts()
    assert type(Base.fit) is type(facts)
    request.getfixturevalue("seen")
    assert type(Base.fit) is not type(facts)
    assert facts() == plain


def test_a_method_called_by_its_class_is_one_event(seen: list[Any]) -> None:
    """`Base.fit(one, 3)`, an override that makes that call, `Base.fit.__get__(one)`: each reaches the handler once."""
    assert Base.fit(Heir(), 3) == 3
    assert Rebel().fit(4) == 5
    assert Base.fit.__get__(Heir(), Heir)(x=5) == 5
    assert Heir.make() is Heir
    assert seen == [("fit", (3,)), ("fit", (4,)), ("fit", ()), ("make", ())]
