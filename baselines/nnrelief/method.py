"""NNrelief: keep the connections that carry a unit's signal."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from baselines.nnrelief.importance import ConnectionSignals, Formula, Norm, largest_share
from benchmark import RETRAIN, Batches, MaskedModel, Phase, Prune, Pruned, Pruner, Rewind, Rounds, Scores, Train
from benchmark.errors import UserError
from benchmark.network import SignalRecord, WeightedLayer, gates, small_batches, unread_units

Layers = dict[str, WeightedLayer]
Removed = dict[str, Tensor]  # by parameter or buffer: True where an entry is removed


@dataclass(frozen=True, kw_only=True)
class NNrelief(Pruner):
    """Keep, for every unit, the fewest incoming connections that carry the share alpha of its signal.

    A connection is one weight of a linear layer, a whole kernel of a convolution, or a bias; units that
    never emit anything, and units that nothing reads any more, lose all theirs and their batch norm.
    On residual additions, per channel, a summand whose magnitude is below (1 - alpha) / alpha of the
    other's is removed. Convolutions are pruned first, by the signals of the network as it stands;
    linear layers then by the signals of the network with pruned convolutions.

    When: after training.
    Looks at: signals: weights times inputs, and what units emit.
    Cost: 2 forward passes, of the signals by connection.
    Score: the share that a connection has in the sum of its unit's signals (`ConnectionSignals`).
    Source: Dekhovich, Tax, Sluiter and Bessa, "Neural network relief", Machine Learning 113, 2024,
        arXiv:2109.10795; `formula="released"` is that of the authors' program, github adekhovich/NNrelief.
    Differs: the program never applies the mask of the first convolution of a ResNet, and scores a
        ResNet's later rounds as if its shortcuts were whole; here both are done. A unit with a single
        connection keeps it (depthwise kernels, a first convolution of grey images): the rule would
        remove every one of them. Of a grouped convolution's filter with two (a depthwise kernel and its
        bias), the weaker goes only where the other carries the share alpha by itself, and neither of
        equal ones: the rule would always remove one or both. Elsewhere the weakest connection of a unit
        with two or more always goes, as in the program, even at alpha = 1.

    Beyond the paper's networks, by the same principle. Grouped and depthwise convolutions: a filter
    weighs the kernels of its own group. Linear layers at many places (tokens): the mean is over
    examples and tokens. Additions: a convolution or linear layer, through its batch norm or not, is a
    summand that can be removed where only additions read it, before and after, in the whole forward, so
    projection shortcuts can, per filter, and identity shortcuts without a gate cannot (attention's and
    the MLP's outputs compete with the residual stream, which stays). A branch that is below the bound
    in every channel goes as a whole, as those that begin near zero do in a network hardly trained. Any
    activation function decides about silence; where none follows (layer norm, attention), the output
    itself. `nn.MultiheadAttention`: its projections are the linear layers they are; that of the inputs
    has a unit for every row of `in_proj_weight`. A bias that is computed from others, or shared by
    projections, counts in the signal and stays. Clean-up goes as far as operations are understood, as
    channels.py has them. Refused, unless spared: layers whose inputs cannot be seen, such as transposed
    convolutions and weights that are multiplied as matrices, and layers that are not used.
    """

    alpha_conv: float = 0.9  # share of a filter's signal that is kept, in (0, 1]; the authors' program
    alpha_fc: float = 0.95  # share of a neuron's signal that is kept, in (0, 1]; the authors' program
    rounds: Rounds = 5  # prune-and-retrain rounds; the authors' program (their README has 20, 6 and 10)
    formula: Formula = "paper"
    rewind: bool = False  # retrain from the initial weights, as the paper does on LeNets; their recipes say so
    norm: Norm | None = None  # of output maps; None: `sum` in the released formula without batch norm (LeNets)
    # not the method, for what it owes to each of its parts:
    biases: bool = True  # False: biases neither compete nor go, but with whole units
    selection: Literal["unit", "global"] = "unit"  # where the share counts: in each unit, or over all units, each as 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, alpha in (("alpha_conv", self.alpha_conv), ("alpha_fc", self.alpha_fc)):
            if not 0 < alpha <= 1:
                way = f"write {alpha / 100:g} for {alpha:g} %" if 1 < alpha <= 100 else "0.95 keeps 95 % of the signal"
                raise UserError(f"pruner.{name} must be in (0, 1], got {alpha:g}; {way}")

    def plan(self, steps: int) -> list[Phase]:
        rewind: list[Phase] = [Rewind(0)] if self.rewind else []
        return [Train(0, steps), *(phase for _ in range(self.rounds) for phase in (Prune(None), *rewind, RETRAIN))]

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        """By weight, the share that its connection has in the signal of its unit; higher is kept."""
        module = copy.deepcopy(net.module).eval()
        signals, _ = self._observe(module, net.layers, [], batches)
        scores = {}
        for name, layer in net.layers.items():
            weight = layer.parameter
            scores[layer.weight] = _per_weight(_shares(signals[name])[:, : weight.shape[1]], weight).clone()
        return scores

    def prune(self, net: MaskedModel, batches: Batches, phase: Prune) -> Pruned:
        pruned = MaskedModel(copy.deepcopy(net.module).eval(), net.spare)
        pruned.masks = dict(net.masks)
        shortcuts = gates(pruned.module)
        convs = {n: layer for n, layer in pruned.layers.items() if isinstance(layer.module, nn.modules.conv._ConvNd)}
        linear = {n: layer for n, layer in pruned.layers.items() if n not in convs}
        norms: dict[str, str] = {}
        for layers, gated, alpha in ((convs, shortcuts, self.alpha_conv), (linear, [], self.alpha_fc)):
            if layers or gated:
                signals, record = self._observe(pruned.module, layers, gated, batches)
                norms |= record.norms
                _remove(pruned, _weak(layers, self._kept(layers, signals, alpha)))
                _remove(pruned, _whole_units(pruned, _outweighed(record, alpha), norms={}))
                _remove(pruned, _whole_units(pruned, _silent(record), norms))
        unread = unread_units(pruned, batches[0][0][:1])
        own = {name: units for name, units in unread.items() if name in pruned.layers or name in shortcuts}
        _remove(pruned, _whole_units(pruned, own, norms))
        return Pruned(pruned.masks)

    def _kept(self, layers: Layers, signals: dict[str, Tensor], alpha: float) -> dict[str, Tensor]:
        """By layer, the connections that carry the share `alpha`, (units, connections)."""
        if not self.biases:
            signals = {name: signals[name][:, : layer.parameter.shape[1]] for name, layer in layers.items()}
        if self.selection == "unit":
            return {n: largest_share(signals[n], alpha, grouped=layer.groups > 1) for n, layer in layers.items()}
        shares = {name: _shares(signals[name]) for name in layers}
        kept = largest_share(torch.cat([share.flatten() for share in shares.values()])[None], alpha)[0]
        parts = kept.split([share.numel() for share in shares.values()])
        return {name: part.view_as(shares[name]) for name, part in zip(shares, parts, strict=True)}

    def _observe(
        self, module: nn.Module, layers: Layers, shortcuts: list[str], batches: Batches
    ) -> tuple[dict[str, Tensor], SignalRecord]:
        """The importance of each layer's connections, (units, connections), and all else that was seen."""
        normed = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())
        norm: Norm = "sum" if self.formula == "released" and not normed else "frobenius"
        connections = ConnectionSignals(self.formula, self.norm or norm)
        record = SignalRecord(module, [*layers, *shortcuts], connections.add)
        for inputs, _ in small_batches(batches):
            record.run(inputs)
        unseen = [layer.weight for name, layer in layers.items() if name not in connections.names]
        if unseen:
            raise UserError(
                "nnrelief cannot score layers that are not used, or not as a plain convolution or linear layer; "
                f"leave them unpruned: --spare {' '.join(unseen)}"
            )
        return {name: connections.importance(name) for name in layers}, record


def _shares(signals: Tensor) -> Tensor:
    """What each connection has of the signal of its unit; 0 in a unit without one."""
    return signals / signals.sum(1, keepdim=True).clamp(min=torch.finfo(signals.dtype).tiny)


def _weak(layers: Layers, kept: dict[str, Tensor]) -> Removed:
    """The connections that are not kept, by parameter."""
    removed = {}
    for name, layer in layers.items():
        weight = layer.parameter
        weak = ~kept[name]
        removed[layer.weight] = _per_weight(weak[:, : weight.shape[1]], weight)
        if weak.shape[1] > weight.shape[1] and layer.bias is not None:  # some are computed from others
            removed[layer.bias] = weak[:, -1]
    return removed


def _outweighed(record: SignalRecord, alpha: float) -> Removed:
    """By layer or gate, the units whose part of each addition is below (1 - alpha) / alpha of the other part."""
    removed: Removed = {}
    for left, right in record.additions.values():
        for (source, own), (_, other) in ((left, right), (right, left)):
            if source is not None:
                below = own.norm(dim=1) / other.norm(dim=1) < (1 - alpha) / alpha  # 0 / 0 is not
                removed[source] = removed[source] & below if source in removed else below
    return removed


def _silent(record: SignalRecord) -> Removed:
    """By layer or gate, the units whose mean output is zero everywhere, wherever it is read."""
    return {
        source: torch.stack([(total == 0).all(1) for total in totals.values()]).all(0)
        for source, totals in record.emitted.items()
    }


def _whole_units(net: MaskedModel, units: Removed, norms: dict[str, str]) -> Removed:
    """All that belongs to these units of layers and gates: connections, bias, and batch norm as `norms` has it."""
    tensors, layers = net.tensors(), net.layers
    removed: Removed = {}
    for source, gone in units.items():
        if source in tensors:  # a gate
            removed[source] = gone
            continue
        layer = layers[source]
        removed[layer.weight] = _per_weight(gone[:, None], layer.parameter)
        owned = [] if layer.bias is None else [layer.bias]
        if source in norms and gone.any():
            owned += [f"{norms[source]}.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var")]
        removed.update(dict.fromkeys((name for name in owned if name in tensors), gone))
    return removed


def _remove(net: MaskedModel, removed: Removed) -> None:
    tensors = net.tensors()
    kept = {name: net.masks.get(name, torch.ones_like(tensors[name], dtype=torch.bool)) for name in removed}
    net.apply({name: mask & ~removed[name] for name, mask in kept.items()})


def _per_weight(per_kernel: Tensor, weight: Tensor) -> Tensor:
    """(out, in) spread over a kernel's taps: (out, in, ...)."""
    return per_kernel.view(*per_kernel.shape, *[1] * (weight.dim() - 2)).expand_as(weight)
