from .data import Batches as Batches
from .network import MaskedModel as MaskedModel, Masks as Masks
from .pruning import (
    RETRAIN as RETRAIN,
    Phase as Phase,
    Prune as Prune,
    Pruner as Pruner,
    Rewind as Rewind,
    Scores as Scores,
    Train as Train,
    geometric_sparsities as geometric_sparsities,
    keep_top as keep_top,
    prune_at_init as prune_at_init,
    train_prune_retrain as train_prune_retrain,
    train_prune_rewind as train_prune_rewind,
)
