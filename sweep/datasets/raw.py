"""A data set as it was read, the rule by which images are set aside, and what looks doubtful in it.

A doubt is no error: the data may be meant so. It is said by `--dry-run`, `doctor`, each run and the verdict.
"""

import bisect
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.errors import DatasetError

Indices = NDArray[np.int64]

# Standardised values, and values in [-1, 1] or [0, 1], lie between them; 0..100 and 0..255 as floats do not.
_SMALLEST_SCALED, _LARGEST_SCALED = 0.02, 50.0
# In standard deviations, and as a ratio: samples of one distribution differ by far less, [-1, 1] and [0, 1] by more.
_MEANS_DIFFER, _SPREADS_DIFFER, _ENOUGH_IMAGES = 0.75, 1.8, 100
_COPIED, _COPIED_BY_CHANCE = 0.01, 8
_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Split:
    """Images, `[N, ...]` as read or `[N, D]` float32 for training (pixels scaled to [-1, 1]), and labels `[N]`."""

    images: NDArray[Any]
    labels: Indices


@dataclass(frozen=True, kw_only=True)
class Raw:
    """A data set as read, training and test images in one meaning, and the names of its labels in order."""

    train: Split
    test: Split
    target_names: tuple[str, ...]
    largest: int  # the pixel value that stands for full intensity, 0 to leave values alone

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        images = self.train.images, self.test.images
        return min(float(one.min()) for one in images), max(float(one.max()) for one in images)


def validation_indices(labels: Indices, validation_size: int) -> NDArray[np.int64]:
    """The sorted indices of the validation images.

    Each class gives its share, rounded by largest remainders (ties to the smaller label), taken at even steps
    through the class in the data set's own order. So the rule depends on nothing but the labels and the size.
    DatasetError, with a size that does not, if it leaves a class without training images.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if not _leaves_some(counts, validation_size):
        smaller = range(1, min(validation_size, len(labels)))
        fits = bisect.bisect_left(smaller, True, key=lambda size: not _leaves_some(counts, size))
        raise DatasetError(
            f"validation_size is {validation_size}, which leaves a class without training images: there are "
            f"{len(labels):,} in {len(classes)} classes, {counts.min():,} in the smallest; choose another, such as "
            f"{fits or '0 (and a selection by training scores)'}"
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


def few(images: NDArray[Any]) -> NDArray[np.float64]:
    """Values of some of the images, evenly over all: about 2,000,000, enough to know what they are like."""
    wanted = max(20, 2_000_000 // math.prod(images.shape[1:]))
    return images[:: max(1, len(images) // wanted)].astype(np.float64).ravel()


def describe_values(raw: Raw) -> str:
    """The type and range of a data set's values, and how they are scaled."""
    types = dict.fromkeys(str(split.images.dtype) for split in (raw.train, raw.test))
    scaled = f"scaled from 0..{raw.largest} to -1..1" if raw.largest else "taken as they are"
    return f"{' and '.join(types)} from {raw.range[0]:.6g} to {raw.range[1]:.6g}, {scaled}"


def find_doubts(raw: Raw, target_counts: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
    """A sentence each, without a full stop, on what in a data set looks like a mistake."""
    names = {"training": "train", "validation": "validation", "test": "test"}
    doubts = [_missing(raw.target_names, name, target_counts[split]) for name, split in names.items()]
    doubts += [_scaling(raw) or _shift(raw), _copies(raw)]
    return tuple(doubt for doubt in doubts if doubt)


def _missing(names: Sequence[str], split: str, counts: Sequence[int]) -> str:
    missing = [name for name, count in zip(names, counts, strict=True) if not count]
    if not missing or not any(counts):
        return ""
    named = ", ".join(missing[:_MOST_NAMED])
    if len(missing) > _MOST_NAMED:
        named += f" and {len(missing) - _MOST_NAMED} more"
    classes, have, them = ("class", "has", "it") if len(missing) == 1 else ("classes", "have", "them")
    return f"{classes} {named} {have} no {split} images, so no {split} score knows of {them}"


def _scaling(raw: Raw) -> str:
    low, high = raw.range
    largest = max(high, -low)
    for name, split in (("training", raw.train), ("test", raw.test)):
        if split.images.min() == split.images.max():
            return f"all {name} values are {split.images.min():g}"
    if raw.largest and largest < raw.largest / 4:
        return f"values are scaled as pixels from 0 to {raw.largest}, but none is above {largest:g}"
    if not raw.largest and not _SMALLEST_SCALED <= largest <= _LARGEST_SCALED:
        return f"values look unscaled: the largest is {largest:.6g} in size, and models learn best from about -1 to 1"
    return ""


def _shift(raw: Raw) -> str:
    """Compares means and spreads of values that are drawn in to what 98 % of all lie between."""
    splits = [few(split.images) for split in (raw.train, raw.test)]
    low, high = np.quantile(np.concatenate(splits), (0.01, 0.99))
    means = [float(values.clip(low, high).mean()) for values in splits]
    spreads = [float(values.clip(low, high).std()) for values in splits]
    shifted = abs(means[0] - means[1]) > _MEANS_DIFFER * max(spreads)
    stretched = max(spreads) > _SPREADS_DIFFER * min(spreads)
    if not (shifted or stretched) or min(len(raw.train.labels), len(raw.test.labels)) < _ENOUGH_IMAGES:
        return ""
    train, test = (f"{mean:.3g} ± {spread:.2g}" for mean, spread in zip(means, spreads, strict=True))
    return f"training values are {train}, test values {test}: they may not be scaled alike"


def _copies(raw: Raw) -> str:
    splits = [raw.train.images, raw.test.images]
    if splits[0].dtype != splits[1].dtype:
        splits = [images.astype(np.float32) for images in splits]
    train, test = ([hash(image.tobytes()) for image in images] for images in splits)
    times = Counter(train)
    # Data of few distinct values repeat themselves, within the training images as much as between the splits.
    copied = sum(times[image] == 1 for image in set(test))
    repeated = sum(count for count in times.values() if count > 1) / len(train)
    if copied <= _COPIED_BY_CHANCE + (_COPIED + 2 * repeated) * len(test):
        return ""
    return f"{copied:,} of {len(test):,} test images are training images too, so test scores flatter"
