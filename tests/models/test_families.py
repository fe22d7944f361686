"""Classifiers of ten families from timm and torchvision: every method's scores, masks, counts and FLOPs."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmark.config.discovery import pruner_class, pruner_names
from benchmark.metrics.flops import dense_flops, structural_flops
from benchmark.models.registry import build_model
from benchmark.network.masked_model import MaskedModel
from benchmark.network.removal import shrink
from benchmark.network.tracing import without_fast_path
from benchmark.pruning import Prune, decide

FAMILIES = {  # the side of the images
    "timm/resnet18": 32, "timm/mobilenetv3_small_100": 64, "timm/efficientnet_b0": 32, "timm/convnext_atto": 64,
    "timm/vit_tiny_patch16_224": 64, "timm/regnetx_002": 64, "timm/densenet121": 32, "timm/mixer_s32_224": 64,
    "timm/levit_128s": 64, "timm/ghostnet_100": 64, "timm/vit_tiny_patch16_dinov3_qkvb": 64,
    "torchvision/vit_b_32": 64, "torchvision/shufflenet_v2_x0_5": 64,
}  # fmt: skip


@pytest.mark.parametrize(("name", "side"), FAMILIES.items())
def test_every_method_scores_and_prunes_it(name: str, side: int) -> None:
    shape = (3, side, side)
    module = build_model(name, 7, 0, shape=shape)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d) and part.weight is not None:
            nn.init.uniform_(part.weight, 0.5, 1.5)  # some begin with branches that give nothing
    net = MaskedModel(module)
    batches = [(torch.randn(4, *shape), torch.randint(7, (4,)))]
    for method in pruner_names():
        pruner = pruner_class(method)()
        first = next((phase for phase in pruner.plan(100) if isinstance(phase, Prune)), Prune(0.0))
        decide(pruner, net, batches, first)
    masks = pruner_class("nnrelief")().prune(net, batches, Prune(None)).masks
    kept, total = (
        sum(int(part.sum()) for part in each) for each in (masks.values(), map(torch.ones_like, masks.values()))
    )
    assert 0.1 < kept / total < 1
    dense = dense_flops(net.module, shape)
    with FlopCounterMode(display=False) as counted, torch.no_grad(), without_fast_path():
        net.module.eval()(torch.zeros(1, *shape))
    by_operator = counted.get_flop_counts()["Global"]
    conv = sum(count for operator, count in by_operator.items() if "convolution" in str(operator))
    linear = sum(count for operator, count in by_operator.items() if str(operator) in ("aten.mm", "aten.addmm"))
    inner = sum(p.numel() for n, p in module.named_parameters() if "in_proj_weight" in n)  # of no layer's
    assert sum(dense.layers.values()) == (conv + linear) // 2 - inner * ((side // 32) ** 2 + 1)
    net.apply(masks)
    assert 0 < structural_flops(shrink(net, shape), shape).total <= dense.total
