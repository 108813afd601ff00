"""A data set as it was read, and the rule by which images are set aside."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.errors import DatasetError

Pixels = NDArray[np.generic]
Labels = NDArray[np.int64]
DIGITS = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True, kw_only=True)
class Raw:
    """A data set as read, training and test images in one meaning.

    Attributes:
        train_images: `[N, ...]`, images along the first axis.
        train_labels: `[N]`.
        test_images: Likewise.
        test_labels: Likewise.
        target_names: In the order of the labels.
        largest: The pixel value that stands for full intensity, 0 to leave values alone.
    """

    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels
    target_names: tuple[str, ...]
    largest: int


def validation_indices(labels: Labels, validation_size: int) -> NDArray[np.int64]:
    """Gives the sorted indices of the validation images.

    Each class gives its share, rounded by largest remainders (ties to the smaller label), taken at even steps
    through the class in the data set's own order. So the rule depends on nothing but the labels and the size.

    Raises:
        DatasetError: if no training image of some class would be left, with a size that leaves one.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if not _leaves_some(counts, validation_size):
        fits, does_not = 0, min(validation_size, len(labels))
        while does_not - fits > 1:
            middle = (fits + does_not) // 2
            fits, does_not = (middle, does_not) if _leaves_some(counts, middle) else (fits, middle)
        raise DatasetError(
            f"validation_size is {validation_size}, which leaves a class without training images: there are "
            f"{len(labels):,} in {len(classes)} classes, {counts.min():,} in the smallest; choose another, such as "
            f"{fits or '0 (and selection=train_accuracy)'}"
        )
    chosen = [
        np.flatnonzero(labels == label)[np.arange(quota) * count // max(quota, 1)]
        for label, count, quota in zip(classes, counts, _quotas(counts, validation_size), strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def _quotas(counts: NDArray[np.int64], validation_size: int) -> NDArray[np.int64]:
    shares = counts * validation_size / counts.sum()
    quotas: NDArray[np.int64] = np.floor(shares).astype(np.int64)
    by_remainder = np.argsort(quotas - shares, kind="stable")
    quotas[by_remainder[: validation_size - quotas.sum()]] += 1
    return quotas


def _leaves_some(counts: NDArray[np.int64], validation_size: int) -> bool:
    return 0 <= validation_size < counts.sum() and bool((_quotas(counts, validation_size) < counts).all())


def few(images: Pixels) -> Pixels:
    """Gives some of the images, evenly over all: about 2,000,000 values, enough to know what they are like."""
    wanted = max(20, 2_000_000 // math.prod(images.shape[1:]))
    return images[:: max(1, len(images) // wanted)]


def brief(error: Exception) -> str:
    """Gives the first line of what an error says."""
    return str(error).strip().split("\n")[0] or type(error).__name__
