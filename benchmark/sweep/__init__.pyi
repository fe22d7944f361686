from .grid import sweep_runs as sweep_runs
from .ray_cluster import on_ray as on_ray
from .scheduler import (
    Carrier as Carrier,
    execute as execute,
    in_pool as in_pool,
    in_process as in_process,
    print_costs as print_costs,
)
