"""A plain PyTorch loop with steps of about a millisecond, recorded and plain in one process, by turns.

    python training_loop.py SIDE FOLDER PAIRS

As in `boosting.py` the two of a pair follow each other at once, every other pair the other way round; the median of the
pairs' ratios counts.
"""

from __future__ import annotations

import statistics
import time

import side

module = side.automatic()

import torch  # noqa: E402 - as in a program: autologging first
from torch import nn  # noqa: E402

STEPS = 300

torch.set_num_threads(1)
torch.manual_seed(0)
inputs, targets = torch.randn(256, 64), torch.randint(0, 2, (256,))


def train(recorded: bool) -> tuple[float, float, float]:
    """Milliseconds by the clock and of this thread's CPU, and the last loss."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    wall, thread = time.perf_counter(), time.thread_time()
    if recorded:
        last = loop(model, optimizer)
    else:
        with module.disabled():
            last = loop(model, optimizer)
    wall, thread = time.perf_counter() - wall, time.thread_time() - thread
    del model, optimizer
    side.settle(module)
    return 1000 * wall, 1000 * thread, last


def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """A loop as people write it."""
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
    return loss.item()


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
    step_us=statistics.median(plain[1] for _, plain in pairs) / STEPS * 1000,
    added_us=statistics.median(recorded[1] - plain[1] for recorded, plain in pairs) / STEPS * 1000,
)
