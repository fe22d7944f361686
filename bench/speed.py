"""`make bench`: the suite's speed as ratios against bare PyTorch, in one process, interleaved.

Images per second and seconds depend on the machine; the ratios are what to compare.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from baselines.nnrelief import NNrelief
from baselines.snip import SNIP
from benchmark.config import Recipe
from benchmark.data import Dataset, Split, train_batches
from benchmark.models import build_model, input_shape
from benchmark.network import MaskedModel
from benchmark.pruning import Prune
from benchmark.training import make_optimizer, train_steps

STEPS, ROUNDS, EXAMPLES = 200, 7, 1000


def main() -> None:
    """Print one line for each measurement, medians over interleaved repeats."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; ratios above 1 favour the suite in images/s")
    for name in ("adam", "sgd"):
        _training("lenet_300_100", Recipe(optimizer=name), made_up((1, 28, 28)))
    _training("resnet_20", Recipe(optimizer="sgd", batch_size=128), made_up((3, 32, 32), 2560), steps=6)
    for model in ("lenet_300_100", "lenet_5", "vgg_16", "resnet_20"):
        _scoring(model)
    _command("start-up: prunebench --help", ["-m", "benchmark", "--help"])


def made_up(shape: tuple[int, int, int], examples: int = 24000) -> Dataset:
    """A dataset of noise: speed does not depend on what the images show."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (examples, *shape), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.randint(10, (examples,), generator=generator))
    mean, std = (0.5,) * shape[0], (0.25,) * shape[0]
    return Dataset(
        name="noise", classes=10, shape=shape, train=split, validation=split, test=split, mean=mean, std=std,
        augment=shape[0] == 3, verified=True, digests={},
    )  # fmt: skip


def _training(model: str, recipe: Recipe, data: Dataset, steps: int = STEPS) -> None:
    """Images/s of the suite's training, masks on, against a bare loop on the same images, ready as floats."""
    net = MaskedModel(build_model(model, 10, 0, shape=data.shape))
    net.apply({name: torch.rand(mask.shape) > 0.9 for name, mask in net.masks.items()})
    optimizer = make_optimizer(net, recipe)
    bare_module = build_model(model, 10, 0, shape=data.shape)
    bare_optimizer = make_optimizer(MaskedModel(bare_module), recipe)
    images = data.train.images.float().div_(255)
    suite, bare = [], []
    for epoch in range(ROUNDS):
        batches = train_batches(data, 0, epoch, recipe.batch_size, 0, steps)
        suite.append(_seconds(lambda batches=batches: train_steps(net, optimizer, batches, [recipe.rate] * steps)))
        order = torch.randperm(len(images))[: steps * recipe.batch_size].view(steps, -1)
        bare.append(_seconds(lambda order=order: _bare(bare_module, bare_optimizer, images, data.train.labels, order)))
    ratio = statistics.median(b / s for s, b in zip(suite[1:], bare[1:], strict=True))
    speed = steps * recipe.batch_size / statistics.median(suite[1:])
    print(
        f"training {model}, {recipe.optimizer}, batch {recipe.batch_size}: {speed:,.0f} images/s, "
        f"{ratio:.2f} of a bare loop"
    )


def _bare(module: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor, order: Tensor) -> None:
    module.train()
    for indices in order:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(module(images[indices]), labels[indices]).backward()
        optimizer.step()


def _scoring(model: str) -> None:
    """Seconds of one pruning, in units of one forward pass over the pruning set."""
    shape = input_shape(model, (3, 32, 32) if model.startswith(("vgg", "resnet")) else (1, 28, 28))
    module = build_model(model, 10, 0, shape=shape)
    net = MaskedModel(module)
    inputs, labels = torch.randn(EXAMPLES, *shape), torch.randint(10, (EXAMPLES,))
    batches = list(zip(inputs.split(250), labels.split(250), strict=True))
    methods = {
        "nnrelief released": NNrelief(formula="released"),
        "nnrelief paper": NNrelief(),
        "snip": SNIP(sparsity=0.9),
    }
    with torch.no_grad():
        forward = statistics.median(_seconds(lambda: [module.eval()(x) for x, _ in batches]) for _ in range(3))
        for name, pruner in methods.items():
            prune = Prune(pruner.sparsity)
            seconds = _seconds(lambda pruner=pruner, prune=prune: pruner.prune(net, batches, prune))
            print(
                f"pruning {model}, {name}, {EXAMPLES} examples: {seconds:.2f} s, {seconds / forward:.1f} forward passes"
            )


def _command(what: str, arguments: list[str]) -> None:
    """Seconds of a command, in units of starting Python."""
    command = _repeat(lambda: subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True))
    python = _repeat(lambda: subprocess.run([sys.executable, "-c", ""], check=True))
    print(f"{what}: {command:.2f} s, {command / python:.1f} times starting Python")


def _repeat(work: Callable[[], object], times: int = 5) -> float:
    return statistics.median(_seconds(work) for _ in range(times))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
