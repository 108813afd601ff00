"""Finds the experiments of a storage path, and reads one for a report."""

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweep.errors import ExperimentError, StorageError, one_line, shown, unknown
from sweep.records.contents import DoneRecord, Manifest
from sweep.records.experiment import Experiment
from sweep.storage import Storage


@dataclass(frozen=True, kw_only=True)
class ExperimentRecords:
    """All that a report reads of an experiment, except the predictions, which are read one trial at a time.

    Attributes:
        experiment: For `read_predictions` and `read_test_split`.
        manifest: Of the experiment.
        done: Record of each finished trial by trial id, in the manifest's order.
        failed: Last line of the traceback of each failed trial by trial id.
        events: For provenance: wall times, retries.
    """

    experiment: Experiment
    manifest: Manifest
    done: Mapping[str, DoneRecord]
    failed: Mapping[str, str]
    events: list[dict[str, Any]]

    @property
    def complete(self) -> bool:
        """Whether every trial of the manifest is finished."""
        return len(self.done) == len(self.manifest.trials)


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


def read_records(experiment: Experiment) -> ExperimentRecords:
    """Reads what there is of an experiment, finished or not, with every text as it can be shown.

    Raises:
        ExperimentError: if there is no manifest, or it is damaged.
    """
    manifest = experiment.read_manifest()
    if manifest is None:
        raise ExperimentError(f"{experiment.storage} has no manifest.json; it is no experiment")
    trial_ids = [trial.trial_id for trial in manifest.trials]
    done = experiment.read_all_done(trial_ids)
    errors = experiment.read_errors([trial_id for trial_id in trial_ids if trial_id not in done])
    failed = {trial_id: (error.strip().splitlines() or ["?"])[-1] for trial_id, error in errors.items()}
    return ExperimentRecords(
        experiment=experiment,
        manifest=legible(manifest),
        done=done,
        failed=legible(failed),
        events=experiment.read_events(),
    )


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
