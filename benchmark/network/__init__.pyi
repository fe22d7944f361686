from .calls import LayerCall as LayerCall, patches as patches
from .graph import unread_units as unread_units
from .layers import LAYERS as LAYERS, WeightedLayer as WeightedLayer, layers as layers
from .masked_model import MaskedModel as MaskedModel, Masks as Masks, digest as digest
from .removal import Shrunk as Shrunk, masked_copy as masked_copy, shrink as shrink
from .signals import (
    SignalRecord as SignalRecord,
    Trail as Trail,
    gates as gates,
    small_batches as small_batches,
)
from .tracing import spare_dynamo as spare_dynamo, without_fast_path as without_fast_path
from .units import batch_norms as batch_norms, removable_layers as removable_layers, whole_units as whole_units
from .weights import check_weights as check_weights
