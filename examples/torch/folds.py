"""Five folds: a fresh network and optimizer for each."""

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import KFold
from torch import nn

torch.manual_seed(0)
features, labels = load_breast_cancer(return_X_y=True)
inputs = torch.tensor(features, dtype=torch.float32)
inputs = (inputs - inputs.mean(0)) / inputs.std(0)
targets = torch.tensor(labels, dtype=torch.float32)


def train_fold(train: torch.Tensor, test: torch.Tensor) -> float:
    model = nn.Linear(30, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(inputs[train]).squeeze(1), targets[train])
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        test_loss = nn.functional.binary_cross_entropy_with_logits(model(inputs[test]).squeeze(1), targets[test])
    return test_loss.item()


for train, test in KFold(5).split(features):
    print("test loss", train_fold(torch.tensor(train), torch.tensor(test)))
