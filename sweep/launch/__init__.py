"""Runs what is left of an experiment: the one code path of `run`, `resume`, `--extend` and `confirm`.

    request.py     what a run is asked to do
    left.py        what is left to do
    run.py         checks, manifest, Ray, training, signals
    progress.py    what is written down and shown meanwhile
    outcome.py     how it ended

Checks first, writes the manifest before any training, then trains the manifest's trials that have no done record.
What happened is read from the files, never from Ray.
"""

from sweep.launch.outcome import Outcome, read_outcome
from sweep.launch.progress import Display
from sweep.launch.request import Confirmation, Launch, command_line, resume_command
from sweep.launch.run import run_sweep

__all__ = [
    "Confirmation",
    "Display",
    "Launch",
    "Outcome",
    "command_line",
    "read_outcome",
    "resume_command",
    "run_sweep",
]
