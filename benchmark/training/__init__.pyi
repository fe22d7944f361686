from .dense import dense_training as dense_training, rewind_steps as rewind_steps
from .loop import clear_masked_state as clear_masked_state, make_optimizer as make_optimizer, train_steps as train_steps
from .runner import BACKWARD as BACKWARD, Runner as Runner
from .soft import own_tensors as own_tensors, soft_objective as soft_objective
