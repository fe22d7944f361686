from .discovery import (
    pruner_class as pruner_class,
    pruner_names as pruner_names,
    pruner_summary as pruner_summary,
    shipped_files as shipped_files,
)
from .facts import method_facts as method_facts
from .options import (
    Options as Options,
    canonical as canonical,
    data_folder as data_folder,
    images_of as images_of,
    network_of as network_of,
    part_options as part_options,
    read_arguments as read_arguments,
    read_command as read_command,
    run_config as run_config,
)
from .run import RunConfig as RunConfig
from .settings import PROTOCOL as PROTOCOL, Recipe as Recipe, Settings as Settings
from .yaml_files import read_yaml as read_yaml, recipe_names as recipe_names, recorded_options as recorded_options
