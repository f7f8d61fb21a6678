"""A recurrent network that learns a sine wave by LBFGS, whose steps call a closure."""

import torch
from torch import nn

torch.manual_seed(0)
waves = torch.stack([torch.sin(torch.arange(60) / 8 + shift) for shift in torch.rand(8) * 6])


class Wave(nn.Module):
    """One recurrent layer and a linear one."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.RNN(1, 12, batch_first=True)
        self.out = nn.Linear(12, 1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.out(self.memory(values.unsqueeze(2))[0]).squeeze(2)


network = Wave()
optimizer = torch.optim.LBFGS(network.parameters(), lr=0.5, max_iter=8)
criterion = nn.MSELoss()


def closure() -> torch.Tensor:
    optimizer.zero_grad()
    loss = criterion(network(waves[:, :-1]), waves[:, 1:])
    loss.backward()
    return loss


for _ in range(6):
    print("loss", optimizer.step(closure).item())
