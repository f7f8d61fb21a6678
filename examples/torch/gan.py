"""A generator and a discriminator, each with its own optimizer."""

import torch
from torch import nn

torch.manual_seed(0)
generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
discriminator = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
optimizer_g = torch.optim.Adam(generator.parameters(), lr=0.002, betas=(0.5, 0.999))
optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=0.001, betas=(0.5, 0.999))
criterion = nn.BCEWithLogitsLoss()
for _ in range(40):
    real = torch.randn(32, 2) * 0.5 + 2
    fake = generator(torch.randn(32, 4))

    optimizer_d.zero_grad()
    errD_real = criterion(discriminator(real), torch.ones(32, 1))
    errD_real.backward()
    errD_fake = criterion(discriminator(fake.detach()), torch.zeros(32, 1))
    errD_fake.backward()
    optimizer_d.step()

    optimizer_g.zero_grad()
    errG = criterion(discriminator(fake), torch.ones(32, 1))
    errG.backward()
    optimizer_g.step()
print("losses", errD_real.item(), errD_fake.item(), errG.item())
print("next random number", torch.rand(1).item())
