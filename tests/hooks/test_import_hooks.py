from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from autotrack.hooks import guard, imports

OWNER = "tests: import hooks"
Write = Callable[[str, str], Path]
Child = Callable[..., str]

pytestmark = pytest.mark.usefixtures("finder")


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    imports.unregister(OWNER)
    guard.health(OWNER).reset()


@pytest.fixture
def seen() -> list[ModuleType]:
    """The modules that the hook was called with."""
    return []


def test_the_hook_gets_the_module_when_its_import_is_done(write_module: Write, seen: list[ModuleType]) -> None:
    """It is called once, with the finished module; a second import statement does not call it."""
    write_module("shelf_plain", "early = 1\nimport json\nlate = 2")
    late: list[Any] = []
    imports.register("shelf_plain", lambda m: (seen.append(m), late.append(m.late)), OWNER)
    assert seen == []
    import shelf_plain
    import shelf_plain as again

    assert seen == [shelf_plain]
    assert late == [2]
    assert again is shelf_plain


def test_a_module_that_is_imported_already_counts_at_once(write_module: Write, seen: list[ModuleType]) -> None:
    """Import order does not matter."""
    write_module("shelf_early", "")
    import shelf_early

    imports.register("shelf_early", seen.append, OWNER)
    assert seen == [shelf_early]


def test_reload_counts_anew(write_module: Write, seen: list[ModuleType]) -> None:
    """The hook is called again on the reloaded module, and its loader stays its own."""
    write_module("shelf_reload", "class Thing: pass")
    imports.register("shelf_reload", seen.append, OWNER)
    import shelf_reload

    first = shelf_reload.Thing
    importlib.reload(shelf_reload)
    assert seen == [shelf_reload, shelf_reload]
    assert shelf_reload.Thing is not first
    assert type(shelf_reload.__spec__.loader) is importlib.machinery.SourceFileLoader
    assert shelf_reload.__loader__ is shelf_reload.__spec__.loader
    importlib.reload(shelf_reload)
    assert len(seen) == 3


def test_a_removed_module_that_is_imported_again_counts_anew(write_module: Write, seen: list[ModuleType]) -> None:
    """Deletion from `sys.modules` and a second import give a second call, with the new module."""
    write_module("shelf_again", "")
    imports.register("shelf_again", seen.append, OWNER)
    first = importlib.import_module("shelf_again")
    del sys.modules["shelf_again"]
    second = importlib.import_module("shelf_again")
    assert seen == [first, second]
    assert first is not second


def test_a_module_that_replaces_itself_is_seen_as_what_it_became(write_module: Write, seen: list[ModuleType]) -> None:
    """The hook gets the object in `sys.modules`, as transformers puts one there, not the stale module."""
    write_module(
        "shelf_replaced",
        """
        import sys, types
        class Lazy(types.ModuleType):
            model = 7
        sys.modules[__name__] = Lazy(__name__)
        """,
    )
    imports.register("shelf_replaced", seen.append, OWNER)
    import shelf_replaced

    assert seen == [shelf_replaced]
    assert shelf_replaced.model == 7


def test_a_half_imported_module_is_waited_for(write_module: Write, seen: list[ModuleType]) -> None:
    """Registered in the midst of the target's own import, the hook is called at its end, not on half a module."""
    write_module("shelf_half", "import shelf_half_inner\nlate = 2")
    write_module("shelf_half_inner", "import builtins; builtins.shelf_register()")
    late: list[bool] = []

    def register() -> None:
        imports.register("shelf_half", lambda m: (seen.append(m), late.append(hasattr(m, "late"))), OWNER)
        assert seen == []

    import builtins

    builtins.shelf_register = register  # type: ignore[attr-defined]
    try:
        import shelf_half
    finally:
        del builtins.shelf_register  # type: ignore[attr-defined]
    assert seen == [shelf_half]
    assert late == [True]
    assert type(shelf_half.__spec__) is importlib.machinery.ModuleSpec


def test_a_failed_import_does_not_count_and_a_later_one_does(write_module: Write, seen: list[ModuleType]) -> None:
    """The hook is called when the import succeeds at last."""
    path = write_module("shelf_fails", "raise ImportError('not yet')")
    imports.register("shelf_fails", seen.append, OWNER)
    with pytest.raises(ImportError, match="not yet"):
        import shelf_fails
    assert seen == []
    path.write_text("works = True\n")
    os.utime(path, (1, 1))
    importlib.invalidate_caches()
    import shelf_fails

    assert seen == [shelf_fails]


@pytest.mark.usefixtures("production")
def test_a_hook_that_raises_is_recorded_and_the_import_survives(write_module: Write, seen: list[ModuleType]) -> None:
    """The user's import works, the other hooks are called, the error stands in the owner's health."""
    write_module("shelf_raises", "value = 1")

    def broken(module: ModuleType) -> None:
        raise LookupError("no such class")

    imports.register("shelf_raises", broken, OWNER)
    imports.register("shelf_raises", seen.append, OWNER)
    import shelf_raises

    assert shelf_raises.value == 1
    assert seen == [shelf_raises]
    assert guard.health(OWNER).recent[-1].message == "LookupError: no such class"
    assert guard.health(OWNER).recent[-1].where == "import hook on shelf_raises"


def test_ctrl_c_in_a_hook_is_the_programs(write_module: Write) -> None:
    """KeyboardInterrupt raised while a hook runs is not swallowed."""
    write_module("shelf_ctrl_c", "")

    def interrupted(module: ModuleType) -> None:
        raise KeyboardInterrupt

    imports.register("shelf_ctrl_c", interrupted, OWNER)
    with pytest.raises(KeyboardInterrupt):
        import shelf_ctrl_c  # noqa: F401


def test_a_lazy_module_stays_lazy_until_it_is_used(write_module: Write, seen: list[ModuleType]) -> None:
    """The recipe with `LazyLoader`: registering and importing other things loads nothing; first use calls the hook."""
    write_module("shelf_lazy", "import sys; sys.shelf_loaded = True; value = 3")
    write_module("shelf_other", "")
    spec = importlib.util.find_spec("shelf_lazy")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["shelf_lazy"] = module
    assert spec.loader is not None
    spec.loader.exec_module(module)
    values: list[int] = []
    imports.register("shelf_lazy", lambda m: (seen.append(m), values.append(m.value)), OWNER)
    import shelf_other  # noqa: F401

    assert not hasattr(sys, "shelf_loaded")
    assert seen == []
    assert module.value == 3
    del sys.shelf_loaded  # type: ignore[attr-defined]
    assert len(seen) == 1
    assert seen[0] is module
    assert values == [3]


def test_the_lazy_recipe_works_with_a_hook_registered_before(write_module: Write, seen: list[ModuleType]) -> None:
    """`find_spec` gives a spec whose loader `LazyLoader` takes; the hook is called on the real load, once."""
    write_module("shelf_lazy_late", "import json; value = 3")
    imports.register("shelf_lazy_late", seen.append, OWNER)
    spec = importlib.util.find_spec("shelf_lazy_late")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["shelf_lazy_late"] = module
    assert spec.loader is not None
    spec.loader.exec_module(module)
    assert seen == []
    assert module.value == 3
    assert len(seen) == 1


class LazyFinder(importlib.abc.MetaPathFinder):
    """Makes modules of one name lazy, as command line tools do with all of theirs."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """The spec of `PathFinder`, made lazy."""
        if name != self.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        assert spec is not None
        assert spec.loader is not None
        spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


@pytest.mark.parametrize("position", [0, 1])
def test_a_finder_that_makes_modules_lazy_is_respected(
    write_module: Write, seen: list[ModuleType], monkeypatch: pytest.MonkeyPatch, position: int
) -> None:
    """Whether it stands before ours or after: the import loads nothing, the first use calls the hook."""
    write_module("shelf_lazy_found", "import sys; sys.shelf_loaded = True; value = 3")
    write_module("shelf_other", "")
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    sys.meta_path.insert(sys.meta_path.index(imports._finder) + position, LazyFinder("shelf_lazy_found"))
    imports.register("shelf_lazy_found", seen.append, OWNER)
    import shelf_lazy_found
    import shelf_other  # noqa: F401

    assert not hasattr(sys, "shelf_loaded")
    assert seen == []
    assert shelf_lazy_found.value == 3
    del sys.shelf_loaded  # type: ignore[attr-defined]
    assert len(seen) == 1


def test_looking_for_a_module_does_not_count(write_module: Write, seen: list[ModuleType]) -> None:
    """`importlib.util.find_spec`, the usual "is it installed?", calls no hook; the import after it does, once."""
    write_module("shelf_probe", "")
    imports.register("shelf_probe", seen.append, OWNER)
    assert importlib.util.find_spec("shelf_probe") is not None
    assert seen == []
    import shelf_probe

    assert seen == [shelf_probe]


def test_a_module_executed_by_hand_counts(write_module: Write, seen: list[ModuleType]) -> None:
    """`module_from_spec` and `exec_module`, as the documentation of importlib shows it."""
    write_module("shelf_by_hand", "import json; value = 1")
    imports.register("shelf_by_hand", lambda m: seen.append(m.value), OWNER)
    spec = importlib.util.find_spec("shelf_by_hand")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["shelf_by_hand"] = module
    assert spec.loader is not None
    spec.loader.exec_module(module)
    assert seen == [1]
    assert type(spec.loader) is importlib.machinery.SourceFileLoader


def test_eight_threads_call_the_hook_once(write_module: Write, seen: list[ModuleType]) -> None:
    """Threads that import the same module at the same moment."""
    write_module("shelf_threads", "import json, decimal")
    imports.register("shelf_threads", seen.append, OWNER)
    barrier = threading.Barrier(8)

    def load() -> None:
        barrier.wait()
        importlib.import_module("shelf_threads")

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 1


def test_a_package_that_joins_a_thread_importing_its_submodule_does_not_deadlock(
    write_module: Write, child: Child, tmp_path: Path
) -> None:
    """Plain Python imports such a package; a finder that imported the parent would wait for it for ever."""
    write_module(
        "shelf_join/__init__",
        """
        import threading
        def load():
            global inner
            import importlib.util, sys
            for finder in sys.meta_path:
                spec = finder.find_spec("shelf_join.inner", __path__)
                if spec is not None:
                    break
            inner = spec.name
        thread = threading.Thread(target=load)
        thread.start()
        thread.join()
        """,
    )
    write_module("shelf_join/inner", "")
    out = child(
        """
        from autotrack.hooks import imports
        imports.install()
        seen = []
        imports.register("shelf_join.inner", lambda m: seen.append(m.__name__), "tests")
        import shelf_join
        print(shelf_join.inner, seen)
        import shelf_join.inner
        print(seen)
        """,
        path=(tmp_path / "modules",),
    )
    assert out.split("\n")[:2] == ["shelf_join.inner []", "['shelf_join.inner']"]


def test_specs_and_loaders_are_left_as_they_are(write_module: Write, seen: list[ModuleType]) -> None:
    """After the import, the spec, its class and its loader are those of an import without us."""
    write_module("shelf_spec/__init__", "loader_inside = __spec__.loader, __loader__")
    imports.register("shelf_spec", seen.append, OWNER)
    import shelf_spec

    assert type(shelf_spec.__spec__) is importlib.machinery.ModuleSpec
    loader = shelf_spec.__spec__.loader
    assert type(loader) is importlib.machinery.SourceFileLoader
    assert shelf_spec.__loader__ is loader
    assert shelf_spec.loader_inside == (loader, loader)
    assert vars(shelf_spec.__spec__).keys() == vars(json.__spec__).keys()


def test_an_unregistered_hook_is_never_called(write_module: Write, seen: list[ModuleType]) -> None:
    """An integration that is turned off before its target is imported has no hook left; on again, it has one."""
    write_module("shelf_off", "")
    imports.register("shelf_off", seen.append, OWNER)
    imports.unregister(OWNER)
    first = importlib.import_module("shelf_off")
    assert seen == []
    del sys.modules["shelf_off"]
    for _ in range(2):
        imports.unregister(OWNER)
        imports.register("shelf_off", seen.append, OWNER)
        imports.register("shelf_off", seen.append, OWNER)
    second = importlib.import_module("shelf_off")
    assert seen == [second]
    assert first is not second


def test_unregister_leaves_the_hooks_of_others(write_module: Write, seen: list[ModuleType]) -> None:
    """Two integrations watch one module; turning one off does not turn off the other."""
    write_module("shelf_shared", "")
    other: list[ModuleType] = []
    imports.register("shelf_shared", seen.append, OWNER)
    imports.register("shelf_shared", other.append, OWNER + ", another")
    try:
        imports.unregister(OWNER)
        import shelf_shared
    finally:
        imports.unregister(OWNER + ", another")
    assert (seen, other) == ([], [shelf_shared])


def test_a_users_file_with_the_frameworks_name_is_a_shadow(write_module: Write) -> None:
    """A `torch.py` of the user's own lacks what the framework has; no module `__getattr__` is called to see that."""
    write_module("shelf_torch", "def __getattr__(name): raise RuntimeError(name)\nTensor = 1")
    import shelf_torch

    assert imports.is_shadow(shelf_torch, ("Tensor", "nn"))
    assert not imports.is_shadow(shelf_torch, ("Tensor",))
    assert not imports.is_shadow(threading, ("Thread", "RLock"))


def test_a_failing_import_has_the_same_traceback(write_module: Write, seen: list[ModuleType]) -> None:
    """A hooked module that fails to import shows the very lines that it shows without us."""
    write_module("shelf_broken", "import shelf_broken_inner")
    write_module("shelf_broken_inner", "def f():\n    import no_such_module_at_all\nf()")

    def shown() -> str:
        try:
            importlib.invalidate_caches()
            import shelf_broken  # noqa: F401
        except ImportError:
            return traceback.format_exc()
        raise AssertionError

    before = shown()
    imports.register("shelf_broken", seen.append, OWNER)
    imports.register("shelf_broken_inner", seen.append, OWNER)
    imports.register("no_such_module_at_all", seen.append, OWNER)
    assert shown() == before
    assert "autotrack" not in before.replace(str(Path(__file__).parents[2]), "")
    assert seen == []


@pytest.mark.parametrize("in_front", [False, True])
def test_pytests_assertion_rewriting_goes_together(child: Child, tmp_path: Path, in_front: bool) -> None:
    """A rewritten module keeps its rewritten assertions and its hook, whichever finder comes first."""
    (tmp_path / "shelf_rewritten").mkdir()
    (tmp_path / "shelf_rewritten" / "__init__.py").write_text(
        "import shelf_rewritten.inner\ndef check():\n    a = 41\n    assert a == 42\n"
    )
    (tmp_path / "shelf_rewritten" / "inner.py").write_text("")
    (tmp_path / "test_it.py").write_text("""
import sys, pytest
def test_it():
    from shelf_state import seen
    import shelf_rewritten
    import colorsys  # of another finder's modules we hear with the next import
    with pytest.raises(AssertionError) as caught:
        shelf_rewritten.check()
    assert "41 == 42" in str(caught.value)
    assert seen == ["shelf_rewritten"], sys.meta_path
""")
    (tmp_path / "shelf_state.py").write_text("seen = []")
    out = child(
        f"""
        import sys, pytest
        sys.path.insert(0, ".")
        from autotrack.hooks import imports
        class Plugin:
            def pytest_configure(self, config):
                import shelf_state
                pytest.register_assert_rewrite("shelf_rewritten")
                imports.install()
                if {in_front}:
                    ours = sys.meta_path.pop(0)
                    sys.meta_path.insert(1, ours)
                imports.register("shelf_rewritten", lambda m: shelf_state.seen.append(m.__name__), "tests")
        code = pytest.main(["-q", "-p", "no:cacheprovider", "test_it.py"], plugins=[Plugin()])
        print("rc", int(code))
        """
    )
    assert "rc 0" in out, out


def test_coverage_measures_hooked_modules(child: Child, write_module: Write, tmp_path: Path) -> None:
    """A module with a hook is measured like any other."""
    write_module("shelf_covered", "def used():\n    return 1\ndef unused():\n    return 2\n")
    out = child(
        """
        import coverage
        from autotrack.hooks import imports
        measured = coverage.Coverage(data_file=None, include=["*/shelf_covered.py"])
        measured.start()
        imports.install()
        seen = []
        imports.register("shelf_covered", seen.append, "tests")
        import shelf_covered
        shelf_covered.used()
        measured.stop()
        print(seen == [shelf_covered], measured.analysis(shelf_covered)[2])
        """,
        path=(tmp_path / "modules",),
    )
    assert out == "True [4]\n"


@pytest.mark.parametrize("hook_first", [True, False])
@pytest.mark.parametrize("tool", ["beartype", "jaxtyping"])
def test_type_checking_import_hooks_go_together(
    child: Child, write_module: Write, tmp_path: Path, tool: str, hook_first: bool
) -> None:
    """A package under beartype's or jaxtyping's own import hook is still checked, and its hook is still called."""
    write_module("shelf_typed/__init__", "from shelf_typed.inner import double")
    write_module("shelf_typed/inner", "def double(x: int) -> int:\n    return x * 2\n")
    ours = 'imports.install(); imports.register("shelf_typed.inner", lambda m: seen.append(m.__name__), "tests")'
    theirs = {
        "beartype": "from beartype.claw import beartype_package; beartype_package('shelf_typed')",
        "jaxtyping": "import jaxtyping; jaxtyping.install_import_hook('shelf_typed', 'beartype.beartype')",
    }[tool]
    first, second = (ours, theirs) if hook_first else (theirs, ours)
    out = child(
        f"""
        from autotrack.hooks import imports
        seen = []
        {first}
        {second}
        import shelf_typed
        import decimal
        assert shelf_typed.double(2) == 4
        try:
            shelf_typed.double("x")
        except Exception as error:
            print(type(error).__module__.partition(".")[0], seen)
        """,
        path=(tmp_path / "modules",),
    )
    assert out in ("beartype ['shelf_typed.inner']\n", "jaxtyping ['shelf_typed.inner']\n")


def test_one_thread_imports_while_another_registers(write_module: Write) -> None:
    """Whatever the moment at which a hook is registered during another thread's import, it is called once."""
    for number in range(60):
        write_module(f"shelf_race_{number}", "import json\nfor i in range(300): pass\ndone = True")
    importlib.invalidate_caches()
    for number in range(60):
        name, calls = f"shelf_race_{number}", []
        started = threading.Barrier(2)

        def load(name: str = name, started: threading.Barrier = started) -> None:
            started.wait()
            importlib.import_module(name)

        thread = threading.Thread(target=load)
        thread.start()
        started.wait()
        for _ in range(number * 40):
            pass
        imports.register(name, lambda m, calls=calls: calls.append(m.done), OWNER)
        thread.join()
        imports._finder.find_spec("shelf_any_other")
        assert calls == [True], name


def test_the_finder_answers_for_registered_names_only(write_module: Write, seen: list[ModuleType]) -> None:
    """For any other name it returns None, so that its loader and its tracebacks know nothing of us."""
    write_module("shelf_foreign", "import traceback\nstack = traceback.extract_stack()")
    imports.register("shelf_wanted", seen.append, OWNER)
    assert imports._finder.find_spec("shelf_foreign") is None
    import shelf_foreign

    assert not [frame for frame in shelf_foreign.stack if frame.filename == imports.__file__]


def test_no_frame_of_ours_is_on_the_stack_of_a_hooked_import(write_module: Write, seen: list[ModuleType]) -> None:
    """The body of a registered module runs straight under importlib."""
    write_module("shelf_stack", "import traceback\nstack = traceback.extract_stack()")
    imports.register("shelf_stack", seen.append, OWNER)
    import shelf_stack

    assert seen == [shelf_stack]
    assert not [frame for frame in shelf_stack.stack if frame.filename == imports.__file__]


def test_install_and_uninstall_are_idempotent() -> None:
    """The finder stands on `sys.meta_path` once, and is gone after one `uninstall`."""
    imports.install()
    imports.install()
    assert [finder for finder in sys.meta_path if finder is imports._finder] == [imports._finder]
    imports.uninstall()
    imports.uninstall()
    assert imports._finder not in sys.meta_path
    imports.install()


def test_a_module_that_is_blocked_is_not_there(seen: list[ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    """`sys.modules[name] = None` makes the import fail as it does without us, and calls no hook."""
    monkeypatch.setitem(sys.modules, "shelf_blocked", None)
    imports.register("shelf_blocked", seen.append, OWNER)
    with pytest.raises(ModuleNotFoundError, match="shelf_blocked"):
        import shelf_blocked  # noqa: F401
    assert seen == []


def test_a_namespace_package_is_imported_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: list[ModuleType]
) -> None:
    """A folder without `__init__.py` under a registered name."""
    (tmp_path / "shelf_namespace").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    imports.register("shelf_namespace", seen.append, OWNER)
    import shelf_namespace

    assert list(shelf_namespace.__path__) == [str(tmp_path / "shelf_namespace")]


def test_loading_the_import_hooks_is_light(child: Child) -> None:
    """Of all modules that `autotrack.hooks.imports` loads, none is from outside the interpreter's core or us."""
    out = child(
        """
        import sys
        before = set(sys.modules)
        import autotrack.hooks.imports
        print(*sorted(set(sys.modules) - before))
        """
    )
    assert set(out.split()) <= {"__future__", "autotrack", "autotrack.hooks", "autotrack.hooks.imports"}
