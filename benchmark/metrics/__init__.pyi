from .accuracy import Autocast as Autocast
from .counting import masked_flops as masked_flops, sparsity as sparsity
from .flops import dense_flops as dense_flops
from .measuring import (
    evaluate_split as evaluate_split,
    measure as measure,
    measure_firing as measure_firing,
    prefixed as prefixed,
)
