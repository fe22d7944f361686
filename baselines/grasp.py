"""GraSP: the gradient flow that is left after pruning, preserved before training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt

from benchmark import Batches, MaskedModel, ScoredPruner, Scores, loss_gradients, training_loss


@dataclass(frozen=True, kw_only=True)
class GraSP(ScoredPruner):
    """Keep the weights whose removal would reduce the norm of the gradient most, before any training.

    Score: w * (H g), g the gradient and H the Hessian of the mean loss over `batches`, the logits divided by
        `temperature`. The paper's S(-w) = -w * (H g), of which the largest are removed, is this with the sign turned.
    Source: Wang, Zhang and Grosse, ICLR 2020, arXiv:2002.07376, algorithms 1 and 2.
    Differs: the authors' code gives linear layers new weights (Xavier) before it scores; here none changes.
    When: at initialisation.
    Looks at: weights, gradients and curvature.
    Cost: 2 forward passes, a backward pass of each, and one through the second: 9 to 13 forward passes in all.
    """

    temperature: Annotated[float, Gt(0)] = 200.0  # divides the logits; the authors' code

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        # An exact product costs a convolution's time nine times: forward, twice backward, six times to differentiate
        # that. To do the first three once, for the gradient too, would take the memory of the graphs of all batches.
        gradient = loss_gradients(net, batches, self.temperature)
        weights = {name: w.clone().requires_grad_() for name, w in net.weights.items()}
        scores = {name: torch.zeros_like(w) for name, w in net.weights.items()}
        examples = sum(len(labels) for _, labels in batches)
        for inputs, labels in batches:
            with torch.enable_grad():
                loss = training_loss(net, weights, inputs, labels, self.temperature) * len(labels) / examples
                slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=True, materialize_grads=True)
                along = torch.stack([(s * gradient[name]).sum() for name, s in zip(weights, slopes, strict=True)]).sum()
                products = torch.autograd.grad(along, list(weights.values()), materialize_grads=True)
            for (name, w), product in zip(net.weights.items(), products, strict=True):
                scores[name] += w * product
        return scores
