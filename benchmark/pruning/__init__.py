"""The contract of a pruning method: pruner, plan, masks, and what scores look at."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
