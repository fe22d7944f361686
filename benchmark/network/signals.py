"""What a score looks at: gradients, what layers receive, and what their units emit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from benchmark.data import Batches
from benchmark.network.calls import BINDERS, LayerCall
from benchmark.network.layers import layers

GATE = "gate"  # the buffer, one number for each channel, by which a shortcut can be masked
CHUNK_ELEMENTS = 1 << 19  # of network input looked at together: 170 images of 3 x 32 x 32

ADDITIONS = {"add", "iadd"}
CARRIERS = {"dropout", "dropout1d", "dropout2d", "max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d"}
ACTIVATIONS = {
    *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus"),
    *("sigmoid", "hardsigmoid", "hardswish", "tanh", "hardtanh", "threshold", "clamp", "clamp_min", "softsign"),
}


def gates(module: nn.Module) -> list[str]:
    """The names of the buffers by which shortcuts can be masked."""
    return [name for name, _ in module.named_buffers() if name.rpartition(".")[2] == GATE]


def small_batches(batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    """`batches` in pieces small enough for all that is measured on them."""
    for inputs, labels in batches:
        size = max(1, CHUNK_ELEMENTS // inputs[0].numel())
        yield from zip(inputs.split(size), labels.split(size), strict=True)


@dataclass(frozen=True)
class Trail:
    """Whose units' signals a tensor carries that have met no activation function yet.

    `sources` are names of layers and of gates; `dim` is the dimension of the units. A trail is `single`
    from its one source, straight or through its batch norm, up to the first addition, and `turned`
    where tokens come before examples, as inside `nn.MultiheadAttention`.
    """

    sources: tuple[str, ...]
    dim: int
    single: bool = True
    turned: bool = False


Summand = tuple[str | None, Tensor]  # the layer or gate that could be removed, if any; magnitudes (units, positions)


def _ignore(what: Any, value: Tensor) -> None:
    pass


class SignalRecord(TorchFunctionMode):
    """What the units of some layers and gates (`names`) do on the inputs that `run` is given.

    Every use of one of the layers is shown to `on_call`, with its inputs, and what its units give on to
    `on_emit`, example by example. Kept are, summed over all examples:

    - `emitted`: by layer or gate, what its units give on, (units, positions), at every place where it
      is read: after batch norm, additions and the activation function, or as it is where there is none.
    - `additions`: pairs of what is added up, of which one or both can be removed on their own, as
      only additions of this kind read it, before or after, in the whole forward.
    - `norms`: by layer, the batch norm that reads its output.

    It follows function calls, not modules, so that it does not matter how a forward is written.
    """

    def __init__(
        self,
        module: nn.Module,
        names: Collection[str],
        on_call: Callable[[LayerCall, Tensor], None] = _ignore,
        on_emit: Callable[[Trail, Tensor], None] = _ignore,
    ) -> None:
        super().__init__()
        self.module = module
        self.emitted: dict[str, dict[int, Tensor]] = {}
        self.additions: dict[int, tuple[Summand, Summand]] = {}
        self.norms: dict[str, str] = {}
        self._on_call, self._on_emit = on_call, on_emit
        self._layers = {id(layer.parameter): layer.name for layer in layers(module) if layer.name in names}
        self._gated = {module.get_submodule(n.rpartition(".")[0]): n for n in gates(module) if n in names}
        self._owners = {id(t): n.rpartition(".")[0] for n, t in [*module.named_parameters(), *module.named_buffers()]}
        self._trails = WeakTensorKeyDictionary()
        self._events = 0  # in this pass; the same event has the same number in every pass
        self._reads: Counter[str] = Counter()  # in this pass, of the single trails of each layer or gate

    @torch.no_grad()
    def run(self, inputs: Tensor) -> None:
        """Pass `inputs` through the module, which is to be in evaluation mode."""
        self._events = 0
        self._reads.clear()
        handles = [part.register_forward_hook(self._leave_gate) for part in self._gated]
        try:
            with self:
                outputs = self.module(inputs)
        finally:
            for handle in handles:
                handle.remove()
        self._read(_tensors(outputs))
        self._trails.clear()
        summands = Counter(source for sides in self.additions.values() for source, _ in sides)
        for event, sides in self.additions.items():
            left, right = ((None if s is None or self._reads[s] > summands[s] else s, sums) for s, sums in sides)
            self.additions[event] = left, right

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if (bind := BINDERS.get(func)) is not None:
            return self._call(func, *bind(*args, **kwargs), args, kwargs)
        trailing = [t for t in _tensors((args, kwargs)) if t in self._trails]
        if func is F.multi_head_attention_forward:
            self._read(trailing)
            return self._attend(*args, **kwargs)
        if not trailing:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "").strip("_")
        if name in ADDITIONS and len(args) == 2 and not kwargs:
            trail = self._add(*args)
            return self._carry(func(*args), trail)
        trail = self._trails[trailing[0]]
        if name in ACTIVATIONS:
            out = func(*args, **kwargs)
            self._emit(trail, out)
            return self._carry(out, None)
        if name == "batch_norm":
            self._name_norm(trail, args, kwargs)
        if name == "batch_norm" or name in CARRIERS:
            return self._carry(func(*args, **kwargs), trail)
        if name == "transpose" and trail.dim == -1 and {d % args[0].dim() for d in args[1:]} == {0, 1}:
            return self._carry(func(*args), replace(trail, turned=not trail.turned))
        out = func(*args, **kwargs)
        if _tensors(out):  # not a mere question for a shape
            self._read(trailing)
        return out

    def _call(self, func: Any, inputs: Tensor, use: dict[str, Any], args: Any, kwargs: Any) -> Tensor:
        self._read([inputs])
        out = func(*args, **kwargs)
        name = self._layers.get(id(use["weight"]))
        if name is not None:
            dim = 1 if "stride" in use else -1
            self._on_call(LayerCall(name, positions=out[0, 0].numel() if dim == 1 else 1, **use), inputs)
            self._carry(out, Trail((name,), dim))
        return out

    def _attend(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """`MultiheadAttention` without its output projection, which then follows, all projections as linear layers."""
        attention = F.multi_head_attention_forward
        given = signature(attention).bind(*args, **kwargs).arguments
        self._project(given)
        weight, bias = given["out_proj_weight"], given["out_proj_bias"]
        nothing = {"out_proj_weight": torch.eye(len(weight)).to(weight), "out_proj_bias": None}
        attended, shares = attention(**given | nothing)
        attended = _examples_first(attended)
        out = self._call(F.linear, attended, {"weight": weight, "bias": bias}, (attended, weight, bias), {})
        trail = self._trails.get(out)
        return self._carry(_examples_first(out), trail and replace(trail, turned=out.dim() == 3)), shares

    def _project(self, given: dict[str, Any]) -> None:
        """What the projections of query, key and value receive, and emit where that is one tensor for each."""
        inputs = [given[name] for name in ("query", "key", "value")]
        packed, bias = given["in_proj_weight"], given["in_proj_bias"]
        if packed is not None and all(x is inputs[0] for x in inputs):
            x = _examples_first(inputs[0])
            self._read([self._call(F.linear, x, {"weight": packed, "bias": bias}, (x, packed, bias), {})])
            return
        weights = [given[f"{name}_proj_weight"] for name in "qkv"] if packed is None else packed.chunk(3)
        biases = [None] * 3 if bias is None else bias.chunk(3)
        for i, (x, weight, part) in enumerate(zip(inputs, weights, biases, strict=True)):
            name = self._layers.get(id(weight if packed is None else packed))
            if name is not None:
                first = 0 if packed is None else i * len(weight)
                self._on_call(LayerCall(name, weight, part, first), _examples_first(x))

    def _add(self, left: Any, right: Any) -> Trail:
        """Measure two summands, before one is overwritten; the trail of their sum."""
        trails = [self._trails.get(t) if isinstance(t, Tensor) else None for t in (left, right)]
        known = [t for t in trails if t is not None]
        sources = tuple(dict.fromkeys(s for t in known for s in t.sources))
        first, second = (t.sources[0] if t is not None and t.single else None for t in trails)
        self._reads.update(s for s in (first, second) if s is not None)
        dim, turned = known[0].dim, known[0].turned
        both = isinstance(left, Tensor) and isinstance(right, Tensor) and left.shape == right.shape
        if both and (first is not None or second is not None):
            sums = [_by_unit((_examples_first(t) if turned else t).abs().sum(0), dim) for t in (left, right)]
            earlier = self.additions.get(self._events)
            if earlier is not None:
                sums = [e[1] + s for e, s in zip(earlier, sums, strict=True)]
            self.additions[self._events] = (first, sums[0]), (second, sums[1])
            self._events += 1
        return Trail(sources, dim, single=False, turned=turned)

    def _read(self, tensors: list[Tensor]) -> None:
        """These are read as they are: no activation function."""
        for tensor in tensors:
            trail = self._trails.get(tensor)
            if trail is not None:
                self._emit(trail, tensor)

    def _emit(self, trail: Trail, value: Tensor) -> None:
        value = _examples_first(value) if trail.turned else value
        if trail.single:
            self._reads.update(trail.sources)
        self._on_emit(trail, value)
        emitted = _by_unit(value.sum(0), trail.dim)
        for source in trail.sources:
            events = self.emitted.setdefault(source, {})
            events[self._events] = emitted + events[self._events] if self._events in events else emitted
        self._events += 1

    def _name_norm(self, trail: Trail, args: Any, kwargs: Any) -> None:
        owners = [self._owners[id(t)] for t in _tensors((args, kwargs)) if id(t) in self._owners]
        if owners and trail.single:
            self.norms.setdefault(trail.sources[0], owners[0])

    def _carry(self, out: Tensor, trail: Trail | None) -> Tensor:
        if trail is not None:
            self._trails[out] = trail
        else:
            self._trails.pop(out, None)
        return out

    def _leave_gate(self, part: nn.Module, args: Any, out: Tensor) -> None:
        self._trails[out] = Trail((self._gated[part],), dim=1)


def _examples_first(tokens: Tensor) -> Tensor:
    """(tokens, examples, features) as (examples, tokens, features), or back; without examples as it is."""
    return tokens.transpose(0, 1) if tokens.dim() == 3 else tokens


def _by_unit(values: Tensor, dim: int) -> Tensor:
    """Without the examples' dimension: (units, positions)."""
    return values.flatten(0, -2).T if dim == -1 and values.dim() > 1 else values.reshape(len(values), -1)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
