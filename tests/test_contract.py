"""The contract, for every method in `baselines/`."""

from __future__ import annotations

import pytest
import torch

from benchmark.config.discovery import pruner_class, pruner_names
from benchmark.data.dataset import load_dataset, pruning_batches
from benchmark.models.registry import build_model
from benchmark.network.masked_model import MaskedModel, digest
from benchmark.pruning.masks import check_masks
from benchmark.pruning.plan import Prune

DATA = load_dataset("digits", size=(1, 28, 28))


@pytest.mark.parametrize("model", ["lenet_300_100", "lenet_5"])
@pytest.mark.parametrize("name", pruner_names())
def test_scores_and_masks_fit_are_repeatable_and_leave_the_network_as_it_was(name: str, model: str) -> None:
    pruner = pruner_class(name)().for_model(model)
    net = MaskedModel(build_model(model, 10, 0, shape=(1, 28, 28)))
    batches = pruning_batches(DATA, 0, 0, 200)
    prune = next((p for p in pruner.plan(100) if isinstance(p, Prune)), Prune(0.0))
    before = digest(net.module.state_dict())
    with torch.no_grad():
        torch.manual_seed(0)
        scores = pruner.score(net, batches)
        torch.manual_seed(0)
        assert all(torch.equal(s, scores[n]) for n, s in pruner.score(net, batches).items())
        torch.manual_seed(0)
        masks = pruner.masks(net, batches, prune)
    assert scores.keys() == net.masks.keys()
    assert all(s.shape == net.weights[n].shape and s.isfinite().all() for n, s in scores.items())
    check_masks(net, masks, prune.sparsity)
    assert digest(net.module.state_dict()) == before
    assert all(p.grad is None for p in net.module.parameters())


@pytest.mark.parametrize("name", pruner_names())
def test_every_method_says_what_it_keeps_and_where_it_is_from(name: str) -> None:
    doc = pruner_class(name).__doc__ or ""
    assert doc.splitlines()[0].endswith((".", ":")) or "\n" in doc
    assert name == "dense" or "Source:" in doc
