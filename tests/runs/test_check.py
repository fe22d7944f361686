"""`check_method` passes what keeps the contract and says in words what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.config.discovery import pruner_names
from benchmark.runs.check import Finding, check_method

HEAD = (
    "from dataclasses import dataclass\nimport torch\nfrom benchmark.errors import UserError\n"
    "from benchmark import ScoredPruner, geometric_sparsities, train_prune_retrain\nCALLS = []\n"
    "@dataclass(frozen=True, kw_only=True)\n"
)


def _findings(tmp_path: Path, body: str) -> list[Finding]:
    file = tmp_path / "mine.py"
    file.write_text(HEAD + body)
    return list(check_method(f"{file}:Mine", {}))


# control needs another run; synflow prunes a hundred times wherever it is checked
CHECKED = [pytest.param(n, marks=[pytest.mark.slow] * (n == "synflow")) for n in pruner_names() if n != "control"]


@pytest.mark.parametrize("name", CHECKED)
def test_every_shipped_method_passes_or_says_why_it_refuses_a_network(name: str) -> None:
    found = list(check_method(name, {}))
    assert [f"{f.what}: {f.wrong}" for f in found if f.wrong] == []
    assert sum(not f.refused for f in found) > len(found) / 2


def test_a_method_that_remembers_between_calls_is_told_that_a_resumed_run_differs(tmp_path: Path) -> None:
    found = _findings(
        tmp_path,
        "class Mine(ScoredPruner):\n    'Mine.'\n    rounds: int = 3\n"
        "    def plan(self, steps):\n"
        "        return train_prune_retrain(geometric_sparsities(self.sparsity, self.rounds), steps)\n"
        "    def score(self, net, batches):\n"
        "        CALLS.append(1)\n"
        "        return {n: w.abs().roll(len(CALLS), 0) for n, w in net.weights.items()}\n",
    )
    wrong = [f.wrong for f in found if f.wrong]
    assert any("two runs from one seed decide differently" in text for text in wrong)
    assert any("keeps something between calls that a resumed run does not have" in text for text in wrong)


def test_a_broken_rule_is_told_with_the_network_on_which_it_shows(tmp_path: Path) -> None:
    found = _findings(
        tmp_path,
        "class Mine(ScoredPruner):\n    'Mine.'\n    def score(self, net, batches):\n"
        "        for m in net.module.modules():\n"
        "            if isinstance(m, torch.nn.BatchNorm2d):\n                m.eval()\n"
        "        return net.weights\n",
    )
    wrong = {f.what.split(" network")[0]: f.wrong for f in found if f.wrong}
    assert wrong.keys() == {"batch-normed", "residual"}
    assert "left the network in another mode" in wrong["residual"]


def test_a_method_may_refuse_a_network_in_its_own_words(tmp_path: Path) -> None:
    found = _findings(
        tmp_path,
        "class Mine(ScoredPruner):\n    'Mine.'\n"
        "    def score(self, net, batches):\n"
        "        if any(w.dim() > 2 for w in net.weights.values()):\n            raise UserError('no convolutions')\n"
        "        return net.weights\n",
    )
    assert {f.refused for f in found if f.refused} == {"no convolutions"}
    assert not any(f.wrong for f in found)
