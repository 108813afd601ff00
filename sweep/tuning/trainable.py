"""What a Ray worker executes: one pack of trials after the other, an epoch at a time.

A worker is reused for many packs, so whatever takes time to start is paid once. The trials of a pack are trained one
after the other on a CPU, where a second would only share the core, and at the same time on a GPU, which one small
model does not fill. An error in code or configuration is written down and reported as the end of its trial: Ray sees
only lost workers and nodes as failures, which it retries. A node that may not use the trial's engine ends the sweep.
Nothing is saved through Ray.

A worker of a node that joined in the middle refuses to start if the node is not like the driver, or does not share the
storage; the driver then finds out what is wrong with which node (`PassOn`).
"""

import traceback
from concurrent.futures import ThreadPoolExecutor
from socket import gethostname
from typing import Any

from ray.tune import Trainable

from sweep.config import TrialConfig
from sweep.datasets import Dataset
from sweep.errors import ResourceError, StorageError, first_line
from sweep.records import Experiment
from sweep.storage import open_storage
from sweep.tuning.nodes import versions


class GridPointTrainable(Trainable):
    """Trains the trials whose ids it is given; its parameters come through Ray's object store."""

    def setup(self, config: dict[str, Any], **shared: Any) -> None:
        """Takes the shared parameters of the sweep: dataset, storage root, trials by id, options, trials at once.

        Raises:
            ResourceError: if this node has other versions than the driver.
            StorageError: if this node does not see the experiment.
        """
        self._dataset: Dataset = shared["dataset"]
        self._experiment = Experiment(open_storage(shared["root"]))
        if versions() != shared["versions"]:
            raise ResourceError("this node has other versions than the driver")
        if not self._experiment.exists():
            raise StorageError("this node does not see the experiment")
        self._trials: dict[str, TrialConfig] = shared["trials"]
        self._options: dict[str, Any] = shared["options"]
        self._at_once: int = shared["at_once"]
        self._threads = ThreadPoolExecutor(self._at_once) if self._at_once > 1 else None
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
            try:
                self._leave_out_ended()
            except StorageError as error:
                report = {"trial_id": self._left[0], "outcome": "storage_error", "reason": str(error)}
                return {"reports": [report], "done": True}
        self._new = False
        advance = self._threads.map if self._threads else map
        reports = list(advance(self._advance, self._left[: self._at_once]))
        for report in reports:
            if report["outcome"] != "epoch":
                self._left = [trial_id for trial_id in self._left if trial_id != report["trial_id"]]
                self._runs.pop(report["trial_id"], None)
        return {"reports": reports, "done": not self._left}

    def _leave_out_ended(self) -> None:
        """Leaves out what a lost worker of the same pack has ended."""
        ended = {*self._experiment.read_all_done(self._left), *self._experiment.read_errors(self._left)}
        self._left = [trial_id for trial_id in self._left if trial_id not in ended]

    def _advance(self, trial_id: str) -> dict[str, Any]:
        try:
            from sweep.trial import TrialRun

            if trial_id not in self._runs:
                self._runs[trial_id] = TrialRun(
                    self._trials[trial_id], self._dataset, self._experiment, **self._options
                )
            run = self._runs[trial_id]
            outcome = "done" if run.step() else "epoch"
            return {"trial_id": trial_id, "outcome": outcome, **run.latest}
        except StorageError as error:
            return {"trial_id": trial_id, "outcome": "storage_error", "reason": str(error)}
        except ResourceError as error:
            return {"trial_id": trial_id, "outcome": "node_unfit", "reason": f"node {gethostname()}: {error}"}
        except Exception as error:
            return self._failed(trial_id, error)

    def _failed(self, trial_id: str, error: Exception) -> dict[str, Any]:
        try:
            self._experiment.write_error(trial_id, traceback.format_exc())
        except StorageError as storage_error:
            return {"trial_id": trial_id, "outcome": "storage_error", "reason": str(storage_error)}
        reason = f"{type(error).__name__}: {first_line(error)}"
        return {"trial_id": trial_id, "outcome": "failed", "reason": reason}
