"""NNrelief Bench: pruning methods compared on equal terms.

The contract of a method is imported from here: `from benchmark import Pruner, keep_top`. Names are
loaded on first use, so that the command line answers without importing torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.masks import MaskedModel, Masks, Scores, keep_top
    from benchmark.plan import (
        RETRAIN,
        Phase,
        Prune,
        Rewind,
        Train,
        geometric_sparsities,
        prune_at_init,
        train_prune_retrain,
        train_prune_rewind,
    )
    from benchmark.pruner import Batches, Pruner

__all__ = [
    "RETRAIN",
    "Batches",
    "MaskedModel",
    "Masks",
    "Phase",
    "Prune",
    "Pruner",
    "Rewind",
    "Scores",
    "Train",
    "geometric_sparsities",
    "keep_top",
    "prune_at_init",
    "train_prune_retrain",
    "train_prune_rewind",
]

_HOME = dict.fromkeys(["MaskedModel", "Masks", "Scores", "keep_top"], "masks") | dict.fromkeys(
    ["Batches", "Pruner"], "pruner"
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'benchmark' has no attribute '{name}'")
    return getattr(importlib.import_module(f"benchmark.{_HOME.get(name, 'plan')}"), name)
