"""How a run is begun with the W&B client: online, offline, never asking and never waiting long."""

from __future__ import annotations

import contextlib
import netrc
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Thread
from typing import Any, Literal
from urllib.parse import urlsplit

from benchmark.errors import UserError
from benchmark.records import Record, read_json

ARRIVAL = 5.0  # seconds for rows that were sent to be there
END = 2.0  # seconds for the client to end after an error; it takes some hundredths

PLACE = "wandb.json"  # in a record: the run on W&B that mirrors it

# The longest that W&B may hold up the start and the end of a run, in seconds; the client's variables
# WANDB_INIT_TIMEOUT and WANDB_FINISH_TIMEOUT change them.
LIMITS = {"init_timeout": 15.0, "finish_timeout": 15.0}


def begin(
    mode: str,
    run_id: str,
    project: str,
    entity: str | None,
    directory: Path,
    about: Mapping[str, Any],
    strict: bool = False,
    patience: float = 0.0,
) -> tuple[Any, str] | None:
    """The W&B run, and the command that brings later what does not arrive; None where W&B is disabled.

    `about` is name, group, job type, tags and config; its end may take `patience` seconds more than LIMITS says. Where
    W&B does not answer, the run is offline, or, `strict`, Unreachable is raised. Raises UserError for `online` without
    an API key, and what the client raises.
    """
    settings = client_settings()
    if mode == "auto" and settings.mode == "disabled":
        return None
    start = _Start(run_id, project, entity, directory.absolute(), about, strict, patience)
    if mode == "offline" or (mode == "auto" and settings.mode in ("offline", "dryrun")):
        return start.offline("as set")
    if mode == "online":
        return start.online(require_key())
    key = find_key(settings)
    return start.offline("no API key; `wandb login` stores one") if key is None else start.online(key)


class Unreachable(Exception):
    """W&B did not take what it was given; its argument says why."""


class _Start:
    """What it takes to begin one run, online or offline."""

    def __init__(
        self,
        run_id: str,
        project: str,
        entity: str | None,
        directory: Path,
        about: Mapping[str, Any],
        strict: bool,
        patience: float,
    ) -> None:
        self.directory, self.strict = directory, strict
        self.limits = {**LIMITS, "finish_timeout": LIMITS["finish_timeout"] + patience}
        self.asked = {"project": project, "entity": entity}
        place = {"id": run_id, **self.asked}
        self.swept = swept_names()
        if (before := read_json(directory / PLACE)).get("asked") == self.asked:  # goes on where it began, as in a sweep
            place = {name: before[name] for name in place}
            self.swept = self.swept or before["swept"]
        config = {name: value for name, value in about["config"].items() if name not in self.swept}
        self.arguments = {**about, "config": config, "dir": str(directory), "resume": "allow"}
        self.id = os.environ.get("WANDB_RUN_ID", place["id"])
        if "WANDB_SWEEP_ID" not in os.environ:  # there the agent says where the run belongs
            self.arguments |= {**place, "id": self.id}

    def online(self, key: str) -> tuple[Any, str]:
        before = self._folders()
        try:
            run = self._init("online", api_key=key or None)
        except Exception as error:
            release()  # the run that failed holds its id until then
            for folder in self._folders() - before:
                shutil.rmtree(folder, ignore_errors=True)
            if self.strict:
                raise Unreachable(cause(error)) from error
            return self.offline(cause(error))
        self._note(run)
        say(f"mirrored to {run.url}")
        return run, mirror_command(self.directory)

    def offline(self, why: str) -> tuple[Any, str]:
        """A run that gets all rows: earlier offline ones, not yet brought to W&B, are dropped for it."""
        for folder in self._folders():
            if folder.name.startswith("offline-") and not any(folder.glob("*.synced")):
                shutil.rmtree(folder, ignore_errors=True)
        is_first = not self._folders()
        run = self._init("offline")
        self._note(run)
        way = mirror_command(self.directory)
        if is_first:  # else `wandb sync` would add again the rows that came before, online or synced
            way = f"wandb sync {shlex.quote(str(self.directory / 'wandb'))}/offline-run-*-{self.id}"  # of any later one
        say(f"mirrored offline ({why}); bring it later with: {way}")
        return run, way

    def _init(self, mode: Literal["online", "offline"], **more: Any) -> Any:
        import wandb

        client_settings()
        limits = {name: limit for name, limit in self.limits.items() if f"WANDB_{name.upper()}" not in os.environ}
        quiet = {"silent": True, "console": "wrap", "x_disable_viewer": True, "symlink": False}
        settings = wandb.Settings(mode=mode, finish_timeout_raises=True, **limits, **quiet, **more)
        return wandb.init(**self.arguments, reinit="create_new", settings=settings)

    def _note(self, run: Any) -> None:
        """Write into the record which run of W&B mirrors it, so that it is gone on with, in its sweep too."""
        place = {"id": run.id, "project": run.project, "entity": run.entity or None, "sweep": run.sweep_id or None}
        Record(self.directory).write_json(PLACE, {**place, "asked": self.asked, "swept": self.swept})

    def _folders(self) -> set[Path]:
        """The client's folders of this run."""
        return set(self.directory.glob(f"*wandb/*run-*-{self.id}*"))


def client_settings() -> Any:
    """The client's settings from its files and environment; silences it for this process."""
    # Its reports about itself hold up the end of the process by 10 s where W&B is silent.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    return wandb.setup(wandb.Settings(silent=True)).settings


def release(run: Any = None) -> None:
    """End `run` and the client in this process after an error, whatever state they are in."""
    import wandb

    with contextlib.suppress(Exception):
        if run is not None:
            run.finish(exit_code=1)

    def end() -> None:
        with contextlib.suppress(Exception, SystemExit):
            wandb.teardown()

    # An answer that comes too late, as it is told to end, makes the client's service miss that and the client wait for
    # it for ever. A service that is left behind ends with this process.
    ending = Thread(target=end, daemon=True)
    ending.start()
    ending.join(END)


def require_key() -> str:
    """The API key. Raises UserError where none is configured."""
    key = find_key(client_settings())
    if key is None:
        raise UserError("W&B has no API key; run `wandb login`, set WANDB_API_KEY, or choose --wandb offline")
    return key


def find_key(settings: Any) -> str | None:
    """The API key as the client finds it, but never asked for; '' where a token file stands in for it."""
    if settings.api_key or settings.identity_token_file:
        return settings.api_key or ""
    address = urlsplit(settings.base_url)
    files = [os.environ["NETRC"]] if "NETRC" in os.environ else ["~/.netrc", "~/_netrc"]
    for file in files:
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            hosts = netrc.netrc(str(Path(file).expanduser()))
            if entry := hosts.authenticators(address.netloc) or hosts.authenticators(address.hostname or ""):
                return entry[2]
    return None


def swept_names() -> list[str]:
    """The options that are the sweep's, in the spelling of its file: a second one would make two columns of one."""
    path = os.environ.get("WANDB_SWEEP_PARAM_PATH")
    if not path:
        return []
    import yaml

    swept = yaml.safe_load(Path(path).read_text())
    given = {key: entry["value"] for key, entry in swept.items() if isinstance(entry, dict)}
    return sorted({name for key, value in given.items() for name in _names(key, value)})


def _names(key: str, value: object) -> Iterator[str]:
    """The plain name of a swept option, and of those nested in it."""
    name = key.replace("-", "_")
    yield name
    if isinstance(value, Mapping):
        for nested, inner in value.items():
            yield from _names(f"{name}.{nested}", inner)


def check_arrival(path: str, last: int) -> None:
    """Raise Unreachable where the run at `path` lacks rows up to the one numbered `last`.

    A refusal that the client does not retry makes it drop all later rows, and it does not say so.
    """
    import wandb

    until = time.monotonic() + ARRIVAL
    try:
        run = wandb.Api(api_key=require_key() or None, timeout=int(ARRIVAL)).run(path)
        while (found := run.lastHistoryStep) < last and time.monotonic() < until:
            time.sleep(0.5)
    except Exception as error:
        raise Unreachable(f"cannot ask whether all rows arrived: {cause(error)}") from error
    if found < last:
        raise Unreachable(f"of rows 0 to {last}, those after {found} did not arrive")


def mark_as_brought(directory: Path) -> None:
    """Mark what was written offline, as the client does, so that `wandb sync` does not bring it once more."""
    for file in directory.glob("wandb/offline-run-*/*.wandb"):
        file.with_suffix(".wandb.synced").touch()


def mirror_command(directory: Path) -> str:
    """The command that brings a record to W&B, whatever is there already."""
    return f"prunebench mirror {shlex.quote(str(directory))}"


def cause(error: Exception) -> str:
    """The last line of what the client says, which names the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def say(line: str, about: str = "W&B") -> None:
    """One line to the user about W&B, or another tracker."""
    print(f"{about}: {line}", file=sys.stderr, flush=True)
