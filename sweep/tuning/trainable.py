"""What a Ray worker executes: one trial after the other, an epoch at a time.

A worker is reused for many trials, so whatever takes time to start is paid once. An error in code or configuration
is written down and reported as the end of the trial: Ray sees only lost workers and nodes as failures, which it
retries. Nothing is saved through Ray.
"""

import traceback
from typing import Any

from ray.tune import Trainable

from sweep.config import TrialConfig
from sweep.datasets import Dataset
from sweep.errors import StorageError
from sweep.records import Experiment
from sweep.storage import open_storage


class GridPointTrainable(Trainable):
    """Trains the trials whose ids it is given; its parameters come through Ray's object store."""

    def setup(self, config: dict[str, Any], **shared: Any) -> None:
        """Takes the shared parameters of the sweep: dataset, storage root, trials by id, and options."""
        self._dataset: Dataset = shared["dataset"]
        self._experiment = Experiment(open_storage(shared["root"]))
        self._trials: dict[str, TrialConfig] = shared["trials"]
        self._options: dict[str, Any] = shared["options"]
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Starts anew with another trial in the same worker."""
        self._trial_id: str = new_config["trial_id"]
        self._run: Any = None
        return True

    def step(self) -> dict[str, Any]:
        """Trains one epoch and gives its metrics; `done` after the last, or with a reason if there can be no next."""
        try:
            from sweep.trial import TrialRun

            if self._run is None:
                self._run = TrialRun(self._trials[self._trial_id], self._dataset, self._experiment, **self._options)
            finished = self._run.step()
            return {**self._run.latest, "done": finished}
        except StorageError as error:
            return {"done": True, "storage_error": str(error)}
        except Exception as error:
            return self._failed(error)

    def _failed(self, error: Exception) -> dict[str, Any]:
        try:
            self._experiment.write_error(self._trial_id, traceback.format_exc())
        except StorageError as storage_error:
            return {"done": True, "storage_error": str(storage_error)}
        first_line = str(error).strip().partition("\n")[0]
        return {"done": True, "failed": f"{type(error).__name__}: {first_line}"}
