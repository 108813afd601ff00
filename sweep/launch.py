"""Runs what is left of an experiment: the one code path of `run`, `resume` and `--extend`.

Checks first, writes the manifest before any training, then trains the manifest's trials that have no done record.
What happened is read from the files, never from Ray.
"""

import contextlib
import os
import shlex
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from sweep.config import SweepConfig, TrialConfig
from sweep.datasets import Dataset, load_dataset
from sweep.errors import ExperimentError, StorageError
from sweep.lock import Lock, is_alive, read_holder
from sweep.plan import check_same_sweep, disk_estimate_gb, extend_manifest, make_manifest
from sweep.records import Experiment, Manifest
from sweep.storage import Storage

# A user's patience after Ctrl-C is 10 s; what is left of it after this goes into leaving.
_EPOCH_MAY_END_WITHIN_S = 7.0


class Display(Protocol):
    """Shows a user how the trials are doing; see `sweep.tuning.Listener`."""

    def say(self, text: str) -> None:
        """Shows one line."""

    def begin(self, manifest: Manifest, left: list[TrialConfig]) -> None:
        """Training starts; the trials that are not `left` are finished."""

    def started(self, trial_id: str) -> None:
        """A worker has taken the trial."""

    def epoch(self, trial_id: str, metrics: Mapping[str, float]) -> None:
        """An epoch has ended."""

    def done(self, trial_id: str, metrics: Mapping[str, float]) -> None:
        """The trial is finished."""

    def failed(self, trial_id: str, reason: str) -> None:
        """The trial has failed."""

    def retried(self, trial_id: str, reason: str) -> None:
        """The trial's worker or node was lost."""

    def end(self) -> None:
        """Training has ended."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended, as the files say.

    Attributes:
        total: Trials of the manifest.
        done: Trials that are finished.
        failed: Ids of the trials that failed.
        signal_number: Of the signal that ended the run, 0 for none.
        problem: Why the whole run stopped early, "" if it did not.
    """

    total: int
    done: int
    failed: tuple[str, ...] = ()
    signal_number: int = 0
    problem: str = ""

    @property
    def complete(self) -> bool:
        """Whether every trial is finished."""
        return self.done == self.total

    @property
    def exit_code(self) -> int:
        """0 complete, 1 incomplete, 128 plus the number of a signal."""
        return 0 if self.complete else 128 + self.signal_number if self.signal_number else 1


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What a run is to do, and where.

    Attributes:
        storage: The storage path.
        name: Of the experiment.
        command: The command line, for manifest and report.
        address: Of the user's Ray cluster, None for a private one.
        data_dir: Folder of the data set, None for the cache.
        extend: Whether a larger sweep may add trials to an existing experiment.
        only_failed: Whether only failed trials are run.
    """

    storage: Storage
    name: str
    command: str
    address: str | None = None
    data_dir: str | None = None
    extend: bool = False
    only_failed: bool = False

    @property
    def experiment(self) -> Experiment:
        """The experiment's files."""
        return Experiment(self.storage.folder(self.name))


def run_sweep(sweep: SweepConfig, launch: Launch, display: Display) -> Outcome:
    """Makes the experiment of a sweep, or goes on with it, and trains what is left.

    Raises:
        SweepError: in one line, for what a user can act on; nothing was written if it is a `UserError`.
    """
    experiment = launch.experiment
    manifest = experiment.read_manifest()
    if manifest and launch.extend:
        manifest = extend_manifest(manifest, sweep, command=launch.command)
    elif manifest:
        check_same_sweep(manifest, sweep)
    left = _left(experiment, manifest, launch) if manifest else []
    if manifest and not left:
        return read_outcome(experiment, manifest)
    _check_free(experiment)
    return _Run(sweep, launch, display, manifest).train()


def read_outcome(experiment: Experiment, manifest: Manifest, *, signal_number: int = 0, problem: str = "") -> Outcome:
    """Says how complete an experiment is."""
    unfinished = [trial.trial_id for trial in manifest.trials if not experiment.read_done(trial.trial_id)]
    return Outcome(
        total=len(manifest.trials),
        done=len(manifest.trials) - len(unfinished),
        failed=tuple(trial_id for trial_id in unfinished if experiment.read_error(trial_id)),
        signal_number=signal_number,
        problem=problem,
    )


class _Run:
    """One run of a driver."""

    def __init__(self, sweep: SweepConfig, launch: Launch, display: Display, manifest: Manifest | None) -> None:
        self._sweep, self._launch, self._display, self._manifest = sweep, launch, display, manifest
        self._experiment = launch.experiment
        self._stop = threading.Event()
        self._signal_number = 0
        self._problem = ""

    def train(self) -> Outcome:
        from sweep.tuning import Cluster, check_resources, local_node, share_of_gpu

        resources = self._sweep.resources
        if not self._launch.address:
            check_resources(resources, [local_node(gpus=resources.num_gpus not in ("auto", 0))])
        # Ray waits for its processes for seconds; torch is imported and the data read meanwhile.
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(self._load)
            self._display.say("joining Ray" if self._launch.address else "starting Ray")
            with Cluster(self._launch.address, object_store_gb=_object_store_gb(self._sweep.dataset)) as cluster:
                self._display.say(check_resources(resources, cluster.nodes))
                num_gpus = share_of_gpu(resources, cluster.nodes)
                dataset, engine = loading.result()
                with self._signals():
                    return self._train_locked(dataset, engine, num_gpus)

    def _load(self) -> tuple[Dataset, str]:
        from sweep.trial import choose_engine

        dataset = load_dataset(
            self._sweep.dataset, validation_size=self._sweep.validation_size, data_dir=self._launch.data_dir
        )
        if self._manifest and dataset.sha256 != self._manifest.dataset.sha256:
            raise ExperimentError(
                f"data set {dataset.name} has the SHA-256 {dataset.sha256}, the experiment was made with "
                f"{self._manifest.dataset.sha256}; restore the data, or start anew under another --name"
            )
        return dataset, choose_engine(self._sweep.engine)

    def _train_locked(self, dataset: Dataset, engine: str, num_gpus: float) -> Outcome:
        from sweep.trial import fingerprint
        from sweep.tuning import run_trials

        resources = self._sweep.resources
        manifest = self._manifest or make_manifest(
            self._sweep,
            dataset,
            name=self._launch.name,
            command=self._launch.command,
            engine=engine,
            fingerprint=fingerprint(num_threads=resources.num_cpus, device="cuda" if num_gpus else "cpu"),
        )
        left = _left(self._experiment, manifest, self._launch)
        _check_space(self._launch.storage, manifest, left)
        with Lock(self._experiment.storage, on_lost=self._lock_lost):
            if manifest != self._experiment.read_manifest():
                self._experiment.write_test_split(images=dataset.test_pixels, y_true=dataset.test.labels)
                self._experiment.write_manifest(manifest)
            for trial in left:
                self._experiment.clear_error(trial.trial_id)
            start = time.monotonic()
            listener = _Recorder(self._experiment, self._display)
            self._experiment.log_event(
                "run_started", command=self._launch.command, host=socket.gethostname(), pid=os.getpid(), left=len(left)
            )
            self._display.begin(manifest, left)
            try:
                run_trials(
                    sorted(left, key=manifest.parameters, reverse=True),
                    dataset=dataset,
                    experiment=self._experiment,
                    resources=resources,
                    num_gpus=num_gpus,
                    listener=listener,
                    stop=self._stop,
                )
            except StorageError as error:
                self._problem = str(error)
            finally:
                self._display.end()
            outcome = read_outcome(self._experiment, manifest, signal_number=self._signal_number, problem=self._problem)
            with contextlib.suppress(StorageError):  # the problem may be the storage itself
                self._experiment.log_event(
                    "run_finished",
                    outcome="complete" if outcome.complete else "interrupted" if self._signal_number else "incomplete",
                    wall_time_s=round(time.monotonic() - start, 3),
                    trials_done=outcome.done,
                )
            return outcome

    def _lock_lost(self) -> None:
        self._problem = "another driver has taken over the experiment"
        self._stop.set()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Handles Ctrl-C and SIGTERM from here on; Ray has replaced whatever handlers there were."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, self._on_signal) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signal_number:
            self._leave_now()
        self._signal_number = number
        self._stop.set()
        self._display.say("stopping when the running epochs have ended; once more to leave at once")
        timer = threading.Timer(_EPOCH_MAY_END_WITHIN_S, self._leave_now)
        timer.daemon = True
        timer.start()

    def _leave_now(self) -> None:
        """Leaves without waiting for anything; the guard ends Ray's processes, the files are whole at any time."""
        self._display.end()
        self._display.say(f"stopped; go on with: {resume_command(self._launch)}")
        os._exit(128 + self._signal_number)


class _Recorder:
    """Writes down what happens for people to read, and passes it on to the display."""

    def __init__(self, experiment: Experiment, display: Display) -> None:
        self._experiment, self._display = experiment, display

    def started(self, trial_id: str) -> None:
        self._display.started(trial_id)

    def epoch(self, trial_id: str, metrics: Mapping[str, float]) -> None:
        self._display.epoch(trial_id, metrics)

    def done(self, trial_id: str, metrics: Mapping[str, float]) -> None:
        self._log("trial_done", trial_id=trial_id, train_time_s=metrics["train_time_s"])
        self._display.done(trial_id, metrics)

    def failed(self, trial_id: str, reason: str) -> None:
        self._log("trial_failed", trial_id=trial_id, reason=reason)
        self._display.failed(trial_id, reason)

    def retried(self, trial_id: str, reason: str) -> None:
        self._log("trial_retried", trial_id=trial_id, reason=reason)
        self._display.retried(trial_id, reason)

    def _log(self, event: str, **details: object) -> None:
        with contextlib.suppress(StorageError):  # what needs the space reports it
            self._experiment.log_event(event, **details)


def resume_command(launch: Launch) -> str:
    """Gives the exact command that goes on with an experiment."""
    words = ["sweep", "resume", launch.name]
    for option, value in (
        ("--storage", str(launch.storage)),
        ("--address", launch.address),
        ("--data-dir", launch.data_dir),
    ):
        if value and value != str(Path("experiments").absolute()):
            words += [option, value]
    return shlex.join(words)


def _left(experiment: Experiment, manifest: Manifest, launch: Launch) -> list[TrialConfig]:
    """Manifest minus done records; with `only_failed`, those of them that failed."""
    left = [trial for trial in manifest.trials if not experiment.read_done(trial.trial_id)]
    return [trial for trial in left if experiment.read_error(trial.trial_id)] if launch.only_failed else left


def _check_free(experiment: Experiment) -> None:
    """Refuses early what the lock would refuse after Ray's start."""
    holder = read_holder(experiment.storage)
    if holder and is_alive(holder):
        with Lock(experiment.storage, on_lost=lambda: None):
            pass


def _check_space(storage: Storage, manifest: Manifest, left: list[TrialConfig]) -> None:
    needed = disk_estimate_gb(
        left, num_parameters=[manifest.parameters(trial) for trial in left], dataset=manifest.dataset
    )
    if storage.free_gb() < needed:
        raise StorageError(
            f"{storage} has {storage.free_gb():.2f} GB free, the sweep needs about {needed:.2f} GB; "
            "free some space or choose another place with --storage"
        )


def _object_store_gb(dataset: str) -> float:
    # Room for float32 images of the built-in sets; a compressed .npz of bytes grows by about ten.
    return (
        max(0.5, 10 * Path(dataset).stat().st_size / 1e9)
        if dataset.endswith(".npz") and Path(dataset).exists()
        else 0.5
    )
