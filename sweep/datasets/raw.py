"""A data set as it was read, and the rule by which images are set aside."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.errors import DatasetError

Pixels = NDArray[np.generic]
Labels = NDArray[np.int64]
DIGITS = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True, kw_only=True)
class Raw:
    """A data set as read; `largest` is the pixel value that stands for full intensity, 0 to leave values alone."""

    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels
    class_names: tuple[str, ...]
    largest: int


def validation_indices(labels: Labels, validation_size: int) -> NDArray[np.int64]:
    """Gives the sorted indices of the validation images.

    Each class gives its share, rounded by largest remainders (ties to the smaller label), taken at even steps
    through the class in the data set's own order. So the rule depends on nothing but the labels and the size.

    Raises:
        DatasetError: if no training image of some class would be left.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if not 0 <= validation_size <= len(labels) - len(classes):
        raise DatasetError(
            f"validation_size is {validation_size}, but the data set has {len(labels)} training images in "
            f"{len(classes)} classes; choose at most {len(labels) - len(classes)}"
        )
    shares = counts * validation_size / len(labels)
    quotas = np.floor(shares).astype(np.int64)
    by_remainder = np.argsort(quotas - shares, kind="stable")
    quotas[by_remainder[: validation_size - quotas.sum()]] += 1
    chosen = [
        np.flatnonzero(labels == label)[np.arange(quota) * count // max(quota, 1)]
        for label, count, quota in zip(classes, counts, quotas, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def brief(error: Exception) -> str:
    """Gives the first line of what an error says."""
    return str(error).strip().split("\n")[0] or type(error).__name__
