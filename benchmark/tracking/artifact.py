"""Finished runs as W&B artifacts, `pruned-ID`, and brought back from there as records.

An artifact has the files of its run's folder from which the network, its rows and its masks are read, and nothing
that changes later: of the same run it is the same, and W&B keeps it once.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Literal

from benchmark.errors import UserError
from benchmark.records import FILES, Record, masks_file, read_json
from benchmark.tracking.client import ARRIVAL, Unreachable, cause, release, require_key

LogModel = Literal["none", "last", "all"]

FETCHED = "fetched.json"  # in a record: the artifact that it was fetched from
SOURCE = "wandb:"  # how the name of a record begins that is fetched
RATE = 1e6  # bytes a second that a network is given to arrive where nobody's run waits for it

# Seconds for W&B to say whether it has a network. A dead one holds up the end of a run by them and by LIMITS.
ANSWER = 3


def model_files(record: Record, log_model: LogModel) -> list[Path]:
    """The files of a finished run that its artifact has; those of the masks of the last point, or of all."""
    folder, points = record.folder, record.read_rows("points.jsonl")
    masks = {masks_file(folder, p["masks_sha256"]) for p in (points if log_model == "all" else points[-1:])}
    named = {folder / name for name in (*FILES, "status.json", "network.pt")}
    more = {*folder.glob("firing-*.safetensors"), *folder.glob("code/**/*")}
    return sorted(path for path in masks | named | more if path.is_file())


def send_model(run: Any, record: Record, log_model: LogModel, patience: float = ANSWER) -> str:
    """Give a finished run's files to the W&B run as an artifact; the digest that W&B has of them then.

    What W&B has already, with more masks or without, is not given again, for which it has `patience` seconds to answer;
    without an answer it is given nothing. Sending goes on in the background: `check_model` finds out whether it came.
    """
    import wandb

    about = record.read_json("config.json")
    artifact = wandb.Artifact(_name(about), "model", description=about["name"], metadata={"masks": log_model})
    for path in model_files(record, log_model):
        name = path.relative_to(record.folder).as_posix()
        artifact.add_file(str(path), name, policy="immutable", skip_cache=True)
    with contextlib.suppress(Exception):
        kept = None if run.offline else _latest(f"{run.entity}/{run.project}", about, int(patience))
        if kept and kept.metadata.get("masks") == "all" and log_model == "last":
            return kept.digest
        if not kept or kept.digest != artifact.digest:
            run.log_artifact(artifact)
    return artifact.digest


def check_model(place: str, record: Record, digest: str) -> None:
    """Raise Unreachable where ENTITY/PROJECT has no artifact of the run with that digest.

    The client passes over what the service refuses to take.
    """
    try:
        found = _latest(place, record.read_json("config.json"), int(ARRIVAL))
    except Exception as error:
        raise Unreachable(f"cannot ask whether the network arrived: {cause(error)}") from error
    if not found or found.digest != digest:
        raise Unreachable("the network did not arrive")


def fetch_records(source: str, results: Path, trust_code: bool = False) -> Path:
    """The folder of wandb:ENTITY/PROJECT/RUN, or a results folder of all runs of wandb:ENTITY/PROJECT that are kept.

    They lie under `results`/wandb/ENTITY/PROJECT, and are fetched once; how many runs of a project have no network
    there is said on stderr.

    Raises UserError where the source is malformed, W&B does not answer, keeps no network of it, or keeps files that no
    run has; and, without `trust_code`, for a run with code of its owner's, which would be run here.
    """
    parts = source.removeprefix(SOURCE).split("/")
    if len(parts) not in (2, 3) or any(part in ("", ".", "..") for part in parts):
        raise UserError(f"a run on W&B is {SOURCE}ENTITY/PROJECT/RUN, all of them {SOURCE}ENTITY/PROJECT; got {source}")
    root = results.joinpath("wandb", *parts[:2])
    key = require_key()
    import wandb

    try:
        api = wandb.Api(api_key=key or None)
        runs = [api.run("/".join(parts))] if len(parts) == 3 else api.runs("/".join(parts), include_sweeps=False)
        found = [_fetched(api, run, root, trust_code) for run in runs]
    except UserError:
        raise
    except Exception as error:
        release()
        raise UserError(f"cannot fetch {source}: {cause(error)}") from error
    folders = [folder for folder in found if folder]
    if folders and len(folders) < len(found):
        left = len(found) - len(folders)
        print(f"{source}: {left} of {len(found)} runs have no network there and are left out", file=sys.stderr)
    if not folders:
        raise UserError(f"W&B keeps no network of {source}; prunebench mirror DIR --log_model last brings it there")
    return folders[0] if len(parts) == 3 else root


def _fetched(api: Any, run: Any, root: Path, trust_code: bool) -> Path | None:
    """The record of a W&B run below `root`; None where W&B keeps no network of it."""
    about = json.loads(run.summary.get("about", "{}")).get("config.json")
    if not about or not api.artifact_exists(name := f"{run.entity}/{run.project}/{_name(about)}:latest"):
        return None
    artifact, folder = api.artifact(name), root / "runs" / Path(about["name"]).name
    _check_entries(artifact.manifest.entries, trust_code, about["name"])
    if folder.exists():
        if read_json(folder / FETCHED).get("artifact") == artifact.digest and Record(folder).done:
            return folder
        raise UserError(f"{folder} is not what W&B has of this run; remove it to fetch that")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root) as part:
        record = Record(Path(part) / "record")
        artifact.download(str(record.folder), skip_cache=True)
        record.write_json(FETCHED, {"from": name, "artifact": artifact.digest, "masks": artifact.metadata["masks"]})
        if not record.done:
            raise UserError(f"what W&B has of {about['name']} is not whole ({record.standing[1]}); mirror it again")
        record.folder.rename(folder)
    return folder


def _check_entries(entries: Mapping[str, Any], trust_code: bool, run: str) -> None:
    """Hold the names of an artifact's files to those that a run has; who can write to a project can choose them."""
    for name, entry in entries.items():
        parts = PurePosixPath(name).parts
        is_code = parts[0] == "code" and ".." not in parts
        known = name in (*FILES, "status.json", "network.pt") or fnmatchcase(name, "masks-*.safetensors")
        known = known or fnmatchcase(name, "firing-*.safetensors")
        if entry.ref or not (is_code or (known and len(parts) == 1)):
            raise UserError(f"what W&B has of {run} holds {name}, which no run has; nothing was fetched")
        if is_code and not trust_code:
            raise UserError(
                f"{run} comes with code of its owner's, which would be run here; read it on W&B, then --trust_code"
            )


def _name(about: Mapping[str, Any]) -> str:
    """What the artifact of a run is called, from its config.json."""
    return f"pruned-{about['id']}"


def _latest(place: str, about: Mapping[str, Any], timeout: int) -> Any:
    """The last artifact of a run in ENTITY/PROJECT; None where there is none."""
    import wandb

    api = wandb.Api(api_key=require_key() or None, timeout=timeout)
    name = f"{place}/{_name(about)}:latest"
    return api.artifact(name) if api.artifact_exists(name) else None
