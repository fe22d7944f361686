from .environment import cores as cores, device_name as device_name, environment as environment, now as now
from .files import (
    Damaged as Damaged,
    read_json as read_json,
    set_aside as set_aside,
    write_atomically as write_atomically,
)
from .masks import masks_file as masks_file, read_masks as read_masks, write_masks as write_masks
from .record import Record as Record, open_record as open_record
from .rows import End as End, Rows as Rows, ended_line as ended_line, read_rows as read_rows
from .schema import (
    DROPS as DROPS,
    EQUAL as EQUAL,
    FILES as FILES,
    METRICS as METRICS,
    ConfigFile as ConfigFile,
    EnvironmentFile as EnvironmentFile,
    EpochRow as EpochRow,
    LatencyRow as LatencyRow,
    Metric as Metric,
    PointRow as PointRow,
    Row as Row,
    StatusFile as StatusFile,
)
