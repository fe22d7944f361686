"""Any classifier of timm or torchvision, by name, with random weights; and networks of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, Literal

import torch
from torch import nn

from benchmark.errors import UserError

AUXILIARY = ("googlenet", "inception_v3")  # they have further classifiers for training, which are left out


def external_module(
    name: str,
    classes: int,
    shape: tuple[int, int, int],
    stem: Literal["default", "small"] = "default",  # small suits 32x32 images: a 3x3 stem of stride 1, no max-pool
) -> nn.Module:
    """The classifier `timm/NAME` or `torchvision/NAME` for images of `shape`; nothing is downloaded.

    Raises UserError for an unknown name, or a network that cannot take this input.
    """
    library, _, model = name.partition("/")
    make = _timm if library == "timm" else _torchvision
    try:
        module = make(model, classes, shape)
        if stem == "small":
            module = _with_small_stem(name, module)
        with torch.no_grad():
            out = module.eval()(torch.zeros(1, *shape))
    except (AssertionError, RuntimeError, ValueError) as error:  # what the libraries raise for a size they cannot take
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{name} cannot take images of {shape[1]}x{shape[2]} ({reason or 'it does not say why'}); "
            f"resize them: --image_size {_own_size(library, model)}"
        ) from error
    if not isinstance(out, torch.Tensor) or out.shape != (1, classes):
        raise UserError(f"{name} is not a classifier: it does not give one number for each class; choose another")
    return module.train()


def own_module(
    function: Callable[..., Any], name: str, classes: int, shape: tuple[int, int, int], **options: Any
) -> nn.Module:
    """What the user's function makes of the classes, the images' shape and its own options, tried on one image.

    Raises UserError where it fails, or gives anything but one number for each class.
    """
    pixels = "x".join(map(str, shape))
    out = None
    try:
        module = function(classes, shape, **options)
        if isinstance(module, nn.Module):
            with torch.no_grad():
                out = module.eval()(torch.zeros(1, *shape))
    except (Exception, SystemExit) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"model '{name}' fails for {classes} classes and images of {pixels}: {said}") from error
    if not isinstance(module, nn.Module):
        raise UserError(f"model '{name}' must return a torch.nn.Module, it returned a {type(module).__name__}")
    if not isinstance(out, torch.Tensor) or out.shape != (1, classes):
        found = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
        raise UserError(
            f"model '{name}' must give a number for each of {classes} classes, (1, {classes}) for one image of "
            f"{pixels}, it gives {found}"
        )
    return module.train()


def _timm(model: str, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    import timm

    if not timm.is_model(model):
        raise _unknown("timm", model, timm.list_models())
    try:
        return timm.create_model(model, num_classes=classes, in_chans=shape[0], img_size=shape[1:])
    except TypeError:  # a fully convolutional network: it has no image size
        return timm.create_model(model, num_classes=classes, in_chans=shape[0])


def _torchvision(model: str, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    from torchvision import models

    if model not in (known := models.list_models(models)):
        raise _unknown("torchvision", model, known)
    sized = {"image_size": shape[1]} if model.startswith("vit_") else {}
    single = {"aux_logits": False, "init_weights": True} if model in AUXILIARY else {}
    return models.get_model(model, weights=None, num_classes=classes, **sized, **single)


def _own_size(library: str, model: str) -> int:
    """The side of the images that the library's weights were trained on."""
    import timm

    described = timm.get_pretrained_cfg(model) if library == "timm" else None
    return 224 if described is None else described.input_size[-1]


def _unknown(library: str, model: str, known: list[str]) -> UserError:
    near = ", ".join(get_close_matches(model, known, n=5))
    return UserError(f"{library} has no classifier '{model}'; near it: {near or 'none'} ({len(known)} in all)")


def _with_small_stem(name: str, module: nn.Module) -> nn.Module:
    """A ResNet-like network with a 3x3 stem of stride 1 and no max-pool, for images of 64 pixels or less."""
    conv, pool = getattr(module, "conv1", None), getattr(module, "maxpool", None)
    if not isinstance(conv, nn.Conv2d) or pool is None:
        raise UserError(f"stem 'small' needs a network with conv1 and maxpool, which {name} has not; leave it out")
    module.conv1 = nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1, bias=conv.bias is not None)
    module.maxpool = nn.Identity()
    return module
