"""SynFlow: what flows along all paths of the network, kept without looking at data."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch.func import functional_call

from benchmark import Batches, IterativePruner, MaskedModel, Phase, Rounds, Scores, prune_at_init


@dataclass(frozen=True, kw_only=True)
class SynFlow(IterativePruner):
    """Keep the weights that carry most of the sum over all paths, in many small steps, so that no layer runs empty.

    Score: |w| * dR/d|w|, R the sum of the outputs of the network with |w| in place of every value, for an input of
        ones; in float64, as R is a product over the layers and leaves float32 in deep networks.
    Source: Tanaka, Kunin, Yamins and Ganguli, NeurIPS 2020, arXiv:2006.05467, section 6 and algorithm 1: 100 rounds,
        densities falling exponentially. Batch norm in evaluation mode, as in the authors' code.
    Differs: nothing of the method; on MPS, which has no float64, it counts in float32.
    When: at initialisation.
    Looks at: weights, no data.
    Cost: 100 rounds of 1 forward and 1 backward pass of one input.
    """

    rounds: Rounds = 100  # the paper's

    def plan(self, steps: int) -> list[Phase]:
        return prune_at_init(self.targets, steps)

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        ones = torch.ones_like(batches[0][0][:1])
        dtype = torch.float32 if ones.device.type == "mps" else torch.float64
        module = copy.deepcopy(net.module).eval().requires_grad_(False).to(dtype)
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.abs_()
        weights = {name: w.to(dtype).abs().requires_grad_() for name, w in net.weights.items()}
        with torch.enable_grad():
            flow = functional_call(module, weights, (ones.to(dtype),)).sum()
            slopes = torch.autograd.grad(flow, list(weights.values()), materialize_grads=True)
        return {name: w.detach() * slope.abs() for (name, w), slope in zip(weights.items(), slopes, strict=True)}
