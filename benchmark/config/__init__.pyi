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
    print_help as print_help,
    read_arguments as read_arguments,
    read_yaml as read_yaml,
    recipe_names as recipe_names,
    run_config as run_config,
)
from .settings import PROTOCOL as PROTOCOL, Recipe as Recipe, RunConfig as RunConfig
