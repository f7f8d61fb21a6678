"""Seeds. They are recorded, never set.

Hooked: `random.seed`, `numpy.random.seed`, `numpy.random.default_rng`, `torch.manual_seed`, `torch.cuda.manual_seed`
and `torch.cuda.manual_seed_all`. Recorded: the seed with which the program called them last, as parameters
`seed.random`, `seed.numpy`, `seed.numpy.default_rng`, `seed.torch` and `seed.torch.cuda` of every run from then on;
None where it asked for a random one. A library's function that says by its name that it seeds (Lightning's
`seed_everything`, Transformers' `set_seed`) does that for whoever called it.

Deliberately not: what libraries seed on their own, and generators with a state of their own, whose seeds are parameters
of what they are given to. PYTHONHASHSEED is among the variables of the environment.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType, ModuleType
from typing import Any

from autotrack import origin
from autotrack.hooks.patching import Call, Handler, Patcher
from autotrack.integrations.options import IntegrationConfig
from autotrack.tracking import program_facts

FUNCTIONS = {
    "random": {"seed": "random"},
    "numpy.random": {"seed": "numpy", "default_rng": "numpy.default_rng"},
    "torch": {"manual_seed": "torch"},
    "torch.cuda": {"manual_seed": "torch.cuda", "manual_seed_all": "torch.cuda"},
}
"""Modules, their functions that seed, and the name under which the seed is recorded."""

ARGUMENTS = ("a", "seed")
"""What the functions call their first argument."""


def instrument(patcher: Patcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    patcher.on_revert(program_facts.listen("seeds", configuration))
    _watch(patcher, random, True)
    for name in ("numpy.random", "torch"):
        # Of a module that is imported later the program cannot have copies of its own yet.
        patcher.when_imported(name, partial(_watch, patcher, may_have_copies=name in sys.modules))


def _watch(patcher: Patcher, module: ModuleType, may_have_copies: bool) -> None:
    names = [module.__name__, "torch.cuda"] if module.__name__ == "torch" else [module.__name__]
    rebind_in = _is_users if may_have_copies else None
    for name in names:
        for function, library in FUNCTIONS[name].items():
            if hasattr(sys.modules.get(name), function):
                patcher.function(sys.modules[name], function, _recording(library), rebind_in=rebind_in)


def _is_users(module: ModuleType) -> bool:
    return not origin.is_library_module(module.__name__)


def _recording(library: str) -> Handler:
    """The handler that records the seed of one library."""

    def on_seed(call: Call) -> Any:
        yield
        if is_programs(call.caller()):
            seed = next(iter((*call.args, *(call.kwargs[name] for name in ARGUMENTS if name in call.kwargs))), None)
            program_facts.note_seed(library, seed)

    return on_seed


def is_programs(frame: FrameType | None) -> bool:
    """Whether a call that comes from this frame is made by the program, or by a function that seeds on its behalf."""
    frame = origin.calling_frame(frame)
    while frame is not None and not origin.is_users(frame) and says_that_it_seeds(frame.f_code.co_name):
        frame = origin.calling_frame(frame.f_back)
    return origin.is_users(frame)


def says_that_it_seeds(name: str) -> bool:
    """Whether a function of this name seeds what its caller uses: `seed_everything`, `set_determinism`."""
    lowered = name.lower()
    return "seed" in lowered or "determinis" in lowered
