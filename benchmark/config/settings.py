"""The options of a run but for those of its method, network and dataset: frozen dataclasses, checked when made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from benchmark.errors import UserError
from benchmark.fields import Dense, Place, check

if TYPE_CHECKING:
    from benchmark.data import Augmentation

PROTOCOL = 2  # the number of the rules in the README; a change of rules is a new number
DEFAULT_LR = {"sgd": 0.1, "adam": 1e-3, "adamw": 1e-3}  # the NNrelief authors' README, and PyTorch's for AdamW

Count = Annotated[int, Ge(1)]
Epochs = Annotated[int, Ge(0)]
Rate = Annotated[float, Gt(0)]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training recipe; the defaults are NNrelief's for LeNets (the authors' code)."""

    epochs: Count = 60  # passes over the training split
    batch_size: Count = 120  # examples in an optimiser step; an incomplete last batch is dropped
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"  # with weight decay; SGD with momentum
    lr: Rate | None = None  # peak learning rate; None: 0.1 for sgd, 0.001 for adam and adamw
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9  # of SGD
    weight_decay: Annotated[float, Ge(0)] = 5e-4  # L2 (sgd, adam) or decoupled (adamw), on every parameter
    decay_at: tuple[float, ...] = (0.5,)  # where lr is multiplied by decay_factor, as fractions of the epochs
    decay_factor: Rate = 0.1  # see decay_at
    schedule: Literal["step", "cosine", "triangular"] = "step"  # lr falls at decay_at, or by each step to a hundredth
    warmup: Annotated[float, Ge(0), Lt(1)] = 0.0  # share of the epochs in which lr rises to its peak by each step
    nesterov: bool = False  # momentum of SGD as Nesterov's
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0  # share of the label that all classes have in common
    flip: Literal["random", "alternating"] = "random"  # of augmented images: by chance, or turned over every epoch
    translate: Annotated[int, Ge(0), Le(16)] = 4  # pixels by which augmented images are shifted at most
    edge: Literal["zeros", "reflect"] = "zeros"  # what a shift lets in

    def __post_init__(self) -> None:
        check(self, "train.")
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise UserError("train.nesterov needs --train.optimizer sgd and a train.momentum above 0")
        if self.lr is None:
            object.__setattr__(self, "lr", DEFAULT_LR[self.optimizer])
        _check_fractions("train.decay_at", self.decay_at)

    @property
    def rate(self) -> float:
        """The peak learning rate, after the optimiser's default was filled in."""
        assert self.lr is not None
        return self.lr

    @property
    def augmentation(self) -> Augmentation:
        """How training images are augmented."""
        from benchmark.data import Augmentation  # which imports torch

        return Augmentation(self.flip, self.translate, self.edge)


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """What differs from the training recipe when a pruned network is retrained."""

    epochs: Epochs = 60  # passes over the training split in every round; 0: what is pruned is measured as it is
    lr: Rate | None = None  # peak learning rate; None: that of train
    decay_at: tuple[float, ...] = (0.5,)  # as train.decay_at, of the retraining's epochs

    def __post_init__(self) -> None:
        check(self, "retrain.")
        _check_fractions("retrain.decay_at", self.decay_at)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One run: everything but the own options of its method, network and dataset.

    `Dense` marks what the shared dense training depends on too, `Place` what changes no number; all else is
    the run's. A run's identity has the options that differ from their defaults: a new option whose default does
    what was done before leaves old runs valid, a default that changes needs a new PROTOCOL.
    """

    dataset: Dense[str] = "digits"  # a name of `prunebench list datasets`, folder:PATH or path/to/file.py:function
    model: Dense[str] = "lenet_300_100"  # a name of `prunebench list`, timm/NAME, torchvision/NAME or file.py:function
    pruner: str = "nnrelief"  # a name of `prunebench list`, or path/to/file.py:Class
    seed: Dense[Annotated[int, Ge(0)]] = 0  # of the random streams of initial weights, batches, augmentation, pruning
    train: Dense[Recipe] = field(default_factory=Recipe)
    retrain: Retraining = field(default_factory=Retraining)
    protocol: Dense[Literal["standard", "paper"]] = "standard"  # paper: best epoch on the test set, to reproduce only
    select: Dense[Literal["last", "best"]] = "last"  # a training ends with its last epoch, or its best on validation
    stop_drop: Annotated[float, Gt(0), Lt(1)] | None = None  # end once validation top1 is more than this below dense
    score_examples: Count = 1000  # training examples that a method may look at for each pruning
    firing: Place[Literal["few", "all"]] = "few"  # measured points with firing rates: first, last, nearest to 16x; all
    measure_latency: Place[bool] = False  # measure, at each trained point, how long the network takes; see `latency`
    spare: tuple[str, ...] = ()  # weights that no method may prune, as name patterns: 'fc3.weight'
    weights: Place[Path | None] = None  # file of a trained network (safetensors, state dict) for the dense training
    weights_digest: Dense[str | None] = None  # sha256 of that file; filled in, and held where it is given
    image_size: Dense[Count | None] = None  # resize images to this side; None: the dataset's, or what the network needs
    train_limit: Dense[Count | None] = None  # train on a stratified subset of so many examples
    allow_unverified_data: Dense[bool] = False  # read files that differ from the published checksums; recorded
    amp: Dense[Literal["none", "bf16"]] = "none"  # mixed precision
    channels_last: Dense[bool] = False  # memory format of convolutional networks
    deterministic: Dense[bool] = False  # only deterministic algorithms: bit-equal repeats on a GPU too, slower
    data_dir: Place[Path | None] = None  # folder of the datasets; default: $PRUNEBENCH_DATA, else ./data
    results: Place[Path] = Path("results")  # root of the records
    device: Place[str] = "auto"  # cpu, cuda, mps; auto: the fastest there is
    cuda_graph: Place[bool] = True  # on a GPU, replay a captured optimiser step: as many kernels, one launch
    threads: Place[Count | None] = None  # of a CPU; None: by the size of the network and the cores there are
    wandb: Place[Literal["online", "offline", "off", "auto"]] = "auto"  # auto: online if a key is there
    project: Place[str] = "nnrelief-bench"  # of W&B
    entity: Place[str | None] = None  # of W&B
    log_model: Place[Literal["none", "last", "all"]] = "none"  # W&B keeps the network and its last masks, or all
    trackers: Place[tuple[str, ...]] = ()  # who else shows the run: tensorboard,trackio, or an installed one

    def __post_init__(self) -> None:
        check(self)
        trackers = (name.strip() for words in self.trackers for name in words.split(","))
        object.__setattr__(self, "trackers", tuple(filter(None, trackers)))
        if self.weights is not None:
            self._hold_weights(self.weights)
        if self.retrain.lr is None:
            object.__setattr__(self, "retrain", replace(self.retrain, lr=self.train.lr))

    def _hold_weights(self, file: Path) -> None:
        from benchmark.models import weights_digest

        found = weights_digest(file)
        if self.weights_digest not in (None, found):
            raise UserError(f"weights: {file} is not the file of before, its digest differs; leave weights_digest out")
        object.__setattr__(self, "weights_digest", found)

    @property
    def retraining(self) -> Recipe:
        """The recipe of a retraining: the training recipe with what `retrain` changes."""
        retrain = self.retrain  # a plan without retrainings does not ask for their recipe
        return replace(self.train, epochs=max(1, retrain.epochs), lr=retrain.lr, decay_at=retrain.decay_at)


def _check_fractions(name: str, values: tuple[float, ...]) -> None:
    rising = all(a <= b for a, b in pairwise(values))
    if not (rising and all(0 < v < 1 for v in values)):
        raise UserError(f"{name} must be rising fractions of the epochs in (0, 1), got {list(values)}")
