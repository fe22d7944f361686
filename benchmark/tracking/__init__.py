"""The W&B mirror of a record, and records read back from W&B."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
