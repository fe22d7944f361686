from .dense import DenseTrainings as DenseTrainings, rewind_steps as rewind_steps
from .graphs import StepGraph as StepGraph
from .loop import clear_masked_state as clear_masked_state, make_optimizer as make_optimizer, train_steps as train_steps
from .profiling import profiled as profiled
from .runner import Runner as Runner
from .soft import own_tensors as own_tensors, soft_objective as soft_objective
from .stopping import Stop as Stop
from .threads import threads as threads, threads_for as threads_for
from .trainer import BACKWARD as BACKWARD
