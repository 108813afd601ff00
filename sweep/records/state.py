"""Finds the experiments of a storage path, and reads what there is of one: the one reader of every command."""

import contextlib
import dataclasses
import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sweep.config import TrialConfig
from sweep.errors import ExperimentError, StorageError, last_line, one_line, shown, unknown
from sweep.records.classification_format_2 import averaged_of_2
from sweep.records.contents import DoneRecord, Manifest
from sweep.records.experiment import Experiment
from sweep.storage import Storage


@dataclass(frozen=True, kw_only=True)
class State:
    """What there is of an experiment; a command reads it once. Predictions and weights are read one trial at a time.

    Attributes:
        experiment: Its files.
        manifest: As it is on the disk, or as a run is about to write it.
        done: Record of each finished trial by trial id, in the manifest's order.
        failed: Last line of the traceback of each failed trial by trial id, as it can be shown.
    """

    experiment: Experiment
    manifest: Manifest
    done: Mapping[str, DoneRecord] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def left(self) -> list[TrialConfig]:
        """The trials of the manifest that are not finished."""
        return [trial for trial in self.manifest.trials if trial.trial_id not in self.done]

    @property
    def complete(self) -> bool:
        """Whether every trial of the manifest is finished."""
        return not self.left

    @functools.cached_property
    def events(self) -> list[dict[str, Any]]:
        """For provenance: wall times, retries; read when first asked for."""
        return self.experiment.read_events()

    @functools.cached_property
    def legible(self) -> "State":
        """The same with every text of the manifest as it can be shown; not to be written."""
        return dataclasses.replace(self, manifest=legible(self.manifest))

    @functools.cached_property
    def averaged(self) -> "State":
        """The same with averages over the targets that occur, where sweep 0.1.0 counted one without samples as 0.

        Predictions are read only if the test split lacks a target.
        """
        manifest, task = self.manifest, self.manifest.predicts
        if all(manifest.dataset.target_counts.get("test", [0])):
            return self
        try:
            if len(np.unique(self.experiment.read_test_split()[1])) == len(manifest.dataset.target_names):
                return self
            kept = {name: self.experiment.read_predictions(name, task.ARRAYS) for name in self.done}
        except (FileNotFoundError, ValueError):
            return self  # whoever needs them says that they are not there
        done = {name: averaged_of_2(self.done[name], task.scores(kept[name], "test")) for name in kept}
        return dataclasses.replace(self, done=done)

    def again(self, manifest: Manifest) -> "State":
        """Gives the state under a manifest, with what has been finished and what has failed since.

        A trial stays finished, whatever the manifest: an id stands for its numbers. So no record is read twice.
        """
        trial_ids = [trial.trial_id for trial in manifest.trials]
        new = self.experiment.read_all_done([trial_id for trial_id in trial_ids if trial_id not in self.done])
        done = {**self.done, **new}
        state = dataclasses.replace(
            self, manifest=manifest, done={trial_id: done[trial_id] for trial_id in trial_ids if trial_id in done}
        )
        return dataclasses.replace(state, failed=_reasons(self.experiment, [trial.trial_id for trial in state.left]))

    def without(self, trial_ids: Collection[str]) -> "State":
        """Gives the state in which these trials are not finished."""
        if not trial_ids:
            return self
        done = {trial_id: record for trial_id, record in self.done.items() if trial_id not in trial_ids}
        failed = {**self.failed, **_reasons(self.experiment, trial_ids)}
        return dataclasses.replace(self, done=done, failed=failed)


def read_state(experiment: Experiment) -> State:
    """Reads what there is of an experiment, finished or not.

    Raises:
        ExperimentError: if there is no manifest, or it is damaged.
    """
    manifest = experiment.read_manifest()
    if manifest is None:
        raise ExperimentError(f"{experiment.storage} has no manifest.json; it is no experiment")
    return State(experiment=experiment, manifest=manifest).again(manifest)


def open_experiment(storage: Storage, name: str) -> Experiment:
    """Gives an experiment that exists.

    Raises:
        ExperimentError: if there is none of that name, with the names that there are.
    """
    # Any name that a folder has, but the name of one folder and no path out of the storage.
    if {"/", "\0"}.isdisjoint(name) and name not in ("", ".", ".."):
        experiment = Experiment(storage.folder(name))
        if experiment.exists():
            return experiment
    names = list_experiments(storage)
    known = unknown("experiment", name, names) if names else f"unknown experiment {shown(name)}; there are none yet"
    raise ExperimentError(f"{known} (in {storage})")


def list_experiments(storage: Storage) -> list[str]:
    """Names of the experiments in a storage path, and of the folders that may be one but cannot be looked into."""
    names = []
    for name in storage.list():
        with contextlib.suppress(StorageError):
            if not storage.exists(f"{name}/manifest.json"):
                continue
        names.append(name)
    return names


def legible(value: Any) -> Any:
    """Gives a value whose texts have nothing that ends a line, steers a terminal or cannot be written as UTF-8."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, Mapping):
        return {legible(key): legible(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(legible(item) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: legible(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    return value


def _reasons(experiment: Experiment, trial_ids: Collection[str]) -> dict[str, str]:
    errors = experiment.read_errors(list(trial_ids))
    return {trial_id: one_line(last_line(error) or "?") for trial_id, error in errors.items()}
