"""From text to a checked run: the same from a command line, a sweep file, W&B's agent and a recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from baselines.snip import SNIP
from benchmark.config.options import canonical, read_arguments, run_config
from benchmark.config.run import RunConfig
from benchmark.errors import UserError


def _run(text: str) -> RunConfig:
    return run_config(read_arguments(text.split()))


def test_hyphens_underscores_equals_and_spaces_mean_the_same() -> None:
    ways = ["--pruner.rewind-step=3 --stop-drop 0.02", "--pruner.rewind_step 3 --stop_drop=0.02"]
    assert len({_run(f"--pruner lottery_ticket {way}").id for way in ways}) == 1


def test_the_text_that_an_agent_writes_is_read_back() -> None:
    agent = ["--pruner=snip", "--pruner.sparsity=0", "--train={'epochs': 7, 'optimizer': 'sgd'}", "--stop_drop=None"]
    run = run_config(read_arguments([*agent, "--train.decay_at=[0.5, 0.75]", "--deterministic=False"]))
    assert isinstance(run.pruner, SNIP)
    assert run.pruner.sparsity == 0
    assert run.settings.train.epochs == 7
    assert run.settings.train.decay_at == (0.5, 0.75)
    assert run.settings.stop_drop is None
    assert not run.settings.deterministic


def test_a_bare_option_is_true_and_several_words_are_a_list() -> None:
    run = _run("--pruner snip --allow_unverified_data --spare fc2.weight fc3.weight")
    assert run.settings.allow_unverified_data
    assert run.settings.spare == ("fc2.weight", "fc3.weight")


def test_a_method_with_its_options_in_brackets_is_the_same_run() -> None:
    bracket = run_config({"pruner": "snip(sparsity=0.95, distribution='erk')"})
    assert bracket.id == _run("--pruner snip --pruner.sparsity 0.95 --pruner.distribution erk").id
    assert bracket.options["pruner"] == "snip"


def test_brackets_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(UserError, match=r"must read like snip\(sparsity=0.9"):
        run_config({"pruner": "snip(0.9"})


def test_options_come_back_as_the_same_run() -> None:
    run = _run("--pruner magnitude --train.epochs 3 --train.decay_at 0.5 0.8 --results somewhere")
    assert run_config(run.options) == run


def test_nested_and_dotted_names_are_the_same() -> None:
    assert canonical({"train": {"lr": 1}, "pruner.alpha-conv": 2}) == {"train.lr": 1, "pruner.alpha_conv": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--pruner snpi", r"unknown pruner 'snpi', did you mean 'snip'\? known: control, dense, "),
        ("--pruner snip --pruner.sparsity 90", r"sparsity must be in \[0, 1\), got 90; write 0.9 for 90 %"),
        (
            "--pruner snip --pruner.sparsty 0.9",
            "unknown option of snip 'pruner.sparsty', did you mean 'pruner.sparsity'",
        ),
        ("--pruner snip --train.epoch 3", r"unknown option 'train.epoch', did you mean '\w*train.epochs'"),
        ("--pruner snip --train.epochs three", "train.epochs must be a whole number, at least 1, got three"),
        ("--pruner snip --train.epochs 0", "train.epochs must be a whole number, at least 1, got 0"),
        ("--pruner snip --train.optimizer rmsprop", "must be sgd, adam or adamw, got rmsprop"),
        ("--pruner snip --train.lr=-1", "train.lr must be a number, above 0 or None, got -1"),
        ("--pruner snip --train.decay_at 0.8 0.5", "rising fractions"),
        ("--pruner snip --stop_drop 2", r"stop_drop must be a number, in \(0, 1\) or None, got 2"),
        ("--wandb", "--wandb needs a value: online, offline, off or auto"),
        ("--project --seed 1", "--project needs a value: a text"),
        ("--pruner snip --pruner.sparsity", "pruner.sparsity must be a number, got True; written without a value"),
        ("--pruner magnitude --pruner.rounds 1000000000000", r"rounds must be a whole number, in \[1, 1000\], got 1"),
        ("--pruner nnrelief --pruner.norm l2", "pruner.norm must be frobenius, sum or None, got l2"),
        ("--recipe nothing", "unknown recipe 'nothing'"),
        ("--pruner nowhere.py:A", "there is no file nowhere.py"),
        ("snip", "'snip' is not an option"),
    ],
)
def test_a_mistake_is_answered_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        _run(text)
    assert "\n" not in str(caught.value)


def test_every_option_that_can_change_a_number_changes_the_identity() -> None:
    base = "--pruner snip"
    changes = ["--seed 1", "--train.lr 0.5", "--pruner.sparsity 0.5", "--protocol paper", "--train_limit 100"]
    assert len({_run(f"{base} {change}").id for change in ["", *changes]}) == 6


def test_where_a_run_is_carried_out_does_not_change_its_identity() -> None:
    assert _run("--pruner snip --results a --device cpu --wandb off --data_dir d").id == _run("--pruner snip").id


def test_methods_and_their_options_share_a_dense_training() -> None:
    runs = ["--pruner snip", "--pruner magnitude --pruner.rounds 3 --retrain.epochs 5 --stop_drop 0.1"]
    assert len({_run(text).dense_id for text in runs}) == 1
    assert _run("--pruner snip --seed 1").dense_id != _run("--pruner snip").dense_id


def test_the_data_folder_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNEBENCH_DATA", "there")
    assert _run("--pruner snip").settings.data_dir == Path("there")
    assert _run("--pruner snip --data_dir here").settings.data_dir == Path("here")


def test_a_method_in_a_file_of_the_user_is_found_and_its_content_is_part_of_the_identity(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    text = (
        "from dataclasses import dataclass\nfrom benchmark import ScoredPruner\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Mine(ScoredPruner):\n    '''Mine.'''\n    strength: float = 2.0\n"
        "    def score(self, net, batches):\n        return net.weights\n"
    )
    file.write_text(text)
    first = _run(f"--pruner {file}:Mine --pruner.strength 3")
    assert first.options["pruner.strength"] == 3
    file.write_text(text + "# changed\n")
    assert _run(f"--pruner {file}:Mine --pruner.strength 3").id != first.id
    with pytest.raises(UserError, match="unknown class 'Mien', did you mean 'Mine'"):
        _run(f"--pruner {file}:Mien")


def test_a_recipe_lies_beneath_the_options(tmp_path: Path) -> None:
    recipe = tmp_path / "short.yaml"
    recipe.write_text("train:\n  epochs: 3\n  lr: 1e-2\npruner: snip\n")
    run = _run(f"--recipe {recipe} --train.epochs 4")
    assert (run.settings.train.epochs, run.settings.train.lr, run.settings.pruner) == (4, 0.01, "snip")


def test_a_recipe_of_one_method_trains_another_the_same_way() -> None:
    recipe = "--recipe nnrelief/vgg_like_cifar10_sgd"
    own, other = _run(recipe), _run(f"{recipe} --pruner snip(sparsity=0.8)")
    assert other == _run(f"{recipe} --pruner snip --pruner.sparsity 0.8")
    assert (own.settings.train, own.settings.retrain) == (other.settings.train, other.settings.retrain)
    assert other.pruner == _run("--pruner snip --pruner.sparsity 0.8").pruner
    assert _run(f"{recipe} --pruner nnrelief").pruner == own.pruner != _run("--pruner nnrelief").pruner
