from .grid import shipped_sweeps as shipped_sweeps, sweep_runs as sweep_runs
from .scheduler import (
    CrewFor as CrewFor,
    choose_crew as choose_crew,
    execute as execute,
    print_costs as print_costs,
)
