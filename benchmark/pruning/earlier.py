"""The masks that another run ended with, and its method, for methods that build on it."""

from __future__ import annotations

from pathlib import Path

from benchmark.errors import UserError
from benchmark.network import MaskedModel, Masks
from benchmark.records import Record, read_json


def method_of_run(folder: Path) -> str:
    """The method of the run in `folder`, with its options that are not the defaults."""
    method = read_json(folder / "config.json").get("method", {})
    told = ", ".join(f"{k.removeprefix('pruner.')}={v}" for k, v in method.get("options", {}).items())
    return f"{method.get('label', '')}({told})" if told else method.get("label", "")


def masks_of_run(folder: Path, net: MaskedModel | None = None) -> Masks:
    """The last masks of the finished run in `folder`, on the device of `net` and held to fit it where one is given.

    Raises UserError where there is no finished run, or one on another network.
    """
    record = Record(folder)
    saved = record.load("network.pt") if record.status.get("state") == "done" else None
    if saved is None:
        raise UserError(f"there is no finished run in {folder}; name the folder of one, RESULTS/runs/NAME")
    masks: Masks = saved["masks"]
    if net is None:
        return masks
    tensors = net.tensors()
    unlike = {*masks} - {*tensors} or {n for n, m in masks.items() if m.shape != tensors[n].shape}
    if unlike or net.weights.keys() - masks.keys():
        raise UserError(f"the run in {folder} is on another network, or spares other weights: its masks do not fit")
    return {name: mask.to(tensors[name].device) for name, mask in masks.items()}
