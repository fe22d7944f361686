"""What `prunebench list` prints: methods, networks, datasets and recipes."""

from __future__ import annotations

import dataclasses

from benchmark.config import pruner_class, pruner_names, pruner_summary, recipe_names
from benchmark.data import NAMES as DATASETS


def print_catalogue(what: str | None) -> None:
    """Print one of methods, networks, datasets and recipes, or all of them."""
    parts = {"methods": _methods, "networks": _networks, "datasets": _datasets, "recipes": _recipes}
    for name, part in parts.items():
        if what in (None, name):
            print(f"{name}:")
            part()
            if what is None:
                print()


def _methods() -> None:
    for name in pruner_names():
        print(f"  {name:16s}{pruner_summary(name)}")
        options = (f"{f.name}={f.default}" for f in dataclasses.fields(pruner_class(name)))
        print(f"  {'':16s}--pruner. {', '.join(options)}")


def _networks() -> None:
    """Parameters and FLOPs for ten classes, at the input size that the network is defined for."""
    from benchmark.metrics import dense_flops
    from benchmark.models import NAMES, build_model

    print("  for 10 classes; FLOPs per example, one multiply-add = 1, as fvcore counts them")
    for name, info in NAMES.items():
        module = build_model(name, 10, 0, shape=info.shape)
        parameters = sum(p.numel() for p in module.parameters())
        flops = dense_flops(module, info.shape).total
        print(f"  {name:16s}{parameters:12,d} parameters{flops:14,d} FLOPs  {info.summary}")
    print("  timm/NAME, torchvision/NAME: any classifier of these libraries")


def _datasets() -> None:
    for name, info in DATASETS.items():
        print(f"  {name:18s}{info.summary}")


def _recipes() -> None:
    for name in recipe_names():
        print(f"  {name}")
