"""VGGs in their CIFAR form, with batch norm (Simonyan and Zisserman, ICLR 2015, arXiv:1409.1556).

Five stages of 3x3 convolutions, each ended by a max-pool, then hidden linear layers of 512: two, or one
in `vgg_like` (Zagoruyko's form, as SNIP and NNrelief count it). No dropout. Initialisation: He normal,
fan in, zero biases.
"""

from __future__ import annotations

from torch import Tensor, nn

STAGES = {
    "vgg_like": (2, 2, 3, 3, 3),
    "vgg_11": (1, 1, 2, 2, 2),
    "vgg_13": (2, 2, 2, 2, 2),
    "vgg_16": (2, 2, 3, 3, 3),
    "vgg_19": (2, 2, 4, 4, 4),
}
WIDTHS = (64, 128, 256, 512, 512)
HIDDEN = {"vgg_like": 1}  # hidden layers of 512; others have two


class VGG(nn.Module):
    """A VGG for 32x32 images; larger ones are averaged to one position before the linear layers."""

    def __init__(self, name: str, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, count in zip(WIDTHS, STAGES[name], strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        head: list[nn.Module] = []
        for _ in range(HIDDEN.get(name, 2)):
            head += [nn.Linear(512, 512), nn.ReLU()]
        self.classifier = nn.Sequential(*head, nn.Linear(512, classes))
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.pool(self.features(x)).flatten(1))
