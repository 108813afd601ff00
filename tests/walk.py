"""The functions of `sweep` that a trial enters from its sweep file to `done.json`, and a record to a row of a report.

As a script it prints them, by file: `python tests/walk.py`. They are counted in a process of its own, since what is
kept from an earlier trial is not entered again, and after every module is imported, since importing is no step.
"""

import importlib
import inspect
import json
import pkgutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import sweep
from sweep.config import load_sweep
from sweep.datasets import load_dataset
from sweep.plan import Worker, make_manifest
from sweep.records import Experiment, read_state
from sweep.report.analysis import analyse
from sweep.report.document import Table
from sweep.report.ranking import ranking_section
from sweep.storage import open_storage
from sweep.trial import describe_worker, run_trial

ROOT = Path(sweep.__file__).parent
SWEEP_FILE = """
dataset = "digits"
epochs = 1
seeds = [0]
validation_size = 200

[axes]
depth = ["shallow"]
activation = ["relu"]
loss = ["cross_entropy"]
"""
# Parts of the function that they stand in; the bodies of modules and classes have no local variables.
_PARTS = {"<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>"}


@contextmanager
def entered() -> Iterator[set[tuple[str, str]]]:
    """Collects the functions that are entered meanwhile, in any thread: file below `sweep/`, name and line."""
    found = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_flags & inspect.CO_OPTIMIZED and code.co_name not in _PARTS:
            file = Path(code.co_filename)
            if file.is_relative_to(ROOT):
                found.add((file.relative_to(ROOT).as_posix(), f"{code.co_qualname}:{code.co_firstlineno}"))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def train_a_trial(folder: Path, worker: Worker) -> None:
    """What a run does for one grid point, but without Ray."""
    experiment = Experiment(open_storage(str(folder)).folder("walk"))
    sweep = load_sweep(str(folder / "walk.toml"))
    dataset = load_dataset(sweep.dataset, validation_size=sweep.validation_size)
    manifest = make_manifest(sweep, dataset, name="walk", command="", worker=worker)
    experiment.write_test_split(images=dataset.test_pixels, y_true=dataset.test.labels)
    experiment.write_manifest(manifest)
    for trial in manifest.trials:
        run_trial(trial, dataset, experiment)


def first_row(folder: Path) -> str:
    """What a report does for one row of its ranking."""
    state = read_state(Experiment(open_storage(str(folder)).folder("walk")))
    section = ranking_section(analyse(state))
    ranking = next(block for block in section.blocks if isinstance(block, Table))
    return " ".join(ranking.shown.iloc[0])


def walk() -> dict[str, Any]:
    """Gives the functions of both, and the row."""
    for module in pkgutil.walk_packages(sweep.__path__, "sweep."):
        if module.name != "sweep.__main__":
            importlib.import_module(module.name)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "walk.toml").write_text(SWEEP_FILE)
        worker = describe_worker()  # checks itself once on each machine
        with entered() as trained:
            train_a_trial(folder, worker)
        with entered() as read:
            row = first_row(folder)
    return {"trained": sorted(trained), "read": sorted(read), "row": row}


def _lines(found: list[tuple[str, str]]) -> Iterator[str]:
    files: dict[str, list[str]] = {}
    for file, function in found:
        files.setdefault(file, []).append(function)
    yield f"{len(found)} functions in {len(files)} files"
    for file, functions in files.items():
        yield f"    {file} ({len(functions)}): {', '.join(functions)}"


if __name__ == "__main__":
    walked = walk()
    if "--json" in sys.argv:
        print(json.dumps(walked))
    else:
        print("from a sweep file to done.json:", *_lines(walked["trained"]), sep="\n")
        print("from the records to the row", walked["row"], *_lines(walked["read"]), sep="\n")
