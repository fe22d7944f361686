"""Whether records are what was written and finished networks what their records say."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmark.errors import UserError
from benchmark.metrics import dense_flops
from benchmark.network import MaskedModel, digest, shrink
from benchmark.records import Damaged, Record, Row, masks_file, read_json, read_masks
from benchmark.runs.export import finished_network
from benchmark.tracking import FETCHED

INPUTS = 8  # random ones, for which the network without dead units must say what the masked one says
TOLERANCE = 1e-6  # of outputs in float64, relative to the largest


@dataclass(frozen=True)
class Verified:
    """A run or a dense training: what is wrong with it, in words, and how it stands."""

    folder: Path
    wrong: list[str]
    state: str


def verify(place: Path) -> Iterator[Verified]:
    """The runs and dense trainings of a results folder, or the one run in `place`, as they are looked at.

    Of finished ones every file is held against its digest; of a run also the network against the last measured point:
    weights, masks, the FLOPs without dead units, and that it computes the same without them. Nothing is changed.

    Raises UserError where there is no record.
    """
    if (place / "config.json").is_file():
        folders = [place]
    else:
        folders = sorted(p for kind in ("dense", "runs") for p in (place / kind).glob("*") if p.is_dir())
    if not folders:
        raise UserError(f"no records in {place}; give the folder of a sweep's --results, or a run in it")
    for folder in folders:
        state, _ = Record(folder).standing
        yield Verified(folder, list(_wrong(folder)), state)


def _wrong(folder: Path) -> Iterator[str]:
    record = Record(folder)
    if record.status.get("state") != "done":
        return
    if damaged := record.damaged:
        for path in damaged:
            yield f"{path.name} is {'damaged' if path.exists() else 'missing'}"
        return
    points = record.read_rows("points.jsonl")
    yield from _wrong_files(folder, points)
    if points and folder.parent.name != "dense":
        try:
            net, shape, _ = finished_network(folder)
        except UserError as error:  # of a method, network or dataset that is no longer there
            yield str(error)
            return
        yield from _wrong_network(net, shape, points[-1])


def _wrong_files(folder: Path, points: list[Row]) -> Iterator[str]:
    """The files beside the rows that name their digests, where they are kept."""
    for number, point in enumerate(points):
        firing = folder / f"firing-{number}.safetensors"
        if not firing.is_file() and point.get("firing_sha256"):
            yield f"{firing.name} is missing"
        elif firing.is_file() and hashlib.sha256(firing.read_bytes()).hexdigest() != point.get("firing_sha256"):
            yield f"{firing.name} is not what was measured"
    kept = points[-1:] if read_json(folder / FETCHED).get("masks") == "last" else points
    for sha in sorted({point["masks_sha256"] for point in kept}):
        try:
            if read_masks(folder, sha) is None:
                yield f"{masks_file(folder, sha).name} is missing"
        except Damaged as error:
            yield f"{error.path.name}: {error.why}"


def _wrong_network(net: MaskedModel, shape: tuple[int, ...], point: Row) -> Iterator[str]:
    found = {"weights": digest(net.module.state_dict()), "masks": digest(net.masks)}
    for what, sha in found.items():
        if sha != point[f"{what}_sha256"]:
            yield f"the {what} of network.pt are not those of the last measured point"
    shrunk = shrink(net, shape)
    flops = dense_flops(shrunk.module, shape).total
    if flops != point["flops_structural"]:
        yield f"without dead units it has {flops:,} FLOPs, its record says {point['flops_structural']:,}"
    inputs = torch.randn(INPUTS, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        masked, small = (copy.deepcopy(m).double().eval()(inputs) for m in (net.module, shrunk.module))
    far = ((masked - small).abs().max() / masked.abs().max().clamp_min(1e-3)).item()
    if not far <= TOLERANCE:
        yield f"without dead units its outputs differ by {far:.1e}"
