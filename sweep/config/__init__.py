"""What a user can choose: search space, trial and resources, as frozen dataclasses.

    trial.py      what decides a trial's numbers, its stable id, and its resources
    checks.py     what values are allowed
    sweep.py      the search space, and how two sweeps differ
    reading.py    TOML sweep files and `key=value` overrides

Imports the standard library and `sweep.errors` only, so that it loads in milliseconds on any machine.
"""

from sweep.config.checks import ACTIVATIONS, LOSSES, SELECTIONS, check_experiment_name, check_trainable
from sweep.config.reading import built_in_sweeps, load_sweep
from sweep.config.sweep import SweepConfig, differences
from sweep.config.trial import AXES, HIDDEN_LAYERS, Resources, TrialConfig, value_name

__all__ = [
    "ACTIVATIONS",
    "AXES",
    "HIDDEN_LAYERS",
    "LOSSES",
    "SELECTIONS",
    "Resources",
    "SweepConfig",
    "TrialConfig",
    "built_in_sweeps",
    "check_experiment_name",
    "check_trainable",
    "differences",
    "load_sweep",
    "value_name",
]
