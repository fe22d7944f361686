"""What is measured of a network at a point of a run: accuracy, size, FLOPs, firing patterns, digests."""

from __future__ import annotations

import hashlib
from pathlib import Path

import safetensors.torch

from benchmark.data import Dataset, Split, evaluation_batches
from benchmark.metrics.accuracy import Autocast, evaluate
from benchmark.metrics.counting import count
from benchmark.metrics.firing import firing_patterns
from benchmark.metrics.flops import FlopCount, structural_flops
from benchmark.network import MaskedModel, digest, shrink
from benchmark.records import Row, write_atomically, write_masks

FIRING_EXAMPLES = 1000  # of the validation split, evenly spaced, at least; at most twice as many


def measure(net: MaskedModel, data: Dataset, flops: FlopCount, autocast: Autocast, folder: Path) -> Row:
    """The fields of a measured point that depend on the network alone, under the names of the records.

    Test data are read here, once. The masks go into a file in `folder`.
    """
    shrunk = shrink(net, data.shape)
    masks_sha256 = digest(net.masks)
    write_masks(folder, masks_sha256, {name: mask.cpu().numpy() for name, mask in net.masks.items()})
    return {
        **evaluate_split(net, data, "test", autocast),
        **prefixed("val_", evaluate_split(net, data, "validation", autocast)),
        **count(net, flops, structural_flops(shrunk, data.shape), shrunk.collapsed),
        "weights_sha256": digest(net.module.state_dict()),
        "masks_sha256": masks_sha256,
    }


def evaluate_split(net: MaskedModel, data: Dataset, split: str, autocast: Autocast) -> Row:
    """Accuracy and loss on `train`, `validation` or `test`, never augmented."""
    return dict(evaluate(net.module, evaluation_batches(data, getattr(data, split)), data.classes, autocast))


def prefixed(prefix: str, row: Row) -> Row:
    """Its accuracy and loss, under names that begin with `prefix`."""
    return {prefix + name: row[name] for name in ("top1", "top5", "loss") if name in row}


def measure_firing(net: MaskedModel, data: Dataset, file: Path) -> Row:
    """The firing of each layer, and the digest of `file`, to which it is written as float16 by class and unit."""
    images, labels = data.validation.images, data.validation.labels
    every = max(1, len(labels) // FIRING_EXAMPLES)
    batches = list(evaluation_batches(data, Split(images[::every], labels[::every])))
    patterns = firing_patterns(net, batches, data.classes)
    rates = {name: pattern.rates.half() for name, pattern in patterns.items()}
    content = safetensors.torch.save(rates)
    write_atomically(file, lambda part: part.write(content))
    rows = [pattern.row(name) for name, pattern in patterns.items()]
    return {"firing": rows, "firing_sha256": hashlib.sha256(content).hexdigest()}
