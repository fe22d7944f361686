"""A saved view of a W&B project with the charts that the page of a run has, accuracy against compression first."""

from __future__ import annotations

import warnings
from types import ModuleType

from benchmark.errors import UserError
from benchmark.records import METRICS
from benchmark.tracking.client import cause, release, require_key
from benchmark.tracking.series import COMPRESSION, LAYERS, axis, charts

NAME = "NNrelief Bench"
ADDRESS = "prunebench1"  # of the view in its project: saved again, it takes the place of the one before
RUNS = 100  # that a chart shows at most
TITLES = {"accuracy": "Accuracy against compression", "size": "Size", "cost": "Cost", "": "Training"}  # by section
COLUMNS = ("method", "sparsity_asked", "top1", "compression_params", "compression_within_1_point", "val_top1_at_8x")


def save_workspace(path: str) -> str:
    """Save the view in ENTITY/PROJECT, in place of one that was saved before; its address.

    Raises UserError where the path is malformed, the package for it is missing, or W&B does not take it.
    """
    parts = path.split("/")
    if len(parts) != 2 or not all(parts):
        raise UserError(f"a W&B project is ENTITY/PROJECT, got '{path}'")
    workspaces, reports = _packages()
    require_key()
    columns = [f"summary:{name}" for name in COLUMNS]
    view = workspaces.Workspace(
        *parts,
        name=NAME,
        sections=[
            workspaces.Section(name=title, panels=[_panel(reports, name) for name in charts(section)], is_open=True)
            for section, title in TITLES.items()
        ],
        settings=workspaces.WorkspaceSettings(max_runs=RUNS),
        runset_settings=workspaces.RunsetSettings(pinned_columns=columns),
    )
    view._internal_name = f"nw-{ADDRESS}-v"
    try:
        view._internal_id = _saved(workspaces, f"https://wandb.ai/{path}?nw={ADDRESS}")
        return view.save().url
    except Exception as error:
        release()
        raise UserError(f"cannot save a workspace in {path}: {cause(error)}") from error


def _packages() -> tuple[ModuleType, ModuleType]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package's own deprecations
            import wandb_workspaces.reports.v2 as reports
            import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise UserError("a saved workspace needs wandb-workspaces; pip install 'nnrelief-bench[workspace]'") from error
    return workspaces, reports


def _panel(reports: ModuleType, name: str) -> object:
    """The chart of a series against its axis."""
    metric, across = (series.rpartition("/")[2] for series in (name, axis(name)))
    return reports.LinePlot(
        title="Density of each layer" if name == LAYERS else METRICS[metric].about,
        x=axis(name),
        y=[name],
        log_x=axis(name) == COMPRESSION or None,
        title_x=METRICS[across].label,
        max_runs_to_show=RUNS,
    )


def _saved(workspaces: ModuleType, address: str) -> str:
    """The id of the view that is at this address; "" where there is none."""
    try:
        return workspaces.Workspace.from_url(address)._internal_id
    except ValueError as error:
        if not str(error).startswith("Workspace"):  # but the project is not there
            raise
        return ""
