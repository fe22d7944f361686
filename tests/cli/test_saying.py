"""What the command says of itself: help, lists, descriptions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.calling import called


def test_help_does_not_load_torch() -> None:
    code = (
        "import sys\nfrom benchmark.cli import main\n"
        "for words in (['--help'], ['run', '--help'], ['report', '--help']):\n"
        "    try: main(words)\n    except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules\nassert 'wandb' not in sys.modules\n"
    )
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "--train.epochs" in found.stdout


def test_a_methods_own_options_are_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = called(capsys, "run", "--pruner", "nnrelief", "--help")
    assert status == 0
    assert "--pruner.alpha_conv" in out


def test_list_names_methods_networks_and_datasets(capsys: pytest.CaptureFixture[str]) -> None:
    for what, expected in [
        ("methods", "lottery_ticket"),
        ("datasets", "fashion_mnist"),
        ("recipes", "nnrelief/vgg_like_cifar10_adam"),
        (
            "metrics",
            "compression_params           Compression ratio (all parameters ÷ those kept); ×; higher is better",
        ),
    ]:
        status, out, _ = called(capsys, "list", what)
        assert status == 0
        assert expected in out


def test_the_embedded_dataset_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = called(capsys, "data", "digits")
    assert status == 0
    assert "1,437 training and 360 test images of 1x8x8, 10 classes" in out


def test_the_catalogue_does_not_load_torch() -> None:
    code = (
        "import sys\nfrom benchmark.cli import main\n"
        "try: main(['list'])\nexcept SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "resnet_110" in found.stdout
    assert "tiny_imagenet" in found.stdout


def test_each_command_explains_each_of_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmark.cli.commands import COMMANDS

    for name, command in COMMANDS.items():
        status, out, _ = called(capsys, name, "--help")
        assert status == 0
        assert command.summary in out
        for option in command.options.values():
            assert f"--{option.name} " in out
            assert option.about or option.name == "format"
    _, out, _ = called(capsys, "run", "--pruner", "nnrelief", "--model", "resnet_20", "--help")
    for told in ("--pruner.alpha_conv", "share of a filter's signal that is kept", "--model.shortcut", "(default: a)"):
        assert told in out
