"""What a data set says of itself before anything is trained: its values, its classes, and what looks doubtful.

A doubt is no error: the data may be meant so. It is said by `--dry-run`, `doctor`, each run and the verdict.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from sweep.datasets.raw import Labels, Pixels, Raw, few

# Standardised values, and values in [-1, 1] or [0, 1], lie between them; 0..100 and 0..255 as floats do not.
_SMALLEST_SCALED, _LARGEST_SCALED = 0.02, 50.0
# In standard deviations, and as a ratio: samples of one distribution differ by far less, [-1, 1] and [0, 1] by more.
_MEANS_DIFFER, _SPREADS_DIFFER, _ENOUGH_IMAGES = 0.75, 1.8, 100
_COPIED, _COPIED_BY_CHANCE = 0.01, 8
_MOST_NAMED = 5


def describe_values(raw: Raw) -> str:
    """Says the type and range of a data set's values, and how they are scaled."""
    types = dict.fromkeys(str(images.dtype) for images in (raw.train_images, raw.test_images))
    low, high = _range(raw)
    scaled = f"scaled from 0..{raw.largest} to -1..1" if raw.largest else "taken as they are"
    return f"{' and '.join(types)} from {low:.6g} to {high:.6g}, {scaled}"


def count_classes(splits: Mapping[str, Labels], num_classes: int) -> dict[str, list[int]]:
    """Gives the number of images of each class in each split."""
    return {name: np.bincount(labels, minlength=num_classes).tolist() for name, labels in splits.items()}


def find_doubts(raw: Raw, target_counts: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
    """Says in a sentence each, without a full stop, what in a data set looks like a mistake."""
    names = {"training": "train", "validation": "validation", "test": "test"}
    doubts = [_missing(raw.target_names, name, target_counts[split]) for name, split in names.items()]
    doubts += [_scaling(raw) or _shift(raw), _copies(raw)]
    return tuple(doubt for doubt in doubts if doubt)


def _missing(names: Sequence[str], split: str, counts: Sequence[int]) -> str:
    missing = [name for name, count in zip(names, counts, strict=True) if not count]
    if not missing or not any(counts):
        return ""
    if len(missing) == 1:
        return f"class {missing[0]} has no {split} images, so no {split} score knows of it"
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    return f"classes {', '.join(missing[:_MOST_NAMED])}{more} have no {split} images, so no {split} score knows of them"


def _scaling(raw: Raw) -> str:
    low, high = _range(raw)
    largest = max(high, -low)
    for split, images in (("training", raw.train_images), ("test", raw.test_images)):
        if images.min() == images.max():
            return f"all {split} values are {images.min():g}"
    if raw.largest and largest < raw.largest / 4:
        return f"values are scaled as pixels from 0 to {raw.largest}, but none is above {largest:g}"
    if not raw.largest and not _SMALLEST_SCALED <= largest <= _LARGEST_SCALED:
        return f"values look unscaled: the largest is {largest:.6g} in size, and models learn best from about -1 to 1"
    return ""


def _shift(raw: Raw) -> str:
    """Compares means and spreads of values that are drawn in to what 98 % of all lie between."""
    train, test = (few(images).astype(np.float64).ravel() for images in (raw.train_images, raw.test_images))
    low, high = np.quantile(np.concatenate([train, test]), (0.01, 0.99))
    means = [float(values.clip(low, high).mean()) for values in (train, test)]
    spreads = [float(values.clip(low, high).std()) for values in (train, test)]
    alike = abs(means[0] - means[1]) <= _MEANS_DIFFER * max(spreads)
    alike = alike and max(spreads) <= _SPREADS_DIFFER * min(spreads)
    if alike or min(len(raw.train_images), len(raw.test_images)) < _ENOUGH_IMAGES:
        return ""
    train_values, test_values = (f"{mean:.3g} ± {spread:.2g}" for mean, spread in zip(means, spreads, strict=True))
    return f"training values are {train_values}, test values {test_values}: they may not be scaled alike"


def _copies(raw: Raw) -> str:
    splits: list[Pixels] = [raw.train_images, raw.test_images]
    if raw.train_images.dtype != raw.test_images.dtype:
        splits = [images.astype(np.float32) for images in splits]
    train, test = ([hash(image.tobytes()) for image in images] for images in splits)
    times = Counter(train)
    # Data of few distinct values repeat themselves, within the training images as much as between the splits.
    copied = sum(times[image] == 1 for image in set(test))
    repeated = sum(count for count in times.values() if count > 1) / len(train)
    if copied <= _COPIED_BY_CHANCE + (_COPIED + 2 * repeated) * len(test):
        return ""
    return f"{copied:,} of {len(test):,} test images are training images too, so test scores flatter"


def _range(raw: Raw) -> tuple[float, float]:
    splits = (raw.train_images, raw.test_images)
    return min(float(images.min()) for images in splits), max(float(images.max()) for images in splits)
