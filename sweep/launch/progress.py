"""Follows the trials of a run: what is written down, and what a display shows."""

import contextlib
import importlib
import threading
from collections.abc import Mapping
from typing import Protocol

from sweep.config import TrialConfig
from sweep.errors import StorageError
from sweep.records import Experiment, Manifest


class Display(Protocol):
    """Shows a user how the trials are doing; see `sweep.tuning.Listener`."""

    def say(self, text: str) -> None:
        """Shows one line."""

    def warn(self, text: str) -> None:
        """Shows one line that must be seen."""

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


class Recorder:
    """Writes down what happens for people to read, and passes it on to the display."""

    def __init__(self, experiment: Experiment, display: Display, *, num_left: int) -> None:
        self.num_done = 0
        self._experiment, self._display, self._num_left = experiment, display, num_left
        self._importing: threading.Thread | None = None

    def started(self, trial_id: str) -> None:
        """Passes it on."""
        self._display.started(trial_id)

    def epoch(self, trial_id: str, metrics: Mapping[str, float]) -> None:
        """Passes it on."""
        self._display.epoch(trial_id, metrics)

    def done(self, trial_id: str, metrics: Mapping[str, float]) -> None:
        """Writes it down and passes it on."""
        self.num_done += 1
        self._log("trial_done", trial_id=trial_id, train_time_s=metrics["train_time_s"])
        self._display.done(trial_id, metrics)
        self._one_less()

    def failed(self, trial_id: str, reason: str) -> None:
        """Writes it down and passes it on."""
        self._log("trial_failed", trial_id=trial_id, reason=reason)
        self._display.failed(trial_id, reason)
        self._one_less()

    def retried(self, trial_id: str, reason: str) -> None:
        """Writes it down and passes it on."""
        self._log("trial_retried", trial_id=trial_id, reason=reason)
        self._display.retried(trial_id, reason)

    def wait(self) -> None:
        """Waits until nothing is done in the background any more.

        Before Ray is left: a thread that happens to free one of Ray's objects afterwards ends the process.
        """
        if self._importing:
            self._importing.join()

    def _one_less(self) -> None:
        self._num_left -= 1
        if self._num_left == 1:
            # While a core is idle: what the report needs takes a second to import.
            importing = threading.Thread(target=importlib.import_module, args=("sweep.report.writing",), daemon=True)
            importing.start()
            self._importing = importing

    def _log(self, event: str, **details: object) -> None:
        with contextlib.suppress(StorageError):  # what needs the space reports it
            self._experiment.log_event(event, **details)
