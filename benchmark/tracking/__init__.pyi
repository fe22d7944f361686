from .mirror import (
    check_mirror as check_mirror,
    labels as labels,
    mirror_record as mirror_record,
    mirror_records as mirror_records,
    open_mirror as open_mirror,
)
from .reader import read_runs as read_runs
