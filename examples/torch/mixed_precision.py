"""Automatic mixed precision with a gradient scaler; on the CPU in bfloat16."""

import torch
from torch import nn

torch.manual_seed(0)
inputs = torch.randn(256, 20)
targets = (inputs[:, :3].sum(1) > 0).long()
model = nn.Sequential(nn.Linear(20, 32), nn.GELU(), nn.Linear(32, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
scaler = torch.amp.GradScaler("cpu")
for _ in range(20):
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nn.functional.cross_entropy(model(inputs), targets)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
print("last loss", loss.item())
