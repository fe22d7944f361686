"""What every channel of a network does: one forward pass, recorded, and read forwards and backwards.

A channel (a conv's output map, a linear layer's output feature) is *constant* where masks leave it
no varying input: its value is then known exactly. It is *needed* where the network's output reads it
through weights that masks keep. Channels that meet in an elementwise operation belong together: one
cannot be taken out without the other.

The pass is recorded at the level of PyTorch's own operators, below the modules, so that any network
is understood however its forward is written. An operator without a rule in `channel_rules.py` pins
the channels it reads: they stay. Why not torch-pruning's dependency graph: it knows which channels
belong together, but not whether the function stays the same without them, which is the question here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmark.network.tracing import spare_dynamo

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]
Rule = Callable[["ChannelRecord", Any, tuple[Any, ...], dict[str, Any], Any], bool]


@dataclass(eq=False)
class Channels:
    """The channels of one tensor along its dimension `dim`.

    `atoms` says which removable piece each belongs to, `constant` its value (NaN where it varies),
    and `needed`, once the record has been read backwards, whether an output depends on it.
    """

    dim: int
    atoms: Indices
    constant: Floats
    needed: Flags = field(init=False)

    def __post_init__(self) -> None:
        self.needed = np.zeros(len(self.atoms), dtype=np.bool_)

    @property
    def live(self) -> Flags:
        """Channels that vary and are needed: these must stay."""
        return np.isnan(self.constant) & self.needed


@dataclass(frozen=True)
class Layer:
    """One use of a layer (`name`: conv, linear, or shortcut) that reads `inputs` and makes `outputs`."""

    name: str
    inputs: Channels
    outputs: Channels


@dataclass(frozen=True)
class Vector:
    """A parameter or buffer `name` whose dimension `dim` follows `atoms`: batch norm's, a layer scale."""

    name: str
    dim: int
    atoms: Indices


class ChannelRecord(TorchDispatchMode):
    """Everything known of the channels of `module` once `run` has run it."""

    def __init__(
        self,
        module: nn.Module,
        masks: Mapping[str, Tensor],
        rules: Mapping[Any, Rule],
        leaves: Mapping[type[nn.Module], Rule],
    ) -> None:
        super().__init__()
        self.module = module
        self.masks = masks
        self.layers: list[Layer] = []
        self.vectors: list[Vector] = []
        self.tensors: list[Channels] = []
        self.together: list[tuple[Indices, Indices]] = []
        self.pinned: list[Indices] = []
        self.atoms = 0  # how many there are
        self.reads_input = False  # an output certainly reads what is not followed, as the module's input, once run
        self.uses: Counter[str] = Counter()  # of each parameter and buffer, by operations
        self._rules = rules
        self._leaves = leaves
        self._names = {id(t): n for n, t in [*module.named_buffers(), *module.named_parameters()]}
        self._channels: dict[int, Channels | None] = {}
        self._aliases: dict[int, dict[int, Tensor]] = {}  # by storage; keeps them alive, so that no id is reused
        self._backward: list[Callable[[], None]] = []
        self._inside = 0  # depth of calls that are recorded as one operation
        self._sources: list[Channels] = []  # of tensors that are not followed
        self._guessed = False  # something counts as needed because what reads it has no rule

    @torch.no_grad()
    def run(self, inputs: Tensor) -> Tensor:
        """The module's output for `inputs`, with everything recorded; the module is to be in evaluation mode."""
        handles = [h for m in self.module.modules() if type(m) in self._leaves for h in self._hook(m)]
        try:
            with _Functions(self), self:
                output = self.module(inputs)
        finally:
            for handle in handles:
                handle.remove()
        guessed = self._guessed
        self.pin(_tensors(output))
        for step in reversed(self._backward):
            step()
        self.reads_input = not guessed and any(source.needed.any() for source in self._sources)
        return output

    # What rules use.

    def name(self, tensor: object) -> str | None:
        """The name of a parameter or buffer of the module; None for any other tensor."""
        return self._names.get(id(tensor))

    def mask(self, name: str) -> Flags:
        """The mask of a parameter or buffer, all True where it has none."""
        mask = self.masks.get(name)
        if mask is not None:
            return mask.numpy()
        return np.ones(self.module.get_parameter(name).shape, dtype=np.bool_)

    def channels(self, tensor: Tensor) -> Channels | None:
        """What is known of `tensor`; None where its channels are not followed."""
        name = self.name(tensor)
        size = max(tensor.shape, default=0)
        if id(tensor) not in self._channels and name is not None and tensor.numel() == size:
            # A vector that takes part in the computation by itself, such as a layer scale.
            dim = int(np.argmax(tensor.shape))
            found = self.fresh(dim, np.full(size, np.nan))
            if name in self.masks:
                found.constant[~self.mask(name).reshape(-1)] = 0
            self.vectors.append(Vector(name, dim, found.atoms))
            self._set(tensor, found)
        return self._channels.get(id(tensor))

    def followed(self, tensor: Tensor, dim: int) -> Channels:
        """The channels of `tensor` along `dim`; pinned ones where they are not followed."""
        found = self.channels(tensor)
        if found is not None and found.dim == dim:
            return found
        self.pin([tensor])
        found = self.fresh(dim, np.full(tensor.shape[dim], np.nan))
        self.pinned.append(found.atoms)
        self._sources.append(found)
        return found

    def fresh(self, dim: int, constant: Floats) -> Channels:
        """Channels that belong to nothing else yet."""
        self.atoms += len(constant)
        return Channels(dim, np.arange(self.atoms - len(constant), self.atoms), constant)

    def put(self, tensor: Tensor, found: Channels, backward: Callable[[], None]) -> None:
        """Set what is known of an operation's output, and how need passes back through the operation."""
        self.tensors.append(found)
        self._set(tensor, found)
        self._backward.append(backward)

    def carry(
        self, source: Channels, tensor: Tensor, dim: int, constant: Floats | None = None, repeat: int = 1
    ) -> bool:
        """Let the channels of `source` go on in `tensor`, as `constant` if given, each `repeat` times."""
        constant = source.constant if constant is None else constant
        found = Channels(dim, source.atoms.repeat(repeat), constant.repeat(repeat))

        def backward() -> None:
            source.needed |= found.live.reshape(-1, repeat).any(1)

        self.put(tensor, found, backward)
        return True

    def pin(self, tensors: Iterable[Tensor]) -> None:
        """Keep every channel of `tensors`: something reads them that has no rule."""
        sources = [c for t in tensors if (c := self.channels(t)) is not None]
        self.pinned.extend(c.atoms for c in sources)
        self._guessed |= bool(sources)

        def backward() -> None:
            for source in sources:
                source.needed[:] = True

        self._backward.append(backward)

    # Recording.

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not self._inside:
            rule = next((r for key in (func.overloadpacket, *func.tags) if (r := self._rules.get(key))), None)
            self.record(rule, func, args, kwargs, out)
            if func._schema.is_mutable:
                self._forget_aliases(_tensors(out))
        return out

    def record(self, rule: Rule | None, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Apply `rule` to an operation that has just run; without one, or where it declines, pin its inputs."""
        inputs = _tensors((args, kwargs))
        self.uses.update(name for t in inputs if (name := self.name(t)) is not None)
        if all(self._channels.get(id(t)) is None and self.name(t) is None for t in inputs):
            return
        self._inside += 1  # what a rule computes is no part of the network
        handled = rule is not None and rule(self, func, args, kwargs, out)
        self._inside -= 1
        if not handled:
            self.pin(inputs)
            for tensor in _tensors(out):
                self._set(tensor, None)

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Call a function, recorded as one operation where it has a rule."""
        rule = None if self._inside else self._rules.get(func)
        if rule is None:
            return func(*args, **kwargs)
        self._inside += 1
        try:
            out = func(*args, **kwargs)
        finally:
            self._inside -= 1
        self.record(rule, func, args, kwargs, out)
        return out

    def _hook(self, leaf: nn.Module) -> list[Any]:
        """Hooks that record a call of `leaf` as one operation."""

        def enter(_module: nn.Module, _args: Any) -> None:
            self._inside += 1

        def leave(module: nn.Module, args: Any, out: Any) -> None:
            self._inside -= 1
            if not self._inside:
                self.record(self._leaves[type(module)], module, args, {}, out)

        return [leaf.register_forward_pre_hook(enter), leaf.register_forward_hook(leave)]

    def _set(self, tensor: Tensor, found: Channels | None) -> None:
        self._channels[id(tensor)] = found
        self._aliases.setdefault(tensor.untyped_storage()._cdata, {})[id(tensor)] = tensor

    def _forget_aliases(self, written: list[Tensor]) -> None:
        """Stop following tensors that share memory with one that has been written in place."""
        for tensor in written:
            shared = self._aliases.get(tensor.untyped_storage()._cdata, {})
            others = [t for key, t in shared.items() if key != id(tensor)]
            if others:
                self.pin([tensor, *others])
                self._channels.update({id(t): None for t in others})


spare_dynamo(ChannelRecord.__torch_dispatch__)


class _Functions(TorchFunctionMode):
    """Shows the record those functions that it takes as one operation, before they are taken apart."""

    def __init__(self, record: ChannelRecord) -> None:
        super().__init__()
        self.record = record

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.linear:
            args, kwargs = _in_order(*args, **kwargs), {}
        return self.record.call(func, args, kwargs)


def _in_order(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
    return input, weight, bias


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
