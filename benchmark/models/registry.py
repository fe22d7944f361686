"""The networks, by name; importing this does not import torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError, unknown
from benchmark.fields import Option, parameters_of, read_all
from benchmark.seeds import stream_seed
from benchmark.user_code import Source, is_file, load

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, int, int]

SMALLEST = 32  # pixels that VGGs and CIFAR ResNets need on a side


@dataclass(frozen=True)
class ModelInfo:
    """Where a network of this suite is defined, its size for ten classes at `shape`, and what is special to it."""

    module: str
    maker: str
    argument: Any
    shape: Shape  # channels, height and width of the input that it is defined for
    parameters: int
    flops: int  # of one example, one multiply-add = 1, as fvcore counts them
    summary: str
    fixed: bool = False  # whether it takes that input alone


@dataclass(frozen=True)
class Network:
    """A network that can be built: its name, its own options, and what makes it, from (classes, shape)."""

    name: str
    make: Callable[..., nn.Module] = field(compare=False, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    source: Source | None = None  # of the user's own

    def with_options(self, options: Mapping[str, Any]) -> Network:
        return replace(self, options=dict(options))

    def input_shape(self, images: Shape, image_size: int | None = None) -> Shape:
        """The input that it takes when the dataset's images have the shape `images` and are resized to `image_size`.

        LeNets take 28x28 grey; VGGs and ResNets three channels and at least 32x32; timm's and torchvision's three
        channels; the user's own what is given.

        Raises UserError where it is to take a size that it does not.
        """
        size = images[1:] if image_size is None else (image_size, image_size)
        info = NAMES.get(self.name)
        if info is None:
            return (images[0] if self.source else 3, *size)
        if info.fixed:
            if image_size not in (None, info.shape[1]):
                raise UserError(f"{self.name} takes images of {info.shape[1]}x{info.shape[2]}; leave out --image_size")
            return info.shape
        if image_size is not None and image_size < SMALLEST:
            raise UserError(f"{self.name} takes images of {SMALLEST}x{SMALLEST} or more, got image_size {image_size}")
        return (3, max(SMALLEST, size[0]), max(SMALLEST, size[1]))

    def build(self, classes: int, seed: int, shape: Shape) -> nn.Module:
        """The network with its initial weights, which depend on its name and options, the classes and the seed alone.

        Raises UserError where it cannot take this input.
        """
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(seed, "init"))
            return self.make(classes, shape, **self.options)


def _vgg(name: str, parameters: int, flops: int, summary: str) -> ModelInfo:
    return ModelInfo("vgg", "VGG", name, (3, 32, 32), parameters, flops, summary)


def _resnet(depth: int, parameters: int, flops: int) -> ModelInfo:
    summary = f"CIFAR ResNet-{depth} (He et al. 2016), option-A shortcuts"
    return ModelInfo("resnet", "ResNet", depth, (3, 32, 32), parameters, flops, summary)


# Parameters and FLOPs are what the networks have; a test counts them again.
NAMES: dict[str, ModelInfo] = {
    "lenet_300_100": ModelInfo(
        "lenet", "LeNet300100", None, (1, 28, 28), 266_610, 266_200, "784-300-100-10 (LeCun et al. 1998)", fixed=True
    ),
    "lenet_5": ModelInfo(
        "lenet",
        "LeNet5",
        None,
        (1, 28, 28),
        431_080,
        2_293_000,
        "Caffe's LeNet-5: two convolutions, 800-500-10",
        fixed=True,
    ),
    "vgg_like": _vgg(
        "vgg_like", 14_990_922, 314_017_280, "VGG-16's convolutions with batch norm, one hidden layer of 512"
    ),
    "vgg_fast": ModelInfo(
        "fast",
        "FastVGG",
        None,
        (3, 32, 32),
        1_129_514,
        105_065_984,
        "six convolutions with batch norm, for CIFAR in minutes on a CPU",
    ),
    "vgg_11": _vgg("vgg_11", 9_756_426, 153_597_440, "VGG-11 with batch norm, two hidden layers of 512"),
    "vgg_13": _vgg("vgg_13", 9_941_322, 229_291_520, "VGG-13 with batch norm, two hidden layers of 512"),
    "vgg_16": _vgg("vgg_16", 15_253_578, 314_279_424, "VGG-16 with batch norm, two hidden layers of 512"),
    "vgg_19": _vgg("vgg_19", 20_565_834, 399_267_328, "VGG-19 with batch norm, two hidden layers of 512"),
    "resnet_20": _resnet(20, 269_722, 40_931_968),
    "resnet_32": _resnet(32, 464_154, 69_472_896),
    "resnet_44": _resnet(44, 658_586, 98_013_824),
    "resnet_56": _resnet(56, 853_018, 126_554_752),
    "resnet_110": _resnet(110, 1_727_962, 254_988_928),
}


def find_network(name: str) -> tuple[Network, dict[str, Option]]:
    """The network called `name`, with default options, and its own options by dotted name (`model.shortcut`).

    Raises UserError for an unknown name, or a file of the user's that cannot be read.
    """
    source = None
    if is_file(name):
        function, source = load("model", name, "function", callable)
        if not callable(function):
            raise UserError(f"model '{name}' is no function; it is called with (classes, shape) and returns a module")
        from benchmark.models.external import own_module

        own = parameters_of(function, 2, "model.", "dense")
        make: Callable[..., nn.Module] = partial(own_module, function, name)
    elif name.startswith(("timm/", "torchvision/")):
        from benchmark.models.external import external_module

        make = partial(external_module, name)
        own = parameters_of(external_module, 3, "model.", "dense")
    elif name in NAMES:
        info = NAMES[name]
        maker = getattr(importlib.import_module(f"benchmark.models.{info.module}"), info.maker)
        given = () if info.argument is None else (info.argument,)
        own = parameters_of(maker.__init__, 2 + len(given), "model.", "dense")
        make = partial(_shipped, maker, given)
    else:
        raise unknown("model", name, NAMES, "or timm/NAME, torchvision/NAME, path/to/file.py:function")
    defaults = {k.removeprefix("model."): option.default for k, option in own.items()}
    return Network(name, make, defaults, defaults, source), own


def _shipped(maker: Callable[..., nn.Module], given: tuple[Any, ...], classes: int, shape: Shape, **own: Any) -> Any:
    return maker(*given, classes, **own)


def build_model(name: str, classes: int, seed: int, *, shape: Shape, **options: Any) -> nn.Module:
    """The network called `name`, with its own options, built: see `Network.build`."""
    network, own = find_network(name)
    dotted = {f"model.{k}": v for k, v in options.items()}
    for key in dotted.keys() - own.keys():
        raise unknown(f"option of {name}", key, own)
    values = {k.removeprefix("model."): v for k, v in read_all(own, dotted, name).items()}
    return network.with_options(values).build(classes, seed, shape)


def input_shape(name: str, shape: Shape, image_size: int | None = None) -> Shape:
    """The input that the network called `name` takes: see `Network.input_shape`."""
    return find_network(name)[0].input_shape(shape, image_size)
