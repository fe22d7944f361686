"""What it costs to understand a network: the two records of `benchmark.network`, and `torch.export`.

`python bench/tracing.py` prints the seconds of one use of each, and whether the exported graph computes the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from benchmark.models import build_model
from benchmark.network import MaskedModel, SignalRecord, layers, unread_units

NETWORKS = {
    "lenet_300_100": (1, 28, 28), "resnet_20": (3, 32, 32), "timm/mobilenetv3_small_100": (3, 64, 64),
    "timm/densenet121": (3, 32, 32), "timm/vit_tiny_patch16_224": (3, 64, 64), "timm/levit_128s": (3, 64, 64),
}  # fmt: skip


def main() -> None:
    """Print a line for each network."""
    torch.set_num_threads(1)
    print(f"{'network':28}{'forward':>9}{'signals':>9}{'channels':>9}{'export':>9}  the same outputs")
    for name, shape in NETWORKS.items():
        seconds, same = measure(name, shape)
        print(f"{name:28}{''.join(f'{s:9.3f}' for s in seconds)}  {same}", flush=True)


@torch.no_grad()
def measure(name: str, shape: tuple[int, int, int]) -> tuple[list[float], bool]:
    """Seconds of a forward pass, of the two records and of exporting, and whether the export computes the same."""
    module = build_model(name, classes=10, seed=0, shape=shape).eval()
    example = torch.randn(1, *shape)

    def export() -> torch.export.ExportedProgram:
        sizes = ({0: torch.export.Dim("batch", min=1, max=4096)},)
        return torch.export.export(module, (example.repeat(3, 1, 1, 1),), dynamic_shapes=sizes, strict=False)

    seconds = [
        _shortest(lambda: module(example)),
        _shortest(lambda: SignalRecord(module, [layer.name for layer in layers(module)]).run(example)),
        _shortest(lambda: unread_units(MaskedModel(module), example)),
        _shortest(export),
    ]
    return seconds, torch.equal(export().module()(example), module(example))


def _shortest(call: Callable[[], object], repeats: int = 3) -> float:
    def once() -> float:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    return min(once() for _ in range(repeats))


if __name__ == "__main__":
    main()
