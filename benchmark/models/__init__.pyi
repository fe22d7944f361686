from .registry import (
    NAMES as NAMES,
    Network as Network,
    Shape as Shape,
    build_model as build_model,
    find_network as find_network,
    input_shape as input_shape,
)
from .resnet import OptionA as OptionA
from .weights import read_weights as read_weights, weights_digest as weights_digest
