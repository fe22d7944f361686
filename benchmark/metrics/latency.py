"""How long a network takes, measured: whole, without its dead units, and with its masks in sparse kernels.

An `Engine` makes a network ready to run. Those of this suite are in `engines`; others are found by the entry point
group `prunebench.engines`. All are timed interleaved, after warming up; their outputs must be the masked network's.
"""

from __future__ import annotations

import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Literal

import torch
from torch import Tensor, nn

from benchmark.errors import UserError, unknown
from benchmark.network import MaskedModel, masked_copy, shrink
from benchmark.records import LatencyRow

GROUP = "prunebench.engines"
TOLERANCE = 1e-3  # of outputs in float32, relative to the largest
SECONDS, FEWEST, MOST = 0.5, 9, 300  # of timing each subject, and how often
BATCHES = (1, 64)

Form = Literal["dense", "structural", "sparse"]
Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Forms:
    """One pruned network in its forms, in evaluation mode on the CPU: with zeros, and without its dead units."""

    masked: nn.Module
    shrunk: nn.Module
    masks: Mapping[str, Tensor]  # of `masked`, by parameter name


class Engine(ABC):
    """What runs networks, one small class: which forms it measures, and how it makes one ready."""

    forms: tuple[Form, ...]

    @abstractmethod
    def prepare(self, form: Form, forms: Forms, example: Tensor, threads: int) -> Run:
        """A function from inputs to outputs of the shape of `example`; raises UserError where something is missing."""


def find_engines(names: Sequence[str] | None = None) -> dict[str, Engine]:
    """The engines called `names`, by default all there are; raises UserError for an unknown one."""
    from benchmark.metrics.engines import SHIPPED

    there: dict[str, Callable[[], type[Engine]]] = {name: lambda kind=kind: kind for name, kind in SHIPPED.items()}
    there |= {entry.name: entry.load for entry in entry_points(group=GROUP)}
    for name in names or ():
        if name not in there:
            raise unknown("engine", name, there)
    return {name: there[name]()() for name in names or there}


def latencies(
    net: MaskedModel, shape: tuple[int, ...], batches: Sequence[int], threads: int, engines: Mapping[str, Engine]
) -> list[LatencyRow]:
    """A row for each batch size, engine and form of the network; `shape` is that of one input (C, H, W).

    Raises UserError where an engine computes something else than the masked network.
    """
    masked, masks = masked_copy(net)
    forms = Forms(masked, shrink(net, shape).module.eval(), masks)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            return [row for batch in batches for row in _of_batch(forms, (batch, *shape), threads, engines)]
    finally:
        torch.set_num_threads(before)


def measured_speedups(rows: Sequence[LatencyRow]) -> dict[str, float]:
    """The columns of a measured point, of torch and csr at the first batch size, from the rows of `latencies`."""
    first = [row for row in rows if row["batch"] == rows[0]["batch"]]
    p50 = {row["form"]: row["p50"] for row in first if row["engine"] in ("torch", "csr")}
    found = {f"latency_{form}": seconds for form, seconds in p50.items()}
    ratios = {
        f"speedup_measured_{form}": p50["dense"] / p50[form]
        for form in ("structural", "sparse")
        if {"dense", form} <= p50.keys()
    }
    return {**found, **ratios, "latency_batch": first[0]["batch"], "latency_threads": first[0]["threads"]}


def _of_batch(forms: Forms, shape: tuple[int, ...], threads: int, engines: Mapping[str, Engine]) -> list[LatencyRow]:
    example = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    expected = forms.masked(example)
    subjects: dict[tuple[str, Form], Run] = {}
    differences: dict[tuple[str, Form], float] = {}
    for name, engine in engines.items():
        for form in engine.forms:
            run = engine.prepare(form, forms, example, threads)
            difference = ((run(example) - expected).abs().max() / expected.abs().max().clamp(min=1e-9)).item()
            if not difference <= TOLERANCE:
                raise UserError(f"engine {name}, {form}: outputs differ from the masked network's by {difference:.2g}")
            subjects[name, form], differences[name, form] = run, difference
    rows: list[LatencyRow] = []
    for (name, form), times in _interleaved(subjects, example).items():
        low, middle, high = statistics.quantiles(times, n=4)
        rows.append({
            "engine": name, "form": form, "batch": shape[0], "threads": threads, "p50": middle, "min": min(times),
            "p25": low, "p75": high, "repeats": len(times), "difference": differences[name, form],
        })  # fmt: skip
    return rows


def _interleaved(subjects: Mapping[tuple[str, Form], Run], example: Tensor) -> dict[tuple[str, Form], list[float]]:
    """The seconds of every subject, in rounds in which each comes once."""
    warm = {subject: min(_seconds(run, example) for _ in range(3)) for subject, run in subjects.items()}
    repeats = max(FEWEST, min(MOST, round(SECONDS * len(warm) / sum(warm.values()))))
    times: dict[tuple[str, Form], list[float]] = {subject: [] for subject in subjects}
    for _ in range(repeats):
        for subject, run in subjects.items():
            times[subject].append(_seconds(run, example))
    return times


def _seconds(run: Run, example: Tensor) -> float:
    started = time.perf_counter()
    run(example)
    return time.perf_counter() - started
