"""An optimiser step as one CUDA graph: on a GPU, starting the kernels of a small network takes longer than they do."""

from __future__ import annotations

import contextlib
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
    as one that looks at its values, goes on step by step, and one line says so.
    """

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.rate = torch.zeros((), device=device)
        self._of: tuple[torch.optim.Optimizer | None, object] = (
            None,
            None,
        )  # with the counts of the masks: whose step it is
        self._step: Step | None = None
        self._taken = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: tuple[Tensor, Tensor] | None = None
        self._loss: Tensor | None = None
        self._refused = False

    @contextlib.contextmanager
    def taking(self, step: Step, optimizer: torch.optim.Optimizer, net: MaskedModel) -> Iterator[Step]:
        """Within, what to call in place of `step`; on a stream of its own, as a capture asks for."""
        if self._of[0] is not optimizer or self._of[1] is not net.sizes:
            self._of, self._step, self._taken = (optimizer, net.sizes), step, 0
            self._graph = self._batch = self._loss = None
        here = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            yield self._take
        here.wait_stream(self.stream)

    def _take(self, inputs: Tensor, labels: Tensor, rate: float | Tensor, number: int) -> Tensor:
        assert self._step is not None
        if self._graph is None and self._taken >= WARM_UP and not self._refused:
            self._capture(inputs, labels)
        self._taken += 1
        if self._graph is None or self._batch is None or self._loss is None:
            return self._step(inputs, labels, rate, number)
        self._batch[0].copy_(inputs)
        self._batch[1].copy_(labels)
        self.rate.fill_(rate)
        self._graph.replay()
        return self._loss.clone()

    def _capture(self, inputs: Tensor, labels: Tensor) -> None:
        """Record a step without taking it."""
        assert self._step is not None
        graph, batch = torch.cuda.CUDAGraph(), (inputs.clone(), labels.clone())
        generator = torch.cuda.default_generators[self.stream.device_index]
        drawn = generator.get_state()
        try:
            with _capturable(self._of[0]), torch.cuda.graph(graph, stream=self.stream):
                self._loss = self._step(*batch, self.rate, 0)
            self._graph, self._batch = graph, batch
        except RuntimeError as error:
            self._refused = True
            other = torch.Generator(self.stream.device)  # in place of one that goes on capturing
            generator.graphsafe_set_state(other.graphsafe_get_state())
            generator.set_state(drawn)
            said = str(error).partition("\n")[0]
            print(f"steps are taken one by one, they cannot be captured as a CUDA graph: {said}", file=sys.stderr)


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
