"""A plain PyTorch loop with steps of about a millisecond, recorded and plain in one process, by turns.

    python training_loop.py SIDE FOLDER PAIRS

Two things are measured. What a run's beginning adds to a loop's first steps: loops recorded and plain follow each
other, every other pair the other way round. And what a step adds after them: within one loop, blocks of steps by turns
with autotrack's hooks and with none at all (hooks that have nothing to record would cost something, too), so that the
two of a pair are a moment apart; long enough for what waits to be written to be written in each. A loop's CPU time is
that of `STEPS` steps, with both.
"""

from __future__ import annotations

import statistics
import time

import side

module = side.automatic()

import torch  # noqa: E402 - as in a program: autologging first
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.optim.optimizer import _global_optimizer_post_hooks as post_hooks  # noqa: E402

STEPS = 300
"""Steps of the loop that is reckoned with."""

BEGINNING = 3
"""Steps in which a run begins; what they cost more is a sum that does not grow with the loop."""

BLOCK, SETTLING = 160, 5
"""Steps of a block, and those before it that are not measured: hooks have just been put on, or taken off."""

BLOCKS = 4
"""Pairs of blocks for each pair of loops."""

torch.set_num_threads(1)
torch.manual_seed(0)
inputs, targets = torch.randn(256, 64), torch.randint(0, 2, (256,))


def made() -> tuple[nn.Module, torch.optim.Optimizer]:
    """A model and its optimizer, the same each time."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2))
    return model, torch.optim.SGD(model.parameters(), lr=0.01)


def loop(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> float:
    """A loop as people write it: its last loss."""
    for _ in range(steps):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
    return loss.item()


def beginning(recorded: bool) -> tuple[float, float]:
    """Milliseconds of this thread's CPU that a loop's first steps take, and their last loss."""
    if not recorded:
        module.autolog(disable=True)
    model, optimizer = made()
    before = time.thread_time()
    last = loop(model, optimizer, BEGINNING)
    taken = time.thread_time() - before
    del model, optimizer
    side.settle(module)
    if not recorded:
        module.autolog()
    return 1000 * taken, last


def put(on: bool) -> None:
    """Put on what is hooked of a step, or take it off."""
    for (owner, name), stand_in in hooked.items():
        setattr(owner, name, stand_in if on else stand_in.__wrapped__)
    post_hooks.clear()
    post_hooks.update(hooks_of_steps if on else {})


def block(model: nn.Module, optimizer: torch.optim.Optimizer, recorded: bool) -> tuple[float, float]:
    """Microseconds of a step by the clock, and of this thread's CPU."""
    put(recorded)
    loop(model, optimizer, SETTLING)
    wall, thread = time.perf_counter(), time.thread_time()
    loop(model, optimizer, BLOCK)
    return 1e6 * (time.perf_counter() - wall) / BLOCK, 1e6 * (time.thread_time() - thread) / BLOCK


def middle(values: list[float]) -> float:
    """The mean of the middle three fifths."""
    fifth = len(values) // 5
    return statistics.fmean(sorted(values)[fifth : len(values) - fifth])


beginning(True)
begun = [(beginning(number % 2 == 0), beginning(number % 2 == 1)) for number in range(side.COUNT)]
begun = [pair if number % 2 == 0 else (pair[1], pair[0]) for number, pair in enumerate(begun)]
if any(recorded[1] != plain[1] for recorded, plain in begun):
    raise SystemExit("the recorded training's loss is another one")
begin_ms = statistics.median(recorded[0] - plain[0] for recorded, plain in begun)

hooks_of_steps = dict(post_hooks)  # those of the last time that they were put on
hooked = {
    (owner, name): getattr(owner, name) for owner, name in ((functional, "cross_entropy"), (torch.autograd, "backward"))
}
if not hooks_of_steps or not all(hasattr(one, "__wrapped__") for one in hooked.values()):
    raise SystemExit("nothing is hooked")
trained = made()
loop(*trained, 20)
blocks = []
for number in range(BLOCKS * side.COUNT):
    first, second = block(*trained, number % 2 == 0), block(*trained, number % 2 == 1)
    blocks.append((first, second) if number % 2 == 0 else (second, first))
put(True)
step_us = statistics.median(plain[1] for _, plain in blocks)
later_us = middle([recorded[1] - plain[1] for recorded, plain in blocks])
added_us = later_us + 1000 * begin_ms / STEPS
wall_us = middle([recorded[0] - plain[0] for recorded, plain in blocks]) + 1000 * begin_ms / STEPS

side.report(
    wall_ratio=1 + wall_us / statistics.median(plain[0] for _, plain in blocks),
    thread_ratio=1 + added_us / step_us,
    begin_ms=begin_ms,
    later_ratio=1 + later_us / step_us,
    step_us=step_us,
    added_us=added_us,
)
