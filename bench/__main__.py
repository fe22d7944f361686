"""`python -m bench [TOPIC ...] [--quick] [--out FILE]`: a line for each measurement, all of them as JSON in FILE.

What a time is depends on the machine, and on who else uses it; ratios, measured interleaved, are what to compare.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from benchmark.records import now

TOPICS = ("steps", "whole_runs", "records", "pipeline", "pruning", "latency", "commands", "gpu")


def main() -> None:
    """Measure the topics that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"of {', '.join(TOPICS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="once each, on the smallest cases: that it runs")
    parser.add_argument("--out", type=Path, help="a JSON file with all that is printed")
    given = parser.parse_args()
    if unknown := set(given.topics) - set(TOPICS):
        parser.error(f"unknown topic {', '.join(unknown)}; there are {', '.join(TOPICS)}")
    torch.set_num_threads(1)
    machine = {
        "time": now(), "torch": torch.__version__, "python": platform.python_version(), "threads": 1,
        "cores": os.cpu_count(), "load": os.getloadavg()[0], "processor": processor(),
    }  # fmt: skip
    print(", ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
    found = []
    for topic in given.topics or TOPICS:
        for figure in importlib.import_module(f"bench.{topic}").figures(given.quick):
            print(figure, flush=True)
            found.append({"topic": topic, **asdict(figure)})
    if given.out:
        given.out.write_text(json.dumps({"machine": machine, "figures": found}, indent=1) + "\n")


def processor() -> str:
    """The name of the processor, where the system tells it."""
    about = Path("/proc/cpuinfo")
    names = [line for line in about.read_text().splitlines() if "model name" in line] if about.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor()


if __name__ == "__main__":
    sys.exit(main())
