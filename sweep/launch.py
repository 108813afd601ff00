"""Runs what is left of an experiment: the one code path of `run`, `resume`, `--extend` and `confirm`.

Checks first, writes the manifest before any training, then trains the manifest's trials that have no done record.
What there is of the experiment is read before the lock, since most refusals need none; under the lock and after the
training only what is new is read. What happened is read from the files, never from Ray.

`run_sweep` decides whether there is anything to do and takes the lock; `_Run` is what is done while it is held.
"""

import contextlib
import dataclasses
import importlib
import os
import shlex
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep import doctor, plan
from sweep.config import SweepConfig, TrialConfig, check_trainable
from sweep.datasets import Dataset
from sweep.errors import ClusterLostError, ResourceError, StorageError
from sweep.interruption import Interruption
from sweep.lock import Lock
from sweep.loops.stacked import unfit
from sweep.records import Experiment, Manifest, State
from sweep.storage import Storage
from sweep.verify import damaged_files

if TYPE_CHECKING:
    from sweep.display import Lines

_FEWEST_FRESH_SEEDS = 3  # unless the user asks for fewer


@dataclass(frozen=True, kw_only=True)
class FinalistsAsked:
    """What `sweep confirm` asks for; None leaves a number to the experiment."""

    count: int | None = None
    num_seeds: int | None = None


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What a run is to do, and where."""

    storage: Storage
    name: str
    command: str = ""  # the command line, for manifest and report
    address: str | None = None  # of the user's Ray cluster; without it a private one is started
    data_dir: str | None = None  # folder of the data set; without it the cache
    out: str | None = None  # folder that the user wants the report in
    extend: bool = False  # whether a larger sweep may add trials to an existing experiment
    only_failed: bool = False  # whether only failed trials are run
    confirm: FinalistsAsked | None = None  # whether finalists are trained with fresh seeds, and which

    @property
    def experiment(self) -> Experiment:
        """The experiment's files."""
        return Experiment(self.storage.folder(self.name))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended, as the files say."""

    state: State
    done: int  # trials that are finished, those too whose records cannot be read any more
    signal_number: int = 0  # of the signal that ended the run, 0 for none
    problem: str = ""  # why the whole run stopped early

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

    Without a sweep it goes on with the experiment's own.

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
        return Outcome(state=state, done=len(state.done))
    interruption = Interruption(display, resume_command(launch), exists=state is not None)
    with interruption.signals(), experiment.storage.no_empty_folders():
        doctor.check_storage(experiment.storage)
        with Lock(experiment.storage, on_lost=interruption.lock_lost, say=display.say):
            # Read again: before the lock was ours another driver may have made or extended the experiment.
            state = _wanted(sweep, launch, experiment, state)
            interruption.exists = state is not None
            return _Run(sweep, launch, display, interruption, experiment).train(state)


def _wanted(sweep: SweepConfig, launch: Launch, experiment: Experiment, before: State | None = None) -> State | None:
    """The state under the manifest that a run is to fulfil: as it is, extended or with a confirmation.

    None if there is no experiment. Records that were read `before` are not read again.
    """
    manifest = experiment.read_manifest()
    if manifest is None:
        return None
    if launch.extend:
        manifest = plan.extend_manifest(manifest, sweep, command=launch.command)
    else:
        plan.check_same_sweep(manifest, sweep)
    state = (before or State(experiment=experiment, manifest=manifest)).again(manifest)
    asked = launch.confirm
    if asked is None:
        return state
    if manifest.confirmations:
        plan.check_same_confirmation(manifest, count=asked.count, num_seeds=asked.num_seeds)
        return state
    from sweep.report.ranking import find_finalists  # imports what a report needs

    finalists = find_finalists(state, asked.count)
    num_seeds = asked.num_seeds or max(finalists.num_seeds, _FEWEST_FRESH_SEEDS)
    return state.again(plan.confirm_manifest(manifest, finalists.points, num_seeds, command=launch.command))


def without_damaged(state: State) -> State:
    """The state in which those trials are not finished whose files are missing or not what was written.

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
    """The exact command that goes on with an experiment."""
    options = ("--storage", "--address", "--data-dir", "--out")
    values = (str(launch.storage), launch.address, launch.data_dir, launch.out)
    words = ["sweep", "resume", launch.name]
    for option, value in zip(options, values, strict=True):
        if value and value != str(Path("experiments").absolute()):
            words += [option, value]
    return command_line(words)


def command_line(words: Sequence[str]) -> str:
    """Words as a shell takes them; one that is not UTF-8, as a path may be, byte by byte, so that all is text."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    try:
        word.encode()
    except UnicodeEncodeError:
        return "$'" + "".join(f"\\{byte:03o}" for byte in os.fsencode(word)) + "'"
    return shlex.quote(word)


@dataclass
class _Run:
    """What a run does while the lock is held: checks, the manifest, training, what has come of it."""

    sweep: SweepConfig
    launch: Launch
    display: "Lines"
    interruption: Interruption
    experiment: Experiment
    num_done: int = 0
    num_left: int = 0
    importing: threading.Thread | None = None

    def train(self, state: State | None) -> Outcome:
        """Makes sure that all can be trained, then trains what is left; without a state the experiment is made."""
        from sweep.tuning import Cluster, ask_worker, check_nodes, check_resources, local_node, share_of_gpu

        display, resources, joins = self.display, self.sweep.resources, bool(self.launch.address)
        manifest = state.manifest if state else None
        display.say(doctor.check_versions(manifest))
        if state:
            state = without_damaged(state)
            self._left(state)
        if not joins:
            check_resources(resources, [local_node(gpus=resources.num_gpus not in ("auto", 0))])
        display.say("joining Ray" if joins else "starting Ray")
        data_file = doctor.find_data_file(self.sweep, manifest, self.launch.data_dir)
        # Room for float32 images of the built-in sets; a compressed .npz of bytes grows by about ten.
        object_store_gb = max(0.5, 10 * Path(data_file).stat().st_size / 1e9) if data_file else 0.5
        interruption = self.interruption
        cluster = Cluster(self.launch.address, object_store_gb=object_store_gb, on_lost=interruption.cluster_lost)
        # Ray waits for its processes for seconds; torch is imported, the data read and the engine checked meanwhile.
        with ThreadPoolExecutor(2) as pool:
            loading = pool.submit(self._load, manifest)
            if not joins:
                pool.submit(unfit)
            with cluster:
                interruption.take_signals()
                if cluster.warning:
                    display.warn(cluster.warning)
                if joins:
                    display.say(check_nodes(self.experiment.storage))
                display.say(check_resources(resources, cluster.nodes))
                num_gpus = share_of_gpu(resources, cluster.nodes, manifest)
                dataset = loading.result()
                for doubt in dataset.record.doubts:
                    display.warn(doubt)
                work = plan.work_of(self.sweep, manifest, dataset.record)
                worker = ask_worker(resources, num_gpus, work, joined=joins)
                state = state or self._new_state(dataset, worker)
                engine_line = doctor.check_engine(state.manifest, worker)
                if worker.reasons(state.manifest.trials):
                    display.say(engine_line)
                if worker.products_refused:
                    display.warn(doctor.describe_products(state.manifest, worker))
                left = self._left(state)
                with ThreadPoolExecutor(1) as beside:  # Tune is imported while the test images are packed
                    beside.submit(importlib.import_module, "sweep.tuning.trials")
                    self._write_before_training(state, dataset, left)
                return self._train_trials(state, dataset, left, num_gpus)

    def _left(self, state: State) -> list[TrialConfig]:
        left = trials_left(state, only_failed=self.launch.only_failed)
        doctor.check_space(self.launch.storage, state.manifest, left)
        return left

    def _load(self, manifest: Manifest | None) -> Dataset:
        # First the data, beside which Python can do what Ray's start needs; not so beside an import.
        dataset = doctor.read_dataset(self.sweep, manifest, self.launch.data_dir)
        if not self.launch.address:
            import sweep.trial  # noqa: F401  (torch takes seconds to import; this thread has them)
        return dataset

    def _new_state(self, dataset: Dataset, worker: plan.Worker) -> State:
        manifest = plan.make_manifest(
            self.sweep,
            dataset,
            name=self.launch.name,
            command=self.launch.command,
            worker=worker,
        )
        return State(experiment=self.experiment, manifest=manifest)

    def _write_before_training(self, state: State, dataset: Dataset, left: list[TrialConfig]) -> None:
        experiment = self.experiment
        experiment.storage.remove_abandoned()
        if state.manifest != experiment.read_manifest():
            experiment.write_test_split(images=dataset.test_pixels, y_true=dataset.test.labels)
            experiment.write_manifest(state.manifest)
        self.interruption.exists = True
        for trial_id in {trial.trial_id for trial in left} & state.failed.keys():
            experiment.clear_error(trial_id)
        experiment.log_event(
            "run_started", command=self.launch.command, host=socket.gethostname(), pid=os.getpid(), left=len(left)
        )
        experiment.storage.flush()

    def _train_trials(self, state: State, dataset: Dataset, left: list[TrialConfig], num_gpus: float) -> Outcome:
        from sweep.tuning.trials import run_trials

        start = time.monotonic()
        interruption, self.num_left = self.interruption, len(left)
        self.display.begin(state.manifest, left)
        interruption.training = True
        try:
            run_trials(
                sorted(left, key=state.manifest.parameters, reverse=True),
                dataset=dataset,
                experiment=self.experiment,
                resources=self.sweep.resources,
                num_gpus=num_gpus,
                products=state.manifest.products,
                listener=self._hear,
                stop=interruption.stop,
            )
        except (StorageError, ResourceError, ClusterLostError) as error:
            interruption.problem = str(error)
        finally:
            self.display.end()
            if self.importing:  # a thread that frees one of Ray's objects after Ray was left ends the process
                self.importing.join()
        signal_number, problem = interruption.signal_number, interruption.problem
        try:
            state = state.again(state.manifest)
        except StorageError as error:  # the problem may be the storage itself
            done, state = len(state.done) + self.num_done, dataclasses.replace(state, failed={})
            return Outcome(state=state, done=done, signal_number=signal_number, problem=problem or str(error))
        outcome = Outcome(state=state, done=len(state.done), signal_number=signal_number, problem=problem)
        self._log(
            "run_finished",
            outcome="complete" if outcome.complete else "interrupted" if outcome.signal_number else "incomplete",
            wall_time_s=round(time.monotonic() - start, 3),
            trials_done=outcome.done,
        )
        with contextlib.suppress(StorageError):
            self.experiment.storage.flush()
            self.experiment.storage.remove_abandoned()
        return outcome

    def _hear(self, report: Mapping[str, Any]) -> None:
        """Writes down what a person may want to know of a trial, and passes it on to the display."""
        outcome, trial_id = report["outcome"], report["trial_id"]
        if outcome == "done":
            self.num_done += 1
            self._log("trial_done", trial_id=trial_id, train_time_s=report["train_time_s"])
        elif outcome in ("failed", "retried"):
            self._log(f"trial_{outcome}", trial_id=trial_id, reason=report["reason"])
        self.display.show(report)
        if outcome in ("done", "failed"):
            self.num_left -= 1
            if self.num_left == 1:
                # While a core is idle: what the report needs takes a second to import.
                writing = "sweep.report.writing"
                self.importing = threading.Thread(target=importlib.import_module, args=(writing,), daemon=True)
                self.importing.start()

    def _log(self, event: str, **details: Any) -> None:
        with contextlib.suppress(StorageError):  # what needs the space reports it
            self.experiment.log_event(event, **details)
