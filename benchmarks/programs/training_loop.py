"""A plain PyTorch loop with steps of about a millisecond, recorded and plain in one process, by turns.

    python training_loop.py SIDE FOLDER PAIRS

As in `boosting.py` the two of a pair follow each other at once, every other pair the other way round; the median of the
pairs' ratios counts. For the plain one all patches are taken off: a hook that has nothing to record costs something.
"""

from __future__ import annotations

import statistics
import time

import side

module = side.automatic()

import torch  # noqa: E402 - as in a program: autologging first
from torch import nn  # noqa: E402

STEPS = 300
BEGINNING = 3
"""Steps in which a run begins; what they cost more is a sum that does not grow with the loop."""

torch.set_num_threads(1)
torch.manual_seed(0)
inputs, targets = torch.randn(256, 64), torch.randint(0, 2, (256,))


def train(recorded: bool) -> tuple[float, float, float, float]:
    """Milliseconds by the clock and of this thread's CPU, the last loss, and milliseconds of CPU of the beginning."""
    if not recorded:
        module.autolog(disable=True)
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    wall, thread = time.perf_counter(), time.thread_time()
    last, begun = loop(model, optimizer)
    begun -= thread
    wall, thread = time.perf_counter() - wall, time.thread_time() - thread
    del model, optimizer
    side.settle(module)
    if not recorded:
        module.autolog()
    return 1000 * wall, 1000 * thread, last, 1000 * begun


def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[float, float]:
    """A loop as people write it: its last loss, and this thread's CPU time when it had begun."""
    begun = 0.0
    for step in range(STEPS):
        if step == BEGINNING:
            begun = time.thread_time()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
    return loss.item(), begun


train(True)
pairs = []
for number in range(side.COUNT):
    first = train(number % 2 == 0)
    second = train(number % 2 == 1)
    pairs.append((first, second) if number % 2 == 0 else (second, first))
if any(recorded[2] != plain[2] for recorded, plain in pairs):
    raise SystemExit("the recorded training's loss is another one")

side.report(
    wall_ratio=statistics.median(recorded[0] / plain[0] for recorded, plain in pairs),
    thread_ratio=statistics.median(recorded[1] / plain[1] for recorded, plain in pairs),
    begin_ms=statistics.median(recorded[3] - plain[3] for recorded, plain in pairs),
    later_ratio=statistics.median((recorded[1] - recorded[3]) / (plain[1] - plain[3]) for recorded, plain in pairs),
    step_us=statistics.median(plain[1] for _, plain in pairs) / STEPS * 1000,
    added_us=statistics.median(recorded[1] - plain[1] for recorded, plain in pairs) / STEPS * 1000,
)
