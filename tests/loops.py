"""What the tests of the loops share: real images, trials, and what agreement means."""

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from sweep.config import HIDDEN_LAYERS, TrialConfig
from sweep.datasets import load_dataset
from sweep.loops.contract import EpochScores, TrainingSplit
from sweep.loops.stacked import ACTIVATIONS, LOSSES

POINTS = list(itertools.product(HIDDEN_LAYERS, ACTIVATIONS, LOSSES))
# Images, batch size, layers, classes.
ODD_SIZES: list[tuple[int, int, tuple[int, ...], int]] = [
    (193, 64, (64,), 10),  # the last batch is one image
    (50, 64, (64,), 10),  # the batch is larger than the data set
    (200, 200, (16,), 10),  # a batch is the data set
    (30, 1, (8,), 10),
    (150, 7, (9,), 10),
    (200, 64, (), 10),
    (200, 64, (40, 33, 17, 5), 10),
    (200, 64, (1,), 10),
    (200, 64, (12, 7), 2),
    (64 * 70 + 3, 64, (16,), 10),  # more steps than are scored together
]


def training_split(name: str, num_images: int) -> TrainingSplit:
    dataset = load_dataset(name)
    return TrainingSplit(
        inputs=torch.from_numpy(dataset.train.images[:num_images].copy()),
        targets=torch.from_numpy(dataset.train.labels[:num_images].copy()),
        num_classes=len(dataset.target_names),
    )


def first(training: TrainingSplit, num_images: int) -> TrainingSplit:
    return TrainingSplit(
        inputs=training.inputs[:num_images], targets=training.targets[:num_images], num_classes=training.num_classes
    )


def trial(**changes: Any) -> TrialConfig:
    fields: dict[str, Any] = {
        "dataset": "digits",
        "dataset_sha256": "",
        "validation_size": 0,
        "depth": "small",
        "layers": (24, 13),
        "activation": "tanh",
        "loss": "cross_entropy",
        "learning_rate": 0.001,
        "batch_size": 64,
        "epochs": 2,
        "seeds": (0,),
        "engine": "stacked",
    }
    return TrialConfig(**fields | changes)


def point_trial(depth: str, activation: str, loss: str, **changes: Any) -> TrialConfig:
    return trial(depth=depth, layers=HIDDEN_LAYERS[depth], activation=activation, loss=loss, **changes)


def same_bits(one: dict[str, Tensor], other: dict[str, Tensor], row: int | None = None, other_row: int = 0) -> bool:
    """Whether two states are equal, or one replicate of the first and one of the second."""
    if row is None:
        return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    rows = {key: value if key == "steps" else value[row] for key, value in one.items()}
    return same_bits(rows, {key: value if key == "steps" else value[other_row] for key, value in other.items()})


def assert_one_ulp(one: Tensor, other: Tensor) -> None:
    larger = torch.maximum(one.abs(), other.abs())
    unit = torch.nextafter(larger, torch.tensor(math.inf)) - larger
    assert bool(((one - other).abs() <= unit).all()), f"largest difference {(one - other).abs().max():.1e}"


def assert_close_scores(one: EpochScores, other: EpochScores, num_images: int, *, flips: int = 0) -> None:
    torch.testing.assert_close(one.loss, other.loss, rtol=1e-5, atol=1e-7)
    assert bool(((one.correct - other.correct).abs() * num_images <= flips + 1e-6).all())


def odd_training_split(mnist: TrainingSplit, num_images: int, num_classes: int) -> TrainingSplit:
    """Gives images whose size is no multiple of anything."""
    return TrainingSplit(
        inputs=mnist.inputs[:num_images, 300:363].contiguous(),
        targets=mnist.targets[:num_images] % num_classes,
        num_classes=num_classes,
    )
