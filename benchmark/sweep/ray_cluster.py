"""A Ray cluster that does runs, one task a run, on as many machines as there are.

All machines see the results, the data and the working directory under the same paths. A task whose
machine is lost is done again elsewhere, where its run goes on from the checkpoint.
"""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from typing import Any

from benchmark.config import RunConfig
from benchmark.errors import UserError
from benchmark.runs import Outcome, outcome_of
from benchmark.sweep.workers import Crew, Job, attempt_options

RETRIES = 10  # of a task whose worker or machine is lost
PATIENCE = 5.0  # seconds for the cluster's machine to answer


class RayCluster(Crew):
    """Tasks of `cpus` processors and `gpus` GPUs each; `address` is a cluster's, or `local` for one on this machine.

    Raises UserError where Ray is not installed, the cluster cannot be reached, or a run fits on no machine of it.
    """

    def __init__(self, address: str, cpus: float, gpus: float) -> None:
        self._ray, self._cpus, self._gpus = _connect(address), cpus, gpus
        _check_room(self._ray, cpus, gpus)
        self._work = self._ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_attempt)
        self._under_way: dict[Any, Job] = {}

    @property
    def room(self) -> int:
        """One task more than fits now is given, so that a cluster that can grow sees what it is needed for."""
        fits = sum(
            min(cpus // self._cpus, gpus // self._gpus if self._gpus else cpus // self._cpus)
            for cpus, gpus in _machines(self._ray)
        )
        return int(fits) + 1 - len(self._under_way)

    @property
    def busy(self) -> bool:
        return bool(self._under_way)

    @property
    def under_way(self) -> list[RunConfig]:
        return [job.run for job in self._under_way.values()]

    def begin(self, job: Job) -> None:
        here = os.getcwd()  # noqa: PTH109
        self._under_way[self._work.remote(_portable(job.run), job.again, here, self._cpus)] = job

    def ended(self, patience: float) -> list[tuple[Job, Outcome]]:
        refs, _ = self._ray.wait(list(self._under_way), num_returns=1, timeout=patience)
        return [(job, self._outcome(ref, job.run)) for ref in refs for job in [self._under_way.pop(ref)]]

    def _outcome(self, ref: Any, run: RunConfig) -> Outcome:
        try:
            state, reason = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            if (now := outcome_of(run)).state == "done":  # the machine was lost at the very end
                return now
            reason = f"Ray: {' '.join(str(error).split())[:200]}; run the sweep again to go on"
            state = "interrupted"
        return Outcome(state, reason, outcome_of(run).folder)

    def __exit__(self, *exception: object) -> None:
        self._ray.shutdown()


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
    machines = _machines(ray)
    if not any(has_cpus >= cpus and has_gpus >= gpus for has_cpus, has_gpus in machines):
        have = ", ".join(f"{has_cpus:g} CPUs and {has_gpus:g} GPUs" for has_cpus, has_gpus in machines)
        ray.shutdown()
        raise UserError(
            f"no machine of the Ray cluster has {cpus:g} CPUs and {gpus:g} GPUs for a run (there are: {have}); "
            "lower --cpus_per_run or --gpus_per_run, or add a machine"
        )


def _machines(ray: Any) -> list[tuple[float, float]]:
    """The processors and GPUs of each machine that is there now."""
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(found.get("CPU", 0), found.get("GPU", 0)) for found in resources]


def _portable(run: RunConfig) -> dict[str, Any]:
    """A run's options as another machine reads them, wherever it works."""
    return replace(run, settings=replace(run.settings, results=run.settings.results.resolve())).options


def _attempt(options: dict[str, Any], again: bool, folder: str, cpus: float) -> tuple[str, str]:
    import torch

    os.chdir(folder)
    torch.set_num_threads(max(1, int(cpus)))
    return attempt_options(options, again)
