from .augmentation import Augmentation as Augmentation
from .dataset import (
    Batch as Batch,
    Batches as Batches,
    Dataset as Dataset,
    Split as Split,
    evaluation_batches as evaluation_batches,
    load_dataset as load_dataset,
    pruning_batches as pruning_batches,
    steps_per_epoch as steps_per_epoch,
    train_batches as train_batches,
)
from .files import check_files as check_files
from .registry import (
    NAMES as NAMES,
    Images as Images,
    dataset_info as dataset_info,
    describe as describe,
    find_images as find_images,
)
