"""What the files of an experiment say, as frozen dataclasses.

Axis letters: R replicates, N test images, C classes, E epochs.
"""

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.config import AXES, CONFIRMATION, SweepConfig, TrialConfig

HISTORY_METRICS = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


@dataclass(frozen=True, kw_only=True)
class DatasetRecord:
    """What a reader needs to know of the data set; what has a default is not in the records of sweep 0.1.0.

    Attributes:
        name: As asked for.
        sha256: Of all images and labels as read.
        target_names: In the order of the labels.
        input_shape: Of one image; its product is the number of inputs.
        train_size: Number of images, and so on.
        validation_size: See train_size.
        test_size: See train_size.
        values: Type, range and scaling, in words.
        target_counts: Number of images of each class in train, validation and test.
        doubts: What looks like a mistake in it, a sentence each.
        files: What its files were, by absolute path; see `sweep.datasets.file_states`.
    """

    name: str
    sha256: str
    target_names: tuple[str, ...]
    input_shape: tuple[int, ...]
    train_size: int
    validation_size: int
    test_size: int
    values: str = ""
    target_counts: Mapping[str, list[int]] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an experiment is: its sweep, all its trials, and where it was launched.

    Attributes:
        name: Of the experiment.
        sweep: As launched or, after extending, as last extended.
        trials: Every trial; several of one grid point where seeds were added, or where finalists are confirmed.
        dataset: Hash, splits and classes.
        commands: The command lines that made and extended it.
        created: UTC, ISO 8601.
        versions: Of python, sweep, torch, ray and numpy.
        fingerprint: What bit-exactness depends on; see `sweep.trial.fingerprint`.
        hardware: Processor, cores, memory_gb, gpus; for people to read.
        commit: Of the source tree, "" if it was not run from one.
    """

    name: str
    sweep: SweepConfig
    trials: tuple[TrialConfig, ...]
    dataset: DatasetRecord
    commands: tuple[str, ...]
    created: str
    versions: Mapping[str, str]
    fingerprint: Mapping[str, Any]
    hardware: Mapping[str, Any]
    commit: str

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """The values of every axis that has more than one, in order; of the first three axes if none has."""
        # A dictionary as a set that keeps the order. Trials may have values that the sweep, last extended, has not.
        values = {axis: dict.fromkeys(given) for axis, given in self.sweep.axes}
        for trial in self.trials:
            for axis, value in trial.point.items():
                values[axis].setdefault(value)
        varied = {axis: tuple(values[axis]) for axis in AXES if len(values[axis]) > 1}
        return varied or {axis: tuple(values[axis]) for axis in list(AXES)[:3]}

    @property
    def compared(self) -> tuple[TrialConfig, ...]:
        """The trials of the sweep itself, which alone are ranked and compared."""
        return tuple(trial for trial in self.trials if not trial.role)

    @property
    def confirmations(self) -> tuple[TrialConfig, ...]:
        """A trial with fresh seeds for each finalist, the best of the ranking first; they choose nothing."""
        return tuple(trial for trial in self.trials if trial.role == CONFIRMATION)

    @property
    def looks(self) -> int:
        """How often the results may have been looked at before seeds were added, and once more: 1 + such extensions.

        Each adds a trial to every grid point that was there; axis values that are added begin with one trial.
        """
        trials = Counter(tuple(trial.point.values()) for trial in self.compared)
        return max(trials.values(), default=1)

    def parameters(self, trial: TrialConfig) -> int:
        """Number of trained parameters of one replicate of a trial."""
        sizes = [math.prod(self.dataset.input_shape), *trial.layers, len(self.dataset.target_names)]
        return sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))


@dataclass(frozen=True, kw_only=True)
class ReplicateRecord:
    """The final scores of one replicate; accuracies and other scores in [0, 1], NaN where there is none.

    Attributes:
        seed: The number its randomness came from.
        diverged: Whether a loss was not finite in any epoch.
        train_loss: Mean over the last epoch's images, each scored before its batch's update.
        train_accuracy: Likewise.
        validation_loss: After the last epoch.
        validation_accuracy: Likewise.
        test_loss: After the last epoch, computed once.
        test_accuracy: Likewise.
        precision: Macro average over classes on the test images; recall and f1 likewise.
        recall: See precision.
        f1: See precision.
        precision_weighted: Average over classes weighted by their number of test images; and so on.
        recall_weighted: See precision_weighted.
        f1_weighted: See precision_weighted.
        train_time_s: Seconds of training alone; a trial's time divided by R where replicates train together.
        parameters_sha256: Of the final parameters, float32 little-endian in the order of the layers.
    """

    seed: int
    diverged: bool
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    test_loss: float
    test_accuracy: float
    precision: float
    recall: float
    f1: float
    precision_weighted: float
    recall_weighted: float
    f1_weighted: float
    train_time_s: float
    parameters_sha256: str


@dataclass(frozen=True, kw_only=True)
class DoneRecord:
    """A finished trial.

    Attributes:
        trial_id: Of the trial.
        replicates: One record per seed, in the order of the trial's seeds.
        history: For each of `HISTORY_METRICS`, E rows of R values.
        files: SHA-256 of each file in the trial's folder that belongs to the record.
        fingerprints: Where it was trained: pairs of (first epoch, fingerprint), more than one if it moved.
        finished: UTC, ISO 8601.
    """

    trial_id: str
    replicates: tuple[ReplicateRecord, ...]
    history: Mapping[str, list[list[float]]]
    files: Mapping[str, str]
    fingerprints: tuple[tuple[int, Mapping[str, Any]], ...]
    finished: str

    def bit_exact(self, manifest: Manifest) -> bool:
        """Whether all epochs ran where the manifest's fingerprint says, so that retraining gives the same bits."""
        return all(fingerprint == manifest.fingerprint for _, fingerprint in self.fingerprints)


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What the finished models of a trial say.

    Attributes:
        test_logits: float16 `[R, N, C]`, for looking at margins; `y_pred` comes from the float32 values.
        y_pred: Predicted classes of the test images, `[R, N]`.
        test_confusion: `[R, C, C]`, rows true, columns predicted.
        validation_confusion: `[R, C, C]`, all zero without a validation split.
    """

    test_logits: NDArray[np.float16]
    y_pred: NDArray[np.int64]
    test_confusion: NDArray[np.int64]
    validation_confusion: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What training resumes from after `epoch`; the hash is of the content as written or as read."""

    epoch: int
    file: str
    sha256: str
    content: bytes


def utc_now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
