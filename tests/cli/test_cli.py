"""The command as a user meets it: help, the whole path, mistakes in one line with status 2."""

from __future__ import annotations

import gzip
import io
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.records.record import Record
from tests.cli.calling import called

QUICK = ["--train.epochs=1", "--retrain.epochs=1", "--train_limit=200", "--wandb=off", "--device=cpu"]
QUICK += ["--results", "results"]


def test_a_run_imports_nothing_that_it_can_do_without(tmp_path: Path) -> None:
    heavy = ("torch._dynamo", "torchvision", "timm", "wandb", "sklearn", "pandas", "scipy.stats", "sympy", "rich")
    code = (
        "import sys\nfrom benchmark.cli import main\n"
        f"try: main(['run', '--results', {str(tmp_path)!r}, '--pruner=snip', '--wandb=off', '--train.epochs=1'])\n"
        "except SystemExit as end: assert not end.code\n"
        f"print([name for name in {heavy} if name in sys.modules])\n"
    )
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_a_profile_says_where_time_went_and_leaves_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = called(capsys, "run", "--pruner", "snip", *QUICK, "--profile")
    assert status == 0
    assert {"training", "evaluation", "pruning", "measuring", "checkpoints"} <= set(out.split())
    assert len(out.splitlines()) < 45
    (trace,) = tmp_path.glob("results/runs/*/trace.json.gz")
    names = {event.get("name") for event in json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]}
    assert {"prunebench: training", "aten::linear"} <= names


def test_from_a_sweep_file_to_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("method: grid\nparameters:\n  pruner: {values: [dense, 'magnitude(rounds=1)', snip]}\n")
    status, out, _ = called(capsys, "sweep", "sweep.yaml", "--dry-run", *QUICK)
    assert status == 0
    assert "3 runs: 3 missing" in out
    assert not (tmp_path / "results").exists()
    assert called(capsys, "sweep", "sweep.yaml", *QUICK)[0] == 0
    status, out, _ = called(capsys, "sweep", "sweep.yaml", *QUICK)
    assert status == 0
    assert "3 of 3 runs ended before" in out
    status, out, _ = called(capsys, "report", "results")
    assert status == 0
    assert "Smallest network" in out
    page = tmp_path / "results" / "report" / "index.html"
    first = {p.name: p.read_bytes() for p in page.parent.rglob("*") if p.is_file()}
    assert len(first) >= 11
    called(capsys, "report", "results")
    assert first == {p.name: p.read_bytes() for p in page.parent.rglob("*") if p.is_file()}


def test_a_failing_run_stops_no_other_and_the_status_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(
        "method: grid\nparameters:\n  pruner: {value: snip}\n  train.optimizer: {value: sgd}\n"
        "  train.lr: {values: [1.0e+30, 0.1]}\n"
    )
    status, out, err = called(capsys, "sweep", "sweep.yaml", *QUICK)
    assert status == 1
    assert "2 runs: 1 diverged, 1 done" in out
    assert "loss is not finite at epoch 1" in err


def test_two_jobs_give_the_same_records_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(
        "from baselines.magnitude import Magnitude\n\n\nclass Mine(Magnitude):\n    'A method in a file of its own.'\n"
    )
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(
        "method: grid\nparameters:\n  pruner: {values: ['magnitude(rounds=1)', 'mine.py:Mine(rounds=1)']}\n"
    )
    assert called(capsys, "sweep", "sweep.yaml", *QUICK)[0] == 0
    assert called(capsys, "sweep", "sweep.yaml", *QUICK, "--results", "pool", "--jobs", "2")[0] == 0
    runs = [Record(run) for run in sorted((tmp_path / "results" / "runs").iterdir())]
    assert len(runs) == 2
    for run in runs:
        rows, again = run.read_rows("points.jsonl"), Record(tmp_path / "pool" / "runs" / run.folder.name)
        assert [r["top1"] for r in rows] == [r["top1"] for r in again.read_rows("points.jsonl")]
    assert len(list((tmp_path / "pool" / "dense").iterdir())) == 1


def test_failed_runs_are_done_again_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\n\nfrom baselines.magnitude import Magnitude\n\n\n"
        "class Mine(Magnitude):\n    'Needs a file.'\n\n"
        "    def score(self, net, data):\n"
        "        if not Path('needed').exists():\n            raise ValueError('not yet')\n"
        "        return super().score(net, data)\n"
    )
    (tmp_path / "sweep.yaml").write_text(
        "method: grid\nparameters:\n  pruner: {values: [random, 'mine.py:Mine(rounds=1)']}\n"
    )
    words = ["sweep", "sweep.yaml", *QUICK]
    status, out, err = called(capsys, *words)
    assert status == 1
    assert "2 runs: 1 done, 1 failed" in out
    assert "ValueError: not yet" in err
    assert "2 of 2 runs ended before" in called(capsys, *words)[1]

    (tmp_path / "needed").write_text("")
    assert called(capsys, *words)[0] == 1
    status, out, _ = called(capsys, *words, "--retry_failed")
    assert status == 0
    assert "2 runs: 2 done" in out


def test_a_run_says_what_to_run_beside_it_and_that_it_was_done_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        *["run", "--train.epochs", "1", "--train_limit", "200", "--wandb", "off", "--device", "cpu", "--results"],
        str(tmp_path),
    ]
    status, out, err = called(capsys, *words, "--pruner", "snip(sparsity=0.5)", "--train.decay_at", "0.5", "0.75")
    assert (status, out.splitlines()[-1][:6]) == (0, "done  ")
    said = "no dense run to compare it with lies beside it: prunebench run "
    (line,) = [line for line in err.splitlines() if line.startswith(said)]
    assert called(capsys, "run", *shlex.split(line.removeprefix(said)))[0] == 0
    status, out, err = called(capsys, *words, "--pruner", "snip(sparsity=0.5)", "--train.decay_at", "0.5", "0.75")
    assert (status, out.splitlines()[-1][:11], err) == (0, "done before", "")
    _, _, err = called(
        capsys, *words, "--pruner", "snip(sparsity=0.5)", "--train.decay_at", "0.5", "0.75", "--measure_latency"
    )
    assert err.startswith(f"a finished run is not measured again: prunebench latency {tmp_path}")
    _, _, err = called(
        capsys, *words, "--pruner", "snip(sparsity=0.5)", "--train.decay_at", "0.5", "0.75", "--log_model", "all"
    )
    assert err.startswith(f"a finished run leaves its network with: prunebench mirror {tmp_path}")
    assert err.endswith(" --log_model all\n")


def test_a_dry_run_tells_how_runs_stand_and_counts_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep.yaml").write_text(
        "method: grid\nparameters:\n  pruner: {value: magnitude(rounds=1)}\n  seed: {values: [0, 1, 2]}\n"
    )
    words = ["sweep", "sweep.yaml", *QUICK]
    assert "to do: 6 epochs" in called(capsys, *words, "--dry_run")[1]
    assert called(capsys, *words, "--seed", "0")[0] == 0
    assert called(capsys, *words, "--seed", "1")[0] == 0
    (half,) = (tmp_path / "results" / "runs").glob("*-s1-*")
    Record(half).update_status("running")
    status, out, _ = called(capsys, *words, "--dry_run")
    assert status == 0
    assert "3 runs: 1 done, 1 interrupted, 1 missing" in out
    assert "to do: 3 epochs" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("rnu", "unknown command 'rnu', did you mean 'run'?"),
        ("run --pruner snpi", "did you mean 'snip'?"),
        ("run --dataset minst --pruner snip", "unknown dataset 'minst', did you mean 'mnist'?"),
        ("run --model lenet_6 --pruner snip", "unknown model 'lenet_6', did you mean 'lenet_5'?"),
        ("run --pruner snip --pruner.sparsity 90", "sparsity must be in [0, 1), got 90; write 0.9 for 90 %"),
        ("run --pruner snip --train.epoch 3", "unknown option 'train.epoch'"),
        ("run --pruner snip --spare nothing", "nothing"),
        ("run --pruner snip --spare *", "spare: * leaves no weight to prune"),
        ("run --pruner snip --device cpu:x", "device 'cpu:x' is not to be had here"),
        ("run --pruner snip --pruner.sparsity None", "pruner.sparsity must be a number, got None"),
        ("run --pruner abstract.py:Base", "Base must define"),
        ("run --pruner leaves.py:Mine", "importing leaves.py failed: SystemExit: 0"),
        ("run --seed={}", "seed must be a whole number, at least 0, got {}"),
        ("run --recipe file", "unknown recipe 'file'"),
        ("run --recipe file.json", "is not the configuration of a run"),
        ("run --pruner snip --model timm/resnet1", "timm has no classifier 'resnet1'; near it: resnet18"),
        ("run --pruner snip --model timm/vgg11", "timm/vgg11 cannot take images of 8x8"),
        ("run --pruner snip --model vgg_11 --image_size 8", "vgg_11 takes images of 32x32 or more, got image_size 8"),
        ("run --pruner snip --image_size 32", "lenet_300_100 takes images of 28x28; leave out --image_size"),
        ("run --pruner snip --device gpu", "device 'gpu' is not to be had here"),
        ("run --pruner snip --results file", "cannot write results to file"),
        ("run --pruner snip --dataset mnist --data_dir made_up", "differs from the published file"),
        ("sweep nothing.yaml", "cannot read nothing.yaml"),
        ("sweep cifra10", "unknown sweep 'cifra10', did you mean 'cifar10'?"),
        ("sweep file --jobs 0", "jobs must be a whole number, at least 1 or auto or None, got 0"),
        ("sweep file --jobs 2 --ray local", "--jobs is for this machine alone"),
        ("sweep file --gpus_per_run 1", "--cpus_per_run and --gpus_per_run are for --ray"),
        ("report nothing", "cannot read nothing: No such file or directory; give the folder"),
        ("report nothing --out .", "no report is written to '.': it is or holds"),
        ("mirror nothing", "no records in nothing"),
        ("list metods", "sweeps or metrics, got metods; did you mean 'methods'?"),
        ("data", "NAME is missing: usage: prunebench data NAME"),
    ],
)
def test_a_mistake_gets_one_line_status_2_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "leaves.py").write_text("import sys\n\nsys.exit(0)\n")
    (tmp_path / "abstract.py").write_text("from benchmark import Pruner\n\n\nclass Base(Pruner):\n    pass\n")
    raw = tmp_path / "made_up" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"damaged")
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    status, out, err = called(capsys, *words.split())
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert out == ""
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before


def test_the_data_folder_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{name}-ubyte").write_bytes(b"not the published file")
    monkeypatch.setenv("PRUNEBENCH_DATA", str(tmp_path))
    status, _, err = called(capsys, "data", "mnist")
    assert status == 2
    assert f"{folder / 'train-images-idx3-ubyte'} differs" in err


def test_a_finished_run_is_exported_and_what_is_no_run_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(capsys, "run", "--pruner", "snip", *QUICK)[0] == 0
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    status, out, _ = called(capsys, "export", str(folder))
    assert status == 0
    assert [Path(line).name for line in out.split()] == ["shrunk.safetensors", "masked.safetensors", "metadata.json"]
    assert all(Path(line).stat().st_size > 0 for line in out.split())
    status, _, err = called(capsys, "export", str(tmp_path))
    assert status == 2
    assert "no run in" in err
    assert called(capsys, "export", str(folder), "--format", "onx")[0] == 2


def test_a_report_of_nothing_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = called(capsys, "report")
    assert status == 2
    assert "report takes results folders, --wandb ENTITY/PROJECT[/SWEEP], --with reference, or several" in err


def test_a_report_of_two_folders_reads_both_and_lies_in_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name / "runs" / f"run-{name}").mkdir(parents=True)
    status, out, _ = called(capsys, "report", "one", "two")
    assert status == 0
    assert "run-one" in out
    assert "run-two" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "report", "two"]


def test_a_folder_may_be_called_like_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "run", "--pruner", "snip", *QUICK[:-2], "--results=[1]")[0] == 0
    assert [p.name for p in tmp_path.iterdir()] == ["[1]"]


def test_records_are_cleaned_only_when_somebody_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    litter = tmp_path / "runs" / "a" / "config.json.1.part"
    litter.parent.mkdir(parents=True)
    litter.write_bytes(b"x" * 2_000_000)
    status, out, err = called(capsys, "clean", str(tmp_path))
    assert (status, "2.0 MB  half-written files" in out) == (2, True)
    assert "--yes removes what is listed" in err
    for answer, left in (("", True), ("\n", True), ("n\n", True), ("y\n", False)):  # the first: its end, by Ctrl-D
        answering = io.StringIO(answer)
        answering.isatty = lambda: True
        monkeypatch.setattr("sys.stdin", answering)
        assert called(capsys, "clean", str(tmp_path))[0] == 0
        assert litter.exists() == left
    status, out, _ = called(capsys, "clean", str(tmp_path), "--yes")
    assert (status, "nothing in" in out) == (0, True)
