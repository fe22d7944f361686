"""Deciding what goes, removing dead units, and measuring a point, in passes over the same examples."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from bench.steps import made_up
from bench.timing import Figure, cost
from benchmark.config import pruner_class, pruner_names
from benchmark.errors import UserError
from benchmark.metrics import dense_flops, evaluate_split, measure
from benchmark.models import build_model
from benchmark.network import MaskedModel, shrink
from benchmark.pruning import Prune, SoftPruner, decide

EXAMPLES = 1000
NETWORKS = {"lenet_5": (1, 28, 28), "resnet_20": (3, 32, 32)}
PASSES = "forward passes over the same examples"


def figures(quick: bool) -> Iterator[Figure]:
    """Each method's first pruning, removal and measuring, of both networks."""
    for model, shape in list(NETWORKS.items())[: 1 if quick else None]:
        yield from _scoring(model, shape, 1 if quick else 3)
        yield from _points(model, shape, 2000, 1 if quick else 3)


def _scoring(model: str, shape: tuple[int, int, int], repeats: int) -> Iterator[Figure]:
    net = MaskedModel(build_model(model, 10, 0, shape=shape))
    batches = list(
        zip(torch.randn(EXAMPLES, *shape).split(250), torch.randint(10, (EXAMPLES,)).split(250), strict=True)
    )

    @torch.no_grad()
    def forward() -> None:
        net.module.eval()
        for inputs, _ in batches:
            net.module(inputs)

    for name in pruner_names():
        try:
            pruner = pruner_class(name)()
            phase = next(p for p in pruner.plan(10_000) if isinstance(p, Prune) and p.sparsity != 0)
        except (UserError, StopIteration):  # it needs another run, or prunes nothing
            continue
        if isinstance(pruner, SoftPruner):
            continue  # decides while it trains
        with contextlib.suppress(UserError):  # not for this network
            yield cost(
                f"pruning, {model}, {name}", torch.no_grad()(lambda p=pruner, f=phase: decide(p, net, batches, f)),
                forward, repeats, PASSES,
            )  # fmt: skip


def _points(model: str, shape: tuple[int, int, int], examples: int, repeats: int) -> Iterator[Figure]:
    data = made_up(shape, examples)
    net = MaskedModel(build_model(model, 10, 0, shape=shape))
    net.apply({name: torch.rand(mask.shape) > 0.98 for name, mask in net.masks.items()})
    flops = dense_flops(net.module, shape)

    def evaluate() -> None:
        evaluate_split(net, data, "test", contextlib.nullcontext)

    unit = f"evaluations of {examples} images"
    yield cost(f"removal, {model} at 98 %", lambda: shrink(net, shape), evaluate, repeats, unit)
    with tempfile.TemporaryDirectory() as folder:
        of_all = cost(
            f"measuring, {model} at 98 %", lambda: measure(net, data, flops, contextlib.nullcontext, Path(folder)),
            evaluate, repeats, f"{unit}, two of which are its test and validation",
        )  # fmt: skip
        yield of_all
