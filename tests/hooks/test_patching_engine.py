"""The engine on plain Python classes and functions. Also run under every supported wrapt (test_wrapt_versions.py)."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import inspect
import math
import os
import re
import sys
import threading
import time
import traceback
import types
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest
import wrapt

from autotrack.hooks import chains, guard, layers
from autotrack.hooks.calls import charge_to
from autotrack.hooks.guard import Health
from autotrack.hooks.patching import Call, Patcher, Replace, quiet

Steps = Generator[Any, Any, None]


class Log:
    """Keeps what its handler saw."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_call(self, call: Call) -> Steps:
        """One entry before the call, one after."""
        self.events.append(("before", call.name, call.args, call.kwargs))
        try:
            result = yield
        except BaseException as error:
            self.events.append(("raised", type(error).__name__))
            raise
        self.events.append(("after", result))

    def names(self) -> list[str]:
        """What happened, by kind alone."""
        return [event[0] for event in self.events]


@pytest.fixture
def log() -> Log:
    """An empty log."""
    return Log()


@pytest.fixture
def patcher(health: Health) -> Iterator[Patcher]:
    """A patcher of the test's own; all is taken back at the end."""
    patcher = Patcher(health.name, health)
    yield patcher
    patcher.revert()


@pytest.fixture
def other(health: Health) -> Iterator[Patcher]:
    """A second integration."""
    patcher = Patcher(health.name + ", another", guard.health(health.name + ", another"))
    yield patcher
    patcher.revert()


def _body(namespace: dict[str, Any]) -> None:
    def fit(self: Any, x: Any, *, scale: int = 1) -> Any:
        self.fitted = x
        return x

    def hidden(self: Any, x: Any) -> Any:
        return ("hidden", x)

    @classmethod
    def make(cls: Any, x: Any) -> Any:
        return cls, x

    @staticmethod
    def plain(x: Any) -> Any:
        return ("plain", x)

    @property
    def size(self: Any) -> int:
        return 7

    namespace.update(fit=fit, make=make, plain=plain, size=size, clamp=math.floor, length=str.upper)
    namespace["part"] = functools.partialmethod(hidden, "given")


@pytest.fixture
def model_class() -> type:
    """A class with a method, classmethod, staticmethod, property, partialmethod and functions of C."""
    return types.new_class("Model", (), {}, _body)


KINDS = ["fit", "make", "plain", "size", "clamp", "part"]


@pytest.mark.parametrize("name", KINDS)
def test_revert_puts_the_identical_descriptor_back(model_class: Any, patcher: Patcher, log: Log, name: str) -> None:
    """Functions, classmethods, staticmethods, properties, functions of C, partialmethods: `vars(cls)[name] is raw`."""
    raw, order = vars(model_class)[name], list(vars(model_class))
    with patcher.applying():
        assert patcher.method(model_class, name, log.on_call)
    assert vars(model_class)[name] is not raw
    patcher.revert()
    assert vars(model_class)[name] is raw
    assert list(vars(model_class)) == order


@pytest.mark.parametrize("through", ["instance", "class", "subclass", "super"])
@pytest.mark.parametrize("name", KINDS)
def test_a_patched_attribute_does_what_it_did(
    model_class: Any, patcher: Patcher, log: Log, name: str, through: str
) -> None:
    """Read off an instance, the class, a subclass or through super(), with one event each (a property on instances)."""

    class Child(model_class):  # type: ignore[misc]
        def up(self) -> Any:
            return getattr(super(), name)

    def use() -> Any:
        holder = {"class": model_class, "subclass": Child}.get(through) or (
            child if through in ("super", "instance") else None
        )
        found = child.up() if through == "super" else getattr(holder, name)
        if name == "size":
            return type(found) if isinstance(found, property) else found
        if name == "clamp":
            return found(2.5)
        unbound = isinstance(holder, type) and name in ("fit", "part")
        return (
            found(child, 3)
            if unbound and name == "fit"
            else found(child)
            if unbound
            else found(*(() if name == "part" else (3,)))
        )

    child = Child()
    before = use()
    with patcher.applying():
        patcher.method(model_class, name, log.on_call)
    assert use() == before
    expected = [] if name == "size" and through in ("class", "subclass") else ["before", "after"]
    assert log.names() == expected
    patcher.revert()
    log.events.clear()
    assert use() == before
    assert log.events == []


def test_an_inherited_method_is_patched_where_it_is_defined(model_class: Any, patcher: Patcher, log: Log) -> None:
    """The site is the class whose body has it, patched once for all that inherit it; subclasses get no attribute."""

    class One(model_class):  # type: ignore[misc]
        pass

    class Two(model_class):  # type: ignore[misc]
        pass

    raw = vars(model_class)["fit"]
    with patcher.applying():
        patcher.method(One, "fit", log.on_call)
        patcher.method(Two, "fit", log.on_call)
    assert "fit" not in vars(One)
    assert "fit" not in vars(Two)
    assert Two().fit(5) == 5
    assert log.names() == ["before", "after"]
    assert [info.state for info in patcher.patches()] == ["applied"]
    patcher.revert()
    assert vars(model_class)["fit"] is raw


def test_what_a_type_of_c_defines_is_patched_on_the_heir_and_removed_again(patcher: Patcher, log: Log) -> None:
    """`list.append` cannot be replaced; on a subclass it can, and after revert the subclass has no attribute of it."""

    class Rows(list):  # type: ignore[type-arg]
        pass

    with patcher.applying():
        assert patcher.method(Rows, "append", log.on_call)
    rows = Rows()
    rows.append(3)
    assert rows == [3]
    assert log.events[0] == ("before", "append", (3,), {})
    patcher.revert()
    assert "append" not in vars(Rows)


@pytest.mark.parametrize(
    ("owner", "name", "reason"),
    [
        (list, "append", "immutable|can't set"),
        (int, "no_such_method", "no such attribute"),
        (type("WithClass", (), {"Inner": int}), "Inner", "is a class"),
        (type("WithNumber", (), {"n": 3}), "n", "not callable"),
        (type("WithCache", (), {"coef": functools.cached_property(lambda self: max)}), "coef", "not callable"),
        (type("WithSlot", (), {"__slots__": ("n",)}), "n", "not callable"),
        (type("WithSetter", (), {"n": property(None, lambda self, value: None)}), "n", "without a getter"),
    ],
)
def test_what_cannot_be_patched_is_reported_not_raised(
    patcher: Patcher, log: Log, owner: type, name: str, reason: str
) -> None:
    """Immutable types, missing attributes, classes and data: False, with the reason for the doctor."""
    with patcher.applying():
        assert patcher.method(owner, name, log.on_call) is False
    (info,) = patcher.patches()
    assert (info.state, info.target) == ("unpatchable", f"{owner.__module__}.{owner.__qualname__}.{name}")
    assert re.search(reason, info.reason)


@pytest.mark.parametrize("twice", [False, True])
def test_applying_twice_adds_no_second_layer(model_class: Any, patcher: Patcher, log: Log, twice: bool) -> None:
    """One event per call, and one revert restores."""
    raw = vars(model_class)["fit"]
    for _ in range(2):
        with patcher.applying():
            patcher.method(model_class, "fit", log.on_call)
    model_class().fit(1)
    assert log.names() == ["before", "after"]
    patcher.revert()
    if twice:
        patcher.revert()
    assert vars(model_class)["fit"] is raw


def test_two_integrations_share_one_layer(model_class: Any, patcher: Patcher, other: Patcher) -> None:
    """Handlers run in order, nested; one integration turned off takes its handler only, the last one the layer."""
    seen: list[str] = []

    def named(name: str) -> Callable[[Call], Steps]:
        def handler(call: Call) -> Steps:
            seen.append(f"{name} before")
            yield
            seen.append(f"{name} after")

        return handler

    raw = vars(model_class)["fit"]
    with patcher.applying(), other.applying():
        patcher.method(model_class, "fit", named("inner"), order=1)
        other.method(model_class, "fit", named("outer"), order=-1)
    layer = vars(model_class)["fit"]
    assert layer.__wrapped__ is raw
    model_class().fit(1)
    assert seen == ["outer before", "inner before", "inner after", "outer after"]
    seen.clear()
    other.revert()
    assert vars(model_class)["fit"] is layer
    model_class().fit(1)
    assert seen == ["inner before", "inner after"]
    patcher.revert()
    assert vars(model_class)["fit"] is raw


class Wrappers:
    """The ways in which other libraries wrap a method."""

    @staticmethod
    def closure(cls: type, name: str, hits: list[str]) -> Callable[[], None]:
        """As MLflow and ClearML do: a function that has closed over the one before."""
        original = vars(cls)[name]

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            hits.append("theirs")
            return original(*args, **kwargs)

        setattr(cls, name, wrapper)
        return lambda: setattr(cls, name, original)

    @staticmethod
    def nameless(cls: type, name: str, hits: list[str]) -> Callable[[], None]:
        """A closure without `functools.wraps`, through `getattr`."""
        original = getattr(cls, name)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            hits.append("theirs")
            return original(*args, **kwargs)

        raw = vars(cls)[name]
        setattr(cls, name, wrapper)
        return lambda: setattr(cls, name, raw)

    @staticmethod
    def wrapt(cls: type, name: str, hits: list[str]) -> Callable[[], None]:
        """As ddtrace and OpenTelemetry do."""
        raw = vars(cls)[name]

        def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            hits.append("theirs")
            return wrapped(*args, **kwargs)

        wrapt.wrap_function_wrapper(cls, name, wrapper)
        return lambda: setattr(cls, name, raw)


foreign = pytest.mark.parametrize("wrap", [Wrappers.closure, Wrappers.nameless, Wrappers.wrapt])


@foreign
def test_a_foreign_wrapper_on_top_stays_and_ours_passes_through(
    model_class: Any, patcher: Patcher, log: Log, wrap: Any
) -> None:
    """After revert theirs still runs and ours does not; on again, it is the same layer, not a second."""
    hits: list[str] = []
    with patcher.applying():
        patcher.method(model_class, "fit", log.on_call)
    ours = vars(model_class)["fit"]
    wrap(model_class, "fit", hits)
    theirs = vars(model_class)["fit"]
    assert model_class().fit(1) == 1
    assert (hits, log.names()) == (["theirs"], ["before", "after"])
    assert [info.state for info in patcher.patches()] == ["applied"]

    patcher.revert()
    assert vars(model_class)["fit"] is theirs
    assert model_class().fit(2) == 2
    assert (len(hits), len(log.events)) == (2, 2)
    assert [info.state for info in patcher.patches()] == ["orphaned"]
    assert patcher.patches()[0].foreign == (Wrappers.__module__,) * (model_class.__module__ != Wrappers.__module__)

    with patcher.applying():
        patcher.method(model_class, "fit", log.on_call)
    assert vars(model_class)["fit"] is theirs
    assert model_class().fit(3) == 3
    assert (len(hits), len(log.events)) == (3, 4)
    assert any(item is ours for item in chains.chain_of(theirs))


@foreign
@pytest.mark.parametrize("ours_first", [True, False])
def test_a_foreign_wrapper_underneath_is_kept(
    model_class: Any, patcher: Patcher, log: Log, wrap: Any, ours_first: bool
) -> None:
    """Theirs was there before: both run once per call; either may be taken off first."""
    hits: list[str] = []
    raw = vars(model_class)["fit"]
    unwrap = wrap(model_class, "fit", hits)
    theirs = vars(model_class)["fit"]
    with patcher.applying():
        patcher.method(model_class, "fit", log.on_call)
    assert model_class().fit(1) == 1
    assert (hits, log.names()) == (["theirs"], ["before", "after"])
    if ours_first:
        patcher.revert()
        assert vars(model_class)["fit"] is theirs
        unwrap()
    else:
        unwrap()
        patcher.revert()
    assert vars(model_class)["fit"] is raw
    assert model_class().fit(2) == 2
    assert (len(hits), len(log.events)) == (1, 2)


def test_foreign_wrappers_are_named_for_the_doctor(patcher: Patcher, log: Log) -> None:
    """The report names the module of whoever wraps the same method, above or below; not the owner's own decorators."""
    owner = type("Estimator", (), {"fit": lambda self: 1, "__module__": "framework.linear"})
    code = "def wrap(original):\n    def wrapper(*a, **k):\n        return original(*a, **k)\n    return wrapper"
    below, above, own = ({"__name__": name} for name in ("mlflow.utils.autologging", "wandb.hooks", "framework.base"))
    for namespace in (below, above, own):
        exec(code, namespace)  # three libraries
    owner.fit = below["wrap"](own["wrap"](owner.fit))  # type: ignore[attr-defined, operator]
    with patcher.applying():
        patcher.method(owner, "fit", log.on_call)
    owner.fit = above["wrap"](vars(owner)["fit"])  # type: ignore[attr-defined, operator]
    (info,) = patcher.patches()
    assert info.target == "framework.linear.Estimator.fit"
    assert info.foreign[:2] == ("wandb.hooks", "mlflow.utils.autologging")
    assert "framework.base" not in info.foreign


def test_a_super_chain_is_one_event(patcher: Patcher, log: Log) -> None:
    """Parent and child are both patched with one handler; `Child().fit` calls `super().fit`: one event."""

    class Parent:
        def fit(self, x: int) -> int:
            return x

    class Child(Parent):
        def fit(self, x: int) -> int:
            return super().fit(x + 1)

    with patcher.applying():
        patcher.method(Parent, "fit", log.on_call)
        patcher.method(Child, "fit", log.on_call)
    assert Child().fit(1) == 2
    assert log.events == [("before", "fit", (1,), {}), ("after", 2)]
    log.events.clear()
    assert Parent.fit(Child(), 5) == 5
    assert log.events == [("before", "fit", (5,), {}), ("after", 5)]


def test_an_alias_in_the_class_body_is_one_event(patcher: Patcher, log: Log) -> None:
    """`train = fit` in the class body, both patched, `train` used by a wrapper that calls `fit`."""

    class Both:
        def fit(self, x: int) -> int:
            return x

        train = fit

        def fit_transform(self, x: int) -> int:
            return self.train(x) + self.fit(x)

    with patcher.applying():
        for name in ("fit", "train", "fit_transform"):
            patcher.method(Both, name, log.on_call)
    both = Both()
    assert both.train(1) == 1
    assert log.names() == ["before", "after"]
    log.events.clear()
    assert both.fit_transform(2) == 4
    assert log.events == [("before", "fit_transform", (2,), {}), ("after", 4)]


def test_an_unbound_call_and_a_partialmethod_are_one_event_each(model_class: Any, patcher: Patcher, log: Log) -> None:
    """`Cls.fit(est, X)` shows the instance apart from the arguments, as `est.fit(X)` does."""
    instances: list[Any] = []

    def handler(call: Call) -> Steps:
        instances.append(call.instance)
        yield from log.on_call(call)

    with patcher.applying():
        patcher.method(model_class, "fit", handler)
        patcher.method(model_class, "part", handler)
    model = model_class()
    assert model_class.fit(model, 3, scale=2) == 3
    assert model.part() == ("hidden", "given")
    assert model_class.part(model) == ("hidden", "given")
    assert vars(model_class)["fit"](model, 4) == 4
    assert model.fit.__func__(model, 5) == 5
    assert model.part.__func__(model) == ("hidden", "given")
    assert all(instance is model for instance in instances)
    assert [event[2] for event in log.events if event[0] == "before"] == [(3,), (), (), (4,), (5,), ()]


def test_a_classmethods_function_binds_any_class(model_class: Any, patcher: Patcher, log: Log) -> None:
    """`types.MethodType(Cls.make.__func__, Other)` calls it with the other class, and is watched."""
    with patcher.applying():
        patcher.method(model_class, "make", log.on_call)
    assert types.MethodType(model_class.make.__func__, dict)(3) == (dict, 3)
    assert log.events == [("before", "make", (3,), {}), ("after", (dict, 3))]


def test_an_unbound_call_on_something_else_works(model_class: Any, patcher: Patcher, log: Log) -> None:
    """`Cls.fit(object_of_another_class, X)` is legal Python and stays so; it is no call on an instance of the class."""
    stranger = types.SimpleNamespace()
    with patcher.applying():
        patcher.method(model_class, "fit", log.on_call)
    assert model_class.fit(stranger, 3) == 3
    assert stranger.fitted == 3
    with pytest.raises(TypeError, match="self"):
        model_class.fit()
    assert log.events == []


def test_an_estimator_that_fits_itself_is_one_event_and_another_is_its_own(patcher: Patcher, log: Log) -> None:
    """Recursion on the same instance is within the event; a call on another instance reaches the handler."""

    class Deep:
        def fit(self, depth: int, other: Any = None) -> int:
            if other is not None:
                return int(other.fit(0))
            return depth if depth == 0 else self.fit(depth - 1)

    with patcher.applying():
        patcher.method(Deep, "fit", log.on_call)
    assert Deep().fit(3) == 0
    assert log.names() == ["before", "after"]
    log.events.clear()
    inner = Deep()
    Deep().fit(1, inner)
    assert log.names() == ["before", "before", "after", "after"]


def test_another_handler_sees_the_nested_call_on_the_same_instance(patcher: Patcher, log: Log) -> None:
    """The rule is per handler: `on_score` still sees the `score` that `fit` makes."""
    scores = Log()

    class Both:
        def fit(self, x: int) -> int:
            return self.score(x)

        def score(self, x: int) -> int:
            return x

    with patcher.applying():
        patcher.method(Both, "fit", log.on_call)
        patcher.method(Both, "score", scores.on_call)
    Both().fit(1)
    assert (log.names(), scores.names()) == (["before", "after"], ["before", "after"])


def test_calls_of_a_handlers_own_reach_no_handler(model_class: Any, patcher: Patcher, other: Patcher) -> None:
    """What a handler does with the framework is not the program's doing; nor is what runs under `quiet`."""
    seen: list[str] = []

    def curious(call: Call) -> Steps:
        seen.append("before")
        model_class().fit(0)
        yield
        model_class.plain(0)

    def watching(call: Call) -> Steps:
        seen.append(f"watching {call.name}")
        yield

    with patcher.applying(), other.applying():
        patcher.method(model_class, "fit", curious)
        other.method(model_class, "fit", watching)
        other.method(model_class, "plain", watching)
    model_class().fit(1)
    assert seen == ["before", "watching fit"]
    with quiet():
        model_class().fit(1)
    assert seen == ["before", "watching fit"]
    model_class.plain(1)
    assert seen == ["before", "watching fit", "watching plain"]


def test_a_context_that_outlives_its_call_hides_nothing(model_class: Any, patcher: Patcher, log: Log) -> None:
    """A context copied during a call, as asyncio tasks have one, does not silence later calls, nor keep data alive."""
    contexts: list[contextvars.Context] = []

    class Capturing:
        def fit(self, data: Any) -> None:
            contexts.append(contextvars.copy_context())

    class Data:
        pass

    with patcher.applying():
        patcher.method(Capturing, "fit", lambda call: (yield))
        patcher.method(model_class, "fit", log.on_call)
    model, data = Capturing(), Data()
    alive = weakref.ref(model), weakref.ref(data)
    model.fit(data)
    del model, data
    assert [ref() for ref in alive] == [None, None]
    for _ in range(50):  # one of these may get the id of the one that is gone
        contexts[0].run(model_class().fit, 1)
    assert log.names().count("before") == 50


WRONG = {
    "raises before": lambda call: (_ for _ in ()).throw(ValueError("mine")),
    "raises when called": lambda call: 1 / 0,
    "is no generator": lambda call: None,
}


def _raises_after(call: Call) -> Steps:
    try:
        yield
    finally:
        raise ValueError("mine")


def _raises_on_error(call: Call) -> Steps:
    try:
        yield
    except Exception:
        raise ValueError("mine") from None
    raise ValueError("mine")


def _never_yields(call: Call) -> Steps:
    if call is None:
        yield


def _yields_twice(call: Call) -> Steps:
    try:
        yield
    except Exception:
        yield
    yield


def _yields_rubbish(call: Call) -> Steps:
    with contextlib.suppress(Exception):
        yield "rubbish"


def _will_not_close(call: Call) -> Steps:
    for _ in range(2):
        with contextlib.suppress(BaseException):
            yield
    yield


WRONG |= {
    f.__name__.strip("_"): f
    for f in (_raises_after, _raises_on_error, _never_yields, _yields_twice, _yields_rubbish, _will_not_close)
}


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("call_fails", [False, True])
def test_a_handler_that_goes_wrong_changes_nothing(
    patcher: Patcher, health: Health, log: Log, wrong: Any, call_fails: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """The call is made exactly once, its result or exception is untouched; the error is recorded; the breaker opens."""
    result, error = object(), KeyError("theirs")
    calls: list[int] = []

    class Target:
        def fit(self, x: int) -> object:
            calls.append(x)
            if call_fails:
                raise error
            return result

    with patcher.applying():
        patcher.method(Target, "fit", wrong)
        patcher.method(Target, "fit", log.on_call)
    for number in range(8):
        if call_fails:
            with pytest.raises(KeyError) as caught:
                Target().fit(number)
            assert caught.value is error
            assert (error.__context__, error.__cause__, getattr(error, "__notes__", [])) == (None, None, [])
        else:
            assert Target().fit(number) is result
    assert calls == list(range(8))
    assert health.errors == guard.MAX_ERRORS
    assert health.broken
    assert len([e for e in log.events if e[0] == "before"]) == guard.MAX_ERRORS
    assert health.recent[0].where.startswith(f"{Target.__module__}.{Target.__qualname__}.fit, ")
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize("moment", ["before", "after", "raised"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_ctrl_c_in_a_handler_is_the_programs(
    patcher: Patcher, health: Health, log: Log, kind: type[BaseException], moment: str
) -> None:
    """KeyboardInterrupt, SystemExit and GeneratorExit raised in a handler propagate; later calls are watched."""

    class Target:
        def fit(self) -> None:
            if moment == "raised":
                raise ValueError

    def handler(call: Call) -> Steps:
        if moment == "before":
            raise kind
        try:
            yield
        finally:
            raise kind

    with patcher.applying():
        patcher.method(Target, "fit", log.on_call)
        patcher.method(Target, "fit", handler)
    with pytest.raises(kind):
        Target().fit()
    assert health.errors == 0
    log.events.clear()
    with pytest.raises(kind):
        Target().fit()
    assert log.names()[0] == "before"


class Frozen(Exception):
    """An exception whose attributes cannot be set, as those of frozen dataclasses."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot assign to field {name!r}")


@pytest.mark.parametrize(
    "error",
    [ValueError("theirs"), KeyboardInterrupt(), SystemExit(3), StopIteration(4), GeneratorExit(), Frozen("x")],
    ids=repr,
)
def test_an_exception_of_the_programs_comes_out_as_it_went_in(patcher: Patcher, log: Log, error: BaseException) -> None:
    """The same object, nothing chained or noted on it, one or two frames of ours; the handler saw it."""
    inner = LookupError("cause")

    class Target:
        def fit(self) -> None:
            try:
                raise inner
            except LookupError:
                raise error from inner

    def caught() -> tuple[BaseException, list[str]]:
        try:
            Target().fit()
        except BaseException as out:
            return out, [frame.name for frame in traceback.extract_tb(out.__traceback__)]
        raise AssertionError

    plain, frames = caught()
    error.with_traceback(None)
    with patcher.applying():
        patcher.method(Target, "fit", log.on_call)
        patcher.method(Target, "fit", lambda call: (yield))
    watched, more = caught()
    assert watched is plain is error
    assert (watched.__context__, watched.__cause__, watched.__suppress_context__) == (inner, inner, True)
    assert not hasattr(watched, "__notes__")
    assert [frames[0], frames[-1]] == [more[0], more[-1]]
    assert len(more) - len(frames) <= 2
    assert log.names()[1] == "raised"
    error.with_traceback(None)


def test_an_exception_raised_while_another_is_handled_keeps_its_context(patcher: Patcher, log: Log) -> None:
    """A fit in an `except` block that fails shows the error before it, and nothing of ours."""

    class Target:
        def fit(self) -> None:
            raise ValueError("second")

    with patcher.applying():
        patcher.method(Target, "fit", log.on_call)
    first = KeyError("first")
    try:
        raise first
    except KeyError:
        with pytest.raises(ValueError, match="second") as caught:
            Target().fit()
    assert caught.value.__context__ is first
    assert first.__context__ is None


def test_results_and_arguments_are_the_programs_own_objects(model_class: Any, patcher: Patcher) -> None:
    """Nothing is copied or proxied, on the way in or out, and the instance gets no attribute."""
    seen: list[Any] = []

    def handler(call: Call) -> Steps:
        seen.extend((call.instance, *call.args, *call.kwargs.values()))
        seen.append((yield))

    with patcher.applying():
        patcher.method(model_class, "fit", handler)
    model, x, scale = model_class(), [1, 2], [3]
    assert model.fit(x, scale=scale) is x
    assert [id(item) for item in seen] == [id(model), id(x), id(scale), id(x)]
    assert vars(model) == {"fitted": x}


def test_arguments_are_replaced_only_by_handing_new_ones(patcher: Patcher, log: Log) -> None:
    """`Replace` reaches the original and the handlers further inside; the program's own objects are not changed."""

    class Target:
        def fit(self, callbacks: list[str], *, verbose: bool = True) -> Any:
            return callbacks, verbose

    def handler(call: Call) -> Steps:
        yield Replace(([*call.args[0], "ours"],), {**call.kwargs, "verbose": False})

    with patcher.applying():
        patcher.method(Target, "fit", handler)
        patcher.method(Target, "fit", log.on_call, order=1)
    mine = ["mine"]
    assert Target().fit(mine) == (["mine", "ours"], False)
    assert mine == ["mine"]
    assert log.events[0] == ("before", "fit", (["mine", "ours"],), {"verbose": False})
    assert Target.fit(Target(), mine) == (["mine", "ours"], False)


@pytest.mark.usefixtures("production")
def test_an_integration_that_fails_half_way_is_taken_back(model_class: Any, patcher: Patcher, health: Health) -> None:
    """All its patches, import hooks and framework hooks are undone; the status is failed, with the reason."""
    undone: list[str] = []
    raws = {name: vars(model_class)[name] for name in KINDS}
    with patcher.applying():
        for name in KINDS:
            patcher.method(model_class, name, lambda call: (yield))
        patcher.on_revert(lambda: undone.append("hook"))
        raise LookupError("this version has no such class")
    assert {name: vars(model_class)[name] for name in KINDS} == raws
    assert all(vars(model_class)[name] is raw for name, raw in raws.items())
    assert undone == ["hook"]
    assert (health.status, health.reason) == ("failed", "LookupError: this version has no such class")
    assert patcher.patches() == []
    patcher.revert()
    with patcher.applying():
        patcher.method(model_class, "fit", lambda call: (yield))
    assert health.status == "active"


def _interrupted(patcher: Patcher, cls: type) -> None:
    patcher.method(cls, "fit", lambda call: (yield))
    raise KeyboardInterrupt


def test_ctrl_c_half_way_takes_back_and_propagates(model_class: Any, patcher: Patcher, health: Health) -> None:
    """KeyboardInterrupt while patches are applied leaves none of them behind."""
    raw = vars(model_class)["fit"]
    block = patcher.applying()
    with pytest.raises(KeyboardInterrupt), block:
        _interrupted(patcher, model_class)
    assert vars(model_class)["fit"] is raw
    assert health.status == "failed"


@pytest.mark.usefixtures("production")
def test_a_failure_in_an_inner_block_fails_the_whole(model_class: Any, patcher: Patcher, health: Health) -> None:
    """An import hook that fails while the outer block imports its module: nothing of the outer block stays."""
    raw = vars(model_class)["fit"]
    with patcher.applying():
        with patcher.applying():
            raise LookupError("inner")
        patcher.method(model_class, "fit", lambda call: (yield))
    assert vars(model_class)["fit"] is raw
    assert (health.status, health.reason) == ("failed", "LookupError: inner")


@pytest.mark.usefixtures("finder")
def test_the_status_follows_the_target_module(write_module: Any, patcher: Patcher, health: Health, log: Log) -> None:
    """waiting until it is imported, then active, off after revert; a module imported after that is left alone."""
    write_module("shelf_framework", "class Model:\n    def fit(self): return 1")
    write_module("shelf_framework_two", "class Model:\n    def fit(self): return 2")
    for name in ("shelf_framework", "shelf_framework_two"):
        with patcher.applying():
            patcher.when_imported(name, lambda module: patcher.method(module.Model, "fit", log.on_call) and None)
    assert health.status == "waiting"
    import shelf_framework

    assert health.status == "active"
    shelf_framework.Model().fit()
    patcher.revert()
    assert health.status == "off"
    import shelf_framework_two

    shelf_framework.Model().fit()
    shelf_framework_two.Model().fit()
    assert log.names() == ["before", "after"]


@pytest.mark.usefixtures("production")
def test_an_undo_that_fails_does_not_stop_the_others(model_class: Any, patcher: Patcher, health: Health) -> None:
    """Every framework hook is taken off, in reverse order, and the patches too."""
    undone: list[int] = []
    raw = vars(model_class)["fit"]
    with patcher.applying():
        patcher.method(model_class, "fit", lambda call: (yield))
        patcher.on_revert(lambda: undone.append(1))
        patcher.on_revert(lambda: 1 / 0)
        patcher.on_revert(lambda: undone.append(3))
    patcher.revert()
    assert undone == [3, 1]
    assert health.errors == 1
    assert vars(model_class)["fit"] is raw


def test_a_call_in_flight_at_revert_ends_without_its_part_after(patcher: Patcher, other: Patcher, log: Log) -> None:
    """The call completes; the reverted integration hears no more of it, the other one does."""
    theirs = Log()

    class Target:
        def fit(self) -> str:
            patcher.revert()
            return "done"

    raw = vars(Target)["fit"]
    with patcher.applying(), other.applying():
        patcher.method(Target, "fit", log.on_call)
        other.method(Target, "fit", theirs.on_call)
    assert Target().fit() == "done"
    assert log.names() == ["before", "raised"]  # GeneratorExit: the handler is closed
    assert log.events[-1] == ("raised", "GeneratorExit")
    assert theirs.events[-1] == ("after", "done")
    other.revert()
    assert vars(Target)["fit"] is raw


def test_generators_keep_their_event_open_until_they_end(patcher: Patcher, log: Log) -> None:
    """Sent values, thrown exceptions and the return value pass through; the event ends when the generator does."""

    class Target:
        def steps(self, n: int) -> Generator[Any, Any, str]:
            got = []
            for i in range(n):
                try:
                    got.append((yield i))
                except KeyError:
                    got.append("key")
            return repr(got)

    with patcher.applying():
        patcher.method(Target, "steps", log.on_call)
    steps = Target().steps(3)
    assert isinstance(steps, types.GeneratorType)
    assert (steps.__name__, steps.__qualname__) == ("steps", Target.steps.__qualname__)
    assert log.names() == ["before"]
    assert [next(steps), steps.send("a"), steps.throw(KeyError())] == [0, 1, 2]
    assert log.names() == ["before"]
    with pytest.raises(StopIteration) as end:
        steps.send("c")
    assert end.value.value == "['a', 'key', 'c']"
    assert log.events[1] == ("after", "['a', 'key', 'c']")
    assert list(Target().steps(2)) == [0, 1]


def test_a_generator_that_is_closed_or_fails_closes_its_event(patcher: Patcher, log: Log) -> None:
    """Closed early: the handler sees GeneratorExit; failed: the error, which comes out as it is."""
    closed: list[str] = []

    class Target:
        def steps(self) -> Iterator[int]:
            try:
                yield 1
                raise ValueError("theirs")
            finally:
                closed.append("closed")

    with patcher.applying():
        patcher.method(Target, "steps", log.on_call)
    steps = Target().steps()
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert (closed, log.events[-1]) == (["closed"], ("raised", "GeneratorExit"))
    with pytest.raises(ValueError, match="theirs") as caught:
        list(Target().steps())
    assert log.events[-1] == ("raised", "ValueError")
    assert caught.value.__context__ is None
    Target().steps()
    assert log.names()[-2:] == ["before", "raised"]  # dropped before its first step


def test_nested_generators_of_one_instance_are_one_event(patcher: Patcher, log: Log) -> None:
    """The rule for super() chains holds while a generator runs, and only then."""

    class Parent:
        def steps(self) -> Iterator[int]:
            yield 1
            yield 2

    class Child(Parent):
        def steps(self) -> Iterator[int]:
            yield from super().steps()

    with patcher.applying():
        patcher.method(Parent, "steps", log.on_call)
        patcher.method(Child, "steps", log.on_call)
    child = Child()
    first = iter(child.steps())
    assert next(first) == 1
    assert log.names() == ["before"]
    assert list(child.steps()) == [1, 2]  # a call of its own, between two steps of the first
    assert log.names() == ["before", "before", "after"]
    assert list(first) == [2]
    assert log.names() == ["before", "before", "after", "after"]


def test_coroutines_keep_their_event_open_until_awaited(patcher: Patcher, log: Log) -> None:
    """Two of them, interleaved, are two events; a failing one and a cancelled one are seen as such."""

    class Target:
        async def fit(self, x: Any) -> Any:
            await asyncio.sleep(0)
            if isinstance(x, Exception):
                raise x
            return x

        async def wait(self) -> None:
            await asyncio.sleep(60)

    with patcher.applying():
        patcher.method(Target, "fit", log.on_call)
        patcher.method(Target, "wait", log.on_call)
    target = Target()
    assert inspect.iscoroutinefunction(target.fit)

    async def main() -> list[Any]:
        done = await asyncio.gather(target.fit(1), Target().fit(2), Target().fit(KeyError(3)), return_exceptions=True)
        task = asyncio.ensure_future(target.wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return list(done)

    one, two, error = asyncio.run(main())
    assert (one, two, repr(error)) == (1, 2, "KeyError(3)")
    assert sorted(log.names()) == ["after", "after", "before", "before", "before", "before", "raised", "raised"]
    assert log.events[-1] == ("raised", "CancelledError")


def test_async_generators_keep_their_event_open_until_they_end(patcher: Patcher, log: Log) -> None:
    """Iteration, asend, athrow and aclose pass through."""

    class Target:
        async def rows(self, n: int) -> AsyncIterator[Any]:
            for i in range(n):
                try:
                    got = yield i
                except KeyError:
                    got = "key"
                if got is not None:
                    yield ("got", got)

    with patcher.applying():
        patcher.method(Target, "rows", log.on_call)

    async def main() -> list[Any]:
        found: list[Any] = [row async for row in Target().rows(2)]
        assert log.names() == ["before", "after"]
        rows: Any = Target().rows(3)
        found += [await rows.__anext__(), await rows.asend("x"), await rows.asend(None)]
        found.append(await rows.athrow(KeyError()))
        await rows.aclose()
        return found

    assert asyncio.run(main()) == [0, 1, 0, ("got", "x"), 1, ("got", "key")]
    assert log.events[-1] == ("raised", "GeneratorExit")


def test_nothing_keeps_the_arguments_alive(model_class: Any, patcher: Patcher, log: Log) -> None:
    """Without the garbage collector: arguments, result and instance are free once the program drops them."""

    class Data:
        pass

    class Target:
        def fit(self, data: Data, fail: bool) -> Data:
            if fail:
                raise ValueError
            return Data()

    def handler(call: Call) -> Steps:
        mine = call.args
        result = yield
        del mine, result

    with patcher.applying():
        patcher.method(Target, "fit", handler)
    gc.disable()
    try:
        for fail in (False, True):
            target, data = Target(), Data()
            alive = [weakref.ref(target), weakref.ref(data)]
            with contextlib.suppress(ValueError):
                alive.append(weakref.ref(target.fit(data, fail)))
            del target, data
            assert [ref() for ref in alive] == [None] * len(alive)
    finally:
        gc.enable()


def test_reference_counts_are_stable_over_a_thousand_calls(model_class: Any, patcher: Patcher) -> None:
    """Neither the argument, the instance, the function nor None gains references; nor does memory gain objects."""
    with patcher.applying():
        patcher.method(model_class, "fit", lambda call: (yield))
    model, data = model_class(), [1]
    raw = layers.layer_on(model_class, "fit").raw  # type: ignore[union-attr]
    model.fit(data)

    def counts() -> list[int]:
        gc.collect()
        return [sys.getrefcount(data), sys.getrefcount(model), sys.getrefcount(raw), len(gc.get_objects())]

    before = counts()
    for _ in range(1000):
        model.fit(data)
    after = counts()
    assert after[:3] == before[:3]
    assert after[3] - before[3] < 50


def test_patched_classes_that_go_away_are_not_kept(patcher: Patcher) -> None:
    """A thousand classes made in a loop and patched are collected once the program has dropped them."""

    def dynamic() -> type:
        class Estimator:
            def fit(self) -> Any:
                return __class__  # type: ignore[name-defined]

        return Estimator

    alive = []
    with patcher.applying():
        for _ in range(100):
            cls: Any = dynamic()
            patcher.method(cls, "fit", lambda call: (yield))
            cls().fit()
            alive.append(weakref.ref(cls))
        del cls
    gc.collect()
    assert not [ref for ref in alive if ref() is not None]
    assert patcher.patches() == []


def test_functions_are_watched_under_their_public_name(write_module: Any, patcher: Patcher, log: Log) -> None:
    """The module that defines the function keeps the original; every call through the public name is an event."""
    write_module("shelf_impl", "def score(x): return score_of(x)\ndef score_of(x): return x\nclass Thing: pass")
    write_module("shelf_public", "from shelf_impl import score, Thing\nfloor = __import__('math').floor")
    import shelf_impl
    import shelf_public

    raw = shelf_impl.score
    with patcher.applying():
        assert patcher.function(shelf_public, "score", log.on_call)
        assert patcher.function(shelf_public, "floor", log.on_call)
        assert not patcher.function(shelf_public, "Thing", log.on_call)
        assert not patcher.function(shelf_public, "missing", log.on_call)
    assert shelf_impl.score is raw
    assert (shelf_public.score(3), shelf_public.floor(2.5)) == (3, 2)
    assert log.events == [("before", "score", (3,), {}), ("after", 3), ("before", "floor", (2.5,), {}), ("after", 2)]
    states = {info.target: info.state for info in patcher.patches()}
    assert states == {
        "shelf_public.score": "applied",
        "shelf_public.floor": "applied",
        "shelf_public.Thing": "unpatchable",
        "shelf_public.missing": "unpatchable",
    }
    patcher.revert()
    assert shelf_public.score is raw
    assert shelf_public.floor is math.floor


def test_earlier_copies_of_a_function_are_rebound_and_restored(write_module: Any, patcher: Patcher, log: Log) -> None:
    """`from m import f` before the patch counts, in modules that the predicate accepts; revert restores them."""
    write_module("shelf_def", "def score(x): return x")
    write_module("shelf_api", "from shelf_def import score")
    write_module("shelf_user", "from shelf_api import score as my_score, score")
    write_module("shelf_library", "from shelf_api import score")
    import shelf_api
    import shelf_def
    import shelf_library
    import shelf_user

    raw = shelf_def.score
    asked: list[str] = []

    def accepts(module: types.ModuleType) -> bool:
        asked.append(module.__name__)
        return module.__name__ == "shelf_user"

    for _ in range(2):
        log.events.clear()
        asked.clear()
        with patcher.applying():
            patcher.function(shelf_api, "score", log.on_call, rebind_in=accepts)
        assert sorted(asked) == ["shelf_library", "shelf_user"]
        assert shelf_def.score is raw
        assert shelf_library.score is raw
        assert [shelf_user.my_score(1), shelf_user.score(2), shelf_api.score(3), shelf_library.score(4)] == [1, 2, 3, 4]
        assert [e[2] for e in log.events if e[0] == "before"] == [(1,), (2,), (3,)]
        patcher.revert()
        assert shelf_user.my_score is raw
        assert shelf_user.score is raw
        assert shelf_api.score is raw


def test_a_public_copy_of_a_patched_function_is_one_event(write_module: Any, patcher: Patcher, log: Log) -> None:
    """A library that re-exports the patched name, patched under that name as well: one event, and a clean revert."""
    write_module("shelf_first", "score = max")
    import shelf_first

    with patcher.applying():
        patcher.function(shelf_first, "score", log.on_call)
    write_module("shelf_second", "from shelf_first import score")
    import shelf_second

    with patcher.applying():
        assert patcher.function(shelf_second, "score", log.on_call)
    assert shelf_second.score(1, 2) == 2
    assert log.names() == ["before", "after"]
    patcher.revert()
    assert shelf_first.score is max
    assert shelf_second.score(1, 2) == 2
    assert log.names() == ["before", "after"]


def test_a_copy_taken_while_patched_works_again_when_on_again(write_module: Any, patcher: Patcher, log: Log) -> None:
    """`from m import f` under the patch holds our layer: silent after revert, watched again after the next apply."""
    write_module("shelf_live", "score = max")
    import shelf_live

    with patcher.applying():
        patcher.function(shelf_live, "score", log.on_call)
    copy = shelf_live.score
    patcher.revert()
    assert copy(1, 2) == 2
    assert log.events == []
    assert shelf_live.score is max
    with patcher.applying():
        patcher.function(shelf_live, "score", log.on_call)
    assert shelf_live.score is copy
    assert copy(1, 2) == 2
    assert log.names() == ["before", "after"]


@pytest.mark.usefixtures("finder")
def test_reload_gives_new_classes_that_are_patched_anew(write_module: Any, patcher: Patcher, log: Log) -> None:
    """Old classes keep their patch until revert; what reload made gets its own, and its own original back."""
    import importlib

    write_module("shelf_again", "class Model:\n    def fit(self): return 1\ndef score(): return 2")

    def instrument(module: Any) -> None:
        patcher.method(module.Model, "fit", log.on_call)
        patcher.function(module, "score", log.on_call)

    with patcher.applying():
        patcher.when_imported("shelf_again", instrument)
    import shelf_again

    old = shelf_again.Model
    importlib.reload(shelf_again)
    new = shelf_again.Model
    assert new is not old
    for model in (old(), new()):
        log.events.clear()
        assert model.fit() == 1
        assert log.names() == ["before", "after"]
    log.events.clear()
    assert shelf_again.score() == 2
    assert log.names() == ["before", "after"]
    raws = [vars(cls)["fit"].__wrapped__ for cls in (old, new)]
    score = shelf_again.score.__wrapped__
    assert raws[0] is not raws[1]
    patcher.revert()
    assert [vars(cls)["fit"] for cls in (old, new)] == raws
    assert shelf_again.score is score


def test_old_records_are_not_reverted_onto_what_reload_made(write_module: Any, patcher: Patcher, log: Log) -> None:
    """Patched without an import hook, reloaded, reverted: the reloaded module keeps its new function."""
    import importlib

    write_module("shelf_once", "def score(): return 1")
    import shelf_once

    with patcher.applying():
        patcher.function(shelf_once, "score", log.on_call)
    importlib.reload(shelf_once)
    fresh = shelf_once.score
    assert [info.state for info in patcher.patches()] in ([], ["orphaned"])
    patcher.revert()
    assert shelf_once.score is fresh


def test_the_caller_is_the_programs_frame(model_class: Any, patcher: Patcher) -> None:
    """`Call.caller` leaves out our frames and wrapt's, however the method was called, and in both parts."""
    found: list[str] = []

    def handler(call: Call) -> Steps:
        for _ in range(2):
            frame = call.caller()
            assert frame is not None
            found.append(frame.f_code.co_name)
            if len(found) % 2:
                yield

    with patcher.applying():
        patcher.method(model_class, "fit", handler)
        patcher.method(model_class, "make", handler)
    model = model_class()

    def user_function() -> None:
        model.fit(1)
        model_class.fit(model, 1)
        model.make(1)
        model_class.make(1)

    user_function()
    assert found == ["user_function"] * 8


AGENT = """
def _around(original, arguments):
    return original(*arguments)

def wrap(owner, name):
    original = getattr(owner, name)
    def wrapper(*arguments):
        return _around(original, arguments)
    setattr(owner, name, wrapper)

def train(model):
    return model.fit(1)
"""


def test_the_caller_is_asked_past_wrappers_of_others(model_class: Any, patcher: Patcher) -> None:
    """A library that wraps over us, on the class or on an heir, calls on another's behalf; one that trains does not."""
    some_agent, some_trainer = (types.ModuleType(name) for name in ("some_agent", "some_trainer"))
    for library in (some_agent, some_trainer):
        path = os.path.join(os.sep, "site-packages", f"{library.__name__}.py")
        exec(compile(AGENT, path, "exec"), vars(library))
    found: list[str] = []

    def handler(call: Call) -> Steps:
        frame = call.caller()
        assert frame is not None
        found.append(frame.f_code.co_name)
        yield

    heir = type("Heir", (model_class,), {})
    with patcher.applying():
        patcher.method(model_class, "fit", handler)

    def user_function() -> None:
        some_trainer.train(model_class())
        some_agent.wrap(heir, "fit")
        heir().fit(1)
        some_agent.wrap(model_class, "fit")
        model_class().fit(1)
        some_trainer.train(heir())
        some_trainer.train(model_class())

    user_function()
    assert found == ["train", "user_function", "user_function", "train", "train"]


def test_the_parts_of_a_wrapped_descriptor_can_be_patched_by_others(patcher: Patcher, log: Log) -> None:
    """As MLflow patches scikit-learn's `available_if`: what it reads, sets and removes is the descriptor's own."""

    class Descriptor:
        def __init__(self, fn: Any) -> None:
            self.fn = fn

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            return self.fn.__get__(instance, owner)

    class Model:
        predict = Descriptor(lambda self: 1)

    raw = vars(Model)["predict"]
    with patcher.applying():
        patcher.method(Model, "predict", log.on_call)
    ours, original = vars(Model)["predict"], raw.fn
    assert object.__getattribute__(ours, "fn") is ours.fn is original
    ours.fn, ours.kept = (lambda self: original(self) + 1), original
    assert object.__getattribute__(ours, "kept") is raw.kept is original
    assert (Model().predict(), log.names()) == (2, ["before", "after"])
    ours.fn = ours.kept
    del ours.kept
    assert not hasattr(raw, "kept")
    assert not hasattr(ours, "kept")
    assert Model().predict() == 1
    patcher.revert()
    assert vars(Model)["predict"] is raw
    assert raw.fn is original


def test_introspection_sees_the_function(model_class: Any, patcher: Patcher, log: Log) -> None:
    """Name, module, doc, signature, code, isfunction, ismethod, getsource: as without the patch."""

    def facts() -> list[Any]:
        model = model_class()
        return [
            (f.__name__, f.__qualname__, f.__module__, f.__doc__, str(inspect.signature(f)), inspect.getsource(f))
            for f in (model.fit, model_class.fit, model.make, model_class.make, model.plain)
        ] + [
            inspect.ismethod(model.fit),
            inspect.isfunction(model_class.fit),
            inspect.ismethod(model_class.make),
            inspect.isfunction(model_class.plain),
            isinstance(model_class.fit, types.FunctionType),
            isinstance(model.fit, types.MethodType),
            model.fit.__self__ is model,
            model.fit == model.fit,
            hash(model.fit) == hash(model.fit),
            model_class.fit.__code__,
            model_class.size.__doc__,
        ]

    before = facts()
    with patcher.applying():
        for name in KINDS:
            patcher.method(model_class, name, log.on_call)
    assert facts() == before


def test_hooks_on_class_creation_see_classes_to_come(patcher: Patcher, log: Log) -> None:
    """`__init_subclass__`, an implicit classmethod that subclasses call by super(): one event per class made."""

    class Base:
        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)

    made: list[type] = []

    def handler(call: Call) -> Steps:
        yield
        made.append(call.instance)

    with patcher.applying():
        patcher.method(Base, "__init_subclass__", handler)

    class One(Base):
        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)

    class Two(One):
        pass

    assert made == [One, Two]
    patcher.revert()
    assert isinstance(vars(Base)["__init_subclass__"], classmethod)


def test_threads_have_their_own_events(patcher: Patcher) -> None:
    """The same instance used from eight threads at once gives one event per call."""
    hits: list[int] = []
    barrier = threading.Barrier(8)

    class Target:
        def fit(self, x: int) -> int:
            barrier.wait()
            return x

    def handler(call: Call) -> Steps:
        result = yield
        hits.append(result)

    with patcher.applying():
        patcher.method(Target, "fit", handler)
    target = Target()
    threads = [threading.Thread(target=target.fit, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(hits) == list(range(8))


def test_patching_and_calling_at_once_from_threads(model_class: Any) -> None:
    """Four integrations go on and off while calls are made: every call is right, the original is back at the end."""
    raw, stop = vars(model_class)["fit"], threading.Event()
    wrong: list[Any] = []

    def use() -> None:
        model = model_class()
        while not stop.is_set():
            if model.fit(3) != 3:
                wrong.append("result")

    def toggle(name: str) -> None:
        patcher = Patcher(name, guard.health(name))
        for _ in range(100):
            with patcher.applying():
                patcher.method(model_class, "fit", lambda call: (yield))
            patcher.revert()

    users = [threading.Thread(target=use) for _ in range(2)]
    togglers = [threading.Thread(target=toggle, args=(f"tests: toggle {i}",)) for i in range(4)]
    for thread in users + togglers:
        thread.start()
    for thread in togglers:
        thread.join()
    stop.set()
    for thread in users:
        thread.join()
    assert wrong == []
    assert vars(model_class)["fit"] is raw


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_can_patch_although_a_lock_was_held(model_class: Any, patcher: Patcher, log: Log) -> None:
    """A fork while another thread is patching leaves the child able to patch and revert."""
    taken, release = threading.Event(), threading.Event()

    def hold() -> None:
        with layers._lock:
            taken.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    pid = os.fork()
    if pid == 0:
        with patcher.applying():
            patcher.method(model_class, "fit", log.on_call)
        model_class().fit(1)
        patcher.revert()
        os._exit(0 if log.names() == ["before", "after"] else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    release.set()
    thread.join()
    assert code == 0


def test_time_of_the_handlers_is_charged_to_the_account_that_one_of_them_names(patcher) -> None:
    """An account hears of a call when a handler names it, and when the call is over, what the handlers took of it."""

    class Account:
        def __init__(self) -> None:
            self.told: list[str] = []
            self.seconds = 0.0

        def begin(self) -> None:
            self.told.append("begun")

        def charge(self, seconds: float) -> None:
            self.told.append("charged")
            self.seconds += seconds

    class Model:
        def fit(self, fails: bool) -> None:
            account.told.append("fitting")
            charge_to(account)  # the program's own code is no handler
            begun = time.perf_counter()
            sum(range(100_000))
            spent.append(time.perf_counter() - begun)
            if fails:
                raise ValueError

    def on_fit(call: Call) -> Steps:
        charge_to(account)
        charge_to(account)  # a second time it is the same call
        yield

    account = Account()
    spent: list[float] = []
    patcher.method(Model, "fit", on_fit)
    begun = time.perf_counter()
    Model().fit(False)
    whole = time.perf_counter() - begun
    assert account.told == ["begun", "fitting", "charged"]
    assert 0 < account.seconds <= whole - spent[0]
    with pytest.raises(ValueError):
        Model().fit(True)
    assert account.told == ["begun", "fitting", "charged"] * 2
