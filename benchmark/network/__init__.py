"""A masked network, what can be seen in it, and removing its dead units.

Two records of a forward pass, for two questions. `signals` follows function calls on real inputs: what do units give
on, behind which activation function, added to what. `channels` follows the operators below them, once, on one example:
what is constant, what is read, what can go without changing an output. Both run the forward itself, so that whatever
runs is understood, in the time of a few forward passes.

One exported graph for both (`torch.export` with a free batch size) was tried. It computes the same, bit for bit, where
it can be had. But it takes 5 to 40 times as long as both records together (`python bench/tracing.py`: up to 2.7 s for a
network), it has no function calls that tell an activation function from arithmetic, and of the forwards in
tests/network/test_removal_forwards.py it refuses those that branch on values, leave torch or use a weight transposed,
and computes another function for the one that keeps a state. For these a record of the pass would have to stay beside
it: more code, not less.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
