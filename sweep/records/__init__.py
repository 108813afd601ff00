"""Every file name and format in an experiment's folder, for those who write and those who read.

    manifest.json       every trial, fixed before any training; extending adds trials, nothing changes or leaves
    test_split.npz      inputs and targets of the test split, so that a report needs nothing but this folder
    events.jsonl        for people to read; never the truth
    trials/<trial id>/
        checkpoint-<epoch>-<sha256 prefix>.pt    what training resumes from; the last two are kept
        predictions.npz                          what the finished models say about the test split
        done.json                                the only meaning of "finished"
        error.txt                                the first traceback of a failed trial


    contents.py      what the files say
    codec.py         contents as bytes and back
    experiment.py    names, writes and reads every file
    state.py         finds experiments, and reads what there is of one
    classification_format_2.py    what sweep 0.1.0 wrote, in the form of today's

Manifest and done records are sealed with their own SHA-256, so a truncated or edited one is noticed. What is read is
checked for safety, and not judged: a value that nobody could choose today stays readable.
Imports neither torch nor ray.
"""

from sweep.records.classification_format_2 import rows_of_2
from sweep.records.contents import (
    Checkpoint,
    DatasetRecord,
    DoneRecord,
    Manifest,
    ReplicateRecord,
    Rows,
    products_of,
    utc_now,
)
from sweep.records.experiment import Experiment
from sweep.records.state import State, list_experiments, open_experiment, read_state

__all__ = [
    "Checkpoint",
    "DatasetRecord",
    "DoneRecord",
    "Experiment",
    "Manifest",
    "ReplicateRecord",
    "Rows",
    "State",
    "list_experiments",
    "open_experiment",
    "products_of",
    "read_state",
    "rows_of_2",
    "utc_now",
]
