"""What a user can choose: search space, trial and resources, as frozen dataclasses.

    trial.py      what decides a trial's numbers, its stable id, and its resources
    checks.py     what values are allowed
    naming.py     grid points by name
    sweep.py      the search space, and how two sweeps differ
    reading.py    TOML sweep files and `key=value` overrides

Imports the standard library, `sweep.errors` and `sweep.pieces` only, so that it loads in milliseconds on any machine.
"""

from sweep.config.checks import (
    SELECTIONS,
    check_experiment_name,
    check_trainable,
    names_data_file,
)
from sweep.config.naming import point_name
from sweep.config.reading import built_in_sweeps, load_sweep, names_sweep_file
from sweep.config.sweep import SweepConfig, differences
from sweep.config.trial import (
    AXES,
    CONFIRMATION,
    FIRST_RESERVED_SEED,
    HIDDEN_LAYERS,
    Point,
    Resources,
    TrialConfig,
    level_name,
    value_name,
)

__all__ = [
    "AXES",
    "CONFIRMATION",
    "FIRST_RESERVED_SEED",
    "HIDDEN_LAYERS",
    "SELECTIONS",
    "Point",
    "Resources",
    "SweepConfig",
    "TrialConfig",
    "built_in_sweeps",
    "check_experiment_name",
    "check_trainable",
    "differences",
    "level_name",
    "load_sweep",
    "names_data_file",
    "names_sweep_file",
    "point_name",
    "value_name",
]
