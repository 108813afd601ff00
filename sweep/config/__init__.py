"""What a user can choose: search space, trial and resources, as frozen dataclasses.

sweep.py      a sweep, its trials with their stable ids, its resources; how two sweeps differ
reading.py    the door: TOML sweep files, `key=value` overrides and names of grid points, each value checked once
"""

from sweep.config.reading import (
    built_in_sweeps,
    check_experiment_name,
    check_trainable,
    load_sweep,
    names_data_file,
    names_sweep_file,
    read_sweep,
)
from sweep.config.sweep import (
    AXES,
    CONFIRMATION,
    FIRST_RESERVED_SEED,
    HIDDEN_LAYERS,
    FileName,
    Resources,
    SweepConfig,
    TrialConfig,
    differences,
)

__all__ = [
    "AXES",
    "CONFIRMATION",
    "FIRST_RESERVED_SEED",
    "HIDDEN_LAYERS",
    "FileName",
    "Resources",
    "SweepConfig",
    "TrialConfig",
    "built_in_sweeps",
    "check_experiment_name",
    "check_trainable",
    "differences",
    "load_sweep",
    "names_data_file",
    "names_sweep_file",
    "read_sweep",
]
