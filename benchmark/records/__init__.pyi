from .environment import environment as environment, now as now
from .files import read_json as read_json, write_atomically as write_atomically
from .record import Record as Record, open_record as open_record
from .schema import (
    METRICS as METRICS,
    ConfigFile as ConfigFile,
    EnvironmentFile as EnvironmentFile,
    EpochRow as EpochRow,
    Metric as Metric,
    PointRow as PointRow,
    Row as Row,
    StatusFile as StatusFile,
    plotted as plotted,
)
