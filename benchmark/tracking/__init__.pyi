from .agent import as_given as as_given, in_sweep as in_sweep, told_to_sweep as told_to_sweep
from .artifact import FETCHED as FETCHED, SOURCE as SOURCE, fetch_records as fetch_records
from .mirror import (
    check_mirror as check_mirror,
    mirror_record as mirror_record,
    mirror_records as mirror_records,
    open_mirror as open_mirror,
)
from .reader import read_runs as read_runs
from .trackers import (
    Tracker as Tracker,
    Trackers as Trackers,
    load_tracker as load_tracker,
    open_trackers as open_trackers,
)
from .workspace import save_workspace as save_workspace
