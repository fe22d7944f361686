"""Finished records: verified, done again, and rid of what nobody needs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmark.config.options import run_config
from benchmark.errors import UserError
from benchmark.network import MaskedModel, Shrunk
from benchmark.records import Record, Row
from benchmark.runs import verification
from benchmark.runs.clean import removable, remove
from benchmark.runs.execution import carry_out
from benchmark.runs.repetition import rerun
from benchmark.runs.verification import verify

QUICK = {"train.epochs": 1, "retrain.epochs": 1, "train_limit": 200, "wandb": "off", "device": "cpu"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a finished run and its dense training."""
    results = tmp_path_factory.mktemp("made") / "results"
    options = {**QUICK, "pruner": "magnitude(rounds=1, sparsity=0.9)", "results": str(results)}
    assert carry_out(run_config(options)).state == "done"
    return results


@pytest.fixture
def results(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "results")


def run_in(results: Path) -> Path:
    [folder] = (results / "runs").iterdir()
    return folder


def wrong(place: Path) -> list[str]:
    return [line for found in verify(place) for line in found.wrong]


# verify


def test_records_as_they_were_written_are_verified(results: Path) -> None:
    found = list(verify(results))
    assert [(each.folder.parent.name, each.state, each.wrong) for each in found] == [
        ("dense", "done", []),
        ("runs", "done", []),
    ]
    assert [each.folder for each in verify(run_in(results))] == [run_in(results)]


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["network.pt", "config.json", "points.jsonl", "masks-*", "firing-*"])
def test_a_flipped_bit_is_named_with_its_file(results: Path, file: str) -> None:
    path = sorted(run_in(results).glob(file))[0]
    flipped(path)
    assert any(path.name in line for line in wrong(results)), wrong(results)


def another_network(record: Record) -> None:
    content = record.load("network.pt")
    assert content is not None
    name = next(iter(content["module"]))
    content["module"][name][0, 0] += 1
    record.save("network.pt", content)


def fewer_masks(record: Record) -> None:
    content = record.load("network.pt")
    assert content is not None
    for mask in content["masks"].values():
        mask[..., :5] = True
    record.save("network.pt", content)


def rewrite(record: Record, change: Callable[[list[Row]], None]) -> None:
    """Write the points anew with a change, as if they had been measured so."""
    points = record.read_rows("points.jsonl")
    change(points)
    record.write_rows("epochs.jsonl", record.read_rows("epochs.jsonl"))
    record.write_rows("points.jsonl", points)
    record.update_status("done")


def other_flops(record: Record) -> None:
    rewrite(record, lambda points: points[-1].update(flops_structural=points[-1]["flops_structural"] + 1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (another_network, "the weights of network.pt are not those of the last measured point"),
        (fewer_masks, "the masks of network.pt are not those of the last measured point"),
        (other_flops, "FLOPs, its record says"),
    ],
)
def test_a_network_that_is_not_the_measured_one_is_found_though_its_digest_holds(
    results: Path, change: Callable[[Record], None], said: str
) -> None:
    change(Record(run_in(results)))
    assert any(said in line for line in wrong(results)), wrong(results)


def test_a_shrunk_network_that_computes_something_else_is_found(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = verification.shrink

    def wrongly(net: MaskedModel, shape: tuple[int, ...]) -> Shrunk:
        found = whole(net, shape)
        with torch.no_grad():
            next(found.module.parameters()).add_(1.0)
        return found

    monkeypatch.setattr(verification, "shrink", wrongly)
    assert any("its outputs differ by" in line for line in wrong(results))


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no records in"):
        list(verify(tmp_path))


# rerun


def test_a_run_done_again_comes_out_equal(results: Path, tmp_path: Path) -> None:
    found = rerun(run_in(results), tmp_path / "again")
    assert (found.outcome.state, found.differing, found.in_one) == ("done", [], [])
    assert found.outcome.folder == tmp_path / "again" / "runs" / run_in(results).name


def test_what_differs_the_second_time_is_said(results: Path, tmp_path: Path) -> None:
    def change(points: list[Row]) -> None:
        points[1]["top1"] = 0.123
        points[2]["masks_sha256"] = "0"
        del points[2]["loss"]

    rewrite(Record(run_in(results)), change)
    found = rerun(run_in(results), tmp_path / "again")
    assert found.differing[0].startswith("row 2 of points: top1 0.123 and 0.")
    assert found.differing[1] == "row 3 of points: masks_sha256"
    assert found.in_one == ["loss"]


def test_a_run_is_not_repeated_in_its_own_folder_nor_before_it_is_finished(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds the run itself"):
        rerun(run_in(results), results)
    (run_in(results) / "network.pt").unlink()
    with pytest.raises(UserError, match=r"is not finished \(interrupted: network.pt is missing"):
        rerun(run_in(results), tmp_path / "again")
    with pytest.raises(UserError, match="is not the configuration of a run"):
        rerun(tmp_path, tmp_path / "again")


def test_a_run_of_another_version_says_which_commit_made_it(results: Path, tmp_path: Path) -> None:
    record = Record(run_in(results))
    record.write_json("config.json", {**record.read_json("config.json"), "id": "0123456789abcdef"})
    with pytest.raises(UserError, match=r"makes another run of these options .*, not 01234567.*with commit"):
        rerun(run_in(results), tmp_path / "again")
    assert not (tmp_path / "again").exists()


# clean


def kinds(results: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in removable(results):
        found.setdefault(each.what, []).extend(path.name for path in each.paths)
    return found


def test_checkpoints_litter_and_dense_trainings_of_finished_runs_can_go_and_the_rest_stays(results: Path) -> None:
    run = run_in(results)
    [dense] = (results / "dense").iterdir()
    for name in ("checkpoint.pt", "points.jsonl.corrupt", "network.pt.1.part"):
        (run / name).write_bytes(b"x" * 1000)
    assert kinds(results) == {
        "checkpoints of finished runs": ["checkpoint.pt"],
        "damaged files that were set aside": ["points.jsonl.corrupt"],
        "half-written files": ["network.pt.1.part"],
        "dense trainings of finished runs": [dense.name],
    }
    freed = remove(removable(results))
    assert freed > 1_000_000  # the dense network's parameters
    assert kinds(results) == {}
    assert not dense.exists()
    assert wrong(results) == []  # the run is whole


def test_what_an_unfinished_run_needs_stays(results: Path) -> None:
    run = run_in(results)
    (run / "network.pt").rename(run / "checkpoint.pt")
    Record(run).update_status("interrupted")
    assert kinds(results) == {}
    (run / "config.json").unlink()  # then nobody knows what it needs
    assert kinds(results) == {}


def test_what_a_process_works_on_stays(results: Path) -> None:
    run = run_in(results)
    (run / "checkpoint.pt").write_bytes(b"x")
    found = removable(results)
    with Record(run).locked():
        assert "checkpoints of finished runs" not in kinds(results)
        remove(found)
    assert (run / "checkpoint.pt").exists()


def test_a_link_in_the_place_of_a_run_leads_nowhere(results: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(run_in(results), tmp_path / "elsewhere")
    (elsewhere / "checkpoint.pt").write_bytes(b"x")
    (results / "runs" / "link").symlink_to(elsewhere)
    remove(removable(results))
    assert (elsewhere / "checkpoint.pt").exists()
