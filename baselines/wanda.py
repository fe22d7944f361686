"""Wanda: weights times the norm of what they read, compared within each output unit."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark import Batches, Distribution, IterativePruner, MaskedModel, Rounds, Scores, input_norms


@dataclass(frozen=True, kw_only=True)
class Wanda(IterativePruner):
    """Keep, for every output unit, the weights that are large times the norm of the input they read.

    The closest relative of NNrelief, which keeps by |w| times what is read too. They differ in four things. NNrelief
    takes the mean |x| over examples (of a kernel: the norm of the mean magnitudes of the map it gives), Wanda the
    2-norm, to which rare large inputs count for more. NNrelief keeps of every unit as many connections as carry the
    share alpha of its signal, so densities differ from unit to unit and no target is set; Wanda keeps the same
    number in every unit. NNrelief's biases compete with the weights; Wanda leaves biases alone. NNrelief removes
    units that never emit anything or that nothing reads any more; Wanda removes no unit, and of a silent
    one it keeps as many weights as of any other.

    When: after training.
    Looks at: weights and inputs of layers.
    Cost: 1 forward pass.
    Score: |w| * ||x||_2, x what the weight multiplies at all examples and positions.
    Source: Sun, Liu, Bair and Kolter, "A simple and effective pruning approach for large language models", ICLR 2024,
        arXiv:2306.11695, section 3, equation 1; `--pruner.structure 2:4` as in its section 3.
    Differs: all layers are scored in one pass of the network as it stands, where the authors' program passes on what
        pruned layers give; the benchmark's retraining follows, `--retrain.epochs 0` is the paper's method without it;
        a filter of a convolution is the output unit, its taps are inputs.
    """

    sparsity: float = 0.5  # target of the last round, in [0, 1)
    distribution: Distribution = "rows"  # the paper's: the weights of an output unit compete
    rounds: Rounds = 1  # prune-and-retrain rounds, each removing the same share of what is left; the paper prunes once

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        norms = input_norms(net, batches)
        return {name: w.abs() * norms[name] for name, w in net.weights.items()}
