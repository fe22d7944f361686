"""Batches, evaluation, and training as existing suites have it: with torchvision's transforms in a DataLoader."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset as TorchDataset

from bench import bare
from bench.steps import ADAM, SGD, made_up
from bench.timing import Figure, compare, cost
from benchmark.config import Recipe
from benchmark.data import Dataset, train_batches
from benchmark.metrics import evaluate_split
from benchmark.models import build_model
from benchmark.network import MaskedModel
from benchmark.training import make_optimizer, train_steps

CASES: dict[str, tuple[Recipe, tuple[int, int, int], int]] = {
    "lenet_300_100": (ADAM, (1, 28, 28), 50), "resnet_20": (SGD, (3, 32, 32), 2),
}  # fmt: skip


def figures(quick: bool) -> Iterator[Figure]:
    """For both networks: batches as a share of a step, evaluation, and the DataLoader's loop."""
    for model, (recipe, shape, steps) in list(CASES.items())[: 1 if quick else None]:
        yield from of_network(model, recipe, made_up(shape, recipe.batch_size * steps), steps, 1 if quick else 7)


def of_network(model: str, recipe: Recipe, data: Dataset, steps: int, repeats: int) -> Iterator[Figure]:
    """The same for one."""
    net = MaskedModel(build_model(model, 10, 0, shape=data.shape))
    optimizer = make_optimizer(net, recipe)
    ready = data.test.images.float().div_(255), data.test.labels

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        return train_batches(data, 0, 0, recipe.batch_size, 0, steps)

    def suite() -> None:
        train_steps(net, optimizer, batches(), [recipe.rate] * steps)

    yield cost(f"batches, {model}", lambda: list(batches()), suite, repeats, "of its training")
    yield compare(
        f"evaluation, {model}",
        lambda: bare.accuracy(net.module, ready),
        lambda: evaluate_split(net, data, "test", contextlib.nullcontext),
        repeats,
    )
    yield cost(
        f"torchvision and a DataLoader, {model}", _Loop(model, recipe, data).run, suite, repeats, "of the suite's time"
    )


class _Images(TorchDataset[tuple[Tensor, int]]):
    """Images one at a time through transforms, as torchvision's own datasets give them."""

    def __init__(self, data: Dataset) -> None:
        from torchvision import transforms

        grey = data.shape[0] == 1
        pictures = data.train.images.permute(0, 2, 3, 1).numpy()
        self.images = [Image.fromarray(np.squeeze(picture, 2) if grey else picture) for picture in pictures]
        self.labels = data.train.labels.tolist()
        augmentation = [transforms.RandomCrop(data.shape[1], 4), transforms.RandomHorizontalFlip()]
        standard = [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
        self.transform: Any = transforms.Compose([*([] if grey else augmentation), *standard])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


class _Loop:
    """The training loop of existing suites: a DataLoader, masks multiplied into the weights, a loss read every step."""

    def __init__(self, model: str, recipe: Recipe, data: Dataset) -> None:
        self.module = build_model(model, 10, 0, shape=data.shape)
        self.masks = {n: torch.rand(p.shape) > 0.9 for n, p in self.module.named_parameters() if p.dim() > 1}
        kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[recipe.optimizer]
        self.optimizer = kind(self.module.parameters(), lr=recipe.rate)
        self.loader = DataLoader(_Images(data), batch_size=recipe.batch_size, shuffle=True, drop_last=True)

    def run(self) -> None:
        self.module.train()
        for inputs, labels in self.loader:
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.module(inputs), labels)
            loss.backward()
            self.optimizer.step()
            with torch.no_grad():
                for name, parameter in self.module.named_parameters():
                    if name in self.masks:
                        parameter.mul_(self.masks[name])
            loss.item()
