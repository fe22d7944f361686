"""A small W&B server on loopback for tests: the real client logs to it, reads from it and runs sweeps.

It keeps what arrives in plain objects (`runs`, `sweeps`) to be asserted on, hands out the points of
grid sweeps as the service does, and can go away (`stop`, `start` on the same port) or fall silent.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.tracking.wandb_artifacts import CREATED, Artifacts
from tests.tracking.wandb_grid import grid
from tests.tracking.wandb_http import KEY, HttpServer

ENTITY = "tester"
HIDDEN = 2  # among the options of a metric, as the client writes them


@dataclass
class Run:
    """What the server knows of a run."""

    id: str
    entity: str
    project: str
    state: str = "running"  # running, finished, failed, preempted
    name: str | None = None
    group: str | None = None
    job_type: str | None = None
    tags: list[str] = field(default_factory=list)
    sweep: str | None = None
    raw_config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    lines: dict[str, dict[int, str]] = field(default_factory=dict)  # of streamed files, by offset
    files: dict[str, bytes] = field(default_factory=dict)
    preempting: bool = False  # it said so since it began
    stop_streamed: bool = False  # answer the next file-stream post with "stopped"
    stop_commanded: bool = False  # give the agent a "stop" command

    @property
    def config(self) -> dict[str, Any]:
        """The user's part of the config, unwrapped."""
        return {k: v["value"] for k, v in self.raw_config.items() if k != "_wandb"}

    @property
    def history(self) -> list[dict[str, Any]]:
        """The logged rows in the order of their offsets."""
        return [json.loads(line) for line in self.history_lines]

    @property
    def charts(self) -> set[str]:
        """The series that a page shows by itself: all that are logged, without those that were defined as hidden."""
        defined = self.raw_config["_wandb"]["value"]["m"]
        hidden = {metric.get("1") for metric in defined if HIDDEN in metric["6"]}
        return {name for row in self.history for name in row if not name.startswith("_")} - hidden

    @property
    def history_lines(self) -> list[str]:
        return self.streamed("wandb-history.jsonl")

    def streamed(self, name: str) -> list[str]:
        """The lines of a streamed file."""
        return [line for _, line in sorted(self.lines.get(name, {}).items())]


@dataclass
class Sweep:
    """A grid sweep; `config` is the sweep file."""

    id: str
    entity: str
    project: str
    config: dict[str, Any]
    text: str
    state: str = "RUNNING"


class WandbServer:
    """The server; a context manager. Its address stays the same from the first `start` on."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.agents: dict[str, str] = {}  # agent id -> sweep id
        self.views: dict[str, dict[str, Any]] = {}  # saved views by id, as they were sent
        self.artifacts = Artifacts(lambda: self.url)
        self.requests: list[str] = []  # operation names, in order
        self.silent = threading.Event()  # while set, requests are taken and never answered
        self.refusing = threading.Event()  # while set, rows are answered with 403, which the client does not retry
        self.refused = 0
        self.lock = threading.RLock()
        self.port = 0
        self._http: HttpServer | None = None

    def __enter__(self) -> WandbServer:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.silent.clear()
        self.artifacts.released.set()
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the same port as before where there was one."""
        self._http = HttpServer(self, self.port)
        self.port = self._http.server_port

    def stop(self) -> None:
        """Refuse connections and break those that are open; what was stored stays."""
        if self._http is not None:
            self._http.stop()
            self._http = None

    def env(self, home: Path, **more: str) -> dict[str, str]:
        """An environment for a client of this server: its own HOME, none of the caller's W&B settings."""
        key = {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY, "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": "1"}
        return isolated_env(home) | key | more

    # GraphQL: one method for each operation, named as it; what has none is answered with nulls.

    def answer(self, operation: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The `data` of an operation's answer."""
        with self.lock:
            self.requests.append(operation)
            method = getattr(self, f"do_{operation}", None) or getattr(self.artifacts, f"do_{operation}", None)
            return method(variables) if method else {}

    def do_Viewer(self, v: Mapping[str, Any]) -> dict[str, Any]:
        teams = {"edges": [{"node": {"name": ENTITY}}]}
        viewer = {"id": "1", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}", "teams": teams}
        return {"viewer": viewer}

    do_GetDefaultEntity = do_Viewer

    def do_UpsertBucket(self, v: Mapping[str, Any]) -> dict[str, Any]:
        inserted = v["name"] not in self.runs
        run = self._run(v["name"], v.get("entity"), v.get("project"))
        run.state = v.get("state") or "running"
        run.name = v.get("displayName") or run.name
        run.group = v.get("groupName") or run.group
        run.job_type = v.get("jobType") or run.job_type
        run.sweep = v.get("sweep") or run.sweep
        run.tags = v["tags"] if v.get("tags") is not None else run.tags
        for mine, theirs in (("raw_config", "config"), ("summary", "summaryMetrics")):
            if v.get(theirs):
                setattr(run, mine, json.loads(v[theirs]))
        bucket = _public(run) | {"project": _project(run.entity, run.project), "description": None}
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def do_View(self, v: Mapping[str, Any]) -> dict[str, Any]:
        if not any(run.project == v["name"] for run in self.runs.values()):
            return {"project": None}
        found = [view for view in self.views.values() if view["name"] == v["viewName"]]
        return {"project": {"allViews": {"edges": [{"node": view} for view in found]}}}

    def do_UpsertView2(self, v: Mapping[str, Any]) -> dict[str, Any]:
        id = v.get("id") or f"view{len(self.views)}"
        self.views[id] = {**v, "id": id}
        return {"upsertView": {"view": {"id": id, "name": v["name"]}, "inserted": True}}

    def do_RunResumeStatus(self, v: Mapping[str, Any]) -> dict[str, Any]:
        run = self.runs.get(v["name"])
        started = run is not None and "t" in run.raw_config.get("_wandb", {}).get("value", {})
        model = _project(v.get("entity") or ENTITY, v.get("project") or "uncategorized")
        return {"model": model | {"bucket": _resumable(run) if run and started else None}}

    def do_CreateRunFiles(self, v: Mapping[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.url}/upload/{v['run']}/{name}"} for name in v["files"]]
        return {"createRunFiles": {"runID": v["run"], "uploadHeaders": [], "files": files}}

    # Reading back

    def do_Runs(self, v: Mapping[str, Any]) -> dict[str, Any]:
        wanted = json.loads(v.get("filters") or "{}")
        runs = [r for r in self.runs.values() if r.project == v["project"] and _matches(r, wanted)]
        edges = [{"node": _public(run), "cursor": run.id} for run in runs]
        page = {"endCursor": None, "hasNextPage": False}
        found = {"internalId": "1", "runCount": len(runs), "readOnly": False}
        return {"project": found | {"runs": {"edges": edges, "pageInfo": page}}}

    def do_Run(self, v: Mapping[str, Any]) -> dict[str, Any]:
        run = self.runs.get(v["name"])
        return {"project": {"run": _public(run) if run else None}}

    do_RunHistoryKeys = do_Run

    def do_RunParquetHistory(self, v: Mapping[str, Any]) -> dict[str, Any]:
        return {"project": {"run": {"parquetHistory": {"parquetUrls": [], "liveData": None}}}}

    def do_HistoryPage(self, v: Mapping[str, Any]) -> dict[str, Any]:
        lines = self.runs[v["run"]].history_lines
        page = [line for line in lines if v["minStep"] <= json.loads(line)["_step"] < v["maxStep"]]
        return {"project": {"run": {"history": page[: v["pageSize"]]}}}

    # Sweeps

    def do_UpsertSweep(self, v: Mapping[str, Any]) -> dict[str, Any]:
        sweep = self.sweeps.get(v.get("id") or "")
        if sweep is None:
            config = yaml.safe_load(v["config"])
            place = (v.get("entityName") or ENTITY, v.get("projectName") or "uncategorized")
            sweep = Sweep(f"sweep{len(self.sweeps)}", *place, config, v["config"])
            self.sweeps[sweep.id] = sweep
        sweep.state = v.get("state") or sweep.state
        answer = {"name": sweep.id, "project": _project(sweep.entity, sweep.project), "state": sweep.state}
        return {"upsertSweep": {"sweep": answer, "configValidationWarnings": []}}

    def do_SweepWithRuns(self, v: Mapping[str, Any]) -> dict[str, Any]:
        sweep = self.sweeps.get(v["sweep"])
        if sweep is None:
            return {"project": {"sweep": None}}
        about = {"id": sweep.id, "name": sweep.id, "state": sweep.state, "config": sweep.text, "createdAt": CREATED}
        return {"project": {"sweep": about | {"method": sweep.config["method"], "runs": {"edges": []}}}}

    def do_CreateAgent(self, v: Mapping[str, Any]) -> dict[str, Any]:
        agent = f"agent{len(self.agents)}"
        self.agents[agent] = v["sweep"]
        return {"createAgent": {"agent": {"id": agent}}}

    def do_Heartbeat(self, v: Mapping[str, Any]) -> dict[str, Any]:
        live = [run for run, alive in json.loads(v.get("runState") or "{}").items() if alive]
        commands = self._commands(self.sweeps[self.agents[v["id"]]], live)
        return {"agentHeartbeat": {"agent": {"id": v["id"]}, "commands": json.dumps(commands)}}

    def _commands(self, sweep: Sweep, live: list[str]) -> list[dict[str, Any]]:
        stops = [run for run in live if run in self.runs and self.runs[run].stop_commanded]
        if live:
            return [{"type": "stop", "run_id": run} for run in stops]
        program = sweep.config.get("program", "")
        for run in self.runs.values():
            if run.sweep == sweep.id and run.state == "preempted":  # comes back with its whole config
                run.state, run.preempting = "running", False
                resumed = {"run_id": run.id, "program": program, "args": run.raw_config, "logs": []}
                return [{"id": "0", "type": "resume", **resumed}]
        point = self._next_point(sweep)
        if point is None:
            sweep.state = "FINISHED"
            return [{"type": "exit"}]
        args = {name: {"value": value} for name, value in point.items()}
        run = self._run(f"{sweep.id}run{len(self.runs)}", sweep.entity, sweep.project)
        run.sweep, run.raw_config = sweep.id, dict(args)
        return [{"id": "0", "type": "run", "run_id": run.id, "program": program, "args": args, "logs": []}]

    def _next_point(self, sweep: Sweep) -> dict[str, Any] | None:
        """The first point of the grid that no run of the sweep has in its config, as the service looks for it."""
        configs = [run.config for run in self.runs.values() if run.sweep == sweep.id]
        if sweep.state != "RUNNING" or len(configs) >= sweep.config.get("run_cap", float("inf")):
            return None
        tried = [{name: config.get(name) for name in sweep.config["parameters"]} for config in configs]
        return next((point for point in grid(sweep.config["parameters"]) if point not in tried), None)

    def _run(self, run_id: str, entity: str | None, project: str | None) -> Run:
        return self.runs.setdefault(run_id, Run(run_id, entity or ENTITY, project or "uncategorized"))

    def stream(self, run_id: str, post: Mapping[str, Any]) -> dict[str, Any]:
        """Store a file-stream post; whether the run shall stop is the answer."""
        with self.lock:
            run = self.runs[run_id]
            for name, part in (post.get("files") or {}).items():
                lines = run.lines.setdefault(name, {})
                lines.update(enumerate(part["content"], part["offset"]))
                if name == "wandb-summary.json":
                    run.summary = json.loads(lines[max(lines)])
            run.preempting |= bool(post.get("preempting"))
            if post.get("complete"):
                run.exit_code = post["exitcode"]
                again = run.preempting and not run.stop_commanded
                run.state = "finished" if not run.exit_code else "preempted" if again else "failed"
            return {"stopped": True} if run.stop_streamed else {}

    def upload(self, run_id: str, name: str, content: bytes) -> None:
        """Store a file that the client uploads."""
        with self.lock:
            self.runs[run_id].files[name] = content


def isolated_env(home: Path, **more: str) -> dict[str, str]:
    """This process's environment for a child with its own HOME and no W&B settings; the interpreter's bin first."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "XDG_")) and k != "NETRC"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    loopback = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return kept | {"HOME": str(home), "PATH": path, "OMP_NUM_THREADS": "1"} | loopback | more


def _project(entity: str, name: str) -> dict[str, Any]:
    return {"id": name, "name": name, "entity": {"id": entity, "name": entity}}


def _public(run: Run) -> dict[str, Any]:
    """A run as the API shows it."""
    steps = [row["_step"] for row in run.history]
    user = {"name": ENTITY, "username": ENTITY}
    about = {"displayName": run.name or run.id, "group": run.group, "tags": run.tags, "sweepName": run.sweep}
    texts = {"config": json.dumps(run.raw_config), "summaryMetrics": json.dumps(run.summary), "systemMetrics": "{}"}
    counts = {"historyLineCount": len(steps), "historyKeys": {"keys": {}, "lastStep": max(steps, default=-1)}}
    ids = {"id": run.id, "name": run.id, "projectId": "1", "state": run.state, "createdAt": CREATED, "user": user}
    return ids | about | texts | counts


def _resumable(run: Run) -> dict[str, Any]:
    """A run as resuming needs it: counts and last lines."""
    history, events = run.history_lines, run.streamed("wandb-events.jsonl")
    internal = run.raw_config["_wandb"]["value"]
    counts = {"eventsLineCount": len(events), "logLineCount": len(run.streamed("output.log"))}
    tails = {"historyTail": json.dumps(history[-1:]), "eventsTail": json.dumps(events[-1:])}
    return _public(run) | counts | tails | {"notes": None, "wandbConfig": json.dumps({"t": internal["t"]})}


def _matches(run: Run, wanted: Mapping[str, Any]) -> bool:
    """Whether a run passes a filter; of the filter language only what the tests use."""
    clauses = [c for c in wanted.get("$and", [wanted]) if c]
    return all({"sweep": run.sweep, "state": run.state}[key] == value for c in clauses for key, value in c.items())
