"""Runs trials through Ray Tune: `run_trials` and `PassOn` in the driver, `GridPointTrainable` in the workers.

A worker takes one pack of trials after the other, so that whatever takes time to start is paid once. Nothing is saved
through Ray, and it sees only lost workers and nodes as failures, which it retries. All else is in the reports on a
trial. Each has a `trial_id` and an `outcome`: "started"; "epoch" or "done", with what `TrialRun.latest` gives; or with
a `reason` "failed"; "retried", when its worker was lost; or what only `PassOn` hears, since it ends the whole sweep,
"storage_error" or "node_unfit".

Imports Ray, which must have been told how to behave: `Cluster` does that.
"""

import itertools
import shutil
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import gethostname
from typing import Any

import ray.exceptions
from ray import tune
from ray.tune.execution import class_cache
from ray.tune.search import Searcher

from sweep.config import Resources, TrialConfig
from sweep.datasets import Dataset
from sweep.errors import ClusterLostError, ResourceError, StorageError, SweepError, first_line
from sweep.records import Experiment
from sweep.storage import open_storage
from sweep.tuning.nodes import check_nodes, is_a_node_gone, versions

# Whoever wants to know how the trials are doing, called with a report from the thread that runs them.
Listener = Callable[[Mapping[str, Any]], None]
_ENDS_SWEEP = {"storage_error": StorageError, "node_unfit": ResourceError}
# In what Ray says of an actor whose node it knows to be gone.
_NODE_LOST = "node has died"
# In what Ray says of a worker that could not start: it refuses its node, or cannot even import what it needs.
_NOT_STARTED = "error raised in its creation task"


def run_trials(
    trials: Sequence[TrialConfig],
    *,
    dataset: Dataset,
    experiment: Experiment,
    resources: Resources,
    num_gpus: float,
    products: str,
    listener: Listener,
    stop: threading.Event,
) -> None:
    """Trains the trials on the cluster that this process has joined, in the order given, `resources.pack` a worker.

    Returns when all have ended in some way, or soon after `stop` is set: the epochs that run then end first. What
    was finished is in the experiment's files.

    Raises:
        StorageError: if those could not be written, or a node that has joined does not share them.
        ResourceError: if a node that has joined has other versions, or cannot use the engine.
        ClusterLostError: if Ray itself failed.
    """
    device = "cuda" if num_gpus else "cpu"
    # A second trial would only share the core of a CPU; a GPU is not filled by one small model.
    at_once = resources.pack if num_gpus else 1
    trainable = tune.with_parameters(
        GridPointTrainable,
        dataset=dataset,
        root=str(experiment.storage),
        trials={trial.trial_id: trial for trial in trials},
        options={
            "num_threads": resources.num_cpus,
            "device": device,
            "products": products,
            "checkpoint_every": resources.checkpoint_every,
        },
        at_once=at_once,
        versions=versions(),
    )
    trainable = tune.with_resources(trainable, {"cpu": resources.num_cpus, "gpu": num_gpus})
    callback = PassOn(experiment, listener, stop, max_retries=resources.max_retries, at_once=at_once)
    scratch = tempfile.mkdtemp(prefix="sweep-tune-")
    try:
        _tuner(trainable, _packs(trials, resources.pack), resources, callback, scratch).fit()
    except ray.exceptions.RayError as error:
        raise ClusterLostError(f"Ray has failed: {first_line(error)}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if callback.problem:
        raise callback.problem


class PassOn(tune.Callback, tune.Stopper):
    """Passes on what the workers report, and stops all trials at the end of their epochs once `stop` is set.

    That it does itself when the sweep cannot go on, and keeps the `problem`. A trial is given up when its worker was
    lost more than `max_retries` times; a lost node does not count. Of a pack of trials `at_once` run at the same time.
    """

    def __init__(
        self, experiment: Experiment, listener: Listener, stop: threading.Event, *, max_retries: int, at_once: int
    ) -> None:
        self.problem: SweepError | None = None
        self._experiment, self._listener, self._stop = experiment, listener, stop
        self._max_retries, self._at_once = max_retries, at_once
        self._lost: Counter[str] = Counter()
        self._ended: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles it into a file that nobody reads; locks and terminals cannot be pickled."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether to stop one trial, which says itself when it is done."""
        return False

    def stop_all(self) -> bool:
        """Whether to stop the sweep."""
        return self._stop.is_set()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has taken a pack of trials."""
        for trial_id in self._running(trial):
            self._listener(_report(trial_id, "started"))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A worker has reported epochs, or the ends of trials."""
        for report in result["reports"]:
            if problem := _ENDS_SWEEP.get(report["outcome"]):
                self._fail(problem(report["reason"]))
                continue
            if report["outcome"] in ("failed", "done"):
                self._end(trial, report["trial_id"])
            self._listener(report)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker or a node was lost, and Tune starts the pack again."""
        if self._is_node_unfit(trial):
            return
        node_lost = _NODE_LOST in _last_failure(trial) or is_a_node_gone()
        if node_lost:
            trial.run_metadata.num_failures -= 1
        for trial_id in self._running(trial):
            self._lost[trial_id] += not node_lost
            if self._lost[trial_id] > self._max_retries:
                self._give_up(trial, trial_id)
            else:
                what = "node" if node_lost else "worker"
                self._listener(_report(trial_id, "retried", f"its {what} was lost"))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The worker of a pack was lost once too often."""
        if not self._is_node_unfit(trial):
            for trial_id in self._unfinished(trial):
                self._lost[trial_id] += 1
                self._give_up(trial, trial_id)

    def _unfinished(self, trial: Any) -> list[str]:
        return [trial_id for trial_id in trial.config["trial_ids"] if trial_id not in self._ended]

    def _running(self, trial: Any) -> list[str]:
        return self._unfinished(trial)[: self._at_once]

    def _end(self, trial: Any, trial_id: str) -> None:
        before = self._running(trial)
        self._ended.add(trial_id)
        for next_id in self._running(trial):
            if next_id not in before:
                self._listener(_report(next_id, "started"))

    def _is_node_unfit(self, trial: Any) -> bool:
        """Whether the worker could not start because of its node; Ray would go on giving trials to that node."""
        if _NOT_STARTED in _last_failure(trial):
            try:
                check_nodes(self._experiment.storage)
            except (ResourceError, StorageError) as problem:
                self._fail(problem)
                return True
        return False

    def _give_up(self, trial: Any, trial_id: str) -> None:
        """Fails a trial; its pack goes on without it, since a worker leaves out what has a reason written down."""
        times = "once" if self._lost[trial_id] == 1 else f"{self._lost[trial_id]} times"
        reason = f"its worker or node was lost {times}, more than max_retries allows"
        try:
            self._experiment.write_error(trial_id, reason)
        except StorageError as error:
            self._fail(error)
        self._end(trial, trial_id)
        self._listener(_report(trial_id, "failed", reason))

    def _fail(self, problem: SweepError) -> None:
        """Every other trial would fail on the same storage or node."""
        self.problem = self.problem or problem
        self._stop.set()


class GridPointTrainable(tune.Trainable):
    """Trains packs of trials, an epoch at a time.

    A worker of a node that joined in the middle refuses to start if the node is not like the driver, or does not share
    the storage; `PassOn` then finds out what is wrong with which node.
    """

    def setup(self, config: dict[str, Any], **shared: Any) -> None:
        """Takes what `run_trials` lets all workers share, through Ray's object store."""
        self._shared = shared
        self._experiment = Experiment(open_storage(shared["root"]))
        if versions() != shared["versions"]:
            raise ResourceError("this node has other versions than the driver")
        if not self._experiment.exists():
            raise StorageError("this node does not see the experiment")
        self._threads = ThreadPoolExecutor(shared["at_once"]) if shared["at_once"] > 1 else None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Starts anew with another pack in the same worker."""
        self._left: list[str] = new_config["trial_ids"]
        self._runs: dict[str, Any] = {}
        self._new = True
        return True

    def step(self) -> dict[str, Any]:
        """Trains an epoch of one trial, on a GPU of each, and reports it; `done` when no trial of the pack is left."""
        if self._new and len(self._left) > 1:
            try:  # leaves out what a lost worker of the same pack has ended
                self._leave_out(
                    {*self._experiment.read_all_done(self._left), *self._experiment.read_errors(self._left)}
                )
            except StorageError as error:
                return {"reports": [_report(self._left[0], "storage_error", str(error))], "done": True}
        self._new = False
        advance = self._threads.map if self._threads else map
        reports = list(advance(self._advance, self._left[: self._shared["at_once"]]))
        self._leave_out({report["trial_id"] for report in reports if report["outcome"] != "epoch"})
        return {"reports": reports, "done": not self._left}

    def _leave_out(self, ended: set[str]) -> None:
        self._left = [trial_id for trial_id in self._left if trial_id not in ended]
        self._runs = {trial_id: run for trial_id, run in self._runs.items() if trial_id not in ended}

    def _advance(self, trial_id: str) -> dict[str, Any]:
        try:
            return self._train_epoch(trial_id)
        except StorageError as error:
            return _report(trial_id, "storage_error", str(error))
        except ResourceError as error:
            return _report(trial_id, "node_unfit", f"node {gethostname()}: {error}")

    def _train_epoch(self, trial_id: str) -> dict[str, Any]:
        try:
            from sweep.trial import TrialRun

            if trial_id not in self._runs:
                trial, options = self._shared["trials"][trial_id], self._shared["options"]
                self._runs[trial_id] = TrialRun(trial, self._shared["dataset"], self._experiment, **options)
            run = self._runs[trial_id]
            outcome = "done" if run.step() else "epoch"
            return {"trial_id": trial_id, "outcome": outcome, **run.latest}
        except (StorageError, ResourceError):
            raise
        except Exception as error:
            self._experiment.write_error(trial_id, traceback.format_exc())
            return _report(trial_id, "failed", f"{type(error).__name__}: {first_line(error)}")


class _InOrder(Searcher):
    """Tune's own grid search copies all values for each of them: minutes for 10,000 before the first is trained."""

    def __init__(self, packs: Sequence[list[str]]) -> None:
        super().__init__()
        self._packs = list(reversed(packs))

    def suggest(self, trial_id: str) -> Any:
        return {"trial_ids": self._packs.pop()} if self._packs else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        pass


def _tuner(
    trainable: Any, packs: Sequence[list[str]], resources: Resources, callback: PassOn, scratch: str
) -> tune.Tuner:
    # Tune asks for an environment of their own for its actors, so Ray would start further workers and leave those
    # waiting that it has started ahead. It consists of a variable for Lightning, and of the driver's AWS keys, which
    # had better not travel: a node has its own.
    for name in ("DEFAULT_ENV_VARS", "ENV_VARS_TO_PROPAGATE"):
        getattr(class_cache, name, set()).clear()
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=_InOrder(packs),
            num_samples=len(packs),
            reuse_actors=True,
            max_concurrent_trials=resources.max_concurrent or None,
            trial_dirname_creator=lambda trial: trial.trial_id,  # Tune's own, which is short
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=scratch,
            # Of a pack: each of its trials may use up its retries and then be left out.
            failure_config=tune.FailureConfig(max_failures=resources.pack * (resources.max_retries + 1) - 1),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            callbacks=[callback],
            stop=callback,
            verbose=0,
        ),
    )


def _packs(trials: Sequence[TrialConfig], size: int) -> list[list[str]]:
    """Gives the ids of neighbours with the same layers, at most `size` together."""
    groups = [[trial.trial_id for trial in group] for _, group in itertools.groupby(trials, lambda trial: trial.layers)]
    return [group[first : first + size] for group in groups for first in range(0, len(group), size)]


def _report(trial_id: str, outcome: str, reason: str = "") -> dict[str, Any]:
    return {"trial_id": trial_id, "outcome": outcome, "reason": reason}


def _last_failure(trial: Any) -> str:
    """Gives what Ray said, from the file that Tune appends to: its `get_error` reads a copy that is never made."""
    return Path(trial.error_file).read_text(errors="replace").rpartition("Failure #")[2]
