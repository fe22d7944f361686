"""Holds a method to the contract on tiny networks and in a run that is killed; says in words what it breaks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from benchmark.config import Recipe, RunConfig, run_config
from benchmark.errors import Interrupted, MethodError, UserError
from benchmark.network import MaskedModel, digest
from benchmark.pruning import Prune, Pruner, Rewind, SoftPruner, Train, check_possible, checked_plan, decide
from benchmark.records import Record, Row
from benchmark.runs.execution import carry_out
from benchmark.runs.progress import Progress
from benchmark.seeds import stream_seed
from benchmark.training import clear_masked_state, make_optimizer, own_tensors, soft_objective, train_steps

SHAPE, CLASSES = (3, 8, 8), 4
STEPS = 1000  # of the plan; of each of its windows only WINDOW are taken
WINDOW = 2
OPTIMIZERS: tuple[Literal["adam", "sgd", "adamw"], ...] = ("adam", "sgd", "adamw")
SMALL_RUN = {"dataset": "digits", "train_limit": 240, "train.epochs": 3, "retrain.epochs": 1, "wandb": "off"}
CHANGING = ("seconds", "images_per_second", "train_seconds", "prune_seconds", "chain")  # from one run to the next


@dataclass(frozen=True)
class Finding:
    """What was looked at, and what is wrong with it, with what to do; nothing where it is right."""

    what: str
    wrong: str = ""
    refused: str = ""  # why the method does not work here, in its own words; that is its right


def check_method(name: str, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Each thing looked at, as it is found, for the method `name` with its `options` (`pruner.<field>`)."""
    config = run_config({**SMALL_RUN, **options, "pruner": name})
    for network, make in NETWORKS.items():
        yield from _on_network(config.pruner, network, make)
    yield from _run_and_resume({**SMALL_RUN, **options, "pruner": name})


def _on_network(pruner: Pruner, network: str, make: Callable[[], nn.Module]) -> Iterator[Finding]:
    what = f"{network} network: every pruning of the plan, targets, repeatability"
    try:
        first = _walk(pruner, make(), OPTIMIZERS[0])
        again = _walk(pruner, make(), OPTIMIZERS[0])
    except UserError as error:
        yield Finding(what, refused=str(error))
        return
    except MethodError as error:
        yield Finding(what, str(error))
        return
    differs = "two runs from one seed decide differently; draw only from torch's own generator, which is seeded"
    yield Finding(what, "" if first == again else differs)
    for optimizer in OPTIMIZERS[1:]:
        what = f"{network} network: masked weights stay zero with {optimizer}"
        try:
            _walk(pruner, make(), optimizer)
        except MethodError as error:
            yield Finding(what, str(error))
        else:
            yield Finding(what)


def _walk(pruner: Pruner, module: nn.Module, optimizer_name: Literal["adam", "sgd", "adamw"]) -> str:
    """Carry out the plan with shortened trainings; the digest of all that was decided. Raises MethodError."""
    net = MaskedModel(module)
    start = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    check_possible(pruner, net, _batches(0)[0][0][:1])
    plan = checked_plan(pruner, STEPS)
    net.own = own_tensors(pruner, net) if isinstance(pruner, SoftPruner) else {}
    optimizer = make_optimizer(net, Recipe(optimizer=optimizer_name))
    decided: list[str] = []
    for number, phase in enumerate(plan):
        if isinstance(phase, Prune):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(stream_seed(0, "pruning", number))
                pruned = decide(pruner, net, _batches(number), phase)
            net.apply(pruned.masks, pruned.values)
            clear_masked_state(net, optimizer)
            decided += [digest(pruned.masks), digest(pruned.values)]
            if net.own and not any(isinstance(later, Prune) for later in plan[number + 1 :]):
                net.own = {}
                optimizer = make_optimizer(net, Recipe(optimizer=optimizer_name))
        elif isinstance(phase, Rewind):
            module.load_state_dict(start)
            net.apply()
        else:
            _train(pruner, net, optimizer, phase, number)
        for name, mask in net.masks.items():
            if (net.tensor(name)[~mask] != 0).any():
                raise MethodError(f"{name} has masked entries that are not zero after {phase}")
    return "".join(decided)


def _train(pruner: Pruner, net: MaskedModel, optimizer: torch.optim.Optimizer, phase: Train, number: int) -> None:
    objective = None
    if isinstance(pruner, SoftPruner) and net.own:
        objective = soft_objective(pruner, net, lambda step: min(1.0, (phase.start + step) / STEPS))
    train_steps(net, optimizer, _batches(number), [0.01] * WINDOW, objective=objective)


def _batches(number: int) -> list[tuple[Tensor, Tensor]]:
    """Made-up inputs and labels, others for every phase."""
    generator = torch.Generator().manual_seed(number)
    return [
        (torch.randn(16, *SHAPE, generator=generator), torch.randint(CLASSES, (16,), generator=generator))
        for _ in range(WINDOW)
    ]


def _run_and_resume(options: Mapping[str, Any]) -> Iterator[Finding]:
    """A small run on digits, and the same run stopped several times and resumed: all rows are to be equal."""
    with tempfile.TemporaryDirectory() as folder:
        whole = run_config({**options, "results": f"{folder}/whole"})
        what = "a small run on digits"
        try:
            outcome = carry_out(whole, Progress(whole, show=False))
        except UserError as error:
            yield Finding(what, refused=str(error))
            return
        if outcome.state != "done":
            yield Finding(what, f"it ended as {outcome.state}: {outcome.reason}")
            return
        yield Finding(what)
        parts, stops = _stopped_and_resumed({**options, "results": f"{folder}/parts"})
        wrong = _difference(whole, parts, stops)
        yield Finding(f"the same run stopped {stops} times and resumed ends bit-equal", wrong)


def _stopped_and_resumed(options: Mapping[str, Any]) -> tuple[RunConfig, int]:
    """Carry out a run that is stopped at every second epoch; the run, and how many stops.

    Every time the method is read anew, as another process would.
    """
    stops = 0
    while True:
        config = run_config(options)
        try:
            carry_out(config, _Stopping(config, at=2 * (stops + 1)))
            return config, stops
        except KeyboardInterrupt:
            stops += 1


class _Stopping(Progress):
    """Stops the run when it shows epoch `at`; what a resumed run has from before is shown again."""

    def __init__(self, config: RunConfig, at: int) -> None:
        super().__init__(config, show=False)
        self.at = at

    def epoch(self, row: Row) -> None:
        if row["epoch"] >= self.at:
            raise Interrupted(130)


def _difference(whole: RunConfig, parts: RunConfig, stops: int) -> str:
    """How two runs' rows differ, and why that may be; nothing where they do not."""
    for file in ("epochs.jsonl", "points.jsonl"):
        rows = [_lasting(Record(c.settings.results / "runs" / c.name).read_rows(file)) for c in (whole, parts)]
        for number, (one, other) in enumerate(zip(*rows, strict=False)):
            differing = sorted(name for name in one if one[name] != other.get(name))
            if differing:
                return (
                    f"row {number} of {file} differs in {', '.join(differing)}: the method keeps something "
                    "between calls that a resumed run does not have; compute it from net and batches"
                )
        if len(rows[0]) != len(rows[1]):
            return f"{file} has {len(rows[1])} rows after {stops} stops and {len(rows[0])} without"
    return ""


def _lasting(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name not in CHANGING} for row in rows]


class _Residual(nn.Module):
    """A stem and one block with an identity shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.block = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8),
        )  # fmt: skip
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(self.block(x) + x)
        return self.fc(x.mean((2, 3)))


def _seeded(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def made() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return make()

    return made


NETWORKS = {
    "linear": _seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, CLASSES))),
    "convolutional": _seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(32, CLASSES),
        )
    ),
    "batch-normed": _seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES),
        )
    ),
    "residual": _seeded(_Residual),
    "grouped": _seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2),
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES),
        )
    ),
}  # fmt: skip
