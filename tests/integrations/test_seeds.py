"""Seeds that the program set: recorded, never set."""

from __future__ import annotations

import pickle
import random
import sys
from types import ModuleType
from typing import Any

import numpy
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.utils import check_random_state

import autotrack
from autotrack.testing import TemporaryStore


def fit() -> None:
    """Train something."""
    Ridge().fit([[0.0], [1.0]], [0.0, 1.0])


def seeds(run: Any) -> dict[str, Any]:
    """The seeds on a run."""
    values = run.data.param_values
    return {key.removeprefix("seed."): value for key, value in values.items() if key.startswith("seed.")}


@pytest.fixture
def seeded(recorded: TemporaryStore) -> Any:
    """A fresh store with recording on; the global random states are as before afterwards."""
    states = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    yield recorded
    random.setstate(states[0])
    numpy.random.set_state(states[1])
    torch.set_rng_state(states[2])


def test_seeds_of_all_libraries_are_on_the_run(seeded: TemporaryStore) -> None:
    """Python's, numpy's and torch's seeds are parameters, with their type."""
    random.seed(1)
    numpy.random.seed(seed=2)
    numpy.random.default_rng(3)
    torch.manual_seed(4)
    torch.cuda.manual_seed_all(5)
    fit()
    expected = {"random": 1, "numpy": 2, "numpy.default_rng": 3, "torch": 4, "torch.cuda": 5}
    assert seeds(seeded.only_run()) == expected


def test_the_random_numbers_are_those_of_plain_python(seeded: TemporaryStore) -> None:
    """Seeding under autotrack gives the same streams and results as without it, also after a fit."""

    def draws(with_fit: bool) -> list[Any]:
        random.seed("text")
        numpy.random.seed([1, 2])
        generator = torch.manual_seed(3)
        if with_fit:
            fit()
        assert generator is torch.default_generator
        rng = numpy.random.default_rng(4)
        return [random.random(), numpy.random.rand(), torch.rand(1).item(), rng.random(), random.getstate()]

    hooked = draws(True)
    autotrack.disable()
    assert hooked == draws(False)


def test_each_run_has_the_seed_that_it_began_with(seeded: TemporaryStore) -> None:
    """A sweep over seeds: every run has its own, and none where a random one was asked for."""
    for seed in (1, 2, None):
        random.seed(seed)
        fit()
    assert [seeds(run)["random"] for run in seeded.runs()] == [1, 2, None]


def test_a_seed_reaches_the_run_that_the_program_has_open(seeded: TemporaryStore) -> None:
    """Seeding inside `start_run()` is on that run."""
    with autotrack.start_run():
        numpy.random.seed(8)
    assert seeds(seeded.only_run()) == {"numpy": 8}


def test_a_library_that_seeds_on_its_own_is_not_the_program(seeded: TemporaryStore) -> None:
    """What a library draws and seeds inside is no seed of the program's."""
    check_random_state(5)
    library = ModuleType("library_that_seeds")
    source = "import random\ndef train():\n    random.seed(1)\ndef set_all_seeds(seed):\n    random.seed(seed)\n"
    exec(compile(source, numpy.__file__, "exec"), vars(library))
    library.train()
    fit()
    assert seeds(seeded.only_run()) == {}
    library.set_all_seeds(9)
    fit()
    assert seeds(seeded.runs()[-1]) == {"random": 9}


def test_a_function_that_seeds_does_so_for_its_caller(seeded: TemporaryStore) -> None:
    """`seed_everything` of Lightning counts as the program's own seeding."""
    lightning = pytest.importorskip("lightning")
    lightning.seed_everything(11, verbose=False)
    fit()
    found = seeds(seeded.only_run())
    assert (found["random"], found["numpy"], found["torch"]) == (11, 11, 11)


def test_functions_that_the_program_imported_before_count(autotrack_store: TemporaryStore) -> None:
    """`from random import seed` and its like, made before `autolog()`, are seen too."""
    program = ModuleType("program_that_seeds")
    exec("from random import seed\nfrom numpy.random import default_rng", vars(program))
    sys.modules["program_that_seeds"] = program
    state = random.getstate()
    try:
        autotrack.autolog()
        program.seed(21)
        program.default_rng(22)
        fit()
    finally:
        del sys.modules["program_that_seeds"]
        random.setstate(state)
    assert seeds(autotrack_store.only_run()) == {"random": 21, "numpy.default_rng": 22}


LATE = """
import autotrack
autotrack.autolog()
import numpy
numpy.random.seed(1)
import torch
torch.manual_seed(2)
with autotrack.start_run() as run:
    pass
print(sorted(autotrack.get_run(run.run_id).data.params.items()))
"""


def test_a_library_that_is_imported_later_is_seen(run_python: Any) -> None:
    """numpy first and torch later, both after `autolog()`; torch seeds its devices along."""
    expected = [("seed.numpy", "1"), ("seed.torch", "2"), ("seed.torch.cuda", "2")]
    assert run_python(LATE).stdout == f"{expected}\n"


def test_a_run_that_seeds_in_every_step_stays_small(seeded: TemporaryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open run is told of so many seedings and no more; the next run begins with the seed that was set last."""
    monkeypatch.setattr("autotrack.tracking.program_facts.MAX_SEEDINGS", 3)
    with autotrack.start_run():
        for step in range(10):
            numpy.random.default_rng(step)
    with autotrack.start_run():
        pass
    assert [seeds(run)["numpy.default_rng"] for run in seeded.runs()] == [2, 9]


def test_bad_seeds_raise_what_they_raised(seeded: TemporaryStore) -> None:
    """An error of a library's own comes out as it is, and is no seed."""
    with pytest.raises(ValueError, match="Seed must be"):
        numpy.random.seed(-1)
    with pytest.raises(TypeError):
        random.seed([1])  # type: ignore[arg-type]
    fit()
    assert seeds(seeded.only_run()) == {}


def test_seeding_functions_pickle_without_autotrack(seeded: TemporaryStore) -> None:
    """What is pickled under autotrack names the library alone."""
    data = pickle.dumps(numpy.random.default_rng)
    assert b"autotrack" not in data
    assert pickle.loads(data)(3).random() == numpy.random.default_rng(3).random()


def test_generators_of_ones_own_cost_nothing() -> None:
    """`random.Random` and `random.random` are not touched."""
    before = random.Random.seed, random.random, numpy.random.RandomState, numpy.random.rand
    autotrack.autolog()
    assert (random.Random.seed, random.random, numpy.random.RandomState, numpy.random.rand) == before
    raw = sys.modules["random"]._inst.seed  # type: ignore[attr-defined]
    autotrack.disable()
    assert random.seed == raw


def test_a_compiled_function_may_seed(seeded: TemporaryStore) -> None:
    """torch.compile takes a function that seeds as it does without autotrack."""

    @torch.compile(backend="eager")  # type: ignore[untyped-decorator]
    def draw() -> Any:
        torch.manual_seed(0)
        return torch.rand(2)

    torch.manual_seed(0)
    assert torch.equal(draw(), torch.rand(2, generator=torch.Generator().manual_seed(0)))
