"""What the files of an experiment say, as frozen dataclasses that the codec writes and reads by their types.

Axis letters: R replicates, E epochs.
"""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sweep.axes import Axis
from sweep.axes import varied as varied_of
from sweep.config import CONFIRMATION, FileName, SweepConfig, TrialConfig
from sweep.metrics import Metric, Score, selecting
from sweep.pieces import WITH_PRODUCTS
from sweep.tasks import TASKS, Task

# What a fingerprint says of the library of products, if that is not torch.
_OF_PRODUCTS = ("products", "numpy", "numpy_library")


@dataclass(frozen=True, kw_only=True)
class DatasetRecord:
    """What a reader needs to know of the data set; what has a default is not in the records of sweep 0.1.0.

    Attributes:
        sha256: Of all inputs and targets as read.
        target_names: What each output of a model stands for, in the order of the labels.
        input_shape: Of one sample; its product is the number of inputs.
        values: Type, range and scaling, in words.
        target_counts: Number of samples of each target by split.
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
        sweep: As launched or, after extending, as last extended.
        task: What is predicted; see `sweep.tasks.TASKS`.
        metrics: What the scores of the records mean.
        trials: Every trial; several of one grid point where seeds were added, or where finalists are confirmed.
        commands: The command lines that made and extended it.
        created: UTC, ISO 8601.
        fingerprint: What bit-exactness depends on; see `sweep.trial.fingerprint`.
        us_per_step: Microseconds per step of a model with each library of products, as it was chosen.
        hardware: For people to read.
        commit: Of the source tree, "" if it was not run from one.
    """

    name: str
    sweep: SweepConfig
    task: str
    metrics: tuple[Metric, ...]
    trials: tuple[TrialConfig, ...]
    dataset: DatasetRecord
    commands: tuple[str, ...]
    created: str
    versions: Mapping[str, str]
    fingerprint: Mapping[str, Any]
    hardware: Mapping[str, Any]
    commit: str
    us_per_step: Mapping[str, float] = field(default_factory=dict)

    @functools.cached_property
    def axes(self) -> tuple[Axis, ...]:
        """Every axis; trials may have values that the sweep, last extended, has not."""
        columns = zip(*(trial.point for trial in self.trials), strict=True)
        return tuple(axis.merged(values) for axis, values in zip(self.sweep.axes, columns, strict=True))

    @functools.cached_property
    def varied(self) -> tuple[Axis, ...]:
        """The axes that tell grid points apart."""
        return varied_of(self.axes)

    @property
    def criterion(self) -> Score:
        """The score that selects."""
        return selecting(self.metrics)[self.sweep.selection]

    @property
    def tested(self) -> Score:
        """The same metric on the test split, which chooses nothing."""
        return self.criterion.on("test")

    @property
    def products(self) -> str:
        """The library that multiplies matrices on a CPU, one of `sweep.pieces.PRODUCTS`."""
        return products_of(self.fingerprint)

    @property
    def products_in_words(self) -> str:
        """That library, and in brackets what each has reached if that was measured."""
        reached = ", ".join(f"{name} {us:.0f}" for name, us in self.us_per_step.items())
        return f"{self.products} (microseconds a model step: {reached})" if reached else self.products

    @property
    def predicts(self) -> Task:
        """The task by its name."""
        return TASKS[self.task]

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
        return max(Counter(trial.point for trial in self.compared).values(), default=1)

    def parameters(self, trial: TrialConfig) -> int:
        """Number of trained parameters of one replicate of a trial."""
        sizes = [math.prod(self.dataset.input_shape), *trial.layers, len(self.dataset.target_names)]
        return sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))


@dataclass(frozen=True, kw_only=True)
class ReplicateRecord:
    """One finished model: its seed, whether a loss was not finite in any epoch, and what its parameters are.

    The hash is of the final parameters, float32 little-endian in the order of the layers.
    """

    seed: int
    diverged: bool
    parameters_sha256: str


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of the long table (trial, seed, split, epoch, metric, value): all that a trial has of a metric on a split.

    Attributes:
        split: train, validation or test.
        metric: Its name; the manifest says what it means.
        epochs: E of them, from 1; the last one alone for what is scored once.
        values: E lists of R; NaN where there is none.
    """

    split: str
    metric: str
    epochs: tuple[int, ...]
    values: Sequence[Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class DoneRecord:
    """A finished trial.

    Attributes:
        replicates: One record per seed, in the order of the trial's seeds.
        files: SHA-256 of each file in the trial's folder that belongs to the record.
        fingerprints: Where it was trained: pairs of (first epoch, fingerprint), more than one if it moved.
        finished: UTC, ISO 8601.
    """

    trial_id: FileName
    replicates: tuple[ReplicateRecord, ...]
    rows: tuple[Rows, ...]
    files: Mapping[FileName, str]
    fingerprints: tuple[tuple[int, Mapping[str, Any]], ...]
    finished: str

    @functools.cached_property
    def _places(self) -> dict[tuple[str, str], Rows]:
        return {(one.split, one.metric): one for one in self.rows}

    def history(self, score: Score) -> Sequence[Sequence[float]]:
        """The values of a score, E lists of R; NaN if it was not measured."""
        rows = self._places.get((score.split, score.metric.name))
        if rows:
            return rows.values
        return [[math.nan] * len(self.replicates)] * max(len(one.epochs) for one in self.rows)

    def final(self, score: Score) -> Sequence[float]:
        """The values R of a score after the last epoch; NaN if it was not measured."""
        return self.history(score)[-1]

    def bit_exact(self, manifest: Manifest) -> bool:
        """Whether all epochs ran where the manifest's fingerprint says, so that retraining gives the same bits."""
        engines = {trial.trial_id: trial.engine for trial in manifest.trials}
        left_out = () if engines.get(self.trial_id) in WITH_PRODUCTS else _OF_PRODUCTS
        expected = {key: value for key, value in manifest.fingerprint.items() if key not in left_out}
        return all(fingerprint == expected for _, fingerprint in self.fingerprints)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What training resumes from after `epoch`; the hash is of the content as written or as read."""

    epoch: int
    file: str
    sha256: str
    content: bytes


def products_of(fingerprint: Mapping[str, Any]) -> str:
    """The library of products that a fingerprint names: torch where it names none, as those of sweep 0.1.0."""
    return str(fingerprint.get("products", "torch"))


def utc_now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
