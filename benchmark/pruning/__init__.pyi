from .gradients import loss_gradients as loss_gradients
from .masks import Scores as Scores, check_masks as check_masks, keep_top as keep_top
from .plan import (
    RETRAIN as RETRAIN,
    Phase as Phase,
    Point as Point,
    Prune as Prune,
    Rewind as Rewind,
    Train as Train,
    epochs_of as epochs_of,
    geometric_sparsities as geometric_sparsities,
    measured_points as measured_points,
    prune_at_init as prune_at_init,
    train_prune_retrain as train_prune_retrain,
    train_prune_rewind as train_prune_rewind,
)
from .pruner import Pruner as Pruner
