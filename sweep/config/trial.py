"""One trial: what decides its numbers, with its stable id, and what it is given to run with."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HIDDEN_LAYERS: dict[str, tuple[int, ...]] = {"shallow": (64,), "medium": (128, 64), "deep": (256, 128, 64)}
AXES = ("depth", "activation", "loss", "learning_rate", "batch_size")

# Raised whenever an engine's arithmetic or the randomness changes: an id must keep meaning the same numbers.
_NUMBERS_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One grid point with its seeds: everything that decides the numbers, and nothing else.

    Attributes:
        dataset: Name of the data set, or the path of an `.npz` file.
        dataset_sha256: Hash of its images and labels.
        validation_size: Images taken from the training images for validation; 0 for none.
        depth: Name of the hidden layers. shallow: 64; medium: 128, 64; deep: 256, 128, 64 units.
            Each hidden layer is followed by the activation, the output layer (one unit a class) by none.
            A sweep file may name others under `[layers]`.
        layers: Units of each hidden layer, first to last.
        activation: relu, sigmoid or tanh.
        loss: cross_entropy (one-hot targets), sparse_cross_entropy (integer labels) or hinge.
        learning_rate: Of Adam.
        batch_size: Images a step; the last short batch of an epoch is kept.
        epochs: Passes over the training split.
        seeds: One replicate each.
        engine: reference or stacked.
    """

    dataset: str
    dataset_sha256: str
    validation_size: int
    depth: str
    layers: tuple[int, ...]
    activation: str
    loss: str
    learning_rate: float
    batch_size: int
    epochs: int
    seeds: tuple[int, ...]
    engine: str

    @property
    def point(self) -> dict[str, Any]:
        """The grid point: the value of every axis."""
        return {axis: getattr(self, axis) for axis in AXES}

    @property
    def trial_id(self) -> str:
        """The grid point in words and a hash of every field: the same id always means the same numbers."""
        words = [self.depth, self.activation, self.loss]
        words += [f"lr{self.learning_rate:g}"] if self.learning_rate != 0.001 else []
        words += [f"batch{self.batch_size}"] if self.batch_size != 64 else []
        identity = {"numbers_version": _NUMBERS_VERSION, **dataclasses.asdict(self)}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return "-".join([*words, digest[:8]])

    def to_json(self) -> dict[str, Any]:
        """Gives the fields as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "TrialConfig":
        """Reads what `to_json` gave."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one trial gets, and how the sweep uses the machine; none of it decides a number.

    Attributes:
        num_cpus: CPUs of a trial; also its number of torch threads.
        num_gpus: GPUs of a trial, a share such as 0.25 allowed; "auto" is a share where there is a GPU, else 0.
        max_concurrent: Trials at a time; 0 means as many as fit.
        max_retries: How often a trial whose worker or node was lost starts again from its last checkpoint.
        checkpoint_every: Epochs between checkpoints; the last epoch always writes one.
        pack: Grid points of the same layers that one Ray trial carries, on a CPU one after the other, on a GPU at the
            same time; each keeps its own files, retries and place in the report.
    """

    num_cpus: int
    num_gpus: float | str
    max_concurrent: int
    max_retries: int
    checkpoint_every: int
    pack: int
