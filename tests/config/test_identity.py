"""What a run's identity is made of, and that it stays what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.config.discovery import pruner_names
from benchmark.config.options import read_arguments, run_config
from benchmark.config.run import RunConfig
from benchmark.config.settings import Recipe, Settings
from benchmark.errors import UserError
from benchmark.user_code import code_of

METHOD = (
    "from dataclasses import dataclass\nfrom benchmark import ScoredPruner\n\n\n"
    "@dataclass(frozen=True, kw_only=True)\nclass Mine(ScoredPruner):\n    '''Mine.'''\n\n"
    "    strength: float = 2.0  # of nothing\n\n"
    "    def score(self, net, batches):\n        return {name: w.abs() for name, w in net.weights.items()}\n"
)


def _run(text: str) -> RunConfig:
    return run_config(read_arguments(text.split()))


# None of these may change under one PROTOCOL: each names records that people have. To add an option give it a
# default that does what was done before: no identity below moves. A default that has to change is a new PROTOCOL;
# then, and only then, all of them are written anew.
PINNED: dict[str, tuple[str, str]] = {
    "--pruner dense": ("0723eb0a110d18fe", "235a9cd6efa14106"),
    "--pruner snip": ("8bf60eaf63e6f159", "235a9cd6efa14106"),
    "--pruner snip --pruner.sparsity 0.95 --pruner.distribution erk": ("8172e426c7d46baf", "235a9cd6efa14106"),
    "--pruner random --seed 3": ("53ef908b694ed9d2", "0ca17dacff6c0183"),
    "--pruner magnitude --pruner.rounds 1 --retrain.epochs 20": ("3369193ed98521f3", "235a9cd6efa14106"),
    "--pruner lottery_ticket --pruner.rewind_step 500 --train.optimizer sgd": ("a47156a446f97ca0", "b56ed32cb381670e"),
    "--pruner snip --model resnet_20 --model.shortcut b --dataset cifar10": ("6a84d7e0403498e6", "1e3298343791cef5"),
    "--pruner snip --model timm/resnet18 --model.stem small --image_size 32": ("fdd60786c8ead934", "738de839e2a127eb"),
    "--pruner snip --train.lr 0.01 --train.weight_decay 0": ("347b27ace36f97e2", "c7213c5d5713068a"),
    "--pruner snip --protocol paper --train_limit 500": ("67d386a590404a98", "3f3ce54e3988685b"),
    "--pruner magnitude --spare fc3.weight --stop_drop 0.05": ("ebecd6b876ca0862", "235a9cd6efa14106"),
    "--pruner dense --pruner.rounds 10 --amp bf16 --deterministic": ("ba69af9d3093f927", "fbb3856849cd1bda"),
}


@pytest.mark.parametrize("text", PINNED)
def test_none_of_these_identities_may_change(text: str) -> None:
    run = _run(text)
    assert (run.id, run.dense_id) == PINNED[text]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("", "--train.lr 1e-3"),  # the default of adam
        ("--train.optimizer sgd", "--train.optimizer sgd --train.lr 0.1 --retrain.lr 0.10"),
        ("--train.lr 0.01", "--train.lr 1e-2 --retrain.lr 0.01"),
        ("", "--pruner.sparsity 9e-1 --pruner.distribution global"),
        ("", "--train.decay_at=[0.5]"),
        ("", "--train.decay_at=(0.5,)"),
        ("--train.weight_decay 0", "--train.weight_decay -0.0"),
        ("--seed 1", "--seed 1.0"),
        ("--model resnet_20", "--model resnet_20 --model.shortcut a"),
        ("", "--stop_drop None --train_limit None"),
    ],
)
def test_one_run_written_in_two_ways_has_one_identity(one: str, other: str) -> None:
    runs = [_run(f"--pruner snip {text}") for text in (one, other)]
    assert runs[0].id == runs[1].id
    assert runs[0].dense_id == runs[1].dense_id


def test_options_of_another_default_learning_rate_are_other_runs() -> None:
    assert _run("--pruner snip --train.lr 0.1").id != _run("--pruner snip --train.lr 0.1 --train.optimizer sgd").id
    assert _run("--pruner snip --retrain.lr 0.1").dense_id == _run("--pruner snip").dense_id


def test_each_option_says_what_it_belongs_to() -> None:
    belongs = _run("--pruner magnitude --model resnet_20").belongs
    assert {k for k, to in belongs.items() if to == "place"} >= {"data_dir", "results", "device", "wandb", "project"}
    assert {belongs[k] for k in ("seed", "train.lr", "model.shortcut", "protocol")} == {"dense"}
    assert {belongs[k] for k in ("pruner", "pruner.rounds", "retrain.epochs", "spare", "stop_drop")} == {"run"}


def test_a_record_says_which_option_tells_how_much_goes() -> None:
    knobs = {name: _run(f"--pruner {name}").head["method"]["knob"] for name in ("snip", "nnrelief", "soft_threshold")}
    assert knobs == {"snip": "pruner.sparsity", "nnrelief": "pruner.sparsity", "soft_threshold": "pruner.decay"}


def test_two_versions_of_one_file_are_two_runs_and_say_so(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    runs = []
    for text in (METHOD, METHOD.replace("w.abs()", "-w.abs()")):
        file.write_text(text)
        runs.append(_run(f"--pruner {file}:Mine"))
    labels = [run.head["method"]["label"] for run in runs]
    assert len({run.id for run in runs}) == len({run.name for run in runs}) == len(set(labels)) == 2
    assert all(label == f"Mine {run.sources['pruner'].digest[:8]}" for label, run in zip(labels, runs, strict=True))
    assert runs[0].files["code/pruner/mine.py"].decode() == METHOD
    assert runs[0].dense_id == runs[1].dense_id


def test_a_file_that_moves_stays_the_same_method(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(METHOD)
    assert _run(f"--pruner {tmp_path}/a.py:Mine").id == _run(f"--pruner {tmp_path}/b.py:Mine").id


def test_what_a_file_imports_from_beside_it_is_part_of_the_method(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from powers import power\n" + METHOD.replace("w.abs()", "w.abs() ** power()"))
    (tmp_path / "powers").mkdir()
    (tmp_path / "powers" / "__init__.py").write_text("def power():\n    from exponent import two\n    return two\n")
    (tmp_path / "unused.py").write_text("one = 1\n")
    runs = []
    for exponent in ("two = 2", "two = 2.0"):
        (tmp_path / "exponent.py").write_text(exponent)
        runs.append(_run(f"--pruner {tmp_path}/mine.py:Mine"))
    assert len({run.id for run in runs}) == len({run.head["method"]["label"] for run in runs}) == 2
    names = ["mine.py", "exponent.py", "powers/__init__.py"]
    assert [*runs[0].files] == [f"code/pruner/{name}" for name in names]
    (tmp_path / "unused.py").write_text("one = 2\n")
    assert _run(f"--pruner {tmp_path}/mine.py:Mine").id == runs[1].id


def test_imports_of_every_form_are_followed_and_what_is_elsewhere_is_not(tmp_path: Path) -> None:
    for name, text in {
        "mine.py": "import space.deep\nfrom linked import x\nfrom gone import y\nimport os, torch\n",
        "space/deep.py": "from .near import a\nfrom . import nearer\n",
        "space/near.py": "def broken(:\n",
        "space/nearer.py": "",
        "os/unrelated.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    target = tmp_path.parent / f"{tmp_path.name}_elsewhere.py"
    target.write_text("x = 1\n")
    (tmp_path / "linked.py").symlink_to(target)
    names = [name for name, _ in code_of(tmp_path / "mine.py")]
    assert names == ["mine.py", "linked.py", "space/deep.py", "space/near.py", "space/nearer.py"]


def test_a_method_of_another_package_is_found_by_name_and_its_version_is_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "of_a_package.py").write_text(METHOD)
    about = tmp_path / "pruners-1.0.dist-info"
    about.mkdir()
    (about / "entry_points.txt").write_text("[prunebench.pruners]\nfrom_afar = of_a_package:Mine\nlost = gone:Mine\n")
    runs = []
    for version in ("1.0", "1.1"):
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pruners\nVersion: {version}\n")
        runs.append(_run("--pruner from_afar --pruner.strength 3"))
    assert [run.head["method"]["label"] for run in runs] == ["from_afar pruners 1.0", "from_afar pruners 1.1"]
    assert len({run.id for run in runs}) == 2
    assert "from_afar" in pruner_names()
    with pytest.raises(UserError, match="pruner 'lost': importing gone:Mine failed: ModuleNotFoundError"):
        _run("--pruner lost")


def test_a_run_is_done_again_by_its_configuration_with_the_copy_of_its_code(tmp_path: Path) -> None:
    file, beside = tmp_path / "mine.py", tmp_path / "beside.py"
    file.write_text("import beside\n" + METHOD)
    beside.write_text("\n")
    run = _run(f"--pruner {file}:Mine --pruner.strength 3 --seed 2")
    folder = tmp_path / "run"
    for name, content in run.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "config.json").write_text(json.dumps(run.head))
    for changed in (file, beside):
        changed.write_text(changed.read_text() + "# changed\n")
        again = _run(f"--recipe {folder}/config.json")
        assert (again.id, again.name) == (run.id, run.name)
    assert _run(f"--recipe {folder}/config.json --seed 5").settings.seed == 5


def test_names_tell_options_apart_are_short_and_safe_on_any_file_system(tmp_path: Path) -> None:
    assert _run("--pruner snip --pruner.sparsity 0.95").name.startswith("digits-lenet_300_100-adam-snip-0.95-s0-")
    assert "-magnitude-0.98-rounds=3-s1-" in _run("--pruner magnitude(rounds=3,sparsity=0.98) --seed 1").name
    text = METHOD.replace("strength: float", "a: str = ''\n    b: str = ''\n    strength: float")
    (tmp_path / "mine.py").write_text(text)
    odd = "x/../*? \u00e9" * 40
    run = run_config({"pruner": f"{tmp_path}/mine.py:Mine", "pruner.a": odd, "pruner.b": odd, "seed": 10**30})
    assert len(run.name) < 120
    assert set(run.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._=+-")
    assert run.name[-8:] == run.id[:8]
    names = {run_config({"pruner": "snip", "model": m}).name for m in ("timm/resnet18", "torchvision/resnet18")}
    assert len(names) == 2


def test_a_name_that_is_cut_ends_with_a_whole_option() -> None:
    for rounds in (10, 1):
        run = _run(
            f"--model resnet_56 --dataset cifar100 --pruner nnrelief(alpha_conv=0.95,alpha_fc=0.99,rounds={rounds})"
        )
        assert run.name.partition("-s0-")[0].endswith("-alpha_conv=0.95-alpha_fc=0.99")


def test_wrong_values_are_refused_in_code_too() -> None:
    from baselines.snip import SNIP

    for make, said in (
        (lambda: SNIP(distribution="layerwise"), "pruner.distribution must be global, uniform, "),  # pyright: ignore
        (lambda: SNIP(sparsity="0.9"), "pruner.sparsity must be a number"),  # pyright: ignore
        (lambda: SNIP(sparsity=float("nan")), "got nan"),
        (lambda: Settings(protocol="papr"), "did you mean 'paper'"),  # pyright: ignore
        (lambda: Settings(seed=True), "seed must be a whole number"),
        (lambda: Recipe(epochs=2.5), "train.epochs must be a whole number"),  # pyright: ignore
        (lambda: Recipe(lr=float("inf")), "got inf"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            make()
        assert "\n" not in str(caught.value)
    assert isinstance(SNIP(sparsity=0).sparsity, float)


def test_a_method_is_spelled_the_same_however_it_was_given() -> None:
    given = ["--pruner=snip(sparsity=0.5)", "--pruner snip --pruner.sparsity .5", "--pruner.sparsity=0.5 --pruner snip"]
    assert {_run(text).call for text in given} == {"snip(sparsity=0.5)"}
    assert _run("--pruner random --pruner.distribution erk").call == "random(distribution='erk', sparsity=0.9)"


def test_a_group_is_a_configuration_without_its_seed() -> None:
    assert _run("--seed 1").group == _run("--seed 2 --results elsewhere").group
    assert _run("--pruner snip").group != _run("--pruner snip --pruner.sparsity 0.5").group
    assert _run("--pruner snip").group != _run("--pruner snip --train.epochs 5").group
