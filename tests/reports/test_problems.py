"""Nothing is dropped silently: what is in no average, ambiguous or thin is listed with the reason."""

from __future__ import annotations

from dataclasses import replace

from reports.curves import settings_of
from reports.problems import problems
from reports.records import RunRecord
from reports.tables import accuracy_at, smallest_networks
from tests.reports.made_up import NAME, point, run_record, three_seeds


def listed(runs: list[RunRecord]) -> list[tuple[str, str]]:
    frame = problems(runs, settings_of(runs)).shown
    return list(zip(frame["run"], frame["why"], strict=True))


def test_failed_collapsed_and_thin_are_listed() -> None:
    runs = [
        *three_seeds(),
        run_record("magnitude", 3, [point(1, 999, 1.0)], state="interrupted", reason="a signal"),
        run_record("magnitude", 4, [], state="diverged", reason="at epoch 2"),
        run_record("random", 0, [point(1, 8, 0.1, collapsed=True)]),
    ]
    found = listed(runs)
    assert (runs[3].name, "interrupted: a signal") in found
    assert (runs[4].name, "diverged: at epoch 2") in found
    assert (runs[5].name, "collapsed (it says the same of every image) in rounds 1") in found
    assert (f"random: {NAME}", "fewer than five operating points for seeds 0") in found
    assert (f"random: {NAME}", "fewer than the three seeds of the protocol: seed 0") in found
    assert (f"magnitude: {NAME}", "no dense run of seeds 4 to compare with: --pruner dense makes it") in found
    [setting] = settings_of(runs)
    assert 999 not in smallest_networks(setting).numbers["compression_params_mean"].to_list()


def test_a_folder_that_repeats_another_is_one_line() -> None:
    runs = [replace(run, source="b", problem="the same", copy_of="a") for run in three_seeds()]
    assert listed(runs) == [("3 runs of b", "the same are in a; each counts once")]


def test_what_only_some_seeds_measured_is_named() -> None:
    runs = three_seeds()
    runs[1] = run_record("magnitude", 1, runs[1].points[:-1])
    why = "not measured for all seeds, so in no choice of the smallest network: round 3"
    assert (f"magnitude: {NAME}", why) in listed(runs)


def test_two_dense_networks_of_one_seed_are_a_problem_and_no_reference() -> None:
    dense = [run_record("dense", 0, [point(0, 1, top1)], {"pruner.x": top1}) for top1 in (0.99, 0.97)]
    snip = run_record("snip", 0, [point(1, 4, 0.96)])
    for runs in ([*dense, snip], [*reversed(dense), snip]):
        found = dict(listed(runs))
        why = found[f"the dense network of seed 0: {NAME}"]
        assert "measured more than once and differently, so none counts" in why
        assert "top1 99.00" in why
        assert "top1 97.00" in why
        [setting] = settings_of(runs)
        assert setting.dense == {}
        assert set(smallest_networks(setting).numbers["verdict"]) == {"no dense run"}


def test_one_dense_network_in_several_runs_is_no_problem() -> None:
    dense = [run_record("dense", 0, [point(0, 1, 0.99), *extra]) for extra in ([], [point(1, 1, 0.991)])]
    found = listed([*dense, *three_seeds()])
    assert not [why for _, why in found if "more than once" in why or "did not start" in why]


def test_a_method_that_started_from_another_dense_network_is_named() -> None:
    runs = [run_record("dense", 0, [point(0, 1, 0.97)]), three_seeds()[0]]
    assert (runs[1].name, f"did not start from the dense network of seed 0, which is the reference: {NAME}") in listed(
        runs
    )
    [setting] = settings_of(runs)
    assert setting.dense[0].top1 == 0.97


def test_a_point_measured_twice_and_differently_is_in_no_average() -> None:
    twice = [run_record("snip", 0, [point(1, 4, top1)], {"score_examples": 1000}) for top1 in (0.9, 0.8)]
    found = dict(listed(twice))
    assert f"snip, seed 0, round 1: {NAME}" in found
    [setting] = settings_of(twice)
    assert accuracy_at(setting).numbers["top1_n"].max() == 0


def test_many_seeds_are_listed_in_short() -> None:
    runs = [run_record("snip", s, [point(1, 4, 0.9)]) for s in range(500)]
    assert all(len(why) < 200 for _, why in listed(runs))


def test_each_problem_has_its_kind() -> None:
    paper = run_record("nnrelief", 0, [point(1, 4, 0.9)], protocol="paper")
    old = run_record("snip", 0, [point(1, 4, 0.9)], number=1)
    other = run_record("snip", 0, [point(1, 4, 0.9)])
    unverified = replace(other, environment=other.environment.model_copy(update={"data_verified": False}))
    runs = [
        *three_seeds(),
        paper,
        old,
        unverified,
        run_record("random", 0, [], state="failed", reason="no"),
        run_record("random", 1, [], state="interrupted", reason="a signal"),
        run_record("random", 2, [point(1, 8, 0.1, collapsed=True)]),
    ]
    frame = problems(runs, settings_of(runs)).shown
    kinds = dict(zip(frame["kind"], frame["why"], strict=True))
    assert kinds["failed"] == "failed: no"
    assert kinds["interrupted"] == "interrupted: a signal"
    assert kinds["test-selected"].startswith("†: picked")
    assert kinds["unverified data"].startswith("‡: data files")
    assert kinds["other protocol"].startswith("made by earlier rules than those of protocol 2")
    assert {"collapsed", "missing", "thin"} <= kinds.keys()


def test_a_seed_that_only_dense_has_is_missing() -> None:
    runs = [run_record("dense", s, [point(0, 1, 0.99)]) for s in range(4)]
    assert (f"magnitude: {NAME}", "no run of seeds 3, which have a dense network") in listed([*runs, *three_seeds()])
