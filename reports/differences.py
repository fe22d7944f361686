"""Methods against a reference method, paired by seed; and over several settings ranks, wins, ties and losses."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from benchmark.errors import unknown
from reports.curves import REFERENCE, Method, Setting
from reports.selection import operating_points, smallest
from reports.statistics import LEVEL, Difference, Ranking, difference, holm, ranking, ratio_estimate
from reports.table import NOTHING, Table, columns_of, interval
from reports.tables import COMPRESSIONS, top1_at

ALLOWED = 0.01  # the drop at which methods are ranked and shown first, and by which the reference is chosen
RANKED_AT = (4, 16)  # times compressed
BySeed = dict[int, float]


def check_reference(settings: Sequence[Setting], reference: str | None) -> None:
    """Raises UserError where no setting has a method that is called so."""
    known = {method.plain for setting in settings for method in setting.methods.values()}
    if reference is not None and not any(find(setting, reference) for setting in settings):
        raise unknown("reference method", reference, [REFERENCE, *sorted(known)])


def find(setting: Setting, name: str) -> str | None:
    """The label of a method by its label, with or without marks, or its name alone if that is one method's."""
    if name == REFERENCE:
        return REFERENCE if setting.dense else None
    methods = setting.methods.values()
    exact = [m.label for m in methods if name in (m.label, m.plain)]
    named = [m.label for m in methods if m.name == name]
    return exact[0] if exact else named[0] if len(named) == 1 else None


def best_of(setting: Setting) -> str | None:
    """The label of the method with the smallest network within a point of dense."""
    sizes = {label: _smallest(setting, method) for label, method in setting.methods.items()}
    return max(sizes, key=lambda label: sizes[label]) if sizes else None


def paired_differences(setting: Setting, reference: str | None = None) -> Table | None:
    """By method and compression: test top-1 minus that of the reference, else of the best; None without another."""
    label = find(setting, reference) if reference else best_of(setting)
    others = [method for method in setting.methods.values() if method.label != label]
    if label is None or not others:
        return None
    theirs = _top1(setting, label)
    found = {
        (method.label, ratio): difference(ours, theirs[ratio], setting.resolution)
        for method in others
        for ratio, ours in _top1(setting, method.label).items()
    }
    corrected = dict(zip(found, holm([each.p for each in found.values()]), strict=True))
    numbers = [
        {"method": method, "reference": label, "compression_params": ratio}
        | columns_of({"difference": each.over})
        | {"p": each.p, "p_holm": corrected[method, ratio]}
        for (method, ratio), each in found.items()
    ]
    shown = [
        {"method": m.label} | {f"{r}×": _cell(found[m.label, r], corrected[m.label, r]) for r in COMPRESSIONS}
        for m in others
    ]
    title = f"Test top-1 minus that of {label}, points, at equal compression of parameters"
    note = (
        "Paired by seed, with the 95 % t-interval (seeds); *: shown to differ, p < 0.05 in a paired t-test, corrected "
        f"for all {sum(not math.isnan(each.p) for each in found.values())} comparisons of the table by Holm's method; "
        "— where not both are reached"
    )
    return Table("paired_differences", title, note, pd.DataFrame(numbers), pd.DataFrame(shown))


def _cell(found: Difference, p: float) -> str:
    if not found.over.n:
        return NOTHING
    return f"{interval(found.over, '{:+z.2f}', 100)}{'*' if p < LEVEL else ''} ({found.over.n})"


def _top1(setting: Setting, label: str, at: Sequence[float] = COMPRESSIONS) -> dict[float, BySeed]:
    """The accuracy of a method, or of the dense network, by compression and seed."""
    if label == REFERENCE:
        top1 = {seed: point.top1 for seed, point in setting.dense.items()}
        return dict.fromkeys(at, top1)
    return top1_at(setting, setting.methods[label], "compression_params", at)


def _smallest(setting: Setting, method: Method) -> float:
    """The compression of the smallest network within a point of dense; 1 where there is none."""
    chosen = smallest(operating_points(setting, method), ALLOWED)
    ratios = [p.compression_params for p in chosen.measured.values() if p.compression_params] if chosen else []
    return ratio_estimate(ratios).mean if ratios else 1.0


@dataclass(frozen=True)
class Ranked:
    """The ranking of the methods of several settings by one number."""

    rules: str  # the protocol of the settings
    by: str  # what they are ranked by
    ranking: Ranking
    left_out: list[str]  # methods without that number in some setting


def rankings(settings: Sequence[Setting]) -> list[Ranked]:
    """The rankings of the methods that several settings of a protocol have in common; none of one setting."""
    groups: defaultdict[str, list[Setting]] = defaultdict(list)
    for setting in settings:
        if setting.methods and setting.dense:
            groups[setting.runs[0][0].rules].append(setting)
    found = []
    for rules, group in groups.items():
        common = [label for label in group[0].methods if all(label in setting.methods for setting in group)]
        if len(group) < 2 or len(common) < 2:
            continue
        by = f"smallest network within {100 * ALLOWED:g} point of dense"
        sizes = {label: [_smallest(setting, setting.methods[label]) for setting in group] for label in common}
        found.append(Ranked(rules, by, ranking(sizes), []))
        reached = {label: [_top1(setting, label, RANKED_AT) for setting in group] for label in common}
        for ratio in RANKED_AT:
            top1 = {
                label: [_mean(each[ratio], setting.methods[label]) for each, setting in zip(at, group, strict=True)]
                for label, at in reached.items()
            }
            reaching = {label: values for label, values in top1.items() if None not in values}
            if len(reaching) > 1:
                out = sorted(top1.keys() - reaching.keys())
                ranks = ranking({label: [v for v in values if v is not None] for label, values in reaching.items()})
                found.append(Ranked(rules, f"test top-1 at {ratio}× compression", ranks, out))
    return found


def _mean(values: BySeed, method: Method) -> float | None:
    """The mean over all seeds of the method; None where one does not reach it."""
    return sum(values.values()) / len(values) if values and len(values) == len(method.seeds) else None


def ranks(found: Sequence[Ranked]) -> Table | None:
    """Average ranks over settings, with what is needed for two of them to differ."""
    if not found:
        return None
    numbers, shown = [], []
    for each in found:
        r = each.ranking
        for method, rank in sorted(r.ranks.items(), key=lambda item: (item[1], item[0])):
            test = {"settings": r.blocks, "friedman_p": r.p, "critical_difference": r.critical_difference}
            numbers.append({"protocol": each.rules, "by": each.by, "method": method, "rank": rank} | test)
            cells = {"by": each.by, "method": method, "average rank": f"{rank:.2f}", "settings": r.blocks}
            shown.append(
                cells | {"p (Friedman)": _number(r.p), "critical difference": _number(r.critical_difference, ".2f")}
            )
    out = {f"{method} ({each.by})" for each in found for method in each.left_out}
    note = (
        "1 is the best; methods with equal values share their ranks. Two methods differ, at 5 %, where p is below 0.05 "
        "and their ranks are further apart than the critical difference (Friedman's test, then Nemenyi's); settings "
        "are the blocks, seeds are averaged"
    )
    note += f". Left out, for some setting does not have it: {', '.join(sorted(out))}" if out else ""
    return Table("ranks", "Average ranks over settings", note, pd.DataFrame(numbers), pd.DataFrame(shown))


def wins(settings: Sequence[Setting], reference: str | None = None) -> Table | None:
    """How often each method is shown to be above or below the reference over settings; None of one setting."""
    said: defaultdict[tuple[str, float], list[str]] = defaultdict(list)
    for setting in settings:
        label = find(setting, reference) if reference else best_of(setting)
        if label is not None:
            theirs = _top1(setting, label)
            for method in sorted(setting.methods.keys() - {label}):
                for ratio, ours in _top1(setting, method).items():
                    said[method, ratio] += _outcome(difference(ours, theirs[ratio], setting.resolution))
    numbers = [
        {"method": method, "compression_params": ratio}
        | {many: outcomes.count(one) for one, many in (("win", "wins"), ("tie", "ties"), ("loss", "losses"))}
        for (method, ratio), outcomes in sorted(said.items())
        if outcomes
    ]
    if len(settings) < 2 or not numbers:
        return None
    cells = {(n["method"], n["compression_params"]): f"{n['wins']}/{n['ties']}/{n['losses']}" for n in numbers}
    shown = [
        {"method": method} | {f"{ratio}×": cells.get((method, ratio), NOTHING) for ratio in COMPRESSIONS}
        for method in sorted({n["method"] for n in numbers})
    ]
    against = reference or "the method with the smallest network within a point, in each setting"
    note = "A win or a loss where the 95 % t-interval of the difference paired by seed leaves out zero, else a tie"
    title = f"Settings won/tied/lost against {against}, by test top-1 at equal compression"
    return Table("wins", title, note, pd.DataFrame(numbers), pd.DataFrame(shown))


def _outcome(found: Difference) -> list[str]:
    """How one setting ended; empty where there is nothing to compare."""
    if not found.over.n:
        return []
    if math.isnan(found.p):  # no spread to tell by
        return ["tie"]
    return ["win" if found.over.low > 0 else "loss" if found.over.high < 0 else "tie"]


def _number(value: float, form: str = ".2g") -> str:
    return NOTHING if math.isnan(value) else f"{value:{form}}"
