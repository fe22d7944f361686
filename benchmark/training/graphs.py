"""An optimiser step as one CUDA graph: on a GPU, starting the kernels of a small network takes longer than they do."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmark.network import MaskedModel

Step = Callable[[Tensor, Tensor, float | Tensor, int], Tensor]  # inputs, labels, learning rate, number; the loss
WARM_UP = 3  # steps taken one by one before a capture: libraries make their plans in them, optimisers their state


class StepGraph:
    """Takes steps by replaying one that was captured; after new masks or with a new optimiser it captures again.

    The kernels are those of the steps themselves, and so are the numbers. A network that cannot be captured, such
    as one that looks at its values or draws on the CPU, goes on step by step, and one line says so. A network that
    counts its calls in Python cannot be told from others.
    """

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.rate = torch.zeros((), device=device)
        self._optimizer: torch.optim.Optimizer | None = None  # whose step it is, with what it trains counted so
        self._sizes: object = None
        self._step: Step | None = None
        self._taken = 0
        self._captured: tuple[torch.cuda.CUDAGraph, Tensor, Tensor, Tensor] | None = None  # inputs, labels, loss
        self._refused = False

    @contextlib.contextmanager
    def taking(self, step: Step, optimizer: torch.optim.Optimizer, net: MaskedModel) -> Iterator[Step]:
        """Within, what to call in place of `step`; on a stream of its own, as a capture asks for."""
        if self._optimizer is not optimizer or self._sizes is not net.sizes:
            self._optimizer, self._sizes, self._step, self._taken = optimizer, net.sizes, step, 0
            self._captured = None
        here = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(here)
        try:
            with torch.cuda.stream(self.stream):
                yield self._take
        finally:
            here.wait_stream(self.stream)

    def _take(self, inputs: Tensor, labels: Tensor, rate: float | Tensor, number: int) -> Tensor:
        assert self._step is not None
        if self._captured is None and self._taken >= WARM_UP and not self._refused:
            self._capture(self._step, inputs, labels)
        self._taken += 1
        if self._captured is None:
            return self._step(inputs, labels, rate, number)
        graph, held_inputs, held_labels, loss = self._captured
        held_inputs.copy_(inputs)
        held_labels.copy_(labels)
        self.rate.fill_(rate)
        graph.replay()
        return loss.clone()

    def _capture(self, step: Step, inputs: Tensor, labels: Tensor) -> None:
        """Record a step without taking it."""
        graph, held_inputs, held_labels = torch.cuda.CUDAGraph(), inputs.clone(), labels.clone()
        generator = torch.cuda.default_generators[self.stream.device_index]
        drawn, on_cpu, in_python = generator.get_state(), torch.get_rng_state(), random.getstate()
        try:
            with _capturable(self._optimizer), torch.cuda.graph(graph, stream=self.stream):
                loss = step(held_inputs, held_labels, self.rate, 0)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            other = torch.Generator(self.stream.device)  # in place of one that goes on capturing
            generator.graphsafe_set_state(other.graphsafe_get_state())
            generator.set_state(drawn)
            self._refuse(str(error).partition("\n")[0])
            return
        finally:
            drew = not torch.equal(on_cpu, torch.get_rng_state()) or in_python != random.getstate()
            torch.set_rng_state(on_cpu)
            random.setstate(in_python)
        if drew:  # what it drew would be the same in every replay
            self._refuse("it draws random numbers on the CPU")
        else:
            self._captured = graph, held_inputs, held_labels, loss

    def _refuse(self, why: str) -> None:
        self._refused = True
        print(f"steps are taken one by one, they cannot be captured as a CUDA graph: {why}", file=sys.stderr)


@contextlib.contextmanager
def _capturable(optimizer: torch.optim.Optimizer | None) -> Iterator[None]:
    """Within, the optimiser lets itself be captured, which in its fused form it always can; then it is as before."""
    groups = optimizer.param_groups if optimizer else []
    before = [{name: group[name] for name in ("lr", "capturable") if name in group} for group in groups]
    for group, values in zip(groups, before, strict=True):
        group.update({name: True for name in values if name == "capturable"})
    try:
        yield
    finally:
        for group, values in zip(groups, before, strict=True):
            group.update(values)
