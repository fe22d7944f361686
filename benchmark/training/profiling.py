"""Where the time of a run goes: its stages throughout, and the operators of its first seconds."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any

import torch

from benchmark.records import write_atomically

OPERATORS = 15  # that are shown
TRACED = 2.0  # seconds, at least, whose operators are recorded: to write down those of a LeNet takes four times as long
PREFIX = "prunebench: "


class Profile:
    """Seconds and calls of each stage since the start, and torch.profiler's record of the first of these seconds."""

    def __init__(self) -> None:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler says on stderr that it starts
        kinds = torch.profiler.ProfilerActivity
        activities = [kinds.CPU, *([kinds.CUDA] if torch.cuda.is_available() else [])]
        self.stages: dict[str, tuple[float, int]] = {}
        self.operators = torch.profiler.profile(activities=activities)
        self.operators.start()
        self.traced: float | None = None  # seconds of which operators are known, once it is stopped
        self.aside = 0.0  # seconds that stopping took, which are not the run's
        self.started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started - self.aside

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        before = self.seconds
        try:
            with torch.profiler.record_function(PREFIX + name):
                yield
        finally:
            taken, calls = self.stages.get(name, (0.0, 0))
            self.stages[name] = taken + self.seconds - before, calls + 1
            if self.seconds > TRACED:
                self.stop()

    def stop(self) -> None:
        """Record no more operators."""
        if self.traced is None:
            self.traced, stopping = self.seconds, time.perf_counter()
            self.operators.stop()
            self.aside += time.perf_counter() - stopping


_under_way: ContextVar[Profile | None] = ContextVar("profile", default=None)


def stage(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: what it decorates is the stage `name` of a run. Stages do not lie in each other."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def staged(*arguments: Any, **options: Any) -> Any:
            profile = _under_way.get()
            with contextlib.nullcontext() if profile is None else profile.stage(name):
                return function(*arguments, **options)

        return staged

    return decorate


@contextlib.contextmanager
def profiled(say: Callable[[str], object], trace: Callable[[], Path]) -> Iterator[None]:
    """Say at the end, on one screen, where the time went while within, and write a trace for chrome://tracing."""
    profile = Profile()
    token = _under_way.set(profile)
    try:
        yield
    finally:
        _under_way.reset(token)
        profile.stop()
    say(table(profile))
    path = trace()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / path.name
        profile.operators.export_chrome_trace(str(made))
        write_atomically(path, lambda file: file.write(made.read_bytes()))
    say(f"trace: {path}, for chrome://tracing or ui.perfetto.dev")


def table(profile: Profile) -> str:
    """The stages and what lies between them, and the operators that took longest by themselves."""
    seconds, traced = profile.seconds, profile.traced or 0.0
    rest = seconds - sum(taken for taken, _ in profile.stages.values())
    operators = [e for e in profile.operators.key_averages() if not e.key.startswith(PREFIX)]
    lines = [f"{'stage':42}{'seconds':>10}{'share':>8}{'calls':>9}"]
    for name, (taken, calls) in sorted(profile.stages.items(), key=lambda item: -item[1][0]):
        lines.append(f"{name:42}{taken:10.3f}{taken / seconds:8.1%}{calls:9d}")
    lines += [f"{'data, records and all else':42}{rest:10.3f}{rest / seconds:8.1%}", ""]
    lines.append(f"{f'operator, by itself, in the first {traced:.0f} s':42}{'seconds':>10}{'share':>8}{'calls':>9}")
    for event in sorted(operators, key=lambda e: -e.self_cpu_time_total)[:OPERATORS]:
        taken = event.self_cpu_time_total / 1e6
        lines.append(f"{event.key[:41]:42}{taken:10.3f}{taken / traced:8.1%}{event.count:9d}")
    return "\n".join(lines)
