"""Networks of the user's own, and the options that a network has."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.config.options import read_arguments, run_config
from benchmark.errors import UserError
from benchmark.metrics.flops import dense_flops
from benchmark.models.registry import NAMES, build_model
from benchmark.records.record import Record
from benchmark.runs.execution import carry_out
from benchmark.runs.export import export_run

NET = (
    "from torch import nn\nfrom parts import hidden\n\n\n"
    "def small(\n    classes,\n    shape,\n    width: int = 16,  # hidden units\n):\n"
    "    channels, height, width_ = shape\n"
    "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width_, width), nn.ReLU(), "
    "hidden(width, classes))\n\n\n"
    "def no_module(classes, shape):\n    return [classes]\n\n\n"
    "def too_few(classes, shape):\n    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes - 1))\n\n\n"
    "def leaves(classes, shape):\n    raise SystemExit(3)\n"
)
QUICK = "--pruner snip --train.epochs 1 --train_limit 200 --wandb off --device cpu"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "parts.py").write_text("from torch import nn\n\n\ndef hidden(a, b):\n    return nn.Linear(a, b)\n")
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


def test_a_network_from_a_file_is_run_recorded_and_exported(net: Path, tmp_path: Path) -> None:
    run = run_config(read_arguments(f"--model {net}:small --model.width 24 {QUICK}".split()))
    assert run.name.startswith("digits-small-adam-snip-0.9-s0-")
    assert run.input_shape == (1, 8, 8)
    outcome = carry_out(run)
    assert outcome.state == "done"
    point = Record(outcome.folder).read_rows("points.jsonl")[-1]
    assert [layer["total"] for layer in point["layers"]] == [64 * 24, 24 * 10]
    copies = {p.name: p.read_text() for p in (outcome.folder / "code" / "model").iterdir()}
    assert copies == {p.name: p.read_text() for p in net.parent.glob("*.py")}
    before = run.id
    net.write_text(NET.replace("nn.ReLU()", "nn.Tanh()"))
    changed = run_config(read_arguments(f"--model {net}:small --model.width 24 {QUICK}".split()))
    assert changed.id != before
    assert changed.dense_id != run.dense_id
    (outcome.folder / "parts.py").write_text((tmp_path / "parts.py").read_text())
    assert all(file.is_file() for file in export_run(outcome.folder, "safetensors", tmp_path / "out"))


def test_brackets_and_options_are_one_network(net: Path) -> None:
    one, other = (
        run_config(read_arguments([*QUICK.split(), *words]))
        for words in ([f"--model={net}:small(width=8)"], [f"--model={net}:small", "--model.width=8"])
    )
    assert one.id == other.id


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("smal", "unknown function 'smal', did you mean 'small'?"),
        ("no_module", "must return a torch.nn.Module, it returned a list"),
        ("too_few", "must give a number for each of 10 classes"),
        ("leaves", "SystemExit: 3"),
        ("small --model.width none", "model.width must be a whole number, got none"),
        ("small --model.depth 3", "unknown option of .*net.py:small 'model.depth'"),
    ],
)
def test_a_network_that_cannot_be_is_one_line(net: Path, name: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        carry_out(run_config(read_arguments(f"--model {net}:{name} {QUICK}".split())))
    assert "\n" not in str(caught.value)
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_that_name\n", "importing .* failed: ModuleNotFoundError"),
        ("import sys\nsys.exit(1)\n", "importing .* failed: SystemExit: 1"),
        ("def f(:\n", "importing .* failed: SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.py").write_text(text)
    for part in ("model", "dataset", "pruner"):
        with pytest.raises(UserError, match=said) as caught:
            run_config({part: f"{tmp_path}/bad.py:f"})
        assert "\n" not in str(caught.value)


def test_files_of_two_folders_have_neighbours_of_one_name(tmp_path: Path) -> None:
    for name, width in (("a", 3), ("b", 5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "beside.py").write_text(f"WIDTH = {width}\n")
        (tmp_path / name / "net.py").write_text(
            "from torch import nn\nfrom beside import WIDTH\n\n\ndef net(classes, shape):\n"
            "    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.Linear(WIDTH, classes))\n"
        )
    for name, width in (("a", 3), ("b", 5)):
        module = build_model(f"{tmp_path}/{name}/net.py:net", 10, 0, shape=(1, 8, 8))
        assert sum(p.numel() for p in module.parameters()) == 65 * width + 10 * width + 10


@pytest.mark.parametrize("name", NAMES)
def test_the_catalogues_counts_are_those_of_the_networks(name: str) -> None:
    info = NAMES[name]
    module = build_model(name, 10, 0, shape=info.shape)
    assert sum(p.numel() for p in module.parameters()) == info.parameters
    assert dense_flops(module, info.shape).total == info.flops
