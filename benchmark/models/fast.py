"""A small network that a CPU trains on CIFAR in minutes: a VGG (arXiv:1409.1556) of six convolutions, with batch norm.

Where FLOPs are cheap it is wide: the first map keeps 32 channels, later ones up to 256. Initialisation: He normal,
fan in, zero biases.
"""

from __future__ import annotations

from torch import Tensor, nn

STAGES = ((32, 64), (128, 128), (256,), (256,))  # channels of the 3x3 convolutions, a max-pool after each stage


class FastVGG(nn.Module):
    """Four stages of 3x3 convolutions; what is left of the image is averaged before the one linear layer."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for stage in STAGES:
            for width in stage:
                layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.pool(self.features(x)).flatten(1))
