"""The tables of a setting: the smallest network, accuracy at equal compression and FLOPs, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchmark.records import DROPS, METRICS
from reports.curves import Method, Setting, curve
from reports.schema import MEASURED, Point
from reports.selection import (
    OperatingPoint,
    compared_seeds,
    drop_on_test,
    incomplete,
    is_at_end,
    operating_points,
    smallest,
    verdict,
)
from reports.statistics import Estimate, estimate, interpolate, ratio_estimate, tied_with_best
from reports.table import NOTHING, Table, columns_of, interval, spread

COMPRESSIONS = (2, 4, 8, 16, 32, 64)
LATENCIES = (1.25, 1.5, 2, 3, 4, 8)
BUDGETS = (1, 2, 3, 4, 6, 8)  # multiples of dense training
AT = (8, 16)  # times compressed, where cost is looked at
RATIOS = ("compression_params", "compression_weights", "speedup_theoretical", "speedup_structural")
FORMS = dict.fromkeys(RATIOS, "{:.1f}") | {"speedup_structural": "{:.2f}"}
SMALLEST = (
    "A method's last operating point, the same for all seeds, before its mean drop of validation top-1 over all seeds "
    "first exceeds d; the dense network where there is none; ≥: the method's last, so nothing smaller was tried. There "
    "the drop of test top-1 from dense, and whether it is shown to be at most d (below), more (above), or neither "
    "(open). Brackets: 95 % t-intervals over seeds, of ratios in logarithms. A seed that failed counts with the "
    "accuracy of chance. Speed-ups are ratios of FLOPs per example, one multiply-add = 1, counted with fvcore"
)
INTERPOLATED = (
    "Mean ± sample standard deviation (seeds), interpolated between a seed's own points, linear in the logarithm of "
    "the ratio; — where no seed reaches it. Bold: the best, and what is not shown to be worse (paired t-test by seed, "
    "corrected by Holm, 5 %), which with few seeds may be far from it"
)


def smallest_networks(setting: Setting) -> Table:
    """By method and allowed drop: the smallest network at comparable accuracy, chosen on validation."""
    numbers, shown = [], []
    for method in setting.methods.values():
        points = operating_points(setting, method)
        for allowed in DROPS:
            chosen = smallest(points, allowed)
            at_end = is_at_end(points, chosen) and not (method.failed or incomplete(setting, method))
            row, cells = _smallest(setting, method, chosen, allowed, at_end)
            numbers.append(row)
            shown.append(cells)
    title = "Smallest network at comparable accuracy"
    note = "; ".join(filter(None, [SMALLEST, _of_one_image(setting)]))
    frame, found = pd.DataFrame(shown), pd.DataFrame(numbers)
    column = heading("compression_params")
    most = found.groupby("allowed_drop")["compression_params_mean"].transform("max")
    rows = found.index[(found["compression_params_mean"] >= most - 0.05) & (most > 1)]  # as many digits as are shown
    return Table("smallest_network", title, note, found, frame, frozenset((row, column) for row in rows))


def _of_one_image(setting: Setting) -> str:
    """How large one test image is against the allowed drops."""
    if not (total := setting.test_images):
        return ""
    shares = ", ".join(f"{total * d:.1f} at d = {100 * d:g}" for d in DROPS)
    return f"one of {total:,} test images is {100 / total:.2g} points, so d is {shares} images"


def _smallest(
    setting: Setting, method: Method, chosen: OperatingPoint | None, allowed: float, at_end: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    seeds = compared_seeds(setting, method)
    failed = len(chosen.test_drops) - len(chosen.measured) if chosen else 0
    collapsed = sum(point.collapsed for point in chosen.measured.values()) if chosen else 0
    head = {"method": method.label, "allowed_drop": allowed, "seeds": len(method.seeds), "seeds_compared": len(seeds)}
    if chosen is None:  # the dense network itself
        ones = estimate([1.0] * len(seeds))
        parts: dict[str, Estimate] = dict.fromkeys((*RATIOS, "budget"), ones)
        parts |= dict.fromkeys(("sparsity_prunable", "validation_drop", "drop"), estimate([0.0] * len(seeds)))
        said = "none" if seeds else "no dense run"
    else:
        parts = {name: ratio_estimate(_values(chosen, name)) for name in RATIOS}
        parts["sparsity_prunable"] = estimate(_values(chosen, "sparsity_prunable"), 0, 1)
        parts["validation_drop"] = estimate(list(chosen.validation_drops.values()), -1, 1)
        parts["drop"] = drop_on_test(chosen)
        parts["budget"] = ratio_estimate(multiples(setting, chosen.measured, "epochs_total"), lowest=0)
        said = verdict(parts["drop"], allowed)
    counts = {"seeds_failed": failed, "seeds_collapsed": collapsed}
    row = head | counts | columns_of(parts) | {"at_end": at_end, "verdict": said}
    notes = [f"{n} {what}" for n, what in ((failed, "failed"), (collapsed, "collapsed")) if n]
    ratios = {heading(name): interval(parts[name], FORMS[name]) for name in RATIOS}
    if at_end:
        ratios[heading(RATIOS[0])] = f"≥ {ratios[heading(RATIOS[0])]}"
    cells = {
        "method": method.label,
        "d, points": f"{100 * allowed:g}",
        "seeds": ", ".join([f"{len(seeds)} of {len(method.seeds)}", *notes]),
        **ratios,
        heading("validation_drop"): interval(parts["validation_drop"], "{:z.2f}", 100),
        heading("drop"): interval(parts["drop"], "{:z.2f}", 100),
        "test drop is": said,
        heading("budget"): interval(parts["budget"], "{:.1f}"),
    }
    return row, cells


def accuracy_at(setting: Setting, x: str = "compression_params") -> Table:
    """Top-1 where a ratio is equal, interpolated between a seed's own points, and the reference rows."""
    measured = x.startswith(MEASURED)
    numbers, shown, reached = [], [], {}
    at = LATENCIES if measured else COMPRESSIONS
    for method in setting.methods.values():
        reached[method.label] = top1_at(setting, method, x, at)
        cells = {}
        for ratio, values in reached[method.label].items():
            found = estimate(list(values.values()), 0, 1)
            cells[f"{ratio:g}×"] = _of_seeds(found, method)
            numbers.append({"method": method.label, x: ratio} | columns_of({"top1": found}))
        shown.append({"method": method.label} | cells)
    for label, points in _references(setting):
        found = estimate([point.top1 for point in points], 0, 1)
        numbers.append({"method": label, x: 1} | columns_of({"top1": found}))
        shown.append({"method": label, "1×": spread(found, "{:z.2f}", 100)})
    name = "accuracy_at_compression" if x == "compression_params" else f"accuracy_at_{x}"
    said = METRICS[x].about if x in METRICS else x
    frame = pd.DataFrame(shown, columns=["method", "1×", *(f"{ratio:g}×" for ratio in at)]).fillna(NOTHING)
    best = _best(setting, reached, at)
    title = f"Test top-1 accuracy (%) at equal {said[0].lower()}{said[1:]}"
    note = f"{INTERPOLATED}; {_how_measured(setting)}" if measured else INTERPOLATED
    return Table(name, title, note, pd.DataFrame(numbers), frame, best)


def _how_measured(setting: Setting) -> str:
    """With what batches, threads and machines latency was measured."""
    runs = [run for run, _ in setting.runs if any(point.measured for point in run.points)]
    points = [point for run in runs for point in run.points if point.measured]
    batches, threads = (
        ", ".join(map(str, sorted({v for p in points if (v := p.value(name)) is not None}))) or "?"
        for name in ("latency_batch", "latency_threads")
    )
    devices = ", ".join(sorted({run.environment.hardware.device for run in runs}))
    return f"latency measured with batches of {batches} images, {threads} threads, on {devices}"


def top1_at(setting: Setting, method: Method, x: str, at: Sequence[float]) -> dict[float, dict[int, float]]:
    """By ratio, the accuracy of each seed that reaches it on both sides, interpolated."""
    key = (method.label, x, tuple(at))
    if key not in setting.drawn_up:
        curves = {seed: curve(setting, method, seed, x) for seed in method.seeds}
        found = {ratio: {seed: interpolate(each, ratio) for seed, each in curves.items()} for ratio in at}
        setting.drawn_up[key] = {r: {s: v for s, v in each.items() if v is not None} for r, each in found.items()}
    return setting.drawn_up[key]


def accuracy_at_cost(setting: Setting) -> Table:
    """Top-1 at equal compression, of what training within a multiple of the dense one reaches."""
    numbers, shown, best = [], [], set()
    for ratio in AT:
        reached = {}
        for method in setting.methods.values():
            within = {budget: _within(setting, method, ratio, budget) for budget in BUDGETS}
            reached[method.label] = within
            cells = {"compression": f"{ratio}×", "method": method.label}
            for budget, values in within.items():
                found = estimate(list(values.values()), 0, 1)
                cells[f"≤ {budget}×"] = _of_seeds(found, method)
                numbers.append(
                    {"compression_params": ratio, "method": method.label, "budget": budget}
                    | columns_of({"top1": found})
                )
            shown.append(cells)
        best |= {(row + len(shown) - len(reached), f"≤ {b}") for row, b in _best(setting, reached, BUDGETS)}
    title = "Test top-1 accuracy (%) at equal compression of parameters, by the training spent until there"
    note = f"Columns: at most so many times the epochs of dense training. {INTERPOLATED}"
    frame = pd.DataFrame(shown, columns=["compression", "method", *(f"≤ {budget}×" for budget in BUDGETS)])
    return Table("accuracy_at_cost", title, note, pd.DataFrame(numbers), frame, frozenset(best))


def _within(setting: Setting, method: Method, ratio: float, budget: float) -> dict[int, float]:
    found = {}
    for seed in compared_seeds(setting, method):
        most = budget * setting.dense[seed].epochs_total * (1 + 1e-9)
        points = [setting.dense[seed], *(p for p in method.of_seed(seed) if p.epochs_total <= most)]
        path = [(p.compression_params, p.top1) for p in points if p.compression_params is not None]
        value = interpolate(path, ratio) if len(points) > 1 else None
        if value is not None:
            found[seed] = value
    return found


def costs(setting: Setting) -> Table:
    """What the smallest networks at comparable accuracy cost, everything before included."""
    numbers, shown = [], []
    for method in setting.methods.values():
        points = operating_points(setting, method)
        for allowed in DROPS:
            if (chosen := smallest(points, allowed)) is None or not chosen.measured:
                continue
            parts = _cost(setting, chosen.measured)
            parts["compression_params"] = ratio_estimate(_values(chosen, "compression_params"))
            numbers.append({"method": method.label, "allowed_drop": allowed} | columns_of(parts))
            cells = {"method": method.label, "d, points": f"{100 * allowed:g}"}
            for name in ("compression_params", *COSTS):
                cells[heading(name)] = interval(parts[name], COSTS.get(name, "{:.1f}"))
            shown.append(cells)
    columns = ["method", "d, points", *(heading(name) for name in ("compression_params", *COSTS))]
    devices = sorted({run.environment.hardware.device for run, _ in setting.runs})
    title = "Cost of the smallest network at comparable accuracy"
    note = (
        "All training until there, the dense one included; epochs and FLOPs are the same everywhere, seconds are of "
        f"the machines that ran it ({', '.join(devices)}). FLOPs: forward and backward passes, one multiply-add = 1, "
        "with sparse steps at their own cost, and as dense hardware executes them; scoring: the passes "
        "of all prunings, executed dense, without what a method multiplies by itself, which its seconds have; — in "
        "records from before they were counted"
    )
    return Table("cost", title, note, pd.DataFrame(numbers), pd.DataFrame(shown, columns=columns))


COSTS = {  # how each cost is written
    "epochs_total": "{:.0f}",
    "budget": "{:.1f}",
    "train_flops_dense": "{:.2e}",
    "train_flops": "{:.2e}",
    "budget_flops": "{:.2f}",
    "prune_flops": "{:.2e}",
    "budget_prune": "{:.3f}",
    "train_seconds": "{:.1f}",
    "prune_seconds": "{:.2f}",
    "budget_seconds": "{:.1f}",
}


def _cost(setting: Setting, measured: Mapping[int, Point]) -> dict[str, Estimate]:
    def plain(name: str) -> Estimate:
        return estimate([v for p in measured.values() if (v := p.value(name)) is not None], 0)

    dense_steps = [
        dense.train_flops * own for own, dense in _beside_dense(setting, measured, "epochs_total") if dense.train_flops
    ]
    scoring = [
        point.prune_flops / dense
        for seed, point in measured.items()
        if point.prune_flops is not None and (dense := setting.dense[seed].train_flops)
    ]
    seconds = multiples(setting, measured, "train_seconds", "prune_seconds")
    named = ("epochs_total", "train_flops", "prune_flops", "train_seconds", "prune_seconds")
    return {
        **{name: plain(name) for name in named},
        "train_flops_dense": estimate(dense_steps, 0),
        "budget": ratio_estimate(multiples(setting, measured, "epochs_total"), lowest=0),
        "budget_flops": ratio_estimate(multiples(setting, measured, "train_flops"), lowest=0),
        "budget_prune": estimate(scoring, 0),
        "budget_seconds": ratio_estimate(seconds, lowest=0),
    }


def _beside_dense(setting: Setting, measured: Mapping[int, Point], *names: str) -> list[tuple[float, Point]]:
    """Of each seed the sum of these numbers in multiples of that of its dense network, where both have them."""
    found = []
    for seed, point in measured.items():
        own, dense = ([p.value(name) for name in names] for p in (point, setting.dense[seed]))
        if None not in (*own, *dense) and sum(own) > 0 and sum(dense) > 0:
            found.append((sum(own) / sum(dense), setting.dense[seed]))
    return found


def multiples(setting: Setting, measured: Mapping[int, Point], *names: str) -> list[float]:
    """The sum of these numbers in multiples of that of the dense network, of each seed that has them."""
    return [multiple for multiple, _ in _beside_dense(setting, measured, *names)]


def measured_speedups(setting: Setting) -> list[str]:
    """The speed-ups that were measured of any network, by name."""
    points = (p for method in setting.methods.values() for seed in method.seeds for p in method.of_seed(seed))
    return sorted({name for point in points for name, value in (point.measured or {}).items() if value})


def heading(name: str) -> str:
    """What heads the column of a metric; shares are shown in points."""
    metric = METRICS[name]
    unit = {"share": ", points", "s": ", s"}.get(metric.unit, "")
    return f"{metric.label}{unit}"


def _best(
    setting: Setting, reached: Mapping[str, Mapping[Any, Mapping[int, float]]], at: Sequence[float]
) -> frozenset[tuple[int, str]]:
    """The rows, by column, of the best methods and those tied with them."""
    rows = {label: row for row, label in enumerate(reached)}
    tied = {x: tied_with_best({label: values[x] for label, values in reached.items()}, setting.resolution) for x in at}
    return frozenset((rows[label], f"{x:g}×") for x, labels in tied.items() for label in labels)


def _of_seeds(found: Estimate, method: Method) -> str:
    """Mean ± std with the number of seeds, and of how many where not all reach."""
    text = spread(found, "{:z.2f}", 100)
    return text.replace(")", f" of {len(method.seeds)})") if 0 < found.n < len(method.seeds) else text


def _references(setting: Setting) -> list[tuple[str, list[Point]]]:
    trained_on = [
        (f"dense, trained {epochs:.0f} epochs", list(points.values()))
        for epochs, points in sorted(setting.longer.items())
    ]
    return [("dense", list(setting.dense.values())), *trained_on]


def _values(chosen: OperatingPoint, name: str) -> list[float]:
    values = [getattr(point, name) for point in chosen.measured.values()]
    return [value for value in values if value is not None]
