"""The engines of this suite: PyTorch, ONNX Runtime, and PyTorch with sparse layers where these are faster."""

from __future__ import annotations

import contextlib
import copy
import io
import statistics
import time
import warnings
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.errors import UserError
from benchmark.metrics.latency import Engine, Form, Forms, Run

TRIALS = 15  # of a layer, dense and sparse, before it is chosen which


class Torch(Engine):
    """PyTorch's own kernels: the whole network, whatever its zeros, and the one without dead units."""

    forms = ("dense", "structural")

    def prepare(self, form: Form, forms: Forms, example: Tensor, threads: int) -> Run:
        return forms.masked if form == "dense" else forms.shrunk


class OnnxRuntime(Engine):
    """ONNX Runtime on the CPU, with all its optimisations."""

    forms = ("dense", "structural")

    def prepare(self, form: Form, forms: Forms, example: Tensor, threads: int) -> Run:
        if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]:
            raise UserError(f"engine onnxruntime needs {' and '.join(missing)}; pip install 'nnrelief-bench[onnx]'")
        import onnxruntime

        module = copy.deepcopy(forms.masked if form == "dense" else forms.shrunk)
        with torch.inference_mode(False), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # the exporter's own deprecations
            program = torch.onnx.export(module, (example.clone(),), dynamo=True, verbose=False)
            assert program is not None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        name = session.get_inputs()[0].name
        return lambda inputs: torch.from_numpy(session.run(None, {name: inputs.numpy()})[0])


class Csr(Engine):
    """PyTorch with each conv and linear layer dense or as a CSR matrix, whichever is faster on this input.

    Where the layers' gains do not add up to one, the network stays dense.
    """

    forms = ("sparse",)

    def prepare(self, form: Form, forms: Forms, example: Tensor, threads: int) -> Run:
        module = copy.deepcopy(forms.masked)
        inputs: dict[str, Tensor] = {}
        parts = {name: part for name, part in module.named_modules() if _can_be_sparse(part)}
        handles = [
            part.register_forward_pre_hook(lambda _, args, name=name: inputs.update({name: args[0]}))
            for name, part in parts.items()
        ]
        module(example)
        for handle in handles:
            handle.remove()
        for name, given in inputs.items():
            sparse = CsrLayer(parts[name])
            if is_faster(sparse, parts[name], given):
                module.set_submodule(name, sparse)
        return module if is_faster(module, forms.masked, example) else forms.masked


class CsrLayer(nn.Module):
    """A linear layer, or a convolution as a product with what its kernels read, whose weight is a CSR matrix."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        assert isinstance(layer, nn.Linear | nn.Conv2d)
        self.layer = layer
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sparse CSR tensors are in beta
            self.matrix = layer.weight.detach().flatten(1).to_sparse_csr()  # (out, in * kernel)

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        if isinstance(layer, nn.Linear):
            out = (self.matrix @ x.reshape(-1, x.shape[-1]).T).T.reshape(*x.shape[:-1], -1)
            return out if layer.bias is None else out + layer.bias
        size, pads = layer.kernel_size, [p for pair in reversed(_pads(layer)) for p in pair]
        read = F.unfold(F.pad(x, pads), size, layer.dilation, 0, layer.stride)  # (n, in * kernel, positions)
        out = self.matrix @ read.transpose(0, 1).reshape(read.shape[1], -1)  # (out, n * positions)
        height = (x.shape[2] + pads[2] + pads[3] - layer.dilation[0] * (size[0] - 1) - 1) // layer.stride[0] + 1
        out = out.view(len(out), len(x), height, -1).transpose(0, 1)
        return out if layer.bias is None else out + layer.bias.view(-1, 1, 1)


SHIPPED: dict[str, type[Engine]] = {"torch": Torch, "onnxruntime": OnnxRuntime, "csr": Csr}


def _can_be_sparse(part: nn.Module) -> bool:
    plain = isinstance(part, nn.Conv2d) and part.groups == 1 and part.padding_mode == "zeros"
    return type(part) is nn.Linear or plain


def _pads(layer: nn.Conv2d) -> list[tuple[int, int]]:
    """Zeros before and after, by dimension."""
    if layer.padding == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(p, p) for p in ((0, 0) if isinstance(layer.padding, str) else layer.padding)]


def is_faster(one: nn.Module, other: nn.Module, inputs: Tensor) -> bool:
    """Whether `one` takes less time than `other`: the medians of interleaved trials, after one that does not count."""
    times: dict[nn.Module, list[float]] = {one: [], other: []}
    for _ in range(TRIALS + 1):
        for part, taken in times.items():
            started = time.perf_counter()
            part(inputs)
            taken.append(time.perf_counter() - started)
    return statistics.median(times[one][1:]) < statistics.median(times[other][1:])
