"""Made-up YAML and command lines: never a traceback, a hang or a full memory; what is wrong is one line."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from benchmark.cli.commands import COMMANDS
from benchmark.config.options import run_config
from benchmark.config.settings import Settings
from benchmark.errors import UserError
from benchmark.fields import options_of
from benchmark.sweep.grid import sweep_runs

MEMORY = 2 << 30  # bytes
CHECKS: list[Any] = list(HealthCheck)
LONG = settings(max_examples=1000, deadline=30_000, suppress_health_check=CHECKS)
SHORT = settings(max_examples=30, deadline=30_000, suppress_health_check=CHECKS)

NAMES = [*options_of(Settings), "pruner.sparsity", "pruner.rounds", "model.shortcut", "recipe", "train", "pruner."]
ODD = [
    "",
    "None",
    "nan",
    "-inf",
    "1e999",
    "[1",
    "{}",
    "{'a': {}}",
    "'x'",
    "(1,)",
    "9" * 5000,
    "(" * 300,
    "-" * 999 + "1",
]
ODD += ["snip(sparsity=0.5)", "snip(", "resnet_20(shortcut='b')", "folder:/dev", "folder:", "x.py:f", ".py:", "/", "\0"]
ODD += ["\ud800", "\x1b[31m", "True", "0", "1.0", "0.5", "012", "2024-01-01", "sgd", "digits", "snip", "cpu:x", "*"]

text = st.one_of(st.sampled_from(ODD), st.text(max_size=20))
number = st.one_of(st.integers(), st.floats(), st.booleans(), st.none())
value = st.recursive(
    st.one_of(text, number, st.dates()),
    lambda part: st.one_of(st.lists(part, max_size=3), st.dictionaries(text, part, max_size=3)),
    max_leaves=8,
)
words = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(NAMES), text).map(lambda pair: [f"--{pair[0]}={pair[1]}"]),
        st.tuples(st.sampled_from(NAMES), text).map(lambda pair: [f"--{pair[0]}", pair[1]]),
        text.map(lambda word: [word]),
    ),
    max_size=5,
).map(lambda groups: [word for group in groups for word in group])
spec = st.dictionaries(
    st.sampled_from(["value", "values", "min", "max", "distribution", "probabilities", "parameters"]), value, max_size=3
)
sweep = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["grid", "random", "bayes", 3]),
        "parameters": st.dictionaries(st.one_of(st.sampled_from(NAMES), text), st.one_of(spec, value), max_size=4),
    },
    optional={"run_cap": st.one_of(st.integers(-2, 3), value)},
)


@pytest.fixture(autouse=True)
def _little_memory() -> Any:
    """What is asked for beyond the limit fails, as it would on a full machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def _command_line(arguments: list[str], name: str) -> None:
    """As the command does it, without carrying anything out."""
    try:
        command = COMMANDS[name].read(arguments)
        if name == "run":
            assert run_config(command.runs).id
    except UserError as error:
        _is_one_line(error)


def _file(content: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sweep.yaml"
        file.write_bytes(content.encode("utf-8", "surrogatepass"))
        try:
            assert all(run.id for run in sweep_runs(file, {}))
        except UserError as error:
            _is_one_line(error, str(file))


def _is_one_line(error: UserError, place: str = "") -> None:
    assert place in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 2000


def _dumped(content: Any) -> str:
    return yaml.safe_dump(content, allow_unicode=True)


@SHORT
@given(words, st.sampled_from(list(COMMANDS)))
def test_a_made_up_command_line_is_understood_or_refused(arguments: list[str], name: str) -> None:
    _command_line(arguments, name)


@SHORT
@given(st.one_of(sweep.map(_dumped), value.map(_dumped), st.text(max_size=200)))
def test_a_made_up_sweep_file_is_understood_or_refused(content: str) -> None:
    _file(content)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@LONG
@given(words, st.sampled_from(list(COMMANDS)))
def test_a_thousand_made_up_command_lines(arguments: list[str], name: str) -> None:
    _command_line(arguments, name)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@LONG
@given(st.one_of(sweep.map(_dumped), value.map(_dumped), st.text(max_size=200)))
def test_a_thousand_made_up_sweep_files(content: str) -> None:
    _file(content)
