from .dense import dense_training as dense_training, rewind_steps as rewind_steps
from .loop import make_optimizer as make_optimizer, train_steps as train_steps
from .runner import BACKWARD as BACKWARD, Runner as Runner
