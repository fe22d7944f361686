"""Steps on a GPU: replayed as a CUDA graph, and one by one."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bench.steps import ADAM, SGD, made_up
from bench.timing import Figure, Work, compare, seconds, spread
from benchmark.config import Recipe
from benchmark.data import train_batches
from benchmark.models import build_model
from benchmark.network import MaskedModel
from benchmark.training import StepGraph, make_optimizer, train_steps

EXAMPLES = 45000  # of CIFAR-10, without validation
CASES = {"lenet_300_100": (ADAM, (1, 28, 28)), "resnet_20": (SGD, (3, 32, 32)), "vgg_16": (SGD, (3, 32, 32))}
CASES["vgg_fast"] = (Recipe(optimizer="sgd", batch_size=256, translate=2, edge="reflect"), (3, 32, 32))


def figures(quick: bool) -> Iterator[Figure]:
    """The speed of replayed steps, and the seconds of an epoch; colour images in bf16 and channels last."""
    if not torch.cuda.is_available():
        print("steps on a GPU: there is none here")
        return
    for model, (recipe, shape) in list(CASES.items())[: 1 if quick else None]:
        yield from _steps(model, recipe, shape, 3 if quick else 60)


def _steps(model: str, recipe: Recipe, shape: tuple[int, int, int], steps: int) -> Iterator[Figure]:
    device = torch.device("cuda")
    data = made_up(shape, recipe.batch_size * steps, device)
    mixed = shape[0] == 3

    def work(graph: StepGraph | None) -> Work:
        module = build_model(model, 10, 0, shape=shape).to(device)
        net = MaskedModel(module.to(memory_format=torch.channels_last) if mixed else module)  # pyright: ignore
        optimizer = make_optimizer(net, recipe)

        def run() -> None:
            batches = train_batches(data, 0, 0, recipe.batch_size, 0, steps, recipe.augmentation)
            train_steps(
                net, optimizer, batches, [1e-3] * steps, lambda: torch.autocast("cuda", torch.bfloat16, enabled=mixed),
                seeds=list(range(steps)), graph=graph,
            )  # fmt: skip

        return run

    name, replayed = torch.cuda.get_device_name(device), work(StepGraph(device))
    what = f"step, {model}, batch {recipe.batch_size}, as a CUDA graph"
    yield compare(what, work(None), replayed, 7, "times the speed of steps one by one")
    epochs = [seconds(replayed)[0] / steps * (EXAMPLES // recipe.batch_size) for _ in range(7)]
    yield spread(f"{model}, {EXAMPLES:,} images", epochs, "s", name)
