"""The command on a terminal, with colours and without: an error is the same one line as elsewhere."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

MISTAKES = {
    "run --train.epochs three": "train.epochs must be a whole number, at least 1, got three",
    "run --train.optimizer sdg": "train.optimizer must be sgd, adam or adamw, got sdg; did you mean 'sgd'?",
    "run --pruner snip --pruner.sparsity None": "pruner.sparsity must be a number, got None",
    "run --pruner snip --device cpu:x": "device 'cpu:x' is not to be had here",
    "run --seed={}": "seed must be a whole number, at least 0, got {}",
    "sweep --jobs 1.5 file": "jobs must be a whole number, at least 1 or auto or None, got 1.5",
    "export a b": "'b' is too much",
    "run --cuda_graph maybe": "--cuda_graph takes true or false, got 'maybe'",
    "run --seed=0 maybe": "'maybe' is too much",
    "run --model maybe maybe": "'maybe' is too much",
    "sweep digits --dryrun": "unknown option 'dryrun', did you mean 'dry_run'?",
    "sweep digits --jbos 2": "unknown option 'jbos', did you mean 'jobs'?",
    "latency RUN --batch 0": "batch must be a list of whole numbers, at least 1, got 0",
    "lst": "unknown command 'lst', did you mean 'list'?",
}


def _on_a_terminal(words: list[str], **environment: str) -> tuple[int, str]:
    """Exit status and all that a terminal was sent."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark", *words], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    sent = b""
    try:
        while part := os.read(ours, 4096):
            sent += part
    except OSError:  # the terminal is closed
        pass
    finally:
        os.close(ours)
    return process.wait(timeout=60), sent.decode()


@pytest.mark.parametrize("colour", ["1", ""])
def test_an_error_on_a_terminal_is_one_plain_line(colour: str, tmp_path: Path) -> None:
    for words, said in MISTAKES.items() if colour else list(MISTAKES.items())[:3]:
        environment = {"FORCE_COLOR": colour} if colour else {"NO_COLOR": "1"}
        status, sent = _on_a_terminal(words.split(), **environment)
        assert status == 2, sent
        assert sent.count("\n") == 1
        assert sent.startswith("prunebench: ")
        assert said in sent
        assert "\x1b" not in sent
    assert list(tmp_path.iterdir()) == []


def test_what_a_terminal_would_act_on_is_written_out() -> None:
    status, sent = _on_a_terminal(["run", "--pruner", "a\x1b[31m\nb", "--recipe", "x\x07"])
    assert status == 2
    assert sent.count("\n") == 1
    assert "\x1b" not in sent
    assert "\x07" not in sent
