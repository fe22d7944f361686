"""A wheel built from this tree, installed elsewhere, does what the tree does, from an empty folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = (".git", ".venv", "build", "*.egg-info", "results", "wandb", "__pycache__", ".*_cache", ".hypothesis")
QUICK = ["--train.epochs=1", "--retrain.epochs=1", "--train_limit=400", "--wandb=off", "--device=cpu", "--seed=0"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel, and with this environment's other packages."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "tree", ignore=shutil.ignore_patterns(*LEFT_OUT))
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "tree"]
    subprocess.run(build, check=True, capture_output=True)
    venv.create(folder / "env", with_pip=False)
    (wheel,) = folder.glob("*.whl")
    (packages,) = (folder / "env").glob("lib/python*/site-packages")
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", packages, wheel]
    subprocess.run(install, check=True, capture_output=True)
    # After the wheel's own, and as plain text: the .pth files of an editable install there are not read.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env" / "bin"


def _prunebench(installed: Path, *words: str, **more: str) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PRUNEBENCH"))} | more
    command = [installed / "python", "-m", "benchmark", *words]
    found = subprocess.run(command, env=env, capture_output=True, text=True, timeout=280)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_installed_wheel_lists_runs_sweeps_and_reports_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    where = [installed / "python", "-c", "import benchmark; print(benchmark.__file__)"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    place = subprocess.run(where, env=env, capture_output=True, text=True, check=True).stdout
    assert Path(place.strip()).is_relative_to(installed.parent)
    assert _prunebench(installed, "--version").strip()
    listed = _prunebench(installed, "list")
    for name in ("snip", "resnet_20", "tiny_imagenet", "nnrelief/resnet_20_cifar10_sgd", "cifar10_small"):
        assert f"  {name}" in listed
    assert "done" in _prunebench(installed, "run", "--pruner", "snip", "--results", "one", *QUICK)
    assert "runs:" in _prunebench(installed, "sweep", "cifar10", "--dry_run", "--pruner", "snip", "--seed", "0")
    out = _prunebench(installed, "sweep", "digits", "--results", "all", *QUICK, "--score_examples", "100")
    assert "runs: 29 done" in out
    assert "Smallest network" in _prunebench(installed, "report", "all")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all", "one"]


@pytest.mark.slow
def test_where_there_is_no_commit_the_version_is_known(installed: Path, tmp_path: Path) -> None:
    import json
    from importlib.metadata import version

    author = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    for words in (["init", "-q", "."], [*author, "commit", "-q", "--allow-empty", "-m", "of another project"]):
        subprocess.run(["git", *words], cwd=installed.parent.parent, check=True)
    _prunebench(installed, "run", "--pruner", "random", "--results", "one", *QUICK)
    (environment,) = tmp_path.glob("one/runs/*/environment.json")
    about = json.loads(environment.read_text())
    assert about["versions"]["nnrelief-bench"] == version("nnrelief-bench")
    assert about["commit"] is None
