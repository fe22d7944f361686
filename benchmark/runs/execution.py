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

from benchmark.config import PROTOCOL, RunConfig
from benchmark.errors import Diverged, Interrupted, MethodError, UserError
from benchmark.records import Record, Row, environment, now, open_record, read_json
from benchmark.runs.progress import Progress

if TYPE_CHECKING:
    from benchmark.training import Runner


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


def carry_out(config: RunConfig, progress: Progress | None = None, wait: bool = True) -> Outcome:
    """Do a run, or go on with it, unless it is done already.

    A run that diverges or whose method breaks its contract ends with that state; other errors are
    recorded and raised. Where another process holds the run, waits for it or returns `held`.
    """
    if (before := outcome_of(config)).state == "done":
        Record(before.folder).remove("checkpoint.pt")  # which a kill at the very end may have left
        _show_again(config)
        return before
    from benchmark.training import Runner

    device, data = _prepare(config)
    runner = Runner(config, data, Record(before.folder))
    record = open_record(config.settings.results, "runs", config.name)
    with record.locked(wait) as mine:
        if not mine:
            return Outcome("held", "another process works on it", record.folder)
        if not record.done:
            with _threads_restored(), interruptible():
                _carry_out(config, runner, progress or Progress(config), device)
    return outcome_of(config)


def _show_again(config: RunConfig) -> None:
    """A run that was done before is shown in the W&B sweep that asks for it; elsewhere it was shown already."""
    if os.environ.get("WANDB_SWEEP_ID"):
        from benchmark.tracking import mirror_record

        settings = config.settings
        record = Record(settings.results / "runs" / config.name)
        mirror_record(record, settings.wandb, settings.project, settings.entity)


def train_dense(config: RunConfig) -> None:
    """Make the dense training that this run starts from, unless it is made."""
    from benchmark.training import dense_training, rewind_steps

    _, data = _prepare(config)
    with interruptible():
        dense_training(config, data, rewind_steps(config, data))


def _prepare(config: RunConfig) -> tuple[Any, Any]:
    """The device and the data; what is wrong with them shows before anything is written."""
    import torch

    from benchmark.data import dataset_info, load_dataset
    from benchmark.models import input_shape
    from benchmark.tracking import check_mirror

    settings = config.settings
    check_mirror(settings.wandb)
    device = pick_device(settings.device)
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    data = load_dataset(
        settings.dataset,
        settings.data_dir,
        size=input_shape(settings.model, dataset_info(settings.dataset).shape, settings.image_size),
        train_limit=settings.train_limit,
        allow_unverified=settings.allow_unverified_data,
        device=device,
    )
    return device, data


def pick_device(name: str) -> Any:
    """The torch device called `name`; `auto` is the fastest there is."""
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"
    kind = name.partition(":")[0]
    if not there.get(kind):
        known = ", ".join(k for k, is_there in there.items() if is_there)
        raise UserError(f"device '{name}' is not to be had here; there is: auto, {known}")
    return torch.device(name)


def _carry_out(config: RunConfig, runner: Runner, progress: Progress, device: Any) -> None:
    from benchmark.tracking import labels, open_mirror

    settings, record, data = config.settings, runner.record, runner.data
    record.clear_litter()
    record.set_aside_damaged()
    _use_threads_of(record)
    head = {"id": config.id, "name": config.name, "protocol": settings.protocol, "protocol_number": PROTOCOL}
    record.write_json("config.json", {**head, "dense_key": config.dense_id, "config": config.options})
    about_data = {"data_verified": data.verified, "data_digests": data.digests, "classes": data.classes}
    record.write_json("environment.json", {**environment(device), **about_data})
    record.update_status("running", started=record.status.get("started", now()), host_process=os.getpid())
    group, tags = labels(config.options)
    mirror = open_mirror(
        settings.wandb,
        run_id=config.id,
        name=config.name,
        group=group,
        tags=tags,
        config=config.options,
        directory=record.folder,
        project=settings.project,
        entity=settings.entity,
    )
    code, state, reason = 1, "failed", ""
    try:
        with progress.of(runner.plan, runner.steps_per_epoch, config):
            runner.on_epoch = _both(mirror.epoch, progress.epoch)
            runner.on_point = _both(mirror.point, progress.point)
            runner.on_dense_epoch = progress.epoch
            found = runner.execute()
        record.save("network.pt", {"module": runner.net.module.state_dict(), "masks": runner.net.masks})
        code, state, reason = 0, "done", found.stopped_early or ""
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
        if _is_out_of_memory(error):
            state, reason = "interrupted", f"out of memory on {device}; a smaller --train.batch_size is another run"
        else:
            reason = f"{type(error).__name__}: {error}"
            record.write_json("traceback.json", {"traceback": traceback.format_exc().splitlines()})
            raise
    finally:
        stopped_early = reason if code == 0 and reason else None
        with contextlib.suppress(OSError):  # where nothing can be written any more, the run is resumed all the same
            record.update_status(state, reason, finished=now(), stopped_early=stopped_early)
        mirror.finish(exit_code=code, summary={"state": state, "reason": reason})
    if state == "done":
        record.remove("checkpoint.pt")


@contextlib.contextmanager
def _threads_restored() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _use_threads_of(record: Record) -> None:
    """Go on with as many threads as the run began with: on a CPU the last bits of sums depend on them."""
    import torch

    if record.status and (threads := read_json(record.folder / "environment.json").get("hardware", {}).get("threads")):
        torch.set_num_threads(threads)


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    says_so = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)  # PyTorch's, on a CPU
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or says_so


def _both(first: Callable[[Row], None], second: Callable[[Row], None]) -> Callable[[Row], None]:
    def both(row: Row) -> None:
        first(row)
        second(row)

    return both


@contextlib.contextmanager
def interruptible(for_good: bool = False) -> Iterator[None]:
    """Within, the first SIGTERM or SIGINT raises Interrupted with the exit status a shell would give.

    Later ones, such as a second Ctrl-C, do not break off what the first leaves to be written, up to the end of the
    outermost `interruptible`, and where that is `for_good` up to the end of the process. A signal that whoever
    started this process had it ignore stays ignored.
    """
    here = threading.current_thread() is threading.main_thread()  # else whoever started it handles signals
    before = {number: handler for number in SIGNALS if here and (handler := signal.getsignal(number)) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, _Ending())
    try:
        yield
    finally:
        for number, handler in before.items():
            heard = signal.getsignal(number) == signal.SIG_IGN
            if not (heard and (for_good or isinstance(handler, _Ending))):
                signal.signal(number, handler)


class _Ending:
    """The handler of a signal that asks this process to end."""

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for each in SIGNALS:
            if isinstance(signal.getsignal(each), _Ending):
                signal.signal(each, signal.SIG_IGN)
        raise Interrupted(128 + number)


SIGNALS = (signal.SIGTERM, signal.SIGINT)
