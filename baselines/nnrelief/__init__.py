"""NNrelief: keep the connections that carry a unit's signal."""

from baselines.nnrelief.method import NNrelief as NNrelief
