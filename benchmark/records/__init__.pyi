from .environment import environment as environment, now as now
from .files import read_json as read_json, write_atomically as write_atomically
from .record import Record as Record, open_record as open_record
from .schema import Row as Row
