"""Runs what is left of an experiment: the one code path of `run`, `resume`, `--extend` and `confirm`.

Checks first, writes the manifest before any training, then trains the manifest's trials that have no done record.
What there is of the experiment is read before the lock, since most refusals need none; under the lock and after the
training only what is new is read. What happened is read from the files, never from Ray.
"""

import contextlib
import dataclasses
import importlib
import os
import shlex
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from sweep import doctor
from sweep.config import SweepConfig, TrialConfig, check_trainable
from sweep.datasets import Dataset
from sweep.errors import ClusterLostError, ResourceError, StorageError
from sweep.lock import Lock
from sweep.loops.stacked import unfit
from sweep.plan import (
    Worker,
    check_same_confirmation,
    check_same_sweep,
    confirm_manifest,
    extend_manifest,
    make_manifest,
)
from sweep.records import Experiment, Manifest, State
from sweep.storage import Storage
from sweep.verify import damaged_files

if TYPE_CHECKING:
    from sweep.display import Lines

_FEWEST_FRESH_SEEDS = 3  # unless the user asks for fewer
# A user's patience after Ctrl-C is 10 s; what is left of it after this goes into leaving.
_EPOCH_MAY_END_WITHIN_S = 7.0


@dataclass(frozen=True, kw_only=True)
class FinalistsAsked:
    """What `sweep confirm` asks for: how many finalists and fresh seeds; None leaves it to the experiment."""

    count: int | None = None
    num_seeds: int | None = None


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What a run is to do, and where.

    Attributes:
        storage: The storage path.
        name: Of the experiment.
        command: The command line, for manifest and report.
        address: Of the user's Ray cluster, None for a private one.
        data_dir: Folder of the data set, None for the cache.
        out: Folder that the user wants the report in, None for the usual one.
        extend: Whether a larger sweep may add trials to an existing experiment.
        only_failed: Whether only failed trials are run.
        confirm: What to train finalists with fresh seeds for, None if that is not asked for.
    """

    storage: Storage
    name: str
    command: str
    address: str | None = None
    data_dir: str | None = None
    out: str | None = None
    extend: bool = False
    only_failed: bool = False
    confirm: FinalistsAsked | None = None

    @property
    def experiment(self) -> Experiment:
        """The experiment's files."""
        return Experiment(self.storage.folder(self.name))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended, as the files say.

    Attributes:
        state: Of the experiment.
        num_unread: Trials that have been finished since, whose records cannot be read.
        signal_number: Of the signal that ended the run, 0 for none.
        problem: Why the whole run stopped early, "" if it did not.
    """

    state: State
    num_unread: int = 0
    signal_number: int = 0
    problem: str = ""

    @property
    def done(self) -> int:
        """Trials that are finished."""
        return len(self.state.done) + self.num_unread

    @property
    def complete(self) -> bool:
        """Whether every trial is finished."""
        return self.done == len(self.state.manifest.trials)

    @property
    def exit_code(self) -> int:
        """0 complete, 1 incomplete, 128 plus the number of a signal."""
        return 0 if self.complete else 128 + self.signal_number if self.signal_number else 1


def run_sweep(sweep: SweepConfig | None, launch: Launch, display: "Lines") -> Outcome:
    """Makes the experiment of a sweep, or goes on with it, and trains what is left.

    Args:
        sweep: What to compare; None for what the experiment compares.
        launch: What to do about it.
        display: Shows the user how it goes.

    Raises:
        SweepError: in one line, for what a user can act on; nothing was written if it is a `UserError`.
    """
    experiment = launch.experiment
    if sweep is None:
        manifest = experiment.read_manifest()
        assert manifest
        sweep = manifest.sweep
    state = _wanted(sweep, launch, experiment)
    # Hashes are checked once: here only if nothing else says that there is something to do.
    only_failed = launch.only_failed
    if state and (only_failed or state.complete) and not trials_left(without_damaged(state), only_failed=only_failed):
        if reason := doctor.compare_data(sweep, state.manifest, launch.data_dir):
            display.warn(f"the data are not compared with those of the experiment: {reason}")
        return Outcome(state=state)
    run = _Run(sweep, launch, display, experiment, state)
    with run.signals(), experiment.storage.no_empty_folders():
        doctor.check_storage(experiment.storage)
        with Lock(experiment.storage, on_lost=run.lock_lost, say=display.say):
            return run.train()


def _wanted(sweep: SweepConfig, launch: Launch, experiment: Experiment, before: State | None = None) -> State | None:
    """Gives the state under the manifest that a run is to fulfil: as it is, extended or with a confirmation.

    None if there is no experiment. Records that were read `before` are not read again.
    """
    manifest = experiment.read_manifest()
    if manifest is None:
        return None
    if launch.extend:
        manifest = extend_manifest(manifest, sweep, command=launch.command)
    else:
        check_same_sweep(manifest, sweep)
    state = (before or State(experiment=experiment, manifest=manifest)).again(manifest)
    asked = launch.confirm
    if asked is None:
        return state
    if manifest.confirmations:
        check_same_confirmation(manifest, count=asked.count, num_seeds=asked.num_seeds)
        return state
    from sweep.report.finalists import find_finalists  # imports what a report needs

    finalists = find_finalists(state, asked.count)
    num_seeds = asked.num_seeds or max(finalists.num_seeds, _FEWEST_FRESH_SEEDS)
    return state.again(confirm_manifest(manifest, finalists.points, num_seeds, command=launch.command))


def without_damaged(state: State) -> State:
    """Gives the state in which those trials are not finished whose files are missing or not what was written.

    Hashes are computed where the storage does not see to that itself.
    """
    storage, there = state.experiment.storage, state.experiment.storage.files("trials")
    return state.without(
        {
            trial_id
            for trial_id, record in state.done.items()
            if any(f"trials/{trial_id}/{file}" not in there for file in ("done.json", *record.files))
            or (not storage.keeps_checksums and damaged_files(state.experiment, record))
        }
    )


def trials_left(state: State, *, only_failed: bool = False) -> list[TrialConfig]:
    """What is left to do: manifest minus done records; with `only_failed` those of them that failed.

    Raises:
        ConfigError: if one of them cannot be trained by this version.
    """
    left = state.left
    for trial in left:
        check_trainable(trial)
    return [trial for trial in left if trial.trial_id in state.failed] if only_failed else left


def resume_command(launch: Launch) -> str:
    """Gives the exact command that goes on with an experiment."""
    words = ["sweep", "resume", launch.name]
    for option, value in (
        ("--storage", str(launch.storage)),
        ("--address", launch.address),
        ("--data-dir", launch.data_dir),
        ("--out", launch.out),
    ):
        if value and value != str(Path("experiments").absolute()):
            words += [option, value]
    return command_line(words)


def command_line(words: Sequence[str]) -> str:
    """Gives words as a shell takes them; one that is not UTF-8, as a path may be, byte by byte, so that all is text."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    try:
        word.encode()
    except UnicodeEncodeError:
        return "$'" + "".join(f"\\{byte:03o}" for byte in os.fsencode(word)) + "'"
    return shlex.quote(word)


class _Run:
    """One run of a driver, from the lock to the end."""

    def __init__(
        self, sweep: SweepConfig, launch: Launch, display: "Lines", experiment: Experiment, state: State | None
    ) -> None:
        self._sweep, self._launch, self._display = sweep, launch, display
        self._experiment, self._state = experiment, state
        self._made = state is not None  # known without the storage, which may not answer when a signal comes
        self._stop, self._ended = threading.Event(), threading.Event()
        self._training = False
        self._signal_number = self._num_done = self._num_left = 0
        self._problem = ""
        self._importing: threading.Thread | None = None

    def train(self) -> Outcome:
        """Trains what is left; the lock is held."""
        from sweep.tuning import Cluster, ask_worker, check_nodes, check_resources, local_node, share_of_gpu

        launch, display, resources = self._launch, self._display, self._sweep.resources
        # Read again: before the lock was ours another driver may have made or extended the experiment.
        state = _wanted(self._sweep, launch, self._experiment, self._state)
        self._made = state is not None
        manifest = state.manifest if state else None
        display.say(doctor.check_versions(manifest))
        left: list[TrialConfig] = []
        if state:
            state = without_damaged(state)
            left = trials_left(state, only_failed=launch.only_failed)
            doctor.check_space(launch.storage, state.manifest, left)
        if not launch.address:
            check_resources(resources, [local_node(gpus=resources.num_gpus not in ("auto", 0))])
        display.say("joining Ray" if launch.address else "starting Ray")
        object_store_gb = _object_store_gb(doctor.find_data_file(self._sweep, manifest, launch.data_dir))
        cluster = Cluster(
            launch.address, object_store_gb=object_store_gb, on_lost=lambda what: self._leave(1, f"error: {what}")
        )
        # Ray waits for its processes for seconds; torch is imported, the data read and the engine checked meanwhile.
        with ThreadPoolExecutor(2) as pool:
            loading = pool.submit(self._load, manifest)
            if not launch.address:
                pool.submit(unfit)
            with cluster:
                self._take_signals()
                if cluster.warning:
                    display.warn(cluster.warning)
                if launch.address:
                    display.say(check_nodes(self._experiment.storage))
                display.say(check_resources(resources, cluster.nodes))
                num_gpus = share_of_gpu(resources, cluster.nodes, manifest)
                dataset = loading.result()
                for doubt in dataset.record.doubts:
                    display.warn(doubt)
                worker = ask_worker(resources, num_gpus, joined=launch.address is not None)
                engine_line = doctor.check_engine(self._sweep, manifest, worker)
                new = not state
                state = state or State(experiment=self._experiment, manifest=self._make_manifest(dataset, worker))
                if worker.reasons(state.manifest.trials):
                    display.say(engine_line)
                if new:
                    left = state.left
                    doctor.check_space(launch.storage, state.manifest, left)
                self._write_before_training(state, dataset, left)
                return self._train_trials(state, dataset, left, num_gpus)

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Handles Ctrl-C and SIGTERM."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self._take_signals()
        try:
            yield
        finally:
            self._ended.set()
            for number, handler in before.items():
                signal.signal(number, handler)

    def lock_lost(self) -> None:
        """Another driver holds the lock: training ends with the running epochs."""
        self._problem = "another driver has taken over the experiment"
        self._stop.set()

    def _load(self, manifest: Manifest | None) -> Dataset:
        if not self._launch.address:
            import sweep.trial  # noqa: F401  (torch takes seconds to import; this thread has them)
        return doctor.read_dataset(self._sweep, manifest, self._launch.data_dir)

    def _make_manifest(self, dataset: Dataset, worker: Worker) -> Manifest:
        return make_manifest(
            self._sweep,
            dataset,
            name=self._launch.name,
            command=self._launch.command,
            worker=worker,
        )

    def _write_before_training(self, state: State, dataset: Dataset, left: list[TrialConfig]) -> None:
        self._experiment.storage.remove_abandoned()
        if state.manifest != self._experiment.read_manifest():
            self._experiment.write_test_split(images=dataset.test_pixels, y_true=dataset.test.labels)
            self._experiment.write_manifest(state.manifest)
        self._made = True
        for trial_id in {trial.trial_id for trial in left} & state.failed.keys():
            self._experiment.clear_error(trial_id)
        self._experiment.log_event(
            "run_started", command=self._launch.command, host=socket.gethostname(), pid=os.getpid(), left=len(left)
        )
        self._experiment.storage.flush()

    def _train_trials(self, state: State, dataset: Dataset, left: list[TrialConfig], num_gpus: float) -> Outcome:
        from sweep.tuning.trials import run_trials

        start = time.monotonic()
        self._num_left = len(left)
        self._display.begin(state.manifest, left)
        self._training = True
        try:
            run_trials(
                sorted(left, key=state.manifest.parameters, reverse=True),
                dataset=dataset,
                experiment=self._experiment,
                resources=self._sweep.resources,
                num_gpus=num_gpus,
                listener=self._hear,
                stop=self._stop,
            )
        except (StorageError, ResourceError, ClusterLostError) as error:
            self._problem = str(error)
        finally:
            self._display.end()
            if self._importing:  # a thread that frees one of Ray's objects after Ray was left ends the process
                self._importing.join()
        outcome = Outcome(state=state, signal_number=self._signal_number, problem=self._problem)
        try:
            outcome = dataclasses.replace(outcome, state=state.again(state.manifest))
        except StorageError as error:  # the problem may be the storage itself
            state = dataclasses.replace(state, failed={})
            problem = self._problem or str(error)
            return dataclasses.replace(outcome, state=state, num_unread=self._num_done, problem=problem)
        self._log(
            "run_finished",
            outcome="complete" if outcome.complete else "interrupted" if self._signal_number else "incomplete",
            wall_time_s=round(time.monotonic() - start, 3),
            trials_done=outcome.done,
        )
        with contextlib.suppress(StorageError):
            self._experiment.storage.flush()
            self._experiment.storage.remove_abandoned()
        return outcome

    def _hear(self, report: Mapping[str, Any]) -> None:
        """Writes down what a person may want to know of a trial, and passes it on to the display."""
        outcome, trial_id = report["outcome"], report["trial_id"]
        if outcome == "done":
            self._num_done += 1
            self._log("trial_done", trial_id=trial_id, train_time_s=report["train_time_s"])
        elif outcome in ("failed", "retried"):
            self._log(f"trial_{outcome}", trial_id=trial_id, reason=report["reason"])
        self._display.show(report)
        if outcome in ("done", "failed"):
            self._num_left -= 1
            if self._num_left == 1:
                # While a core is idle: what the report needs takes a second to import.
                writing = "sweep.report.writing"
                self._importing = threading.Thread(target=importlib.import_module, args=(writing,), daemon=True)
                self._importing.start()

    def _log(self, event: str, **details: Any) -> None:
        with contextlib.suppress(StorageError):  # what needs the space reports it
            self._experiment.log_event(event, **details)

    def _take_signals(self) -> None:
        """Called again after Ray has started, which replaces whatever handlers there are."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        second, self._signal_number = self._signal_number, number
        if second or not self._training:
            self._leave_now()
        self._stop.set()
        # Not in this handler: it may have interrupted the very thread that is printing.
        threading.Thread(target=self._leave_in_time, daemon=True).start()

    def _leave_in_time(self) -> None:
        self._display.say("stopping when the running epochs have ended; once more to leave at once")
        if not self._ended.wait(_EPOCH_MAY_END_WITHIN_S):
            self._leave_now()

    def _leave_now(self) -> None:
        self._leave(128 + self._signal_number, "stopped")

    def _leave(self, exit_code: int, reason: str) -> NoReturn:
        """Leaves without waiting for anything; the guard ends Ray's processes, the files are whole at any time."""
        ending = threading.Thread(target=self._display.end, daemon=True)
        ending.start()
        ending.join(1.0)  # the thread that was interrupted may hold what the display waits for
        advice = f"go on with: {resume_command(self._launch)}" if self._made else "nothing was trained"
        with contextlib.suppress(OSError):  # nobody may be there to read it
            os.write(2, f"{reason}; {advice}\n".encode(errors="replace"))
        os._exit(exit_code)


def _object_store_gb(data_file: str | None) -> float:
    # Room for float32 images of the built-in sets; a compressed .npz of bytes grows by about ten.
    return max(0.5, 10 * Path(data_file).stat().st_size / 1e9) if data_file else 0.5
