"""The names of a record: what its rows and files hold, and one table of all metrics.

Whoever writes, shows or explains a number takes its name, unit and label from here. A new metric is a field
of a row and an entry of METRICS; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

Row = dict[str, Any]  # of any file, as it is read

ROWS = ("epochs.jsonl", "points.jsonl")
FILES = ("config.json", "environment.json", *ROWS)  # what a run has from its first epoch on, next to its status

DROPS = (0.005, 0.01, 0.02)  # of top1 below dense: a network that loses no more is of comparable accuracy
EQUAL = 16  # times compressed: where networks are looked at layer by layer and unit by unit

State = Literal["missing", "running", "done", "failed", "diverged", "interrupted", "held"]


class EpochRow(TypedDict):
    """A line of epochs.jsonl: one pass over the training split."""

    log_step: int  # numbers the rows of both files in the order they were made
    epoch: int  # from 1
    round: int  # prune-and-train rounds begun; 0 before any pruning
    schedule: Literal["train", "retrain"]
    step: int  # optimiser steps since the initial weights
    lr: float  # of the epoch's last step
    train_loss: float  # mean over the epoch's steps
    val_top1: float
    val_top5: NotRequired[float]
    val_loss: float
    test_top1: NotRequired[float]  # with `--protocol paper` only
    test_top5: NotRequired[float]
    test_loss: NotRequired[float]
    sparsity_prunable: float
    seconds: float
    images_per_second: float


class LayerRow(TypedDict):
    """A conv or linear layer at a measured point: its weight's entries, and its FLOPs before pruning."""

    name: str
    kept: int
    total: int
    flops_dense: int


class FiringRow(TypedDict):
    """The activity of a layer's units at a measured point, on validation images."""

    name: str
    units: int
    active_share: float
    mean_activation: float
    dead_units: int
    class_overlap: float


class LatencyRow(TypedDict):
    """How long an engine takes for a batch with one form of a network, in seconds."""

    engine: str
    form: Literal["dense", "structural", "sparse"]  # whole; without dead units; masked, in sparse kernels
    batch: int
    threads: int
    p50: float
    min: float
    p25: float
    p75: float
    repeats: int
    difference: float  # of the outputs from the masked network's, relative to the largest


class PointRow(TypedDict):
    """A line of points.jsonl: the network as it was measured, and what it had cost until then."""

    log_step: int
    point: int  # from 0
    round: int
    stage: Literal["pruned", "trained"]  # before or after the round's training
    target_sparsity: float | None
    top1: float
    top5: NotRequired[float]
    loss: float
    correct: int
    total: int
    val_top1: float
    val_top5: NotRequired[float]
    val_loss: float
    sparsity_prunable: float
    compression_params: float | None  # a ratio to nothing is None
    compression_weights: float | None
    params_total: int
    params_kept: int
    flops_dense: int
    flops_effective: float
    speedup_theoretical: float | None
    flops_structural: int
    speedup_structural: float | None
    bytes_dense: int
    bytes_sparse: int
    bytes_sparse_format: Literal["bitmap", "csr"]
    collapsed: bool
    layers: list[LayerRow]
    flops_unsupported: dict[str, int]
    structural_note: str
    firing: NotRequired[list[FiringRow]]  # at the first point, the last and the one nearest to 16x, or at all
    firing_sha256: NotRequired[str]  # of the file with each unit's rates by class
    latency: NotRequired[list[LatencyRow]]  # with `--measure_latency`, as what follows
    latency_dense: NotRequired[float]
    latency_structural: NotRequired[float]
    latency_sparse: NotRequired[float]
    latency_batch: NotRequired[int]
    latency_threads: NotRequired[int]
    speedup_measured_structural: NotRequired[float]
    speedup_measured_sparse: NotRequired[float]
    weights_sha256: str
    masks_sha256: str  # of the masks, which a file of their name holds, see `read_masks`
    step: int
    epochs_total: float
    train_flops: float
    train_seconds: float
    prune_seconds: float
    prune_flops: float  # of the forward and backward passes of all prunings, executed dense


class ConfigFile(TypedDict):
    """config.json: which run this is."""

    id: str
    name: str
    group: str  # the same for all seeds of a configuration
    protocol: str
    protocol_number: int
    dense_key: str  # the identity of the shared dense training
    method: Row  # its label, its call as in a sweep file, its knob, and where it is from if it is not this suite's
    sources: Row  # of pruner, model and dataset that are not this suite's
    differs: list[str]  # options that are not at their default
    belongs: dict[str, list[str]]  # options of the run alone, of the dense training too, of the place
    config: Row  # all options by dotted name


class Hardware(TypedDict):
    device: str
    machine: str
    system: str
    cpus: int | None
    threads: int  # that the training computes with, kept by whoever goes on with it


class EnvironmentFile(TypedDict):
    """environment.json: what the run was made with."""

    commit: str | None
    versions: dict[str, str | None]
    hardware: Hardware
    data_verified: NotRequired[bool]
    data_digests: NotRequired[dict[str, str]]
    classes: NotRequired[int]


class StatusFile(TypedDict, total=False):
    """status.json: how the run stands."""

    state: State
    reason: str
    started: str  # UTC
    finished: str
    host: str
    process: int
    stopped_early: str | None
    rows: dict[str, list[Any]]  # by file: how many rows it has, and the digest of the last


Shown = Literal["epoch", "point", "table", "figure"]  # trackers' charts over epochs and points; reports
Section = Literal["", "accuracy", "size", "cost"]


@dataclass(frozen=True)
class Metric:
    """A number of a record, or one that reports make of records: what it is called and which way is better.

    `label` heads a table's column; `about` says what the number is, as an axis or a document does. Trackers chart
    few numbers and keep the others: `section` is where they have those of measured points, "" for what is the same
    at all of them or says where a row stands.
    """

    label: str
    unit: str  # "" for a plain number; "share" lies in [0, 1] and is shown in %
    better: Literal["higher", "lower", ""]
    shown: tuple[Shown, ...]
    about: str
    section: Section = ""


_EPOCH: tuple[Shown, ...] = ("epoch",)
_POINT: tuple[Shown, ...] = ("point",)
_BOTH: tuple[Shown, ...] = ("epoch", "point")

METRICS: dict[str, Metric] = {
    # accuracy
    "top1": Metric("top-1", "share", "higher", ("point", "table", "figure"), "Test top-1 accuracy", "accuracy"),
    "top5": Metric(
        "top-5", "share", "higher", (), "Test top-5 accuracy, where there are more than 10 classes", "accuracy"
    ),
    "loss": Metric("test loss", "", "lower", (), "Test cross-entropy", "accuracy"),
    "correct": Metric("correct", "images", "higher", (), "Test images whose class is found", "accuracy"),
    "total": Metric("test images", "images", "", (), "Test images"),
    "val_top1": Metric("validation top-1", "share", "higher", _BOTH, "Validation top-1 accuracy", "accuracy"),
    "top1_pruned": Metric(
        "top-1 before retraining", "share", "higher", (), "Test top-1 right after pruning", "accuracy"
    ),
    "val_top1_pruned": Metric(
        "validation top-1 before retraining",
        "share",
        "higher",
        _POINT,
        "Validation top-1 right after pruning",
        "accuracy",
    ),
    "val_top5": Metric("validation top-5", "share", "higher", (), "Validation top-5 accuracy", "accuracy"),
    "val_loss": Metric("validation loss", "", "lower", _EPOCH, "Validation cross-entropy", "accuracy"),
    "test_top1": Metric("test top-1", "share", "higher", _EPOCH, "Test top-1 of an epoch (protocol paper only)"),
    "test_top5": Metric("test top-5", "share", "higher", (), "Test top-5 of an epoch (protocol paper only)"),
    "test_loss": Metric("test loss", "", "lower", (), "Test cross-entropy of an epoch (protocol paper only)"),
    "train_loss": Metric("training loss", "", "lower", _EPOCH, "Mean cross-entropy of the epoch's optimiser steps"),
    "drop": Metric(
        "test drop", "share", "lower", ("table",), "Test top-1 of the dense network minus that of the pruned"
    ),
    "validation_drop": Metric("validation drop", "share", "lower", ("table",), "The same of validation top-1"),
    # size
    "sparsity_prunable": Metric(
        "sparsity", "share", "higher", ("epoch", "table"), "Masked-out share of the prunable weights", "size"
    ),
    "target_sparsity": Metric("target", "share", "", (), "Sparsity that the plan asked for", "size"),
    "compression_params": Metric(
        "compression (parameters)",
        "×",
        "higher",
        ("point", "table", "figure"),
        "Compression ratio (all parameters ÷ those kept)",
        "size",
    ),
    "compression_weights": Metric(
        "compression (weights)",
        "×",
        "higher",
        ("table",),
        "Weights and biases of conv and linear layers ÷ those kept, as the NNrelief paper counts",
        "size",
    ),
    "params_total": Metric("parameters", "", "", (), "Parameters of the unpruned network"),
    "params_kept": Metric("parameters kept", "", "lower", (), "Parameters that are not masked out", "size"),
    "bytes_dense": Metric("bytes, dense", "bytes", "", (), "Size with every parameter stored"),
    "bytes_sparse": Metric("bytes, sparse", "bytes", "lower", (), "Smaller of bitmap and CSR storage", "size"),
    "collapsed": Metric("collapsed", "", "lower", (), "Whether the output no longer depends on the input", "accuracy"),
    # FLOPs per example, one multiply-add = 1
    "flops_dense": Metric("FLOPs, dense", "FLOPs", "", (), "FLOPs of the unpruned network"),
    "flops_effective": Metric("FLOPs, effective", "FLOPs", "lower", (), "FLOPs times the density of each mask", "size"),
    "flops_structural": Metric("FLOPs, structural", "FLOPs", "lower", (), "FLOPs without the dead units", "size"),
    "speedup_theoretical": Metric(
        "speed-up, theoretical",
        "×",
        "higher",
        ("point", "table", "figure"),
        "Theoretical speed-up (dense FLOPs ÷ effective FLOPs)",
        "size",
    ),
    "speedup_structural": Metric(
        "speed-up, structural",
        "×",
        "higher",
        ("point", "table"),
        "Structural speed-up (dense FLOPs ÷ FLOPs without the dead units)",
        "size",
    ),
    # latency, measured (p50), of torch: see latency_batch and latency_threads
    "latency_dense": Metric("latency, dense", "s", "lower", (), "Seconds of a batch, the whole network", "cost"),
    "latency_structural": Metric(
        "latency, structural", "s", "lower", (), "Seconds of a batch without dead units", "cost"
    ),
    "latency_sparse": Metric(
        "latency, sparse", "s", "lower", (), "Seconds of a batch, layers in CSR where faster", "cost"
    ),
    "latency_batch": Metric("latency's batch", "images", "", (), "Images of a batch whose latency is measured"),
    "latency_threads": Metric("latency's threads", "", "", (), "Threads that latency is measured with"),
    "speedup_measured_structural": Metric(
        "speed-up, measured structural", "×", "higher", (), "Measured latency, dense ÷ without dead units", "size"
    ),
    "speedup_measured_sparse": Metric(
        "speed-up, measured sparse", "×", "higher", (), "Measured latency, dense ÷ masked in sparse kernels", "size"
    ),
    # activity of a layer, in the rows of `firing`
    "units": Metric("units", "units", "", (), "Units of a layer: neurons or channels"),
    "active_share": Metric("active outputs", "share", "", ("figure",), "Outputs above zero"),
    "mean_activation": Metric("mean activation", "", "", (), "Mean of a layer's outputs"),
    "dead_units": Metric("dead units", "units", "", ("figure",), "Units that no validation image makes fire"),
    "class_overlap": Metric(
        "class overlap", "share", "", ("figure",), "Sum of minima / sum of maxima of two classes' firing rates"
    ),
    # cost, everything before included
    "epochs_total": Metric("epochs", "epochs", "lower", ("point", "table"), "Training epochs", "cost"),
    "budget": Metric("training, × dense", "×", "lower", ("table",), "Training epochs ÷ those of the dense network"),
    "budget_flops": Metric(
        "sparse training, × dense", "×", "lower", ("table",), "Training FLOPs ÷ those of the dense network"
    ),
    "budget_seconds": Metric(
        "time, × dense", "×", "lower", ("table",), "Seconds of training and pruning ÷ those of the dense network"
    ),
    "train_flops_dense": Metric(
        "training FLOPs, executed dense", "FLOPs", "lower", ("table",), "Training FLOPs, each step at dense cost"
    ),
    "train_flops": Metric(
        "training FLOPs", "FLOPs", "lower", ("point", "table"), "Training FLOPs, sparse steps at their own cost", "cost"
    ),
    "prune_flops": Metric(
        "scoring FLOPs", "FLOPs", "lower", ("table",), "FLOPs of the passes that scoring takes, dense", "cost"
    ),
    "budget_prune": Metric(
        "scoring, × dense", "×", "lower", ("table",), "Scoring FLOPs ÷ training FLOPs of the dense network"
    ),
    "train_seconds": Metric("training time", "s", "lower", ("point", "table"), "Seconds of training", "cost"),
    "prune_seconds": Metric("pruning time", "s", "lower", ("table",), "Seconds of scoring and masking", "cost"),
    "seconds": Metric("epoch time", "s", "lower", (), "Seconds of the epoch's training"),
    "images_per_second": Metric("images/s", "images/s", "higher", (), "Training images a second"),
    # where in the run a row stands
    "epoch": Metric("epoch", "epochs", "", (), "Epochs of this run"),
    "point": Metric("point", "", "", (), "Measured points before this one"),
    "round": Metric("round", "", "", (), "Prune-and-train rounds begun"),
    "step": Metric("step", "steps", "", (), "Optimiser steps since the initial weights"),
    "lr": Metric("learning rate", "", "", _EPOCH, "Learning rate of the epoch's last step"),
}
