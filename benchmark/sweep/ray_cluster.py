"""Carries out many runs on a Ray cluster: one task a run, shared dense trainings as dependencies.

All machines see the results, the data and the working directory under the same paths. A task whose
machine is lost is done again elsewhere, where its run goes on from the checkpoint.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmark.config import RunConfig, run_config
from benchmark.errors import UserError
from benchmark.runs import Outcome, outcome_of
from benchmark.sweep.costs import starts_dense
from benchmark.sweep.scheduler import Ended, attempt, make_dense

RETRIES = 10  # of a task whose worker or machine is lost
PATIENCE = 5.0  # seconds for the cluster's machine to answer


def on_ray(runs: Sequence[RunConfig], address: str, cpus: float, gpus: float) -> Ended:
    """Each run and how it ended, as they end; `address` is a cluster's, or `local` for one on this machine.

    Raises UserError where Ray is not installed, the cluster cannot be reached, or a run fits on no machine of it.
    """
    ray = _connect(address)
    _check_room(ray, cpus, gpus)
    resources = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": RETRIES}
    dense = ray.remote(**resources)(_make_dense)
    work = ray.remote(**resources)(_attempt)
    here = os.getcwd()  # noqa: PTH109
    try:
        shared = {run.dense_id: run for run in runs if starts_dense(run)}
        made = {key: dense.remote(_portable(run), here, cpus) for key, run in shared.items()}
        under_way = {work.remote(_portable(run), here, cpus, False, made.get(run.dense_id)): run for run in runs}
        while under_way:
            (ref,), _ = ray.wait(list(under_way), num_returns=1)
            run = under_way.pop(ref)
            outcome = _outcome(ray, ref, run)
            if outcome.state == "held":  # by another sweep: once more, waiting for it
                under_way[work.remote(_portable(run), here, cpus, True, None)] = run
            else:
                yield run, outcome
    finally:
        ray.shutdown()


def _connect(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError("--ray needs Ray; pip install 'nnrelief-bench[ray]'") from error
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"no Ray cluster at '{address}' ({reason}); give the address that `ray start --head` printed, or local"
        ) from error
    return ray


def _knock(address: str) -> None:
    """Raise OSError where nothing listens at host:port, which Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()


def _check_room(ray: Any, cpus: float, gpus: float) -> None:
    """Raise UserError where no machine of the cluster can take a run, which Ray would wait for without end."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(machine.get("CPU", 0) >= cpus and machine.get("GPU", 0) >= gpus for machine in machines):
        have = ", ".join(f"{machine.get('CPU', 0):g} CPUs and {machine.get('GPU', 0):g} GPUs" for machine in machines)
        ray.shutdown()
        raise UserError(
            f"no machine of the Ray cluster has {cpus:g} CPUs and {gpus:g} GPUs for a run (there are: {have}); "
            "lower --cpus_per_run or --gpus_per_run, or add a machine"
        )


def _outcome(ray: Any, ref: Any, run: RunConfig) -> Outcome:
    try:
        state, reason = ray.get(ref)
    except ray.exceptions.RayError as error:
        reason = f"Ray: {' '.join(str(error).split())[:200]}; run the sweep again to go on"
        state = "interrupted"
    return Outcome(state, reason, outcome_of(run).folder)


def _portable(run: RunConfig) -> dict[str, Any]:
    """A run's options as another machine reads them: a method from the user's file cannot be pickled."""
    return replace(run, settings=replace(run.settings, results=run.settings.results.resolve())).options


def _make_dense(options: dict[str, Any], folder: str, cpus: float) -> None:
    make_dense(_taken_up(options, folder, cpus))


def _attempt(options: dict[str, Any], folder: str, cpus: float, wait: bool, dense: None) -> tuple[str, str]:
    outcome = attempt(_taken_up(options, folder, cpus), wait)
    return outcome.state, outcome.reason


def _taken_up(options: dict[str, Any], folder: str, cpus: float) -> RunConfig:
    import torch

    os.chdir(folder)
    torch.set_num_threads(max(1, int(cpus)))
    return run_config(options)
