"""Every file name and format in an experiment's folder, for those who write and those who read.

    manifest.json       every trial, fixed before any training; extending adds trials, nothing changes or leaves
    test_split.npz      test images (uint8) and labels, so that a report needs nothing but this folder
    events.jsonl        for people to read; never the truth
    trials/<trial id>/
        checkpoint-<epoch>-<sha256 prefix>.pt    what training resumes from; the last two are kept
        predictions.npz                          what the finished models say about the test images
        done.json                                the only meaning of "finished"
        error.txt                                the first traceback of a failed trial


    contents.py      what the files say
    encoding.py      contents as bytes and back
    typed.py         JSON values in the types of a record
    experiment.py    names, writes and reads every file
    reading.py       finds experiments, and reads what there is of one

Manifest and done records are sealed with their own SHA-256, so a truncated or edited one is noticed. What is read is
checked for safety, and not judged: a value that nobody could choose today stays readable.
Imports neither torch nor ray.
"""

from sweep.records.contents import (
    HISTORY_METRICS,
    Checkpoint,
    DatasetRecord,
    DoneRecord,
    Manifest,
    Predictions,
    ReplicateRecord,
    utc_now,
)
from sweep.records.experiment import Experiment
from sweep.records.reading import State, list_experiments, open_experiment, read_state

__all__ = [
    "HISTORY_METRICS",
    "Checkpoint",
    "DatasetRecord",
    "DoneRecord",
    "Experiment",
    "Manifest",
    "Predictions",
    "ReplicateRecord",
    "State",
    "list_experiments",
    "open_experiment",
    "read_state",
    "utc_now",
]
