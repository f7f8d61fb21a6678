"""Data-parallel training: `torchrun --nproc-per-node 2 two_ranks.py`."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
torch.manual_seed(0)
inputs = torch.randn(128, 10)
targets = inputs.sum(1, keepdim=True)
mine = slice(dist.get_rank(), None, dist.get_world_size())
model = DistributedDataParallel(nn.Linear(10, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(20):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(inputs[mine]), targets[mine])
    loss.backward()
    optimizer.step()
total = sum(one.double().sum().item() for one in model.parameters())
if dist.get_rank() == 0:
    print("weights", total)
dist.barrier()  # gloo may abort a rank that leaves while another is still at it
dist.destroy_process_group()
