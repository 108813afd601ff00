"""What Tune calls in the driver while trials run."""

import threading
from collections.abc import Mapping
from typing import Any, Protocol

from ray.tune import Callback, Stopper

from sweep.errors import StorageError
from sweep.records import Experiment
from sweep.tuning.nodes import is_a_node_gone

# In what Ray says of an actor whose node it knows to be gone.
_NODE_LOST = "node has died"


class Listener(Protocol):
    """Whoever wants to know how the trials are doing; called from the thread that runs them."""

    def started(self, trial_id: str) -> None:
        """A worker has taken the trial."""

    def epoch(self, trial_id: str, metrics: Mapping[str, float]) -> None:
        """An epoch has ended; the metrics are those of `TrialRun.latest`."""

    def done(self, trial_id: str, metrics: Mapping[str, float]) -> None:
        """The trial is finished and its record written."""

    def failed(self, trial_id: str, reason: str) -> None:
        """The trial has failed and is not tried again."""

    def retried(self, trial_id: str, reason: str) -> None:
        """The trial's worker or node was lost; it starts again from its last checkpoint."""


class _NeverSaved:
    """Tune pickles what it is given into a file that nobody reads; locks and terminals cannot be pickled."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


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
    """Passes on what the workers report; sets `stop` when the storage fails, and keeps the reason."""

    def __init__(self, experiment: Experiment, listener: Listener, stop: threading.Event) -> None:
        self.storage_error = ""
        self._experiment, self._listener, self._stop = experiment, listener, stop

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has taken a trial."""
        self._listener.started(trial.config["trial_id"])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A worker has reported an epoch, or the end of its trial."""
        trial_id = trial.config["trial_id"]
        if "storage_error" in result:
            self._fail(result["storage_error"])
        elif "failed" in result:
            self._listener.failed(trial_id, result["failed"])
        elif result["done"]:
            self._listener.done(trial_id, result)
        else:
            self._listener.epoch(trial_id, result)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker or a node was lost, and Tune starts the trial again; a lost node uses up no retry of the trial."""
        node_lost = _NODE_LOST in str(trial.get_error()).rpartition("Failure #")[2] or is_a_node_gone()
        if node_lost:
            trial.run_metadata.num_failures -= 1
        self._listener.retried(trial.config["trial_id"], f"its {'node' if node_lost else 'worker'} was lost")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker was lost once too often."""
        times = "once" if trial.num_failures == 1 else f"{trial.num_failures} times"
        reason = f"its worker or node was lost {times}, more than max_retries allows"
        try:
            self._experiment.write_error(trial.config["trial_id"], reason)
        except StorageError as error:
            self._fail(str(error))
        self._listener.failed(trial.config["trial_id"], reason)

    def _fail(self, storage_error: str) -> None:
        """Every other trial would fail on the same storage."""
        self.storage_error = self.storage_error or storage_error
        self._stop.set()
