"""One run from start to end: data, network, record, mirror, and how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from benchmark.config import RunConfig
from benchmark.errors import Diverged, Interrupted, MethodError, UserError, is_out_of_memory
from benchmark.records import Damaged, Record, Row, environment, now, open_record, write_atomically
from benchmark.runs.progress import Progress

if TYPE_CHECKING:
    from benchmark.training import Runner, Stop


@dataclass(frozen=True)
class Outcome:
    """How a run stands after it was asked for: `state` is that of its status, or `held` by another process."""

    state: str
    reason: str
    folder: Path


def outcome_of(config: RunConfig) -> Outcome:
    """How a run stands now, without doing anything; `missing` where it was never begun."""
    record = Record(config.settings.results / "runs" / config.name)
    return Outcome(*record.standing, record.folder)


def carry_out(
    config: RunConfig, progress: Progress | None = None, wait: bool = True, cores: int | None = None
) -> Outcome:
    """Do a run, or go on with it, unless it is done already.

    A run that diverges or whose method breaks its contract ends with that state; other errors are
    recorded and raised. Where another process holds the run, or makes the dense training that it starts
    from, waits for it or returns `held`. `cores` is its share of the machine; default: PyTorch's threads.
    """
    if (before := outcome_of(config)).state == "done":
        _show_again(config)
        return before
    import torch

    from benchmark.tracking import told_to_sweep
    from benchmark.training import DenseTrainings, Runner, Stop, threads

    progress, stop = progress or Progress(config), Stop()
    try:
        with told_to_sweep(config.options, config.name):
            device, data = _prepare(config)
            dense = DenseTrainings(config, data, progress.epoch, stop)
            runner = Runner(config, data, Record(before.folder), dense, _by_kind(progress.epoch, progress.point), stop)
    except MethodError as error:  # a plan that no run can carry out
        open_record(config.settings.results, "runs", config.name).update_status("failed", str(error))
        return outcome_of(config)
    record = open_record(config.settings.results, "runs", config.name)
    with record.locked(wait) as mine, contextlib.closing(dense):
        if not mine or not (wait or runner.reserve()):
            what = "its dense training" if mine else "it"
            return Outcome("held", f"another process works on {what}", record.folder)
        if not record.done:
            begun = _threads_of(record)
            with threads(_threads(config, begun, cores or torch.get_num_threads())), interruptible(stop):
                _carry_out(config, runner, progress, device)
    return outcome_of(config)


def _show_again(config: RunConfig) -> None:
    """A run that was done before is shown in the W&B sweep that asks for it; elsewhere it was shown already."""
    if os.environ.get("WANDB_SWEEP_ID"):
        from benchmark.tracking import mirror_record

        settings = config.settings
        record = Record(settings.results / "runs" / config.name)
        mirror_record(record, settings.wandb, settings.project, settings.entity, settings.log_model)


def _prepare(config: RunConfig) -> tuple[Any, Any]:
    """The device and the data; what is wrong with them shows before anything is written."""
    import torch

    from benchmark.data import load_dataset
    from benchmark.tracking import check_mirror, load_tracker

    settings = config.settings
    check_mirror(settings.wandb)
    for name in settings.trackers:
        load_tracker(name)
    device = pick_device(settings.device)
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    data = load_dataset(
        config.images,
        settings.data_dir,
        size=config.input_shape,
        train_limit=settings.train_limit,
        allow_unverified=settings.allow_unverified_data,
        device=device,
    )
    if data.augment:
        settings.train.augmentation.check(*data.shape[1:])
    return device, data


def pick_device(name: str) -> Any:
    """The torch device called `name`; `auto` is the fastest there is."""
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"
    kind = name.partition(":")[0]
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": 1}
    try:
        device = torch.device(name)
    except RuntimeError:  # not the name of a device
        device = None
    if device is None or not there.get(kind) or (device.index or 0) >= counts[kind]:
        known = ", ".join(k for k, is_there in there.items() if is_there)
        raise UserError(f"device '{name}' is not to be had here; there is: auto, {known}")
    return device


def _carry_out(config: RunConfig, runner: Runner, progress: Progress, device: Any) -> None:
    from benchmark.tracking import Trackers, open_mirror, open_trackers

    settings, record, data = config.settings, runner.record, runner.data
    record.clear_litter()
    record.set_aside_damaged()
    record.remove("traceback.json")
    record.write_json("config.json", config.head)
    for name, content in config.files.items():
        (record.folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(record.folder / name, lambda file, content=content: file.write(content))
    about_data = {"data_verified": data.verified, "data_digests": data.digests, "classes": data.classes}
    record.write_json("environment.json", {**environment(device), **about_data})
    record.update_status("running")
    mirror = open_mirror(settings.wandb, record, settings.project, settings.entity, log_model=settings.log_model)
    trackers = Trackers({"W&B": mirror, **open_trackers(settings.trackers, record)})
    code, state, reason = 1, "failed", ""
    try:
        with progress.of(runner.plan, runner.trainer.steps_per_epoch, config):
            runner.trainer.kept = trackers.show
            found = runner.execute()
        early = found.stopped_early
        record.finish(runner.trainer.content(finished=True), reason=early or "", finished=now(), stopped_early=early)
        code, state, reason = 0, "done", early or ""
    except Diverged as error:
        state, reason = "diverged", str(error)
    except MethodError as error:
        reason = str(error)
    except KeyboardInterrupt as error:
        code = error.args[0] if error.args else 130
        state, reason = "interrupted", "stopped by a signal; run it again to go on"
        raise
    except OSError as error:  # a full disk, a lost mount: not the run's fault
        state, reason = "interrupted", f"{error.strerror or error}; run it again to go on"
        raise
    except Exception as error:
        if is_out_of_memory(error):
            state, reason = "interrupted", f"out of memory on {device}; a smaller --train.batch_size is another run"
        else:
            reason = f"{type(error).__name__}: {error}"
            record.write_json("traceback.json", {"traceback": traceback.format_exc().splitlines()})
            raise
    finally:
        if state != "done":
            with contextlib.suppress(OSError):  # where nothing can be written, the run is resumed all the same
                record.update_status(state, reason, finished=now(), stopped_early=None)
        trackers.finish(exit_code=code, summary={"state": state, "reason": reason}, again=code > 128)


def _threads(config: RunConfig, begun: int | None, cores: int) -> int:
    """`--threads`, else those that the run began with, else by the rule."""
    from benchmark.training import threads_for

    return config.settings.threads or begun or threads_for(config, cores)


def _threads_of(record: Record) -> int | None:
    """The threads that the run began with: on a CPU the last bits of sums depend on them."""
    try:
        return record.read_json("environment.json").get("hardware", {}).get("threads")
    except Damaged:
        return None


def _by_kind(epoch: Callable[[Row], None], point: Callable[[Row], None]) -> Callable[[Row], None]:
    return lambda row: (point if "point" in row else epoch)(row)


@contextlib.contextmanager
def interruptible(stop: Stop | None = None, for_good: bool = False) -> Iterator[None]:
    """Within, the first SIGTERM or SIGINT raises Interrupted with the exit status a shell would give.

    `stop` takes it, and may put it off until what is under way is whole. Later ones, such as a second Ctrl-C, do
    not break off what the first leaves to be written, up to the end of the outermost `interruptible`, and where
    that is `for_good` up to the end of the process. A signal that whoever started this process had it ignore
    stays ignored.
    """
    here = threading.current_thread() is threading.main_thread()  # else whoever started it handles signals
    before = {number: handler for number in SIGNALS if here and (handler := signal.getsignal(number)) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, _Ending(stop))
    try:
        yield
        if stop is not None and stop.asked is not None:  # it came as the run failed by itself
            raise Interrupted(stop.asked)
    finally:
        for number, handler in before.items():
            heard = signal.getsignal(number) == signal.SIG_IGN
            if not (heard and (for_good or isinstance(handler, _Ending))):
                signal.signal(number, handler)


class _Ending:
    """The handler of a signal that asks this process to end."""

    def __init__(self, stop: Stop | None) -> None:
        self.stop = stop

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for each in SIGNALS:
            if isinstance(signal.getsignal(each), _Ending):
                signal.signal(each, signal.SIG_IGN)
        if self.stop is None:
            raise Interrupted(128 + number)
        self.stop.ask(number)


SIGNALS = (signal.SIGTERM, signal.SIGINT)
