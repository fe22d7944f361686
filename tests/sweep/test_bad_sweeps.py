"""Sweep files that are wrong: one line that names the file and the key; nothing hangs, nothing is run by mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.sweep.grid import sweep_runs

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("seed: {values: 5}", "parameters.seed.values"),
        ("seed: {values: []}", "parameters.seed.values"),
        ("seed: {values: '012'}", "parameters.seed.values"),
        ("seed: {values: {a: 1}}", "parameters.seed.values"),
        ("train: {parameters: 3}", "parameters.train.parameters"),
        ("train: {parameters: [epochs]}", "parameters.train.parameters"),
        ("train: {parameters: {epochs: 3}}", "parameters.train.parameters.epochs: write `value: 3`"),
        ("seed: {min: 3, max: 1}", "min at most max, got 3 and 1"),
        ("seed: {min: 3}", "parameters.seed needs min and max"),
        ("seed: {}", "parameters.seed needs one of value, values"),
        ("seed: {value: 1, values: [1, 2]}", "parameters.seed needs one of"),
        ("seed: {min: 0, max: 1000000000000}", "1,000,000,000,001 runs"),
        ("seed: {min: 0, max: 1" + "0" * 400 + "}", "about 10^400 runs"),
        ("train.lr: {min: 0.1, max: 0.2}", "a grid needs value, values, or whole-number min and max"),
        ("train.lr: {min: 0, max: 1, distribution: log_uniform_values}", "a min above 0"),
        ("train.lr: {min: 1, max: 2, distribution: normal}", "parameters.train.lr.distribution"),
        ("seed: {values: [1, 2], probabilities: [1]}", "a probability for each"),
        ("seed: {values: [1, 2], probabilities: [0, 0]}", "a probability for each"),
        ("seed: {values: [1, 2], probabilities: [-1, 2]}", "parameters.seed.probabilities"),
        ("seed: {valeus: [1, 2]}", "parameters.seed.valeus is nothing that a sweep says"),
        ("1: {value: 2}", "parameters.1 is no name of an option"),
        ("project: {value: 2024-01-01}", "parameters.project.value must hold numbers and texts"),
        ("project: {values: [2024-01-01]}", "parameters.project.values must hold numbers and texts"),
        ("seed: {value: 2024-13-45}", "is not YAML"),
        ("seed: {value: !!int abc}", "is not YAML"),
        ("seed: {value: !!python/object:os.system x}", "is not YAML"),
        ("seed: {value: .nan}", "parameters.seed.value"),
        ("seed: &s {parameters: {a: *s}}", "more values than any file of options has"),
        ("train: " + "{parameters: {a: " * 300 + "1" + "}}" * 300, "nested deeper"),
        ("train: " + "[" * 5000, ""),
        ("seed: {value: {}}", "seed must be a whole number, at least 0, got {}"),
        ("seed: {value: true}", "seed must be a whole number, at least 0, got True"),
    ],
)
def test_a_bad_parameter_is_one_line_with_file_and_key(tmp_path: Path, parameters: str, said: str) -> None:
    _refused(tmp_path, f"method: grid\nparameters:\n  {parameters}\n", said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method: random\nrun_cap: 2.5\nparameters: {seed: {min: 0, max: 9}}\n", "run_cap"),
        ("method: random\nrun_cap: -1\nparameters: {seed: {min: 0, max: 9}}\n", "run_cap"),
        ("method: random\nrun_cap: 100000000000\nparameters: {seed: {min: 0, max: 9}}\n", "more than 10,000"),
        ("method: grid\nparameters: {}\n", "parameters"),
        ("method: grid\nparameters: 3\n", "parameters"),
        ("method: [grid]\nparameters: {seed: {value: 1}}\n", "method must be grid or random"),
        (f"{BOMB}method: grid\nparameters: {{spare: {{value: *i}}}}\n", "more values than any file of options has"),
        ("? [1]\n: 2\n", ""),
        ("\x00", "is not YAML"),
        ("x: " + "y" * (1 << 19), "has more than 256 KiB"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    _refused(tmp_path, text, said)


def _refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        sweep_runs(file, {})
    message = str(caught.value)
    assert str(file) in message
    assert said in message
    assert "\n" not in message
    assert len(message) < 600


def test_a_swept_text_of_digits_is_one_run(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("method: grid\nparameters: {seed: {value: '012'}, pruner: {value: snip}}\n")
    assert [run.settings.seed for run in sweep_runs(file, {})] == [12]


def test_aliases_within_reason_are_written_out(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("method: grid\nparameters: {seed: &two {values: [1, 2]}, score_examples: *two}\n")
    assert len(sweep_runs(file, {"pruner": "snip"})) == 4


def test_shipped_sweeps_go_by_name_from_any_folder() -> None:
    assert len(sweep_runs("digits", {})) > 40
    with pytest.raises(UserError, match="unknown sweep 'digit', did you mean 'digits'"):
        sweep_runs("digit", {})
