"""Every order in which a framework can be imported, patched twice and unpatched twice, each in a fresh process."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

STEPS = ["import", "patch", "patch", "revert", "revert"]
ORDERS = sorted(set(itertools.permutations(STEPS)))

MODULE = """
import functools, math
class Base:
    def inherited(self): return "inherited"
class Model(Base):
    def fit(self): return "fit"
    @classmethod
    def make(cls): return cls
    @staticmethod
    def plain(): return "plain"
    @property
    def size(self): return 7
    part = functools.partialmethod(fit)
    floor = math.floor
def score(): return "score"
raws = {(owner, name): value for owner in (Base, Model) for name, value in vars(owner).items()}
raw_score = score
"""

PROGRAM = """
import sys
from autotrack.hooks import guard
from autotrack.hooks.patching import Patcher
guard.reraise = True
hits = []
def on_call(call):
    hits.append(call.name)
    yield
patcher = Patcher("shelf", guard.health("shelf"))
def instrument(module):
    for name in ("fit", "make", "plain", "size", "part", "floor", "inherited"):
        assert patcher.method(module.Model, name, on_call), name
    assert patcher.function(module, "score", on_call)
def check(patched):
    module = sys.modules.get("shelf_permuted")
    if module is None:
        return
    hits.clear()
    model = module.Model()
    assert (model.fit(), model.make(), model.plain(), model.size, model.part()) == (
        "fit", module.Model, "plain", 7, "fit")
    assert (model.floor(2.5), model.inherited(), module.score()) == (2, "inherited", "score")
    expected = ["fit", "make", "plain", "size", "part", "floor", "inherited", "score"]
    assert hits == (expected if patched else []), (patched, hits)
    same = [vars(owner).get(name) is raw for (owner, name), raw in module.raws.items()]
    assert all(same) != patched
    assert (module.score is module.raw_score) != patched
    assert "inherited" not in vars(module.Model)
patched = False
for step in sys.argv[1:]:
    if step == "import":
        import shelf_permuted
    elif step == "patch":
        with patcher.applying():
            patcher.when_imported("shelf_permuted", instrument)
        patched = True
    else:
        patcher.revert()
        patched = False
    check(patched)
import shelf_permuted
check(patched)
"""


@pytest.mark.parametrize("chunk", range(6))
def test_every_order_of_import_patch_and_revert(child: Callable[..., str], tmp_path: Path, chunk: int) -> None:
    """After each step: one event per call or none, and where unpatched every raw descriptor is the identical object."""
    assert len(ORDERS) == 30
    (tmp_path / "shelf_permuted.py").write_text(MODULE)
    (tmp_path / "program.py").write_text(PROGRAM)
    orders = ORDERS[chunk::6]
    out = child(
        f"""
        import subprocess, sys
        for order in {orders!r}:
            done = subprocess.run([sys.executable, "program.py", *order], capture_output=True, text=True)
            assert done.returncode == 0, (order, done.stderr)
        print("good")
        """
    )
    assert out == "good\n"
