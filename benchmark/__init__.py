"""NNrelief Bench: pruning methods compared on equal terms.

The contract of a method is imported from here: `from benchmark import Pruner, keep_top`. What a room
gives to others is listed in its `__init__.pyi` and loaded on first use, so that the command line
answers without importing torch.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
