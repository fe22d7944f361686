"""A masked network, what can be seen in it, and removing its dead units."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
