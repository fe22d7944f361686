"""The tables: numbers for a CSV, and the same formatted for people."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reports.curves import Setting, curve
from reports.records import RunRecord
from reports.statistics import Estimate, estimate, interpolate

DROPS = (0.005, 0.01, 0.02)
COMPRESSIONS = (2, 4, 8, 16, 32, 64)
FLOPS_NOTE = "speed-ups are ratios of FLOPs per example, one multiply-add = 1, counted with fvcore"


@dataclass(frozen=True)
class Table:
    """`numbers` has a column for each of mean, std, n and interval; `shown` is for reading."""

    name: str
    title: str
    numbers: pd.DataFrame
    shown: pd.DataFrame


def smallest_networks(setting: Setting) -> Table:
    """By method and allowed drop: the highest compression measured with at most that drop, by seed."""
    numbers, shown = [], []
    for method, seeds in setting.methods.items():
        for drop in DROPS:
            chosen = {}
            for seed, points in seeds.items():
                if seed not in setting.dense:
                    continue
                near = [
                    p for p in points if setting.dense[seed]["top1"] - p["top1"] <= drop + 1e-12 and not p["collapsed"]
                ]
                if near:
                    chosen[seed] = max(near, key=lambda p: p["compression_params"])
            picked = list(chosen.values())
            dense = [setting.dense[s] for s in chosen]
            parts = {
                "compression_params": estimate([p["compression_params"] for p in picked]),
                "compression_weights": estimate([p["compression_weights"] for p in picked]),
                "sparsity_prunable": estimate([p["sparsity_prunable"] for p in picked]),
                "speedup_theoretical": estimate([p["speedup_theoretical"] for p in picked if p["speedup_theoretical"]]),
                "speedup_structural": estimate([p["speedup_structural"] for p in picked if p["speedup_structural"]]),
                "drop": estimate([d["top1"] - p["top1"] for d, p in zip(dense, picked, strict=True)]),
                "budget": estimate([p["epochs_total"] / d["epochs_total"] for d, p in zip(dense, picked, strict=True)]),
            }
            row = {"method": method, "allowed_drop": drop, "seeds": len(seeds)}
            numbers.append(row | _columns(parts))
            shown.append(
                {
                    "method": method,
                    "drop ≤ points": f"{100 * drop:g}",
                    "n of seeds": f"{len(picked)} of {len(seeds)}",
                    "compression (parameters)": _show(parts["compression_params"], "{:.1f}"),
                    "compression (weights)": _show(parts["compression_weights"], "{:.1f}"),
                    "speed-up, theoretical": _show(parts["speedup_theoretical"], "{:.1f}"),
                    "speed-up, structural": _show(parts["speedup_structural"], "{:.2f}"),
                    "drop, points": _show(parts["drop"], "{:.2f}", 100),
                    "training, × dense": _show(parts["budget"], "{:.1f}"),
                }
            )
    title = f"Smallest network at comparable accuracy ({FLOPS_NOTE})"
    return Table("smallest_network", title, pd.DataFrame(numbers), pd.DataFrame(shown))


def accuracy_at_compression(setting: Setting) -> Table:
    """Top-1 at fixed compressions, interpolated between a run's own points, and the reference rows."""
    numbers, shown = [], []
    for method, seeds in setting.methods.items():
        cells = {}
        for ratio in COMPRESSIONS:
            curves = (curve(setting, method, seed, "compression_params") for seed in seeds)
            values = [v for c in curves if (v := interpolate(c, ratio)) is not None]
            found = estimate(values)
            cells[f"{ratio}×"] = _show(found, "{:.2f}", 100, count=True)
            numbers.append({"method": method, "compression_params": ratio} | _columns({"top1": found}))
        shown.append({"method": method} | cells)
    for label, rows in _references(setting):
        found = estimate([row["top1"] for row in rows])
        numbers.append({"method": label, "compression_params": 1} | _columns({"top1": found}))
        shown.append({"method": label, "1×": _show(found, "{:.2f}", 100, count=True)})
    title = "Top-1 accuracy (%) at equal compression of parameters: mean ± std (seeds); — outside a method's points"
    columns = ["method", "1×", *(f"{ratio}×" for ratio in COMPRESSIONS)]
    frame = pd.DataFrame(shown, columns=columns).fillna("—")
    return Table("accuracy_at_compression", title, pd.DataFrame(numbers), frame)


def problems(runs: list[RunRecord], settings: list[Setting]) -> Table:
    """Runs that are in no average, collapsed points, and curves with fewer than five points, with the reason."""
    rows = [{"run": run.name, "why": run.problem} for run in runs if run.problem]
    for run in runs:
        collapsed = [p["round"] for p in run.points if p["collapsed"] and p["stage"] == "trained"]
        if collapsed:
            rows.append(
                {"run": run.name, "why": f"collapsed (a layer without weights) in rounds {sorted(set(collapsed))}"}
            )
    for setting in settings:
        for method, seeds in setting.methods.items():
            if alone := sorted(seeds.keys() - setting.dense.keys()):
                why = f"no dense run of seeds {alone} to compare with: --pruner dense makes it"
                rows.append({"run": f"{setting.name}: {method}", "why": why})
            if few := sorted(s for s, points in seeds.items() if len(points) < 5):
                rows.append(
                    {"run": f"{setting.name}: {method}", "why": f"fewer than five operating points for seeds {few}"}
                )
            if len(seeds) < 3:
                rows.append(
                    {"run": f"{setting.name}: {method}", "why": f"{len(seeds)} seeds, protocol 1 asks for three"}
                )
    frame = pd.DataFrame(rows, columns=["run", "why"])
    return Table("problems", "Failed, unfinished, collapsed and thin", frame, frame)


def _references(setting: Setting) -> list[tuple[str, list[dict]]]:
    longer = sorted(setting.long.items())
    trained_on = [(f"dense, trained {epochs:.0f} epochs", list(rows.values())) for epochs, rows in longer]
    return [("dense", list(setting.dense.values())), *trained_on]


def _columns(parts: dict[str, Estimate]) -> dict[str, float]:
    """Mean, std, n and the ends of the 95 % interval as columns."""
    columns: dict[str, float] = {}
    for name, e in parts.items():
        low, high = e.mean - e.half_width, e.mean + e.half_width
        columns |= {
            f"{name}_mean": e.mean,
            f"{name}_std": e.std,
            f"{name}_n": e.n,
            f"{name}_low": low,
            f"{name}_high": high,
        }
    return columns


def _show(e: Estimate, form: str, scale: float = 1, count: bool = False) -> str:
    if not e.n:
        return "—"
    spread = f" ± {form.format(scale * e.std)}" if e.n > 1 else ""
    return form.format(scale * e.mean) + spread + (f" ({e.n})" if count else "")
