"""Augmentation on the device, a whole batch at once: shifts and flips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.seeds import stream


@dataclass(frozen=True)
class Augmentation:
    """How training images are shifted and flipped.

    The defaults are those of He et al. 2016 (arXiv:1512.03385), section 4.2. An `alternating` flip, by chance in the
    first epoch and turned over in each later one, shows both sides of every image equally often (Jordan 2024,
    arXiv:2404.00498, section 3.6).
    """

    flip: Literal["random", "alternating"] = "random"
    translate: int = 4  # pixels at most, in each direction
    edge: Literal["zeros", "reflect"] = "zeros"  # what a shift lets in

    def check(self, height: int, width: int) -> None:
        """Raise UserError where images of this size cannot be shifted so."""
        if self.edge == "reflect" and self.translate >= min(height, width):
            raise UserError(
                f"train.translate must be below {min(height, width)}, the side of the images, for train.edge reflect, "
                f"got {self.translate}"
            )

    def padded(self, images: Tensor) -> Tensor:
        """The images with as many pixels more on each side as they can be shifted by."""
        pixels = self.translate
        if self.edge == "zeros":
            return nn.functional.pad(images, (pixels,) * 4)
        rows, columns = (_reflected(size, pixels).to(images.device) for size in images.shape[2:])
        return images.index_select(2, rows).index_select(3, columns)

    def draw(self, order: Tensor, seed: int, epoch: int) -> Tensor:
        """For each image, in the `order` of the epoch: (top, left, whether to flip left and right); (n, 3)."""
        generator = stream(seed, "augmentation", epoch)
        top_left = torch.randint(2 * self.translate + 1, (len(order), 2), generator=generator)
        flips = torch.randint(2, (len(order), 1), generator=generator)
        if self.flip == "alternating":
            first = torch.randint(2, (len(order), 1), generator=stream(seed, "flip"))
            flips = (first[order] + epoch) % 2
        return torch.cat([top_left, flips], dim=1)


def crop_and_flip(padded: Tensor, chosen: Tensor, crops: Tensor, height: int, width: int) -> Tensor:
    """Crops of `padded[chosen]`; a row of `crops` is (top, left, whether to flip left and right)."""
    channels, tall, wide = padded.shape[1:]
    rows = crops[:, 0, None] + torch.arange(height, device=crops.device)  # (n, height)
    columns = torch.arange(width, device=crops.device).expand(len(crops), -1)
    columns = crops[:, 1, None] + torch.where(crops[:, 2, None] == 1, width - 1 - columns, columns)  # (n, width)
    planes = chosen[:, None] * channels + torch.arange(channels, device=crops.device)  # (n, channels)
    rows = planes[:, :, None] * tall + rows[:, None]  # on a CPU whole rows, then columns, is much faster than both
    cropped = padded.view(-1, wide).index_select(0, rows.flatten()).view(*rows.shape, wide)
    return cropped.gather(3, columns[:, None, None].expand(*rows.shape, width))


def _reflected(size: int, pixels: int) -> Tensor:
    """Which of `size` pixels in a row stands at each place from `-pixels` on, the edge as a mirror."""
    places = torch.arange(-pixels, size + pixels).abs()
    return torch.where(places < size, places, 2 * (size - 1) - places)
