"""The measured latency of a finished run's network, as a table and as a file beside its records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark.metrics import find_engines, latencies, measured_speedups
from benchmark.records import Record, environment
from benchmark.runs.export import finished_network


def run_latency(folder: Path, batches: Sequence[int], threads: int, engines: Sequence[str]) -> Iterator[str]:
    """Lines of a table: engine, form, batch, milliseconds, and how many times as fast as the same engine's, or
    torch's, dense network. Writes `latency.json` into the run's folder.

    Raises UserError where there is no finished run, or no such engine.
    """
    found = find_engines(engines or None)
    net, shape, _ = finished_network(folder)
    rows = latencies(net, shape, batches, threads, found)
    about = environment("cpu")
    machine = {**about["hardware"], "threads": threads}
    content = {"versions": about["versions"], "hardware": machine, "rows": rows, **measured_speedups(rows)}
    Record(folder).write_json("latency.json", content)
    yield f"{machine['machine']}, {machine['cpus']} cores, {threads} threads, torch {about['versions']['torch']}"
    yield "engine       network      batch     p50 ms     min ms   p25 to p75 ms  speed-up"
    for row in rows:
        base = [r["p50"] for r in rows if r["form"] == "dense" and r["batch"] == row["batch"]]
        own = [r["p50"] for r in rows if (r["engine"], r["form"], r["batch"]) == (row["engine"], "dense", row["batch"])]
        dense = (own or base or [None])[0]
        speedup = f"{dense / row['p50']:8.2f}×" if dense else "        -"
        p50, least, low, high = (1e3 * row[key] for key in ("p50", "min", "p25", "p75"))
        name = f"{row['engine']:13}{row['form']:13}{row['batch']:5d}"
        yield f"{name}{p50:11.3f}{least:11.3f}{low:8.3f} {high:7.3f} {speedup}"
