"""Optimiser steps with masks on, against a bare loop on the same images."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bench import bare
from bench.timing import Figure, compare
from benchmark.config import Recipe
from benchmark.data import Dataset, Split, train_batches
from benchmark.models import build_model
from benchmark.network import MaskedModel
from benchmark.training import make_optimizer, train_steps

ADAM, SGD = Recipe(), Recipe(optimizer="sgd", batch_size=128)
CASES = {  # recipe, shape, steps of a repeat, repeats
    "lenet_300_100": (ADAM, (1, 28, 28), 100, 15),
    "lenet_5": (ADAM, (1, 28, 28), 20, 9),
    "resnet_20": (SGD, (3, 32, 32), 3, 7),
    "vgg_fast": (SGD, (3, 32, 32), 2, 7),
    "vgg_16": (SGD, (3, 32, 32), 1, 5),
}


def figures(quick: bool) -> Iterator[Figure]:
    """The speed of each network's steps as a share of the bare loop's."""
    for model, (recipe, shape, steps, repeats) in list(CASES.items())[: 1 if quick else None]:
        yield step(model, recipe, made_up(shape, recipe.batch_size * steps), steps, 1 if quick else repeats)


def step(model: str, recipe: Recipe, data: Dataset, steps: int, repeats: int) -> Figure:
    """Steps at a density of 0.1."""
    net = MaskedModel(build_model(model, 10, 0, shape=data.shape))
    net.apply({name: torch.rand(mask.shape) > 0.9 for name, mask in net.masks.items()})
    optimizer = make_optimizer(net, recipe)
    module = build_model(model, 10, 0, shape=data.shape)
    other = make_optimizer(MaskedModel(module), recipe)
    ready = data.train.images.float().div_(255), data.train.labels
    order = torch.arange(steps * recipe.batch_size).view(steps, -1)

    def suite() -> None:
        batches = train_batches(data, 0, 0, recipe.batch_size, 0, steps)
        train_steps(net, optimizer, batches, [recipe.rate] * steps, seeds=list(range(steps)))

    def plain() -> None:
        module.train()
        bare.take_steps(module, other, ready, order)

    return compare(f"step, {model}, {recipe.optimizer}, batch {recipe.batch_size}", plain, suite, repeats)


def made_up(shape: tuple[int, int, int], examples: int, device: torch.device | str = "cpu") -> Dataset:
    """A dataset of noise: speed does not depend on what the images show."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (examples, *shape), dtype=torch.uint8, generator=generator)
    split = Split(images.to(device), torch.randint(10, (examples,), generator=generator).to(device))
    mean, std = (0.5,) * shape[0], (0.25,) * shape[0]
    return Dataset("noise", 10, shape, split, split, split, mean, std, shape[0] == 3, True, {})
