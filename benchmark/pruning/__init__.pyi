from .earlier import masks_of_run as masks_of_run, method_of_run as method_of_run
from .gradients import loss_gradients as loss_gradients, training_loss as training_loss
from .guards import (
    blamed as blamed,
    check_class as check_class,
    check_possible as check_possible,
    checked_plan as checked_plan,
    decide as decide,
)
from .inputs import input_grams as input_grams, input_norms as input_norms
from .masks import (
    Distribution as Distribution,
    Scores as Scores,
    Structure as Structure,
    exchange as exchange,
    keep_top as keep_top,
    layer_densities as layer_densities,
)
from .plan import (
    RETRAIN as RETRAIN,
    Phase as Phase,
    Point as Point,
    Prune as Prune,
    Rewind as Rewind,
    Rounds as Rounds,
    Train as Train,
    epochs_of as epochs_of,
    family as family,
    geometric_sparsities as geometric_sparsities,
    measured_points as measured_points,
    prune_at_init as prune_at_init,
    prune_gradually as prune_gradually,
    train_prune_retrain as train_prune_retrain,
    train_prune_rewind as train_prune_rewind,
    train_prune_train_on as train_prune_train_on,
    train_softly as train_softly,
    train_sparsely as train_sparsely,
    without_retraining as without_retraining,
)
from .pruner import (
    IterativePruner as IterativePruner,
    Pruned as Pruned,
    Pruner as Pruner,
    ScoredPruner as ScoredPruner,
    SoftPruner as SoftPruner,
    SparseTraining as SparseTraining,
    Tensors as Tensors,
)
