"""The networks, by name; importing this does not import torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError, unknown
from benchmark.seeds import stream_seed

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class ModelInfo:
    """Where a network is defined and the input, (channels, height, width), that it is defined for."""

    module: str
    maker: str
    argument: Any
    shape: Shape
    summary: str


def _vgg(name: str, summary: str) -> ModelInfo:
    return ModelInfo("vgg", "VGG", name, (3, 32, 32), summary)


def _resnet(depth: int) -> ModelInfo:
    return ModelInfo(
        "resnet", "ResNet", depth, (3, 32, 32), f"CIFAR ResNet-{depth} (He et al. 2016), option-A shortcuts"
    )


NAMES: dict[str, ModelInfo] = {
    "lenet_300_100": ModelInfo("lenet", "LeNet300100", None, (1, 28, 28), "784-300-100-10 (LeCun et al. 1998)"),
    "lenet_5": ModelInfo("lenet", "LeNet5", None, (1, 28, 28), "Caffe's LeNet-5: two convolutions, 800-500-10"),
    "vgg_like": _vgg("vgg_like", "VGG-16's convolutions with batch norm, one hidden layer of 512"),
    "vgg_11": _vgg("vgg_11", "VGG-11 with batch norm, two hidden layers of 512"),
    "vgg_13": _vgg("vgg_13", "VGG-13 with batch norm, two hidden layers of 512"),
    "vgg_16": _vgg("vgg_16", "VGG-16 with batch norm, two hidden layers of 512"),
    "vgg_19": _vgg("vgg_19", "VGG-19 with batch norm, two hidden layers of 512"),
    **{f"resnet_{depth}": _resnet(depth) for depth in (20, 32, 44, 56, 110)},
}


def model_info(name: str) -> ModelInfo:
    """What is known of a built-in network; raises UserError for an unknown name."""
    if name not in NAMES:
        raise unknown("model", name, NAMES, "or timm/NAME, torchvision/NAME")
    return NAMES[name]


def is_external(name: str) -> bool:
    return name.startswith(("timm/", "torchvision/"))


def input_shape(name: str, shape: Shape, image_size: int | None = None) -> Shape:
    """The input that a network takes when the dataset's images have `shape` and are resized to `image_size`.

    LeNets take 28x28 grey; VGGs and ResNets three channels and at least 32x32; others what is given.

    Raises UserError where a LeNet is to take another size.
    """
    size = shape[1:] if image_size is None else (image_size, image_size)
    if is_external(name):
        return (3, *size)
    own = model_info(name).shape
    if name.startswith("lenet"):
        if image_size not in (None, own[1]):
            raise UserError(f"{name} takes images of {own[1]}x{own[2]}; leave out --image_size")
        return own
    return (3, max(32, size[0]), max(32, size[1]))


def build_model(
    name: str, classes: int, seed: int, *, shape: Shape, shortcut: str = "a", stem: str = "default"
) -> nn.Module:
    """A network with its initial weights, which depend on (name, classes, seed) alone.

    Raises UserError for an unknown name, or an option that this network does not have.
    """
    import torch

    resnet = name in NAMES and NAMES[name].module == "resnet"
    if shortcut != "a" and not resnet:
        raise UserError(f"shortcut '{shortcut}' is for resnet_N; {name} has no such option, leave it out")
    if stem != "default" and not is_external(name):
        raise UserError(
            f"stem '{stem}' is for timm/ and torchvision/ networks; {name} has no such option, leave it out"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "init"))
        if is_external(name):
            from benchmark.models.external import external_model

            return external_model(name, classes, shape, stem)
        info = model_info(name)
        maker = getattr(importlib.import_module(f"benchmark.models.{info.module}"), info.maker)
        if resnet:
            return maker(info.argument, classes, shortcut)
        return maker(classes) if info.argument is None else maker(info.argument, classes)
