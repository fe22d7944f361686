"""Every kind of method through a whole small run, undisturbed and interrupted, and controls of a finished one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.config.options import run_config
from benchmark.config.run import RunConfig
from benchmark.errors import Interrupted, UserError
from benchmark.network.masked_model import digest
from benchmark.records.record import Record
from benchmark.records.schema import Row
from benchmark.runs.execution import carry_out
from benchmark.runs.progress import Progress
from reports.curves import settings_of
from reports.records import read_sources

SMALL = {"train.epochs": 3, "retrain.epochs": 1, "train_limit": 400, "wandb": "off", "device": "cpu"}
KINDS = {  # 3 steps an epoch, 9 in all
    "grasp(sparsity=0.9)": 0.9,
    "synflow(sparsity=0.9, rounds=3)": 0.9,
    "snip(sparsity=0.9, rounds=2)": 0.9,
    "early_magnitude(sparsity=0.9, step=4)": 0.9,
    "gradual_magnitude(sparsity=0.9, every=2)": 0.9,
    "set(sparsity=0.9, every=2)": 0.9,
    "rigl(sparsity=0.9, every=2)": 0.9,
    "soft_threshold(initial=-4, rate=100)": None,
    "movement(sparsity=0.9)": 0.9,
    "lr_rewinding(sparsity=0.75, rounds=2, retrain_share=0.4)": 0.75,
    "fine_tuning(sparsity=0.75, rounds=2, retrain_share=0.4)": 0.75,
    "lottery_ticket(sparsity=0.75, rounds=1)": 0.75,
}


class Cut(Progress):
    """Stops the run at one of its epochs."""

    left = 0

    def epoch(self, row: Row) -> None:
        self.left -= 1
        if self.left == 0:
            raise Interrupted(143)


def _config(results: Path, pruner: str, **options: Any) -> RunConfig:
    return run_config({**SMALL, "results": results, "pruner": pruner, **options})


def _done(config: RunConfig) -> Path:
    outcome = carry_out(config)
    assert outcome.state == "done", outcome.reason
    return outcome.folder


def _found(folder: Path) -> list[Any]:
    """What a run gave, without what a clock says."""
    record = Record(folder)
    rows = [*record.read_rows("epochs.jsonl"), *record.read_rows("points.jsonl")]
    saved = record.load("network.pt")
    assert saved is not None
    timed = ("seconds", "images_per_second", "chain")
    return [[{k: v for k, v in row.items() if not k.endswith(timed)} for row in rows],
            digest(saved["module"]), digest(saved["masks"])]  # fmt: skip


@pytest.mark.parametrize("pruner", KINDS)
def test_a_run_ends_at_its_target_and_an_interrupted_one_bit_equal_to_it(tmp_path: Path, pruner: str) -> None:
    whole = _done(_config(tmp_path / "whole", pruner))
    points = Record(whole).read_rows("points.jsonl")
    assert points[-1]["stage"] == "trained"
    if (target := KINDS[pruner]) is not None:
        assert points[-1]["sparsity_prunable"] == pytest.approx(target, abs=1e-4)
    else:
        assert 0 < points[-1]["sparsity_prunable"] < 1
    config = _config(tmp_path / "parts", pruner)
    cut = Cut(config, show=False)
    cut.left = 2
    with pytest.raises(Interrupted):
        carry_out(config, cut)
    assert _found(_done(config)) == _found(whole)


def test_fine_tuning_and_learning_rate_rewinding_differ_in_the_rate(tmp_path: Path) -> None:
    rates = {}
    for name in ("fine_tuning", "lr_rewinding"):
        folder = _done(_config(tmp_path, f"{name}(sparsity=0.5, rounds=1)"))
        rates[name] = [row["lr"] for row in Record(folder).read_rows("epochs.jsonl")]
    assert rates == {"fine_tuning": [0.001, 0.0001, 0.0001] + [0.0001] * 3, "lr_rewinding": [0.001, 0.0001, 0.0001] * 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _done(_config(tmp_path_factory.mktemp("other"), "snip(sparsity=0.9)"))


def _masks(folder: Path) -> dict[str, torch.Tensor]:
    saved = Record(folder).load("network.pt")
    assert saved is not None
    return saved["masks"]


def test_a_control_of_a_run_at_initialisation_that_changes_nothing_is_that_run(tmp_path: Path, finished: Path) -> None:
    same = _done(_config(tmp_path, "control", **{"pruner.of": str(finished), "pruner.kind": "same"}))
    ours, theirs = (Record(folder).read_rows("points.jsonl")[-1]["loss"]
                    for folder in (same, finished))  # fmt: skip
    assert ours == theirs
    assert digest(_masks(same)) == digest(_masks(finished))


def test_shuffled_masks_keep_the_layer_densities_at_other_places(tmp_path: Path, finished: Path) -> None:
    shuffled = _masks(_done(_config(tmp_path, "control", **{"pruner.of": str(finished)})))
    for name, mask in _masks(finished).items():
        assert int(mask.sum()) == int(shuffled[name].sum())
        assert not torch.equal(mask, shuffled[name])


def test_reinitialised_weights_are_those_of_each_layer_at_other_places(tmp_path: Path, finished: Path) -> None:
    from baselines.control import Control
    from benchmark.models.registry import build_model
    from benchmark.network.masked_model import MaskedModel
    from benchmark.pruning.plan import Prune

    net = MaskedModel(build_model("lenet_300_100", 10, 0, shape=(1, 28, 28)))
    pruned = Control(of=finished, kind="reinitialised").prune(net, [], Prune(None))
    assert digest(pruned.masks) == digest(_masks(finished))
    for name, w in net.weights.items():
        assert not torch.equal(pruned.values[name], w)
        assert torch.equal(pruned.values[name].flatten().sort().values, w.flatten().sort().values)


def test_controls_of_one_methods_runs_are_one_row_wherever_those_lie(tmp_path: Path, finished: Path) -> None:
    others = [_done(_config(tmp_path, "snip(sparsity=0.8)", seed=seed)) for seed in range(3)]
    controls = [_config(tmp_path, f"control(of='{of}')", seed=seed) for seed, of in enumerate(others)]
    _done(_config(tmp_path, "dense"))
    for control in controls:
        _done(control)
    [setting] = settings_of(read_sources(tmp_path))
    assert not setting.problems
    [points] = setting.methods["control"].points.values()
    assert sorted(points) == [0, 1, 2]
    assert {control.pruner.of_method for control in controls} == {"snip(sparsity=0.8)"}  # pyright: ignore[reportAttributeAccessIssue]
    moved = tmp_path / "moved"
    others[0].rename(moved)
    assert _config(tmp_path, f"control(of='{moved}')").id == controls[0].id


def test_the_masks_of_the_other_run_are_part_of_the_identity(tmp_path: Path, finished: Path) -> None:
    other = _done(_config(tmp_path, "snip(sparsity=0.8)"))
    first, second = (_config(tmp_path, "control", **{"pruner.of": str(of)}) for of in (finished, other))
    assert first.options["pruner.masks_digest"] == digest(_masks(finished))
    assert first.options["pruner.masks_digest"] != second.options["pruner.masks_digest"]
    given = {"pruner.of": str(other), "pruner.masks_digest": first.options["pruner.masks_digest"]}
    with pytest.raises(UserError, match="are not those of before"):
        _config(tmp_path, "control", **given)


def test_a_control_needs_a_finished_run_on_its_network(tmp_path: Path, finished: Path) -> None:
    with pytest.raises(UserError, match=r"pruner\.of must be the folder of a finished run"):
        carry_out(_config(tmp_path, "control"))
    with pytest.raises(UserError, match=f"there is no finished run in {tmp_path}"):
        _config(tmp_path, "control", **{"pruner.of": str(tmp_path)})
    with pytest.raises(UserError, match="is on another network"):
        carry_out(_config(tmp_path, "control", **{"pruner.of": str(finished), "model": "lenet_5"}))
