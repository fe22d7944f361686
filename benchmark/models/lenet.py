"""LeNet-300-100 and LeNet-5 (Caffe): the networks of LeCun et al. (1998) as pruning papers use them.

Initialisation: Glorot normal weights and zero biases, as in Frankle and Carbin (ICLR 2019,
arXiv:1803.03635, appendix G) and SNIP's variance scaling (arXiv:1810.02340, section 5).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LeNet300100(nn.Module):
    """784-300-100-classes with ReLU; 266,610 parameters for 10 classes."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 300)
        self.fc2 = nn.Linear(300, 100)
        self.fc3 = nn.Linear(100, classes)
        initialise_glorot(self)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)  # (n, 1, 28, 28) -> (n, 784)
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)


class LeNet5(nn.Module):
    """Caffe's LeNet-5: conv 20@5x5, pool, conv 50@5x5, pool, 800-500-classes; 431,080 parameters."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(800, 500)
        self.fc2 = nn.Linear(500, classes)
        self.pool = nn.MaxPool2d(2)
        initialise_glorot(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.conv1(x)))  # (n, 1, 28, 28) -> (n, 20, 12, 12)
        x = self.pool(torch.relu(self.conv2(x)))  # -> (n, 50, 4, 4)
        x = torch.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)


def initialise_glorot(module: nn.Module) -> None:
    """Draw Glorot normal weights for conv and linear layers and set their biases to zero."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
