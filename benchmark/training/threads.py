"""How many threads compute a training: one rule, by the size of the network and the cores to be had."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from benchmark.config import RunConfig
from benchmark.metrics import dense_flops

# Forward FLOPs of an optimiser step that keep a thread busy. Beside another process a second thread slows a
# LeNet (3e7 to 5e7 a step) down by a factor of four; on a free machine it gains it a fifth.
FLOPS_OF_A_THREAD = 10**9


def threads_for(config: RunConfig, cores: int) -> int:
    """The threads of a run that `cores` cores are free for: `--threads`, else a thread for each 10^9 FLOPs of a step.

    The shared dense training of a run takes as many. On a CPU the last bits of sums depend on the number of
    threads, so a training that has begun keeps its own, which its record says.
    """
    s = config.settings
    if s.threads is not None:
        return s.threads
    shape = config.input_shape
    module = config.network.build(config.images.info.classes, s.seed, shape)
    wanted = dense_flops(module, shape).total * s.train.batch_size // FLOPS_OF_A_THREAD
    return max(1, min(cores, wanted))


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute with `number` threads while within."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
