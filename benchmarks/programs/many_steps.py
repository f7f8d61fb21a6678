"""Memory over many steps of one plain PyTorch loop: how much it grows in a thousand of them, once all is loaded."""

from __future__ import annotations

import side

module = side.automatic()

import torch  # noqa: E402 - as in a program: autologging first
from torch import nn  # noqa: E402

torch.set_num_threads(1)
torch.manual_seed(0)
inputs, targets = torch.randn(16, 8), torch.randint(0, 2, (16,))
model = nn.Linear(8, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)


def train(steps: int) -> None:
    """A loop as people write it."""
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()


half = side.COUNT // 2
side.fill_cache(module)
side.report(**side.growth(lambda: train(half), half, module))
