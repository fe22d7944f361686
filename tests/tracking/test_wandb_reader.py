"""Records read back from W&B, with the real client and a server on loopback."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.records.record import Record
from benchmark.tracking.mirror import mirror_records
from benchmark.tracking.reader import read_runs
from tests.tracking.mirrored import make_record, start, steps, wait_until
from tests.tracking.wandb_server import Run, WandbServer

pytest_plugins = ["tests.tracking.mirror_fixtures"]


def test_what_is_read_back_equals_the_local_records(server: WandbServer, record: Record, tmp_path: Path) -> None:
    other = make_record(tmp_path / "results", "two", "b" * 16, state="failed", seed=1)
    list(mirror_records(tmp_path / "results", project="p"))
    found = read_runs("tester/p")
    for mine, theirs in zip([record, other], sorted(found, key=lambda r: r["config.json"]["name"]), strict=True):
        files = {name: mine.read_json(name) for name in theirs if name.endswith(".json")}
        local = files | {name: mine.read_rows(f"{name}.jsonl") for name in ("epochs", "points")}
        assert json.dumps(theirs, sort_keys=True) == json.dumps(local, sort_keys=True)  # 1.0 is not 1; NaN is NaN


def test_a_run_under_way_is_read_back_as_running(server: WandbServer, record: Record) -> None:
    process = start(record, "auto", 4)
    wait_until(lambda: "a" * 16 in server.runs and len(steps(server)) == 4)
    (found,) = read_runs("tester/p")
    process.kill()
    process.communicate()
    assert found["status.json"]["state"] == "running"
    assert (len(found["epochs"]), len(found["points"])) == (3, 1)


@pytest.mark.parametrize("path", ["tester", "tester/p/s/x", "/p"])
def test_a_malformed_source_is_an_error(path: str) -> None:
    with pytest.raises(UserError, match="ENTITY/PROJECT"):
        read_runs(path)


def test_rows_that_arrived_twice_are_read_once(server: WandbServer, record: Record) -> None:
    """As after `wandb sync` of a run that was online in part."""
    list(mirror_records(record.folder, project="p"))
    history = server.runs["a" * 16].lines["wandb-history.jsonl"]
    history |= {
        step + len(history): json.dumps(json.loads(line) | {"_step": step + 5}) for step, line in history.items()
    }
    (found,) = read_runs("tester/p")
    assert len(history) == 10
    assert [row["log_step"] for row in found["epochs"] + found["points"]] == [0, 1, 3, 2, 4]


def test_of_two_runs_of_one_configuration_the_finished_one_is_read(server: WandbServer, record: Record) -> None:
    list(mirror_records(record.folder, project="p"))
    run = server.runs["a" * 16]
    copy = replace(run, id="copy", state="crashed", summary={"about": run.summary["about"]}, lines={})
    server.runs = {"copy": copy, **server.runs}
    (found,) = read_runs("tester/p")
    assert found["status.json"]["state"] == "done"
    del server.runs["a" * 16]
    (found,) = read_runs("tester/p")
    assert found["status.json"]["state"] == "interrupted"


def test_runs_of_other_programs_are_passed_over(server: WandbServer, record: Record) -> None:
    list(mirror_records(record.folder, project="p"))
    server.runs["other"] = Run("other", "tester", "p", raw_config={"lr": {"value": 1}})
    assert len(read_runs("tester/p")) == 1


def test_reading_without_a_key_is_an_error(record: Record) -> None:
    with pytest.raises(UserError, match="no API key"):
        read_runs("tester/p")
