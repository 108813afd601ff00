"""One run of a driver: checks, the manifest, Ray, training, signals, and the end."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import NoReturn

from sweep.config import SweepConfig, TrialConfig
from sweep.datasets import Dataset, load_dataset
from sweep.doctor import check_dataset, check_space, check_storage, check_versions
from sweep.errors import ClusterLostError, ResourceError, StorageError
from sweep.launch.left import trials_left, wanted_manifest
from sweep.launch.outcome import Outcome, read_outcome
from sweep.launch.progress import Display, Recorder
from sweep.launch.request import Launch, resume_command
from sweep.lock import Lock
from sweep.plan import make_manifest
from sweep.records import Manifest

# A user's patience after Ctrl-C is 10 s; what is left of it after this goes into leaving.
_EPOCH_MAY_END_WITHIN_S = 7.0


def run_sweep(sweep: SweepConfig, launch: Launch, display: Display) -> Outcome:
    """Makes the experiment of a sweep, or goes on with it, and trains what is left.

    Raises:
        SweepError: in one line, for what a user can act on; nothing was written if it is a `UserError`.
    """
    experiment = launch.experiment
    manifest = wanted_manifest(sweep, launch)
    # Hashes are checked once: here only if nothing else says that there is something to do.
    whole = launch.only_failed or (manifest and read_outcome(experiment, manifest).complete)
    if manifest and whole and not trials_left(experiment, manifest, launch):
        return read_outcome(experiment, manifest)
    run = _Run(sweep, launch, display, made=manifest is not None)
    with run.signals(), experiment.storage.no_empty_folders():
        check_storage(experiment.storage)
        with Lock(experiment.storage, on_lost=run.lock_lost):
            return run.train()


class _Run:
    """One run of a driver that holds the experiment's lock."""

    def __init__(self, sweep: SweepConfig, launch: Launch, display: Display, *, made: bool) -> None:
        self._made = made  # known without the storage, which may not answer when a signal comes
        self._sweep, self._launch, self._display = sweep, launch, display
        self._experiment = launch.experiment
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._training = False
        self._signal_number = 0
        self._problem = ""

    def train(self) -> Outcome:
        from sweep.tuning import Cluster, check_nodes, check_resources, local_node, share_of_gpu

        # Read again: before the lock was ours another driver may have made or extended the experiment.
        manifest = wanted_manifest(self._sweep, self._launch)
        self._made = manifest is not None
        self._display.say(check_versions(manifest))
        left = trials_left(self._experiment, manifest, self._launch) if manifest else []
        if manifest:
            check_space(self._launch.storage, manifest, left)
        resources = self._sweep.resources
        if not self._launch.address:
            check_resources(resources, [local_node(gpus=resources.num_gpus not in ("auto", 0))])
        self._display.say("joining Ray" if self._launch.address else "starting Ray")
        object_store_gb = _object_store_gb(self._sweep.dataset)
        cluster = Cluster(self._launch.address, object_store_gb=object_store_gb, on_lost=self._ray_lost)
        # Ray waits for its processes for seconds; torch is imported and the data read meanwhile.
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(self._load, manifest)
            with cluster:
                self._take_signals()
                if cluster.warning:
                    self._display.warn(cluster.warning)
                if self._launch.address:
                    self._display.say(check_nodes(self._experiment.storage))
                self._display.say(check_resources(resources, cluster.nodes))
                num_gpus = share_of_gpu(resources, cluster.nodes)
                if manifest and resources.num_gpus == "auto" and manifest.fingerprint.get("device") == "cpu":
                    num_gpus = 0.0  # an experiment stays on the kind of device it began on, unless told otherwise
                dataset = loading.result()
                if not manifest:
                    manifest = self._make_manifest(dataset, num_gpus)
                    left = list(manifest.trials)
                    check_space(self._launch.storage, manifest, left)
                self._write_before_training(manifest, dataset, left)
                return self._train_trials(manifest, dataset, left, num_gpus)

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
        self._problem = "another driver has taken over the experiment"
        self._stop.set()

    def _load(self, manifest: Manifest | None) -> Dataset:
        if not manifest and not self._launch.address:
            import sweep.trial  # noqa: F401  (torch takes seconds to import; this thread has them)

        dataset = load_dataset(
            self._sweep.dataset, validation_size=self._sweep.validation_size, data_dir=self._launch.data_dir
        )
        check_dataset(dataset, manifest)
        return dataset

    def _make_manifest(self, dataset: Dataset, num_gpus: float) -> Manifest:
        resources = self._sweep.resources
        if self._launch.address:
            from sweep.tuning import ask_worker

            worker = ask_worker(resources, num_gpus)
        else:
            from sweep.trial import describe_worker

            worker = describe_worker(num_threads=resources.num_cpus, device="cuda" if num_gpus else "cpu")
        engine = worker.choose_engine(self._sweep.engine)
        if engine == "reference" and self._sweep.engine == "auto":
            self._display.say(f"the reference engine is used, the stacked one is not: {worker.not_stacked}")
        return make_manifest(
            self._sweep,
            dataset,
            name=self._launch.name,
            command=self._launch.command,
            engine=engine,
            fingerprint=worker.fingerprint,
        )

    def _write_before_training(self, manifest: Manifest, dataset: Dataset, left: list[TrialConfig]) -> None:
        self._experiment.storage.remove_abandoned()
        if manifest != self._experiment.read_manifest():
            self._experiment.write_test_split(images=dataset.test_pixels, y_true=dataset.test.labels)
            self._experiment.write_manifest(manifest)
        self._made = True
        for trial_id in self._experiment.read_errors([trial.trial_id for trial in left]):
            self._experiment.clear_error(trial_id)
        self._experiment.log_event(
            "run_started", command=self._launch.command, host=socket.gethostname(), pid=os.getpid(), left=len(left)
        )
        self._experiment.storage.flush()

    def _train_trials(self, manifest: Manifest, dataset: Dataset, left: list[TrialConfig], num_gpus: float) -> Outcome:
        from sweep.tuning import run_trials

        start = time.monotonic()
        recorder = Recorder(self._experiment, self._display, num_left=len(left))
        self._display.begin(manifest, left)
        self._training = True
        try:
            run_trials(
                sorted(left, key=manifest.parameters, reverse=True),
                dataset=dataset,
                experiment=self._experiment,
                resources=self._sweep.resources,
                num_gpus=num_gpus,
                listener=recorder,
                stop=self._stop,
            )
        except (StorageError, ResourceError, ClusterLostError) as error:
            self._problem = str(error)
        finally:
            self._display.end()
            recorder.wait()
        try:
            outcome = read_outcome(self._experiment, manifest, signal_number=self._signal_number, problem=self._problem)
        except StorageError as error:  # the problem may be the storage itself
            return Outcome(
                total=len(manifest.trials),
                done=len(manifest.trials) - len(left) + recorder.num_done,
                failed=(),
                signal_number=self._signal_number,
                problem=self._problem or str(error),
            )
        with contextlib.suppress(StorageError):
            self._experiment.log_event(
                "run_finished",
                outcome="complete" if outcome.complete else "interrupted" if self._signal_number else "incomplete",
                wall_time_s=round(time.monotonic() - start, 3),
                trials_done=outcome.done,
            )
            self._experiment.storage.flush()
            self._experiment.storage.remove_abandoned()
        return outcome

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

    def _ray_lost(self, what: str) -> None:
        self._leave(1, f"error: {what}")

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


def _object_store_gb(dataset: str) -> float:
    # Room for float32 images of the built-in sets; a compressed .npz of bytes grows by about ten.
    return (
        max(0.5, 10 * Path(dataset).stat().st_size / 1e9)
        if dataset.endswith(".npz") and Path(dataset).exists()
        else 0.5
    )
