"""A small network on the digits, with a DataLoader, a schedule, and a validation loss after each epoch."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
images, digits = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(digits))
train, valid = torch.utils.data.random_split(data, [1500, 297])

model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
for _ in range(5):
    model.train()
    for batch, labels in DataLoader(train, batch_size=50, shuffle=True):
        optimizer.zero_grad()
        loss = criterion(model(batch), labels)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        val_loss = sum(criterion(model(batch), labels) * len(labels) for batch, labels in DataLoader(valid, 99)) / 297
    scheduler.step(val_loss)
    print(f"validation loss {val_loss:.6f}")
print("next random number", torch.rand(1).item())
