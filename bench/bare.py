"""What the suite is measured against: plain PyTorch loops as short as one would write them.

They take the same steps on the same images and evaluate as often, and do nothing else: no masks, no records, no
counting. Images lie ready as normalised floats, which no batch has to be made of.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

Split = tuple[Tensor, Tensor]  # inputs and labels


def train(
    module: nn.Module, optimizer: torch.optim.Optimizer, data: Split, steps: range, batch_size: int, held: Split
) -> None:
    """Steps of whole batches in a random order; after each epoch, and the last step, an evaluation of `held`."""
    per_epoch = len(data[1]) // batch_size
    for epoch in range(steps.start // per_epoch, -(-steps.stop // per_epoch)):
        order = torch.randperm(len(data[1]))[: per_epoch * batch_size].view(per_epoch, batch_size)
        first, last = max(0, steps.start - epoch * per_epoch), steps.stop - epoch * per_epoch
        module.train()
        take_steps(module, optimizer, data, order[first:last])
        accuracy(module, held)


def take_steps(module: nn.Module, optimizer: torch.optim.Optimizer, data: Split, order: Tensor) -> None:
    """A step for each row of `order`, the indices of its batch; keeps losses as a loop that reports them does."""
    inputs, labels = data
    losses = []
    for chosen in order:
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(module(inputs.index_select(0, chosen)), labels.index_select(0, chosen))
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    torch.stack(losses).mean().item()


@torch.no_grad()
def accuracy(module: nn.Module, data: Split, batch_size: int = 1000) -> float:
    """The share of `data` whose class is found."""
    module.eval()
    batches = zip(data[0].split(batch_size), data[1].split(batch_size), strict=True)
    return sum((module(x).argmax(1) == y).sum().item() for x, y in batches) / len(data[1])
