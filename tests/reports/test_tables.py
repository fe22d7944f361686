"""Tables from records made by hand: the right point, the right seeds, nothing dropped silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import UserError
from reports.curves import settings_of
from reports.records import RunRecord, read_records
from reports.tables import accuracy_at_compression, problems, smallest_networks


def point(round_: int, compression: float, top1: float, **more: Any) -> dict[str, Any]:
    ratios = dict.fromkeys(
        ["compression_params", "compression_weights", "speedup_theoretical", "speedup_structural"], compression
    )
    layers = [{"name": "fc1", "kept": 1, "total": 2, "flops_dense": 2}]
    rest = {
        "epochs_total": 10 * (round_ + 1),
        "collapsed": False,
        "layers": layers,
        "sparsity_prunable": 1 - 1 / compression,
    }
    return {"round": round_, "stage": "trained", "top1": top1, **ratios, **rest, **more}


def run_record(pruner: str, seed: int, points: list[dict[str, Any]], problem: str = "", **options: Any) -> RunRecord:
    config = {
        "dataset": "digits",
        "model": "lenet",
        "train.optimizer": "adam",
        "pruner": pruner,
        "seed": seed,
        **options,
    }
    return RunRecord(f"{pruner}-{seed}-{options}", {"config": config, "protocol": "1"}, points=points, problem=problem)


def _three_seeds() -> list[RunRecord]:
    return [
        run_record(
            "magnitude",
            s,
            [point(0, 1, 0.99), point(1, 4, 0.988), point(2, 16, 0.982 - 0.01 * s), point(3, 64, 0.5)],
        )
        for s in range(3)
    ]


def test_the_smallest_network_is_the_most_compressed_point_within_the_drop_of_its_own_seed() -> None:
    [setting] = settings_of(_three_seeds())
    table = smallest_networks(setting).numbers.set_index("allowed_drop")
    assert table.loc[0.005, "compression_params_mean"] == 4
    assert table.loc[0.01, "compression_params_mean"] == 8  # 16 for seed 0, 4 for the others
    assert table.loc[0.02, "compression_params_mean"] == 12
    assert table.loc[0.02, "compression_params_n"] == 3
    assert table.loc[0.005, "budget_mean"] == 2


def test_accuracy_at_equal_compression_is_interpolated_and_empty_outside() -> None:
    [setting] = settings_of(_three_seeds()[:1])
    shown = accuracy_at_compression(setting).shown.set_index("method")
    assert shown.loc["magnitude", "2×"] == "98.90 (1)"
    assert shown.loc["magnitude", "64×"] == "50.00 (1)"
    [setting] = settings_of([run_record("snip", 0, [point(1, 4, 0.9)])])
    assert accuracy_at_compression(setting).shown.set_index("method").loc["snip", "2×"] == "—"


def test_runs_at_several_sparsities_are_one_curve_and_options_that_differ_are_named() -> None:
    runs = [run_record("snip", 0, [point(1, c, 0.9)], **{"pruner.sparsity": 1 - 1 / c, "pruner.distribution": d})
            for c in (2, 4) for d in ("global", "erk")]  # fmt: skip
    [setting] = settings_of(runs)
    assert {m: len(seeds[0]) for m, seeds in setting.methods.items()} == {
        "snip (distribution=erk)": 2,
        "snip (distribution=global)": 2,
    }


def test_dense_trained_on_is_a_reference_row_for_each_length() -> None:
    points = [point(r, 1, 0.99 + 0.001 * r) for r in range(10)]
    dense = [run_record("dense", s, points[: n + 1], **{"pruner.rounds": n}) for n in (9, 0, 2) for s in range(3)]
    [setting] = settings_of([*_three_seeds(), *dense])
    table = accuracy_at_compression(setting).shown
    assert list(table.columns[:3]) == ["method", "1×", "2×"]
    shown = table.set_index("method")["1×"]
    assert shown["dense"] == "99.00 ± 0.00 (3)"
    assert shown["dense, trained 30 epochs"] == "99.20 ± 0.00 (3)"
    assert shown["dense, trained 100 epochs"] == "99.90 ± 0.00 (3)"
    assert list(shown.index[-2:]) == ["dense, trained 30 epochs", "dense, trained 100 epochs"]


def test_different_training_recipes_are_different_settings() -> None:
    runs = [run_record("snip", 0, [point(1, 2, 0.9)], **{"train.epochs": e}) for e in (1, 2)]
    assert [s.name for s in settings_of(runs)] == [
        "digits · lenet · adam · train.epochs=1",
        "digits · lenet · adam · train.epochs=2",
    ]


def test_failed_collapsed_and_thin_are_listed_and_never_averaged() -> None:
    runs = [
        *_three_seeds(),
        run_record("magnitude", 3, [point(1, 999, 1.0)], problem="diverged: at epoch 2"),
        run_record("random", 0, [point(1, 8, 0.1, collapsed=True)]),
    ]
    settings = settings_of(runs)
    listed = problems(runs, settings).shown
    assert "diverged: at epoch 2" in set(listed["why"])
    assert any("collapsed" in why for why in listed["why"])
    assert any("fewer than five operating points" in why for why in listed["why"])
    assert 999 not in smallest_networks(settings[0]).numbers["compression_params_mean"].to_list()


def test_a_run_of_the_paper_protocol_is_marked_in_its_row() -> None:
    run = run_record("nnrelief", 0, [point(1, 2, 0.9)])
    run.head["protocol"] = "paper"
    [setting] = settings_of([run])
    assert list(setting.methods) == ["nnrelief†"]


def test_a_truncated_record_is_listed_with_its_file(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"config": {"pruner": "snip"}}))
    (folder / "status.json").write_text(json.dumps({"state": "done"}))
    (folder / "points.jsonl").write_text('{"round": 1, "to')
    [run] = read_records(tmp_path)
    assert run.problem == f"damaged: {folder / 'points.jsonl'}"


def test_nothing_to_report_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read records in"):
        read_records(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(UserError, match=r"no run has begun in .*prunebench sweep"):
        read_records(tmp_path)
