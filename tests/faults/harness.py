"""Real drivers, real faults, and a ledger of what was trained; used by the fault tests and by `scripts/soak.py`."""

import contextlib
import itertools
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from sweep.config import SweepConfig, load_sweep
from sweep.datasets import load_dataset
from sweep.plan import make_manifest, work_of
from sweep.records import DoneRecord, Experiment, Manifest
from sweep.storage import LocalStorage, Storage, open_storage
from sweep.tasks.classification import ARRAYS

HOOKS = Path(__file__).parent / "hooks"
SOURCE = Path(__file__).resolve().parents[2]

# Four grid points of two replicates; the published shapes on small images, so that Ray is most of the time.
# The library is named, so that it is the same in every run, and is not the one that most tests have.
WORDS = (
    *("smoke", "depth=shallow", "activation=relu,tanh", "loss=cross_entropy,hinge", "epochs=12", "seeds=0,1"),
    "products=numpy_cut",
)
NAME = "smoke"

# Shared with the cluster that drivers of fault tests join.
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


@dataclass(frozen=True)
class Numbers:
    """What a finished trial must agree in with the uninterrupted one: everything but measured times."""

    record: DoneRecord
    predictions: dict[str, Any]


@dataclass(frozen=True)
class Ledger:
    """What was trained, in order: (trial id, epoch) and the finished trials; the ground truth of a fault test."""

    rows: tuple[tuple[float, int, str, str], ...]

    @property
    def trial_ids(self) -> list[str]:
        return list(dict.fromkeys(trial_id for _, _, trial_id, _ in self.rows))

    def epochs(self, trial_id: str) -> list[int]:
        """Every epoch that was trained, repeated ones repeated."""
        return [int(what) for _, _, row_id, what in self.rows if row_id == trial_id and what != "done"]

    @property
    def repeated(self) -> int:
        """Epochs that were trained again."""
        return sum(len(epochs) - len(set(epochs)) for epochs in map(self.epochs, self.trial_ids))

    @property
    def steps_back(self) -> int:
        """By how many epochs any trial went back at most; 1 is an epoch in flight that was lost."""
        pairs = [pair for trial_id in self.trial_ids for pair in itertools.pairwise(self.epochs(trial_id))]
        return max([before + 1 - after for before, after in pairs], default=0)

    @property
    def rerun(self) -> list[str]:
        """Trials that were trained again after they were finished."""
        finished, again = set(), set()
        for _, _, trial_id, what in self.rows:
            if what == "done":
                finished.add(trial_id)
            elif trial_id in finished:
                again.add(trial_id)
        return sorted(again)


class Case:
    """A storage path with the folder `faults` beside it.

    Args:
        folder: An empty one; the storage path is made in it.
        storage_name: Of the storage path.
        name: Of the experiment.
        uri: Of the storage, if it is no folder.
        variables: Of the environment of all drivers.
    """

    def __init__(
        self,
        folder: Path,
        storage_name: str = "sweeps",
        name: str = NAME,
        *,
        uri: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.storage, self.name = folder, folder / storage_name, name
        self.root = uri or str(self.storage)
        self.faults = folder / "faults"
        self.variables = {**(variables or {}), "SWEEP_FAULT_FOLDER": str(self.faults)} if uri else {}
        self.faults.mkdir(parents=True)
        self._drivers: list[Driver] = []

    @property
    def experiment(self) -> Experiment:
        storage: Storage = open_storage(self.root)
        return Experiment(storage.folder(self.name))

    @property
    def ledger(self) -> Ledger:
        try:
            lines = (self.faults / "ledger.txt").read_text().splitlines()
        except FileNotFoundError:
            lines = []
        rows = [line.split() for line in lines]
        return Ledger(tuple((float(when), int(pid), trial_id, what) for when, pid, trial_id, what in rows))

    def set_faults(self, *faults: dict[str, Any]) -> None:
        for claimed in self.faults.glob("happened-*"):
            claimed.unlink()
        # Replaced, so that a process that reads it meanwhile sees the old or the new one.
        (self.faults / "new").write_text(json.dumps(faults))
        os.rename(self.faults / "new", self.faults / "faults.json")

    def start(self, *words: str, address: str | None = None) -> "Driver":
        joining = ("--address", address) if address else ()
        driver = Driver(self, [*words, "--storage", self.root, *joining])
        self._drivers.append(driver)
        return driver

    def sweep(self, *words: str, address: str | None = None, within_s: float = 240) -> "Driver":
        """Runs a command to its end."""
        driver = self.start(*words, address=address)
        driver.wait(within_s)
        return driver

    def end(self) -> None:
        """Ends drivers that a failed test has left."""
        for driver in self._drivers:
            if driver.process.poll() is None:
                driver.kill()


class Driver:
    """A running command `sweep`, the leader of its own process group as in a terminal."""

    def __init__(self, case: Case, words: Sequence[str]) -> None:
        self.case, self.words = case, words
        self._mark = secrets.token_hex(8)
        self._log = case.faults / f"output-{self._mark}"
        self._ledger_before = len(case.ledger.rows)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sweep", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=case.folder,
                env=environment(
                    SWEEP_FAULT_MARK=self._mark, **case.variables, **(TOKEN if "--address" in words else {})
                ),
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def last_line(self) -> str:
        return (self.output.strip().splitlines() or [""])[-1]

    @property
    def new_rows(self) -> tuple[tuple[float, int, str, str], ...]:
        return self.case.ledger.rows[self._ledger_before :]

    def until(self, condition: Callable[[], Any], within_s: float = 240) -> None:
        """Waits until something is true of the run, which must go on meanwhile."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert self.process.poll() is None, f"ended early: {self.output}"
            assert time.monotonic() < deadline, f"not within {within_s} s: {self.output}"
            time.sleep(0.02)

    def until_epochs(self, count: int) -> None:
        """Waits until this run has trained some epochs."""
        self.until(lambda: len(self.new_rows) >= count)

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Ctrl-C as a terminal sends it, to the whole process group; other signals to the driver."""
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def wait(self, within_s: float = 240) -> int:
        """Waits for the end and gives the exit code as a shell would."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.words} did not end within {within_s} s: {self.output}") from None
        return code if code >= 0 else 128 - code

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def until_gone(self, within_s: float = 60) -> None:
        """Waits until no process of this run is left."""
        deadline = time.monotonic() + within_s
        while left := self.processes():
            assert time.monotonic() < deadline, left
            time.sleep(0.2)

    def processes(self, name: str = "") -> list[psutil.Process]:
        """All living processes that this run has started, or those of a name."""
        found = set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("SWEEP_FAULT_MARK") == self._mark:
                    found |= {process, *process.children(recursive=True)}
        named = []
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):  # it may end while it is looked at
                named += [process] if name in process.name() else []
        return named


def environment(**more: str) -> dict[str, str]:
    """Of processes under test: the hooks, this source, no colours, and workers that are as urgent as anything else."""
    paths = os.pathsep.join([str(HOOKS), str(SOURCE)])
    return {**os.environ, "PYTHONPATH": paths, "NO_COLOR": "1", "COLUMNS": "200", "RAY_worker_niceness": "0", **more}


def planned(folder: Path, words: Sequence[str] = WORDS) -> tuple[Manifest, Any]:
    """The manifest of a sweep, written to `folder` as a driver would, and its data set."""
    from sweep.trial import describe_worker

    sweep: SweepConfig = load_sweep(words[0], words[1:])
    dataset = load_dataset(sweep.dataset, validation_size=sweep.validation_size)
    manifest = make_manifest(
        sweep,
        dataset,
        name=sweep.name,
        command="",
        worker=describe_worker(work=work_of(sweep, None, dataset.record)),
    )
    Experiment(LocalStorage(folder)).write_manifest(manifest)
    return manifest, dataset


def uninterrupted(folder: Path, words: Sequence[str] = WORDS, *, every: int = 1) -> dict[str, Numbers]:
    """Trains a sweep, or only each `every`-th trial of it, in this process without Ray and without faults."""
    from sweep.trial import run_trial

    manifest, dataset = planned(folder, words)
    experiment = Experiment(LocalStorage(folder))
    trials = manifest.trials[::every]
    for trial in trials:
        run_trial(trial, dataset, experiment, products=manifest.products)
    return {trial.trial_id: _numbers(experiment, trial.trial_id) for trial in trials}


def numbers(experiment: Experiment) -> dict[str, Numbers]:
    """The numbers of all trials of the manifest; fails if one is missing."""
    manifest = experiment.read_manifest()
    assert manifest
    return {trial.trial_id: _numbers(experiment, trial.trial_id) for trial in manifest.trials}


def mismatches(found: dict[str, Numbers], expected: dict[str, Numbers]) -> list[str]:
    """Trials whose numbers are not bit for bit the expected ones, or are missing."""
    different = set(found) ^ set(expected)
    for trial_id in set(found) & set(expected):
        one, other = found[trial_id], expected[trial_id]
        same_arrays = all(
            np.array_equal(one.predictions[name], other.predictions[name], equal_nan=True) for name in ARRAYS
        )
        if not same_arrays or _without_times(one.record) != _without_times(other.record):
            different.add(trial_id)
    return sorted(different)


def check_promise(case: Case, expected: dict[str, Numbers], *, damaged: int = 0) -> None:
    """Fails unless nothing was lost: the promise of README, judged by files and ledger."""
    assert mismatches(numbers(case.experiment), expected) == []
    assert case.ledger.rerun == []
    assert case.ledger.steps_back <= 1 + damaged
    left = [str(file) for file in case.storage.rglob("*") if ".tmp-" in file.name or file.name.startswith("lock.json")]
    assert left == []
    assert not [name for name in case.experiment.storage.list() if name.startswith("lock.json")]


def resume_command(text: str) -> str:
    """The command that a last line gives."""
    match = re.search(r"go on with: (sweep resume .*)$", text)
    assert match, text
    return match[1]


def _numbers(experiment: Experiment, trial_id: str) -> Numbers:
    record = experiment.read_done(trial_id)
    assert record, f"{trial_id} is not finished"
    return Numbers(record, experiment.read_predictions(trial_id, ARRAYS))


def _without_times(record: DoneRecord) -> str:
    rows = [rows for rows in record.rows if rows.metric != "train_time_s"]
    return repr((record.trial_id, record.replicates, rows))
