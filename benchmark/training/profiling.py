"""Where the time of a run goes: its stages and operators, as torch.profiler sees them."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmark.records import write_atomically

OPERATORS = 15  # that are shown
PREFIX = "prunebench: "


def stage(name: str) -> Any:
    """A decorator: what it decorates is the stage `name` of a run. Stages do not lie in each other."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        return torch.profiler.record_function(PREFIX + name)(function)

    return decorate


@contextlib.contextmanager
def profiled(say: Callable[[str], object], trace: Callable[[], Path]) -> Iterator[None]:
    """Say at the end, on one screen, where the time went while within, and write a trace for chrome://tracing."""
    kinds = torch.profiler.ProfilerActivity
    activities = [kinds.CPU, *([kinds.CUDA] if torch.cuda.is_available() else [])]
    started = time.perf_counter()
    with torch.profiler.profile(activities=activities) as profile:
        yield
    seconds = time.perf_counter() - started
    say(table(profile, seconds))
    path = trace()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / path.name
        profile.export_chrome_trace(str(made))
        write_atomically(path, lambda file: file.write(made.read_bytes()))
    say(f"trace: {path}, for chrome://tracing or ui.perfetto.dev")


def table(profile: torch.profiler.profile, seconds: float) -> str:
    """The stages and what lies between them, and the operators that took longest by themselves."""
    found = profile.key_averages()
    stages = {e.key.removeprefix(PREFIX): (e.cpu_time_total / 1e6, e.count) for e in found if e.key.startswith(PREFIX)}
    rest = seconds - sum(taken for taken, _ in stages.values())
    operators = sorted((e for e in found if not e.key.startswith(PREFIX)), key=lambda e: -e.self_cpu_time_total)
    lines = [f"{'stage':34}{'seconds':>10}{'share':>8}{'calls':>9}"]
    for name, (taken, calls) in sorted(stages.items(), key=lambda item: -item[1][0]):
        lines.append(f"{name:34}{taken:10.3f}{taken / seconds:8.1%}{calls:9d}")
    lines += [f"{'records and all else':34}{rest:10.3f}{rest / seconds:8.1%}", ""]
    lines.append(f"{'operator, by itself':34}{'seconds':>10}{'share':>8}{'calls':>9}")
    for event in operators[:OPERATORS]:
        taken = event.self_cpu_time_total / 1e6
        lines.append(f"{event.key[:33]:34}{taken:10.3f}{taken / seconds:8.1%}{event.count:9d}")
    return "\n".join(lines)
