"""The layers of a network whose weights can be pruned."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

LAYERS = (nn.Linear, nn.modules.conv._ConvNd)
PROJECTIONS = ("in_proj", "q_proj", "k_proj", "v_proj")  # of `nn.MultiheadAttention`: one of all three, or three


@dataclass(frozen=True)
class WeightedLayer:
    """A conv or linear layer, or the linear layer that a projection inside `nn.MultiheadAttention` is.

    `weight` and `bias` name its parameters in the network, `module` is what holds them. A bias that
    several projections share belongs to none of them.
    """

    name: str
    weight: str
    bias: str | None
    module: nn.Module

    @property
    def parameter(self) -> nn.Parameter:
        """The weight itself, (out, in, ...)."""
        return self.module.get_parameter(self.weight.rpartition(".")[2])

    @property
    def groups(self) -> int:
        """Of a convolution; else 1."""
        return getattr(self.module, "groups", 1)


def layers(module: nn.Module) -> list[WeightedLayer]:
    """The layers whose weight is a parameter, in definition order."""
    return [layer for layer in all_layers(module) if layer.weight.rpartition(".")[2] in layer.module._parameters]


def computed_weights(module: nn.Module) -> list[str]:
    """The names of weights that are no parameter but computed from others: weight norm, parametrizations."""
    parameters = {layer.weight for layer in layers(module)}
    return [layer.weight for layer in all_layers(module) if layer.weight not in parameters]


def all_layers(module: nn.Module) -> list[WeightedLayer]:
    """As `layers`, with those whose weight is computed from other parameters."""
    found = []
    for path, part in module.named_modules():
        for name, weight, bias in _leaves(part):
            has_bias = part._parameters.get(bias) is not None
            found.append(
                WeightedLayer(_join(path, name), _join(path, weight), _join(path, bias) if has_bias else None, part)
            )
    return found


def _leaves(part: nn.Module) -> list[tuple[str, str, str]]:
    """The layers that `part` is or holds: each one's name within it, and what its weight and bias are called."""
    if isinstance(part, LAYERS):
        return [("", "weight", "bias")]
    if isinstance(part, nn.MultiheadAttention):
        names = [name for name in PROJECTIONS if getattr(part, f"{name}_weight") is not None]
        return [(name, f"{name}_weight", f"{name}_bias") for name in names]
    return []


def _join(path: str, name: str) -> str:
    return ".".join(filter(None, (path, name)))
