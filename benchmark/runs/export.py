"""A pruned network as files that load without this package.

`shrunk` is the network without its dead units: as `torch` a program for `torch.export.load(path).module()`,
as `onnx` a graph for any runtime, both for any batch size; as `safetensors` tensors under the layers' own
names, with sizes in `metadata.json`. `masked` is the state of the whole network in the form of
`torch.nn.utils.prune`, where a pruned parameter is `<name>_orig` times `<name>_mask`.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.config import images_of, network_of, recorded_options
from benchmark.errors import UserError, unknown
from benchmark.network import MaskedModel, layers, masked_copy, shrink
from benchmark.records import Record, Row, read_json, write_atomically

FILES = {  # by format
    "safetensors": ("shrunk.safetensors", "masked.safetensors"),
    "onnx": ("shrunk.onnx", "masked.safetensors"),
    "torch": ("shrunk.pt2", "masked.pt"),
}
METADATA = "metadata.json"


def export_run(folder: Path, format: str, out: Path) -> list[Path]:
    """Write the network of the finished run in `folder` to `out`; see `export`.

    Raises UserError where the folder holds no run, or one that is not finished.
    """
    if out.is_symlink() and out.parent.resolve() == folder.resolve():
        raise UserError(f"{out} is a link to {out.readlink()}; remove it, or name that folder with --out")
    net, shape, about = finished_network(folder)
    return export(net, shape, format, out, {name: about[name] for name in ("name", "id", "protocol", "config")})


def finished_network(folder: Path) -> tuple[MaskedModel, tuple[int, ...], Row]:
    """The network of the finished run in `folder`, the shape of one input, and the run's config.json.

    Raises UserError where the folder holds no run, or one that is not finished.
    """
    record = Record(folder)
    about, environment = (read_json(folder / name) for name in ("config.json", "environment.json"))
    if not about.get("config") or "classes" not in environment:
        raise UserError(f"no run in {folder}; give the folder of one, RESULTS/runs/NAME")
    saved = record.load("network.pt") if record.done else None
    if saved is None:
        state, reason = record.standing
        why = f"{state}: {reason}" if reason else state
        raise UserError(f"the run in {folder} has no network ({why}); the sweep or run that made it goes on with it")
    options = recorded_options(folder)
    network = network_of(options)
    shape = network.input_shape(images_of(options).info.shape, options.get("image_size"))
    module = network.build(environment["classes"], options["seed"], shape)
    module.load_state_dict(saved["module"])
    net = MaskedModel(module, options["spare"])
    net.masks = saved["masks"]
    return net, shape, about


def export(
    net: MaskedModel, shape: tuple[int, ...], format: str, path: Path, metadata: Mapping[str, Any]
) -> list[Path]:
    """Write `shrunk` and `masked` in `format`, and `metadata.json`, into the folder `path`; the files written.

    `shape` is that of one input (C, H, W). Each file appears whole or not at all.

    Raises UserError for an unknown format, a folder that cannot be made, or a package that is missing.
    """
    if format not in FILES:
        raise unknown("export format", format, FILES)
    missing = [name for name in ("onnx", "onnxscript") if format == "onnx" and find_spec(name) is None]
    if missing:
        raise UserError(f"export to onnx needs {' and '.join(missing)}; pip install 'nnrelief-bench[onnx]'")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot export to {path}: {error.strerror}; choose another folder") from error
    for name in {*sum(FILES.values(), ()), METADATA}:
        for left in path.glob(f"{name}.*.part"):  # by an export that was killed
            left.unlink(missing_ok=True)
    shrunk = shrink(net, shape)
    masked, masks = masked_copy(net)
    about = {**metadata, "input_shape": list(shape), "note": shrunk.note, "layers": _sizes(shrunk.module)}
    files = [path / name for name in FILES[format]]
    if format == "safetensors":
        _write_tensors(files[0], shrunk.module.state_dict(), about)
    else:
        _write_program(files[0], shrunk.module, shape)
    state = prune_form(masked, masks)
    if format == "torch":
        write_atomically(files[1], lambda file: torch.save(state, file))
    else:
        _write_tensors(files[1], state, metadata)
    described = path / METADATA
    write_atomically(described, lambda file: file.write((json.dumps(about, indent=1, default=str) + "\n").encode()))
    return [*files, described]


def prune_form(module: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The module's state as `torch.nn.utils.prune` keeps it: `<name>_orig` and `<name>_mask` for what is masked."""
    parameters = {name for name, _ in module.named_parameters()}
    state: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        if name in masks and name in parameters:
            state |= {f"{name}_orig": tensor, f"{name}_mask": masks[name].to(tensor.dtype)}
        else:
            state[name] = tensor
    return state


def _sizes(module: nn.Module) -> list[dict[str, Any]]:
    """Name, kind, weight shape and arguments of each conv and linear layer, enough to build it again."""
    shapes = {name: [*p.shape] for name, p in module.named_parameters()}
    return [
        {
            "name": layer.name,
            "kind": type(layer.module).__name__,
            "weight": shapes[layer.weight],
            "arguments": layer.module.extra_repr(),
        }
        for layer in layers(module)
    ]


def _write_tensors(file: Path, state: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    from safetensors.torch import save

    texts = {k: v if isinstance(v, str) else json.dumps(v, default=str) for k, v in metadata.items()}
    content = save({name: t.clone(memory_format=torch.contiguous_format) for name, t in state.items()}, texts)
    write_atomically(file, lambda part: part.write(content))


def _write_program(file: Path, module: nn.Module, shape: tuple[int, ...]) -> None:
    """Write a program with a free batch size, by way of a temporary folder: exporters want a path."""
    example = (torch.zeros(2, *shape),)
    sizes = ({0: torch.export.Dim.AUTO},)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters' own deprecations
        made = Path(folder) / f"program{file.suffix}"
        program = torch.export.export(module, example, dynamic_shapes=sizes)
        if file.suffix == ".onnx":
            torch.onnx.export(program, (), made, dynamo=True, verbose=False, external_data=False)
        else:
            torch.export.save(program, made)
        write_atomically(file, lambda part: part.write(made.read_bytes()))
