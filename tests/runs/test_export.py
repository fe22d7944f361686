"""Exported files load with plain PyTorch, safetensors or ONNX Runtime and compute the same."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import prune

from benchmark.errors import UserError
from benchmark.network.masked_model import MaskedModel
from benchmark.runs.export import export

SHAPE = (3, 8, 8)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 4)
    ).eval()


@pytest.fixture
def net() -> MaskedModel:
    """Two of six filters are dead; a quarter of the other weights and two biases are masked."""
    net = MaskedModel(network())
    generator = torch.Generator().manual_seed(1)
    masks = {name: torch.rand(w.shape, generator=generator) > 0.25 for name, w in net.weights.items()}
    masks["0.weight"][:2] = False
    masks["0.bias"] = torch.arange(6) >= 2
    net.apply(masks)
    return net


@pytest.fixture
def x() -> Tensor:
    return torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(2))


def test_exported_programs_load_with_plain_torch_for_any_batch_size(
    net: MaskedModel, x: Tensor, tmp_path: Path
) -> None:
    files = export(net, SHAPE, "torch", tmp_path / "out", {})
    assert [f.name for f in files] == ["shrunk.pt2", "masked.pt", "metadata.json"]
    program = torch.export.load(files[0]).module()
    for inputs in (x, x[:1]):
        torch.testing.assert_close(program(inputs), net.module(inputs), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("format", ["safetensors", "torch"])
def test_the_masked_tensors_load_into_a_network_under_torchs_own_pruning(
    net: MaskedModel, x: Tensor, tmp_path: Path, format: str
) -> None:
    masked = export(net, SHAPE, format, tmp_path, {})[1]
    state = load_file(masked) if format == "safetensors" else torch.load(masked, weights_only=True)
    loaded = network()
    for name in ("0", "5"):
        prune.identity(loaded.get_submodule(name), "weight")
    prune.identity(loaded[0], "bias")
    loaded.load_state_dict(state, strict=True)
    assert torch.equal(loaded(x), net.module(x))
    assert torch.equal(loaded.get_buffer("0.weight_mask").bool(), net.masks["0.weight"])


def test_the_shrunk_tensors_fit_layers_of_the_sizes_in_the_metadata(
    net: MaskedModel, x: Tensor, tmp_path: Path
) -> None:
    export(net, SHAPE, "safetensors", tmp_path, {"name": "a run"})
    about = json.loads((tmp_path / "metadata.json").read_text())
    assert about["name"] == "a run"
    assert about["input_shape"] == [3, 8, 8]
    sizes = {layer["name"]: layer["weight"] for layer in about["layers"]}
    assert sizes == {"0": [4, 3, 3, 3], "5": [4, 36]}
    loaded = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 4)
    ).eval()
    loaded.load_state_dict(load_file(tmp_path / "shrunk.safetensors"), strict=True)
    torch.testing.assert_close(loaded(x), net.module(x), atol=1e-5, rtol=1e-4)


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs onnx, onnxscript and onnxruntime",
)
def test_exported_graphs_run_in_onnx_runtime_for_any_batch_size(net: MaskedModel, x: Tensor, tmp_path: Path) -> None:
    import onnxruntime  # type: ignore[import-not-found]

    session = onnxruntime.InferenceSession(str(export(net, SHAPE, "onnx", tmp_path, {})[0]))
    for inputs in (x, x[:1]):
        found = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})[0]
        torch.testing.assert_close(torch.from_numpy(found), net.module(inputs).detach(), atol=1e-5, rtol=1e-4)


def test_a_missing_onnx_package_is_named_before_anything_is_written(
    net: MaskedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.runs.export.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"onnx and onnxscript; pip install 'nnrelief-bench\[onnx\]'"):
        export(net, SHAPE, "onnx", tmp_path / "out", {})
    assert not (tmp_path / "out").exists()


def test_an_unknown_format_is_an_error_that_lists_the_known_ones(net: MaskedModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown export format 'safetensor', did you mean 'safetensors'"):
        export(net, SHAPE, "safetensor", tmp_path, {})


def test_a_folder_that_cannot_be_made_is_a_user_error(net: MaskedModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot export to"):
        export(net, SHAPE, "safetensors", tmp_path / "file" / "out", {})


def test_an_export_that_fails_half_way_leaves_the_old_file_and_no_litter(
    net: MaskedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = export(net, SHAPE, "safetensors", tmp_path, {})
    old = first[0].read_bytes()

    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    net.apply({"5.weight": torch.zeros(4, 54, dtype=torch.bool)})
    with pytest.raises(OSError, match="no space"):
        export(net, SHAPE, "safetensors", tmp_path, {})
    assert first[0].read_bytes() == old
    assert sorted(f.name for f in tmp_path.iterdir()) == ["masked.safetensors", "metadata.json", "shrunk.safetensors"]


def test_exporting_leaves_the_network_as_it_was(net: MaskedModel, tmp_path: Path) -> None:
    net.module.train()
    before = {name: t.clone() for name, t in net.module.state_dict().items()}
    export(net, SHAPE, "torch", tmp_path, {})
    assert net.module.training
    assert all(torch.equal(t, before[name]) for name, t in net.module.state_dict().items())


def test_an_export_clears_what_killed_ones_left_in_its_place_and_nothing_else(net: MaskedModel, tmp_path: Path) -> None:
    for name in ("shrunk.pt2.4711.part", "masked.safetensors.1.part", "metadata.json.12.part", "film.part"):
        (tmp_path / name).write_bytes(b"half")
    export(net, SHAPE, "safetensors", tmp_path, {})
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {"shrunk.safetensors", "masked.safetensors", "metadata.json", "film.part"}
