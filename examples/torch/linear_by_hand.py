"""Linear regression with nothing but tensors: gradients by `backward`, updates by hand."""

import torch

torch.manual_seed(0)
inputs = torch.randn(200, 3)
targets = inputs @ torch.tensor([1.5, -2.0, 0.5]) + 0.3 + 0.1 * torch.randn(200)

weights = torch.zeros(3, requires_grad=True)
bias = torch.zeros(1, requires_grad=True)
for _ in range(50):
    mse = ((inputs @ weights + bias - targets) ** 2).mean()
    mse.backward()
    with torch.no_grad():
        for parameter in (weights, bias):
            parameter -= 0.1 * parameter.grad
            parameter.grad.zero_()
print("weights", weights.tolist(), "bias", bias.item())
print("next random number", torch.rand(1).item())
