"""What a run is: frozen dataclasses, checked when made; their flat options; a run's identity."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.pruning import Phase, Pruner

PROTOCOL = 1  # the number of the rules in the README; a change of rules is a new number
DEFAULT_LR = {"sgd": 0.1, "adam": 1e-3, "adamw": 1e-3}  # the NNrelief authors' README, and PyTorch's for AdamW

# Where a run is carried out and how it is shown; all else is its identity.
PLACE = ("weights", "data_dir", "results", "device", "wandb", "project", "entity")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training recipe; the defaults are NNrelief's for LeNets (the authors' code)."""

    epochs: int = 60  # passes over the training split
    batch_size: int = 120  # examples in an optimiser step; an incomplete last batch is dropped
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"  # with weight decay; SGD with momentum
    lr: float | None = None  # peak learning rate; None: 0.1 for sgd, 0.001 for adam and adamw
    momentum: float = 0.9  # of SGD
    weight_decay: float = 5e-4  # L2 (sgd, adam) or decoupled (adamw), on every parameter
    decay_at: tuple[float, ...] = (0.5,)  # where lr is multiplied by decay_factor, as fractions of the epochs
    decay_factor: float = 0.1  # see decay_at

    def __post_init__(self) -> None:
        _require(self.batch_size >= 1, "train.batch_size", self.batch_size, "at least 1")
        if self.lr is None:
            object.__setattr__(self, "lr", DEFAULT_LR[self.optimizer])
        _require(self.rate > 0, "train.lr", self.lr, "above 0")
        _require(0 <= self.momentum < 1, "train.momentum", self.momentum, "in [0, 1)")
        _require(self.weight_decay >= 0, "train.weight_decay", self.weight_decay, "0 or more")
        _require(self.decay_factor > 0, "train.decay_factor", self.decay_factor, "above 0")
        _check_fractions("train.decay_at", self.decay_at)

    @property
    def rate(self) -> float:
        """The peak learning rate, after the optimiser's default was filled in."""
        assert self.lr is not None
        return self.lr


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """What differs from the training recipe when a pruned network is retrained."""

    epochs: int = 60  # passes over the training split in every round; 0: what is pruned is measured as it is
    lr: float | None = None  # peak learning rate; None: that of train
    decay_at: tuple[float, ...] = (0.5,)  # as train.decay_at, of the retraining's epochs

    def __post_init__(self) -> None:
        _require(self.epochs >= 0, "retrain.epochs", self.epochs, "0 or more")
        _require(self.lr is None or self.lr > 0, "retrain.lr", self.lr, "above 0")
        _check_fractions("retrain.decay_at", self.decay_at)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One run: everything but the method's own options."""

    dataset: str = "digits"  # a name of `prunebench list datasets`
    model: str = "lenet_300_100"  # a name of `prunebench list`, timm/NAME or torchvision/NAME
    pruner: str = "nnrelief"  # a name of `prunebench list`, or path/to/file.py:Class
    seed: int = 0  # gives initial weights, batch order, augmentation and pruning their own random streams
    train: Recipe = field(default_factory=Recipe)
    retrain: Retraining = field(default_factory=Retraining)
    protocol: Literal["1", "paper"] = "1"  # paper: best epoch picked on the test set, to reproduce only
    select: Literal["last", "best"] = "last"  # a training ends with its last epoch, or its best on validation
    stop_drop: float | None = None  # end an iterative run once validation top1 is more than this below dense
    score_examples: int = 1000  # training examples that a method may look at for each pruning
    spare: tuple[str, ...] = ()  # weights that no method may prune, as name patterns: 'fc3.weight'
    weights: Path | None = (
        None  # file of a trained network, safetensors or torch.save's, in place of the dense training
    )
    weights_digest: str | None = None  # sha256 of that file; filled in, and held where it is given
    shortcut: Literal["a", "b"] = "a"  # resnet_N: zero-padded (a) or projection (b) shortcuts
    stem: Literal["default", "small"] = "default"  # timm/ and torchvision/: small suits 32x32 images
    image_size: int | None = None  # resize images to this side; default: the dataset's own, or what the network needs
    train_limit: int | None = None  # train on a stratified subset of so many examples
    allow_unverified_data: bool = False  # read files that differ from the published checksums; recorded
    amp: Literal["none", "bf16"] = "none"  # mixed precision
    channels_last: bool = False  # memory format of convolutional networks
    deterministic: bool = False  # only deterministic algorithms: bit-equal repeats on a GPU too, slower
    data_dir: Path | None = None  # folder of the datasets; default: $PRUNEBENCH_DATA, else ./data
    results: Path = Path("results")  # root of the records
    device: str = "auto"  # cpu, cuda, mps; auto: the fastest there is
    wandb: Literal["online", "offline", "off", "auto"] = "auto"  # auto: online if a key is there
    project: str = "nnrelief-bench"  # of W&B
    entity: str | None = None  # of W&B

    def __post_init__(self) -> None:
        if self.weights is not None:
            self._hold_weights(self.weights)
        _require(self.train.epochs >= 1, "train.epochs", self.train.epochs, "at least 1")
        _require(self.seed >= 0, "seed", self.seed, "0 or more")
        _require(self.score_examples >= 1, "score_examples", self.score_examples, "at least 1")
        _require(self.train_limit is None or self.train_limit >= 1, "train_limit", self.train_limit, "at least 1")
        _require(self.image_size is None or self.image_size >= 1, "image_size", self.image_size, "at least 1")
        in_range = self.stop_drop is None or 0 < self.stop_drop < 1
        _require(in_range, "stop_drop", self.stop_drop, "in (0, 1): 0.02 is two points of top1")

    def _hold_weights(self, file: Path) -> None:
        from benchmark.models import weights_digest

        found = weights_digest(file)
        if self.weights_digest not in (None, found):
            raise UserError(f"weights: {file} is not the file of before, its digest differs; leave weights_digest out")
        object.__setattr__(self, "weights_digest", found)


@dataclass(frozen=True)
class RunConfig:
    """A whole run: the settings and the method."""

    settings: Settings
    pruner: Pruner
    pruner_digest: str | None = None  # sha256 of the file that the method was read from, if not this suite's

    @property
    def options(self) -> dict[str, Any]:
        """All options by dotted name, as on the command line, with JSON values; for the records."""
        return _flat({**_without_pruner(self.settings), "pruner": self.settings.pruner}) | _flat(
            {"pruner": {f.name: getattr(self.pruner, f.name) for f in fields(self.pruner)}}
        )

    @property
    def retraining(self) -> Recipe:
        """The recipe of a retraining: the training recipe with what `retrain` changes."""
        retrain = self.settings.retrain
        return replace(
            self.settings.train,
            epochs=retrain.epochs,
            lr=retrain.lr or self.settings.train.lr,
            decay_at=retrain.decay_at,
        )

    def plan(self, steps: int) -> list[Phase]:
        """The method's plan for a dense training of `steps`; raises MethodError for one that cannot be carried out."""
        from benchmark.pruning import checked_plan, without_retraining

        plan = checked_plan(self.pruner, steps)
        return plan if self.settings.retrain.epochs else without_retraining(plan)

    @property
    def id(self) -> str:
        """The identity: a hash of all options that can change a number, and of the protocol."""
        return _digest({**self._identity(), "file": self.pruner_digest})

    @property
    def dense_id(self) -> str:
        """The identity of the dense training that this run starts from, the same for all methods."""
        own = ("pruner", "retrain.", "stop_drop", "score_examples", "spare")
        return _digest({k: v for k, v in self._identity().items() if not k.startswith(own)})

    @property
    def name(self) -> str:
        """A name that reads well and is unique in a results folder."""
        s = self.settings
        method = s.pruner.rsplit(":", 1)[-1]
        parts = [s.dataset, s.model.replace("/", "-"), s.train.optimizer, method, f"s{s.seed}", self.id[:8]]
        return "-".join(parts)

    def _identity(self) -> dict[str, Any]:
        options = {k: v for k, v in self.options.items() if k not in PLACE}
        return {**options, "protocol_number": PROTOCOL}


def _without_pruner(settings: Settings) -> dict[str, Any]:
    return {k: v for k, v in asdict(settings).items() if k != "pruner"}


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = (
                list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
            )
    return flat


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise UserError(f"{name} must be {allowed}, got {value}")


def _check_fractions(name: str, values: tuple[float, ...]) -> None:
    rising = list(values) == sorted(values)
    _require(rising and all(0 < v < 1 for v in values), name, values, "rising fractions of the epochs in (0, 1)")
