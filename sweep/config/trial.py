"""One trial: what decides its numbers, with its stable id, and what it is given to run with."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

HIDDEN_LAYERS: dict[str, tuple[int, ...]] = {"shallow": (64,), "medium": (128, 64), "deep": (256, 128, 64)}
# Each with the type that its values have once they are read, so that equal values are equal in every way.
AXES: dict[str, type] = {"depth": str, "activation": str, "loss": str, "learning_rate": float, "batch_size": int}
# A grid point as a name gives it: pairs of axis and value, all axes in the order of `AXES`.
Point = tuple[tuple[str, Any], ...]

# The role of a trial that trains a finalist anew, with seeds from the reserved range that no user can ask for.
CONFIRMATION = "confirmation"
FIRST_RESERVED_SEED = 2**62

# Raised whenever an engine's arithmetic or the randomness changes: an id must keep meaning the same numbers.
_NUMBERS_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One grid point with its seeds: everything that decides the numbers, and what it was planned for.

    Attributes:
        trial_id: The grid point in words and `digest`, made as a trial is planned. What is read from a manifest has
            the id that it was written with.
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
        role: "" for a trial of the sweep, `CONFIRMATION` for a finalist's fresh seeds. It decides no number.
    """

    trial_id: str = ""
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
    role: str = ""

    def __post_init__(self) -> None:
        if not self.trial_id:
            words = [self.depth, self.activation, self.loss]
            words += [f"lr{value_name(self.learning_rate)}"] if self.learning_rate != 0.001 else []
            words += [f"batch{self.batch_size}"] if self.batch_size != 64 else []
            object.__setattr__(self, "trial_id", "-".join([*words, self.digest]))

    @property
    def point(self) -> dict[str, Any]:
        """The grid point: the value of every axis."""
        return {axis: getattr(self, axis) for axis in AXES}

    @property
    def title(self) -> str:
        """The id as it is shown, with the role if it has one."""
        return f"{self.trial_id} ({self.role})" if self.role else self.trial_id

    @property
    def digest(self) -> str:
        """A hash of every field that decides a number: the same one always means the same numbers."""
        identity = {"numbers_version": _NUMBERS_VERSION, **dataclasses.asdict(self)}
        del identity["trial_id"], identity["role"]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]


def value_name(value: Any) -> str:
    """Gives a value of an axis in words: short, and never the words of another value."""
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def level_name(axis: str, value: Any) -> str:
    """Gives a level's name, as the report writes it: a word stands for itself, a number needs its axis."""
    return value if isinstance(value, str) else f"{axis}={value_name(value)}"


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

    num_cpus: int = 1
    num_gpus: float | str = "auto"
    max_concurrent: int = 0
    max_retries: int = 3
    checkpoint_every: int = 1
    pack: int = 1
