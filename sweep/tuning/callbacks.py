"""What Tune calls in the driver while trials run."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.search import Searcher

from sweep.errors import ResourceError, StorageError, SweepError
from sweep.records import Experiment
from sweep.tuning.nodes import check_nodes, is_a_node_gone

# In what Ray says of an actor whose node it knows to be gone.
_NODE_LOST = "node has died"
# In what Ray says of a worker that could not start: it refuses its node, or cannot even import what it needs.
_NOT_STARTED = "error raised in its creation task"


# Whoever wants to know how the trials are doing, called from the thread that runs them with a `trial_id` and an
# `outcome`: "started"; "epoch" or "done", with what `TrialRun.latest` gives; "failed", with a `reason`; or "retried",
# with a `reason`, when its worker was lost and it starts again from its last checkpoint.
Listener = Callable[[Mapping[str, Any]], None]


class _NeverSaved:
    """Tune pickles what it is given into a file that nobody reads; locks and terminals cannot be pickled."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class InOrder(_NeverSaved, Searcher):
    """Gives packs of trial ids to Tune one after the other.

    Tune's own grid search copies all values for each of them: minutes for 10,000 before the first is trained.
    """

    def __init__(self, packs: Iterator[list[str]]) -> None:
        super().__init__()
        self._packs = packs

    def suggest(self, trial_id: str) -> Any:
        """The parameters of Tune's next trial."""
        pack = next(self._packs, None)
        return {"trial_ids": pack} if pack else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Learns nothing from it."""


class StopWhenAsked(_NeverSaved, Stopper):
    """Stops every trial at the end of its epoch once `stop` is set."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never stops a single trial: a trial says itself when it is done."""
        return False

    def stop_all(self) -> bool:
        """Whether the sweep was asked to stop."""
        return self._stop.is_set()


class PassOn(_NeverSaved, Callback):
    """Passes on what the workers report; sets `stop` when the sweep cannot go on, and keeps the reason.

    Args:
        experiment: For the reason of a trial whose worker was lost too often.
        listener: Whom to tell.
        stop: Is set when the storage fails, or a node cannot be used.
        max_retries: Of each trial whose worker was lost; a lost node uses up none.
        at_once: How many trials of a pack run at the same time.

    Attributes:
        problem: Why `stop` was set, None if it was not.
    """

    def __init__(
        self, experiment: Experiment, listener: Listener, stop: threading.Event, *, max_retries: int, at_once: int
    ) -> None:
        self.problem: SweepError | None = None
        self._experiment, self._listener, self._stop = experiment, listener, stop
        self._max_retries, self._at_once = max_retries, at_once
        self._lost: Counter[str] = Counter()
        self._ended: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has taken a pack of trials."""
        for trial_id in self._running(trial):
            self._tell(trial_id, "started")

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A worker has reported epochs, or the ends of trials."""
        for report in result["reports"]:
            if report["outcome"] == "storage_error":
                self._fail(StorageError(report["reason"]))
            elif report["outcome"] == "node_unfit":
                self._fail(ResourceError(report["reason"]))
            else:
                if report["outcome"] in ("failed", "done"):
                    self._end(trial, report["trial_id"])
                self._listener(report)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker or a node was lost, and Tune starts the pack again; a lost node uses up no retry of a trial."""
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
                self._tell(trial_id, "retried", f"its {'node' if node_lost else 'worker'} was lost")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The worker of a pack was lost once too often."""
        if self._is_node_unfit(trial):
            return
        for trial_id in self._unfinished(trial):
            self._lost[trial_id] += 1
            self._give_up(trial, trial_id)

    def _tell(self, trial_id: str, outcome: str, reason: str = "") -> None:
        self._listener({"trial_id": trial_id, "outcome": outcome, "reason": reason})

    def _unfinished(self, trial: Any) -> list[str]:
        return [trial_id for trial_id in trial.config["trial_ids"] if trial_id not in self._ended]

    def _running(self, trial: Any) -> list[str]:
        return self._unfinished(trial)[: self._at_once]

    def _end(self, trial: Any, trial_id: str) -> None:
        before = self._running(trial)
        self._ended.add(trial_id)
        for next_id in self._running(trial):
            if next_id not in before:
                self._tell(next_id, "started")

    def _is_node_unfit(self, trial: Any) -> bool:
        """Whether the worker could not start because of its node; Ray would go on giving trials to that node."""
        if _NOT_STARTED not in _last_failure(trial):
            return False
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
        self._tell(trial_id, "failed", reason)

    def _fail(self, problem: SweepError) -> None:
        """Every other trial would fail on the same storage or node."""
        self.problem = self.problem or problem
        self._stop.set()


def _last_failure(trial: Any) -> str:
    """Gives what Ray said, from the file that Tune appends to: its `get_error` reads a copy that is never made."""
    return Path(trial.error_file).read_text(errors="replace").rpartition("Failure #")[2]
