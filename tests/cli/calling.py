"""The command, called as a user calls it."""

from __future__ import annotations

import pytest

from benchmark.cli.entry import main


def called(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The exit status of `prunebench WORDS`, and what it wrote to its two outputs."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    out = capsys.readouterr()
    return int(caught.value.code or 0), out.out, out.err
