from .accuracy import Autocast as Autocast
from .counting import masked_flops as masked_flops, sparsity as sparsity
from .flops import dense_flops as dense_flops
from .latency import (
    BATCHES as BATCHES,
    Engine as Engine,
    find_engines as find_engines,
    latencies as latencies,
    measured_speedups as measured_speedups,
)
from .measuring import (
    evaluate_split as evaluate_split,
    measure as measure,
    measure_firing as measure_firing,
    prefixed as prefixed,
)
from .passes import PassFlops as PassFlops
