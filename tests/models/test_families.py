"""ResNet-20 and classifiers of timm and torchvision: every method's scores, masks, counts and FLOPs."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmark.config.discovery import pruner_class, pruner_names
from benchmark.data import Batches
from benchmark.errors import MethodError, UserError
from benchmark.metrics.counting import count
from benchmark.metrics.flops import dense_flops, structural_flops
from benchmark.models.registry import build_model
from benchmark.network.layers import layers
from benchmark.network.masked_model import MaskedModel
from benchmark.network.removal import shrink
from benchmark.network.tracing import without_fast_path
from benchmark.pruning import Prune, Pruned, SoftPruner, decide
from benchmark.training.soft import own_tensors

FAMILIES = {  # the side of the images
    "resnet_20": 32, "timm/resnet18": 32,
    "timm/mobilenetv3_small_100": 64, "timm/efficientnet_b0": 32, "timm/convnext_atto": 64,
    "timm/vit_tiny_patch16_224": 64, "timm/regnetx_002": 64, "timm/densenet121": 32, "timm/mixer_s32_224": 64,
    "timm/levit_128s": 64, "timm/ghostnet_100": 64, "timm/vit_tiny_patch16_dinov3_qkvb": 64,
    "torchvision/vit_b_32": 64, "torchvision/shufflenet_v2_x0_5": 64, "timm/edgenext_xx_small": 64,
    "timm/mobilevit_xxs": 64, "timm/coat_lite_tiny": 32, "timm/xcit_nano_12_p16_224": 32,
}  # fmt: skip
STANDALONE = [name for name in pruner_names() if name != "control"]  # which needs another run
FIRST_DERIVATIVES = ("timm/mobilenetv3_small_100", "timm/ghostnet_100")  # PyTorch has no second for their gates


def first_decision(method: str, net: MaskedModel, batches: Batches) -> Pruned:
    """What the method keeps where it first removes something."""
    pruner = pruner_class(method)()
    net.own = own_tensors(pruner, net) if isinstance(pruner, SoftPruner) else {}
    removing = (phase for phase in pruner.plan(100) if isinstance(phase, Prune) and phase.sparsity)
    return decide(pruner, net, batches, next(removing, Prune(None)))


def same_transformers() -> list[MaskedModel]:
    """One small vision transformer as torchvision and as timm write it, with the same weights."""
    torch.manual_seed(0)
    first = torchvision.models.VisionTransformer(32, 8, 2, 2, 12, 24, num_classes=5)
    second = timm.models.VisionTransformer(32, 8, embed_dim=12, depth=2, num_heads=2, mlp_ratio=2, num_classes=5)
    for part in first.modules():
        if isinstance(part, (nn.Linear, nn.LayerNorm)):
            nn.init.normal_(part.weight, std=0.3)
            nn.init.normal_(part.bias, std=0.1)
    with torch.no_grad():
        second.get_parameter("cls_token").copy_(first.class_token)
        second.get_parameter("pos_embed").copy_(first.encoder.pos_embedding)
        for own, other in zip(layers(second), layers(first), strict=True):
            own.parameter.copy_(other.parameter)
            assert own.bias is not None
            assert other.bias is not None
            second.get_parameter(own.bias).copy_(first.get_parameter(other.bias))
        norms = [[part for part in module.modules() if isinstance(part, nn.LayerNorm)] for module in (first, second)]
        for other, own in zip(*norms, strict=True):
            own.load_state_dict(other.state_dict())
    return [MaskedModel(module.eval()) for module in (first, second)]


def test_torchvisions_transformer_counts_as_timms() -> None:
    nets = same_transformers()
    x = torch.randn(8, 3, 32, 32)
    torch.testing.assert_close(nets[0].module(x), nets[1].module(x))
    batches = [(x, torch.arange(8) % 5)]
    flops = [dense_flops(net.module, (3, 32, 32)) for net in nets]
    assert list(flops[0].layers.values()) == list(flops[1].layers.values())
    for method in STANDALONE:
        rows = []
        for net, dense in zip(nets, flops, strict=True):
            net.masks = {name: torch.ones_like(mask) for name, mask in net.masks.items()}
            torch.manual_seed(0)
            try:
                masks = first_decision(method, net, batches).masks
            except UserError:  # it refuses both
                continue
            pruned = MaskedModel(copy.deepcopy(net.module))
            pruned.apply(masks)
            shrunk = shrink(pruned, (3, 32, 32))
            found = count(pruned, dense, structural_flops(shrunk, (3, 32, 32)), shrunk.collapsed)
            rows.append((found, pruned))
        if not rows:
            continue
        (left, one), (right, two) = rows
        for name in ("sparsity_prunable", "compression_weights", "compression_params", "flops_effective"):
            assert left[name] == pytest.approx(right[name], rel=1e-12), (method, name)
        for mine, theirs in zip(one.weights, two.weights, strict=True):
            assert torch.equal(one.masks[mine], two.masks[theirs]), (method, mine)


# One of plain, depthwise, attention's and grouped networks in the ordinary run; the others take a while.
ORDINARY = ("resnet_20", "timm/mobilenetv3_small_100", "timm/vit_tiny_patch16_224", "timm/regnetx_002")
SLOW = [pytest.mark.slow, pytest.mark.timeout(1800)]
CASES = [pytest.param(name, side, marks=[] if name in ORDINARY else SLOW) for name, side in FAMILIES.items()]


@pytest.mark.parametrize(("name", "side"), CASES)
def test_every_method_scores_and_prunes_it(name: str, side: int) -> None:
    shape = (3, side, side)
    module = build_model(name, 7, 0, shape=shape)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d) and part.weight is not None:
            nn.init.uniform_(part.weight, 0.5, 1.5)  # some begin with branches that give nothing
    net = MaskedModel(module)
    batches = [(torch.randn(4, *shape), torch.randint(7, (4,)))]
    for method in STANDALONE:
        if method == "grasp" and name in FIRST_DERIVATIVES:
            with pytest.raises(MethodError, match="hardsigmoid_backward is not implemented"):
                first_decision(method, net, batches)
        else:
            with contextlib.suppress(UserError):  # it refuses the network, before training
                first_decision(method, net, batches)
    masks = pruner_class("nnrelief")().prune(net, batches, Prune(None)).masks
    kept, total = (
        sum(int(part.sum()) for part in each) for each in (masks.values(), map(torch.ones_like, masks.values()))
    )
    assert 0.1 < kept / total < 1
    options: dict[str, Any] = {"alpha_conv": 1.0, "alpha_fc": 1.0}
    whole = replace(pruner_class("nnrelief")(), **options).prune(net, batches, Prune(None)).masks
    assert all(whole[key].any() for key, weight in net.weights.items() if weight.any())
    dense = dense_flops(net.module, shape)
    with FlopCounterMode(display=False) as counted, torch.no_grad(), without_fast_path():
        net.module.eval()(torch.zeros(1, *shape))
    by_operator = counted.get_flop_counts()["Global"]
    conv = sum(count for operator, count in by_operator.items() if "convolution" in str(operator))
    linear = sum(count for operator, count in by_operator.items() if str(operator) in ("aten.mm", "aten.addmm"))
    assert sum(dense.layers.values()) == (conv + linear) // 2
    net.apply(masks)
    assert 0 < structural_flops(shrink(net, shape), shape).total <= dense.total
