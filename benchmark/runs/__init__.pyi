from .check import Finding as Finding, check_method as check_method
from .clean import Removable as Removable, removable as removable, remove as remove
from .execution import (
    Outcome as Outcome,
    carry_out as carry_out,
    interruptible as interruptible,
    outcome_of as outcome_of,
    pick_device as pick_device,
)
from .export import export_run as export_run
from .latency import run_latency as run_latency
from .progress import Progress as Progress
from .repetition import Repeated as Repeated, rerun as rerun
from .verification import Verified as Verified, verify as verify
