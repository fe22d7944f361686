"""What `prunebench list` prints: methods, networks, datasets, recipes, sweeps and metrics."""

from __future__ import annotations

from collections import defaultdict

from benchmark.config import method_facts, pruner_names, pruner_summary, recipe_names
from benchmark.data import NAMES as DATASETS

FAMILIES = ("never", "at initialisation", "after training", "rewinding", "while training")


def print_catalogue(what: str) -> None:
    """Print one of methods, networks, datasets, recipes, sweeps and metrics, or `all` of them."""
    parts = {
        "methods": _methods,
        "networks": _networks,
        "datasets": _datasets,
        "recipes": _recipes,
        "sweeps": _sweeps,
        "metrics": _metrics,
    }
    for name, part in parts.items():
        if what in ("all", name):
            print(f"{name}:")
            part()
            if what == "all":
                print()


def _methods() -> None:
    """By family, which is when a method prunes, with what it looks at and what that costs."""
    families: defaultdict[str, list[str]] = defaultdict(list)
    for name in pruner_names():
        doc, own = pruner_summary(name)
        facts = method_facts(doc)
        looks = f"looks at {facts['Looks at']}; costs {facts['Cost']}" if facts.keys() >= {"Looks at", "Cost"} else ""
        options = f"--pruner. {', '.join(f'{option}={default}' for option, default in own.items())}" if own else ""
        lines = [
            f"  {name:18s}{doc.partition(chr(10))[0]}",
            *(f"  {'':18s}{text}" for text in (looks, options) if text),
        ]
        families[facts.get("When", "installed")] += lines
    for family in sorted(families, key=[*FAMILIES, *families].index):
        print(f" {family}")
        print("\n".join(families[family]))
    print("  path/to/file.py:Class: a method of your own; all options of one: prunebench run --pruner NAME --help")


def _networks() -> None:
    """Parameters and FLOPs for ten classes, at the input size that the network is defined for."""
    from benchmark.models import NAMES

    print("  for 10 classes; FLOPs per example, one multiply-add = 1, as fvcore counts them")
    for name, info in NAMES.items():
        print(f"  {name:16s}{info.parameters:12,d} parameters{info.flops:14,d} FLOPs  {info.summary}")
    print("  timm/NAME, torchvision/NAME: any classifier of these libraries")
    print("  path/to/file.py:function: a network of your own, from (classes, shape)")


def _datasets() -> None:
    for name, info in DATASETS.items():
        print(f"  {name:18s}{info.summary}")
    print("  folder:PATH: images by class, in train/ and test/ or not; path/to/file.py:function: arrays of your own")


def _recipes() -> None:
    for name in recipe_names():
        print(f"  {name}")
    print("  RUN/config.json: that of a run")


def _sweeps() -> None:
    from benchmark.sweep import shipped_sweeps

    for name, path in shipped_sweeps().items():
        print(f"  {name:30s}{path.read_text().partition(chr(10))[0].lstrip('# ')}")


def _metrics() -> None:
    """The numbers of records, W&B, tables and figures under the one name that each has."""
    from benchmark.records import METRICS

    for name, metric in METRICS.items():
        unit = "in [0, 1]" if metric.unit == "share" else metric.unit
        better = f"{metric.better} is better" if metric.better else ""
        print(f"  {name:29s}{'; '.join(filter(None, [metric.about, unit, better]))}")
